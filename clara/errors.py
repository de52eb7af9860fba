"""Errors that answer a user, by who can mend the cause.

ClaraError
├── ConfigError      edit the configuration
├── DataError        mend or replace an input file
├── CheckpointError  use another checkpoint, store or backbone
└── ResourceError    make room, restore the network, or use another machine; then run again

UserWarning
└── CutWarning       shorten or split the texts of which an end was not read
"""


class ClaraError(Exception):
    """One sentence that says what was expected, what came, where, and what to do."""


class ConfigError(ClaraError):
    """A setting is unknown, missing or has an unusable value."""


class DataError(ClaraError):
    """An input file is malformed, empty, or does not fit the others."""


class CheckpointError(ClaraError):
    """A checkpoint, store or backbone is damaged or does not fit."""


class ResourceError(ClaraError):
    """Disk, memory, network or a device is missing or used up."""


class CutWarning(UserWarning):
    """Texts were longer than the compressor reads; what goes beyond was left out."""
