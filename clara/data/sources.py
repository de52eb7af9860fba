"""Where a file comes from: an installed package, a local path, or a URL."""

import re
from dataclasses import dataclass
from pathlib import Path

from clara.config.locations import expand
from clara.errors import ConfigError, DataError
from clara.packages import PACKAGE, package_file


@dataclass(frozen=True)
class Remote:
    """A file behind an http(s) address."""

    url: str


def resolve(location: str) -> Path | Remote:
    """The existing local file, or the address, that `location` stands for.

    Args:
        location: `package:DISTRIBUTION/FILE` with FILE as the distribution's list of files spells it, an http(s) URL,
            or a path, in which `$NAME` and `~` are expanded.

    Raises:
        ConfigError: the location cannot be read as any of these, or names an environment variable that is not set.
        DataError: the local file does not exist.
        ResourceError: the package is not installed or has no such file.
    """
    if re.match(r"https?://", location, re.IGNORECASE):
        return Remote(location)
    if location.startswith(PACKAGE):
        return package_file(location.removeprefix(PACKAGE))
    if re.match(r"[a-z][a-z0-9+.-]+://", location, re.IGNORECASE):
        raise ConfigError(f"the location {location} must be package:DISTRIBUTION/FILE, a path or an http(s) URL")
    path = Path(expand(location))
    if not path.exists():
        raise DataError(f"{path} does not exist (from the location {location}); check the path in the configuration")
    return path


def local_file(location: str) -> Path:
    """The existing local file that `location` stands for; as `resolve`, but a URL is refused.

    Raises:
        ConfigError: the location is a URL; further as `resolve`.
    """
    found = resolve(location)
    if isinstance(found, Remote):
        raise ConfigError(f"{location} must be a file on this machine here; download it and name its path")
    if not found.is_file():
        raise DataError(f"{found} must be a file and is a folder; name the file in the configuration")
    return found
