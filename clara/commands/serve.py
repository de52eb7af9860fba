"""The command `clara serve`."""

import importlib.util
import socket
from pathlib import Path
from typing import Annotated, Literal

import typer

from clara.commands.shared import Calibrated, Device, Documents, Folded, Model, Store, open_system
from clara.errors import ConfigError, ResourceError

LOOPBACK = ("127.0.0.1", "localhost")
STOP_SECONDS = 120
"""Time that accepted requests have when the server is told to stop."""
EngineName = Literal["auto", "transformers", "vllm"]
NEEDED = ("fastapi", "uvicorn", "prometheus_client")


def serve(
    model: Model = None,
    store: Store = None,
    k: Documents = None,
    calibration: Calibrated = None,
    device: Device = None,
    folded: Folded = False,
    compare: Annotated[
        list[Path] | None, typer.Option(help="Other checkpoint that the page shows beside, with its run's store")
    ] = None,
    host: Annotated[str, typer.Option(help="Address; other than loopback only with a key")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 8000,
    key: Annotated[
        str | None,
        typer.Option(envvar="CLARA_API_KEY", help="Key that clients must send; better given by the variable"),
    ] = None,
    engine: Annotated[
        EngineName, typer.Option(help="What writes the answers: vllm or transformers; auto: vllm on a GPU")
    ] = "auto",
    batch: Annotated[int, typer.Option(min=1, help="Requests that the model works on together")] = 16,
    waiting: Annotated[int, typer.Option(min=1, help="Requests that wait at most; another gets status 429")] = 64,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds that a request may take")] = 120.0,
) -> None:
    """Answer over HTTP: OpenAI's chat completions, search, compress, metrics, and a page to explore."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ResourceError(f"clara serve needs {', '.join(missing)}; install it with pip install 'clara[serve]'")
    if host not in LOOPBACK and not key:
        raise ConfigError(
            f"a server at {host} can be reached by others; set a key with CLARA_API_KEY, or serve at 127.0.0.1"
        )
    _require_free(host, port)
    import uvicorn

    from clara.model.calls import require_read
    from clara.server.app import LOCAL_HOSTS, create_app
    from clara.server.continuous import writer_of
    from clara.server.explore import Served
    from clara.server.limits import Limits

    systems = [
        open_system(model, store, k, calibration, device=device, folded=folded),
        *(open_system(other, None, k, device=device) for other in compare or ()),
    ]
    served, *others = [Served(each.folder.resolve().name, each.model, each.store, each.k) for each in systems]
    require_read(served.k)
    limits = Limits(batch=batch, waiting=waiting, timeout_seconds=timeout)
    hosts = LOCAL_HOSTS if host in LOOPBACK else None
    with writer_of(served.model.model, engine) as writer:
        app = create_app(served, limits, others=others, key=key, hosts=hosts, writer=writer)
        told = f"{served.name} from {served.store.folder}, answers by {'vllm' if writer else 'transformers'}"
        typer.echo(f"{told}; Ctrl-C stops after the requests that wait", err=True)
        uvicorn.run(
            app, host=host, port=port, timeout_graceful_shutdown=STOP_SECONDS, log_level="info", access_log=False
        )


def _require_free(host: str, port: int) -> None:
    """Before the model is loaded; uvicorn would say it afterwards.

    Raises:
        ConfigError: the address is unknown or not of this machine, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise ConfigError(
            f"nothing can be served at {host}, port {port} ({error.strerror or error}); name another --port, 0 for a "
            "free one, or another --host"
        ) from error
