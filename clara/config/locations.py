"""Paths, addresses and names as people write them: environment variables and `~` expanded, in this one place."""

import os
import re

from clara.errors import ConfigError


def expand(location: str) -> str:
    """`location` with `$NAME`, `${NAME}` and a leading `~` replaced.

    Raises:
        ConfigError: an environment variable is not set, or empty; names it.
    """
    for name in re.findall(r"\$\{?(\w+)", location):
        if not os.environ.get(name):
            raise ConfigError(f"{location} needs the environment variable {name}; set it: export {name}=…")
    return os.path.expanduser(os.path.expandvars(location))
