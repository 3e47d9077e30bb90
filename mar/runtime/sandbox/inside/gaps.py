"""What the fence in force does not hold, in words that go into every result."""

from __future__ import annotations

from .jobs import Base

_NO_FILTER = "system calls are not filtered: sockets of other kinds, keyrings, memory that no limit counts"
_PROCESSES = "priorities, limits and modes of what belongs to the user can be changed"
_SIGNALS = "processes of the user can be signalled"
_FILES = "whatever the user (started by root: anybody) may read or write can be read and written"
_METADATA = "names, sizes and times of files (not what is in them) can be looked up"
_SCRATCH = "the number of files and the size of scratch are checked a hundred times a second, not bounded"


def of(base: Base) -> list[str]:
    """One phrase each; none under namespaces with filtered system calls."""
    found = [_NO_FILTER] if base.calls is None else []
    if base.isolation == "rlimits":
        found += [_METADATA if base.readable >= 0 else _FILES, _SCRATCH]
        if base.calls is None:
            found += [_PROCESSES, _SIGNALS]
    return found
