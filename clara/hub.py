"""Models of the Hugging Face Hub, brought to this machine."""

from pathlib import Path

from clara.errors import ResourceError

PATTERNS = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")


def fetch_model(name: str, *, revision: str | None, setting: str, trust_remote_code: bool) -> Path:
    """The folder of a Hub model, from the Hub's cache where it is complete, else downloaded.

    Args:
        name: of the model.
        revision: commit or tag; None takes the default branch.
        setting: the configuration's key that names the model, for messages.
        trust_remote_code: fetch the model's Python code as well.

    Raises:
        ResourceError: there is no network, no such model, or no leave to read it.
    """
    from huggingface_hub import snapshot_download

    patterns = [*PATTERNS, "*.py"] if trust_remote_code else [*PATTERNS]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except Exception as error:  # offline, unknown, gated: each with its own class
        raise ResourceError(
            f"the Hub model {name} could not be fetched ({type(error).__name__}); check name and network, or set "
            f"{setting} to a local folder"
        ) from error
