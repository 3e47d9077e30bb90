"""Cells of CSV files that people open in spreadsheets."""

from __future__ import annotations

from typing import Any

FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""A text that begins with one of these is taken for a formula, which can fetch addresses and start programs."""


def plain(value: Any) -> Any:
    """A cell's value; a text that a spreadsheet would compute is preceded by an apostrophe, which makes it text."""
    if not isinstance(value, str) or not value.startswith(FORMULAS):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
