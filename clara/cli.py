"""The command line: `clara COMMAND`, or `python -m clara COMMAND` where only the checkout is installed.

The workflow's own programs lie in `workflow_scripts/`; these commands are for what a run has made, for own
documents, and for checkpoints from elsewhere.
"""

from collections.abc import Callable

import typer

from clara.commands import ask, calibrate, chat, checkpoints, diagnose, doctor, inspect, serve, status, store
from clara.commands.shared import answers_errors

app = typer.Typer(
    help="Ask, inspect and import CLaRa checkpoints and stores of compressed documents.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
store_app = typer.Typer(help="Look into a store of compressed documents, change or export it.", no_args_is_help=True)
app.add_typer(store_app, name="store")

COMMANDS: tuple[Callable[..., None], ...] = (
    ask.ask,
    ask.search,
    store.compress,
    chat.chat,
    inspect.inspect,
    serve.serve,
    diagnose.diagnose,
    calibrate.calibrate,
    doctor.doctor,
    status.status,
    checkpoints.info,
    checkpoints.export,
    checkpoints.export_hub,
    checkpoints.export_small,
    checkpoints.import_released,
    checkpoints.provenance,
    checkpoints.crate,
)
STORE_COMMANDS: tuple[Callable[..., None], ...] = (
    store.info,
    store.verify,
    store.add,
    store.remove,
    store.update,
    store.index,
    store.export,
)
for command in COMMANDS:
    app.command()(answers_errors(command))
for command in STORE_COMMANDS:
    store_app.command()(answers_errors(command))
