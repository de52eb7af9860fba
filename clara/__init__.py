"""CLaRa: retrieval-augmented generation in a shared latent space (arXiv 2511.18659)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from clara.serving import Clara, load

__all__ = ["Clara", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """`clara.load` and `clara.Clara`, imported on first use so that `import clara` stays light."""
    if name in ("load", "Clara"):
        return getattr(import_module("clara.serving"), name)
    raise AttributeError(f"module 'clara' has no attribute {name!r}")
