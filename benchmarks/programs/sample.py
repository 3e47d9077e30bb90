"""One program of a collection."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A program and tests."""

    name: str
    code: str
    tests: tuple[str, ...]
    setup: str = ""


def read(text: str) -> tuple[Sample, ...]:
    """Samples of a text: `### name`, the code, `--- test` before each test, `--- setup` before a setup."""
    found: list[Sample] = []
    for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        name, _, rest = part.partition("\n")
        code, *tests = re.split(r"^--- test\n", rest, flags=re.MULTILINE)
        code, _, setup = code.partition("--- setup\n")
        found.append(Sample(name=name.strip(), code=code, tests=tuple(tests), setup=setup))
    return tuple(found)
