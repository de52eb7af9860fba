"""Files of installed packages: `package:DISTRIBUTION/FILE`."""

import difflib
import importlib.metadata
from pathlib import Path

from clara.errors import ConfigError, ResourceError

PACKAGE = "package:"


def package_file(name: str) -> Path:
    """The path of `DISTRIBUTION/FILE`, found in the metadata of the installed distribution; nothing is imported.

    Raises:
        ConfigError: no slash in `name`.
        ResourceError: the distribution is not installed, or lists no such file, or the file is gone.
    """
    distribution, slash, file = name.partition("/")
    if not slash or not distribution or not file:
        raise ConfigError(f"the location {PACKAGE}{name} must be spelt {PACKAGE}DISTRIBUTION/FILE")
    try:
        listed = importlib.metadata.files(distribution)
    except importlib.metadata.PackageNotFoundError as error:
        raise ResourceError(
            f"the package {distribution} is not installed, needed for {PACKAGE}{name}; pip install {distribution}"
        ) from error
    files = {item.as_posix(): item for item in listed or []}
    if file not in files:
        near = difflib.get_close_matches(file, files, n=1, cutoff=0.5)
        hint = f" (nearest: {near[0]})" if near else ""
        raise ResourceError(f"the installed package {distribution} has no file {file}{hint}; check the location")
    path = Path(str(files[file].locate()))
    if not path.is_file():
        raise ResourceError(
            f"{path} is gone although {distribution} lists it; pip install --force-reinstall {distribution}"
        )
    return path
