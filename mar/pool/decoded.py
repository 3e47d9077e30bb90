"""What decoded JSON of others may hold, made into what it is taken for."""

from __future__ import annotations

from typing import Any, cast


def mapping(value: object) -> dict[str, Any]:
    """A JSON object; empty for anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """A JSON array; empty for anything else."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def mend(text: str) -> str:
    """A text whose halves of surrogate pairs are joined, and replaced by U+FFFD where the other half is missing."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
