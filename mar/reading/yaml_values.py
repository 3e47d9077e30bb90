"""Values from YAML text: plain ones, every key once, aliases counted as often as they are used."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, cast

import yaml

from mar.errors import DataError, UserError
from mar.reading.attempt import attempt
from mar.reading.limits import SETTINGS_ENTRIES, YAML
from mar.reading.text import read_text
from mar.reading.values import bounded


def read_yaml(path: Path, *, expected: str = "", error: type[UserError] = DataError) -> Any:
    """The value of a YAML file.

    Raises:
        UserError: See `read_text` and `parse_yaml`.
    """
    text = read_text(path, expected=expected, error=error, most=YAML)
    return parse_yaml(text, str(path), expected=expected, error=error)


def parse_yaml(text: str, where: str, *, expected: str = "", error: type[UserError] = DataError) -> Any:
    """The value of a YAML text of plain values.

    Raises:
        UserError: It is no YAML, or exceeds a limit; of the type `error`.
    """

    def parse() -> Any:
        try:
            found = yaml.load(text, Loader=_PlainLoader)
        except yaml.YAMLError as failure:
            raise ValueError("malformed YAML: " + " ".join(str(failure).split())) from None
        return bounded(found, entries=SETTINGS_ENTRIES)

    return attempt(parse, where, expected=expected, error=error)


class _PlainLoader(yaml.SafeLoader):
    """Plain values only, every key once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping whose keys differ."""
        seen = set[tuple[str, str]]()
        for key, _ in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            name = (key.tag, str(key.value))
            if name in seen:
                raise ValueError(f"the field {name[1]!r} is given twice")
            seen.add(name)
        return super().construct_mapping(node, deep=deep)
