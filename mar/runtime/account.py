"""A run folder's record of what was paid: spending belongs to the run, not to the process that happens to do it.

One line of JSON before a try is made, with the most that it can cost, and one with the same number after it, with what
it cost; the last line of a number counts. So a process that is killed leaves the tries that were under way at their
worst. Lines are handed to the operating system at once and a kill loses none; they are not forced onto the disk, so a
power cut may lose the last seconds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from mar.errors import ConfigError
from mar.files import write_atomically
from mar.reading import read_json_lines, validated

EXPECTED = "what tries cost, as a run writes it down; with the file removed the run's spending begins at 0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What tries cost. `a + b` adds."""

    usd: Annotated[float, Field(ge=0)] = 0.0  # what is uncertain included
    uncertain_usd: Annotated[float, Field(ge=0)] = 0.0  # part of it that nobody stated: the most that it can have been
    uncertain_calls: Annotated[int, Field(ge=0)] = 0  # tries that make up this part
    unknown_calls: Annotated[int, Field(ge=0)] = 0  # tries whose cost is not known at all, for want of a price

    @classmethod
    def of(cls, cost_usd: float | None, *, uncertain_usd: float = 0.0) -> Spent:
        """One try; None: its price is unknown."""
        if cost_usd is None:
            return cls(unknown_calls=1)
        return cls(usd=cost_usd, uncertain_usd=uncertain_usd, uncertain_calls=int(uncertain_usd > 0))

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            usd=self.usd + other.usd,
            uncertain_usd=self.uncertain_usd + other.uncertain_usd,
            uncertain_calls=self.uncertain_calls + other.uncertain_calls,
            unknown_calls=self.unknown_calls + other.unknown_calls,
        )

    def __str__(self) -> str:
        said = f"{self.usd:.4f} USD"
        if self.uncertain_calls:
            said += f", of which {self.uncertain_usd:.4f} is the most that {self.uncertain_calls} calls can have cost"
        return f"{said}, and {self.unknown_calls} calls of unknown price" if self.unknown_calls else said


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    number: int  # of the try; 0: everything before
    spent: Spent


_LINE = TypeAdapter(_Line)
_FIELDS = tuple(f.name for f in fields(Spent))


class Account:
    """The file of one run. Only one process may use it at a time.

    Raises:
        ConfigError: The file cannot be read or written, or a line of it is no such record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.before = _read(path)  # what earlier processes spent
        self._number = 0
        try:
            write_atomically(path, _text(0, self.before))
        except OSError as error:
            raise ConfigError(f"{path}: what is paid cannot be written down: {error.strerror}") from None

    def begin(self, worst: Spent) -> int:
        """Write down the most that a try can cost; gives the try's number. To be called before it is made.

        Raises:
            OSError: It could not be written, so the try must not be made.
        """
        self._number += 1
        self._write(self._number, worst)
        return self._number

    def end(self, number: int, spent: Spent) -> None:
        """Write down what a try cost.

        Raises:
            OSError: It could not be written: the try stands at its worst.
        """
        self._write(number, spent)

    def _write(self, number: int, spent: Spent) -> None:
        line = _text(number, spent).encode()
        with self.path.open("ab", buffering=0) as file:
            size = file.tell()
            if file.write(line) != len(line):  # a full disk
                file.truncate(size)
                raise OSError("the disk is full")


def _text(number: int, spent: Spent) -> str:
    values = {name: getattr(spent, name) for name in _FIELDS}  # `asdict` copies deeply: half of what a try cost
    return json.dumps({"number": number, "spent": values}) + "\n"


def _read(path: Path) -> Spent:
    if not path.exists():
        return Spent()
    tries: dict[int, Spent] = {}
    for where, value in read_json_lines(path, expected=EXPECTED, error=ConfigError, complete=True):
        line = validated(_LINE, value, where, expected=EXPECTED, error=ConfigError)
        tries[line.number] = line.spent
    return sum(tries.values(), Spent())
