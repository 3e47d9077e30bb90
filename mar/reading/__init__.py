"""The one place through which files of strangers are read: bounded, and wrong in one way only, the one error."""

from mar.reading.attempt import attempt, brief, refusal
from mar.reading.text import decoded, read_bytes, read_lines, read_text
from mar.reading.values import (
    parse_json,
    parse_toml,
    read_json,
    read_json_lines,
    read_toml,
    table,
    validated,
)

__all__ = [
    "attempt",
    "brief",
    "decoded",
    "parse_json",
    "parse_toml",
    "read_bytes",
    "read_json",
    "read_json_lines",
    "read_lines",
    "read_text",
    "read_toml",
    "refusal",
    "table",
    "validated",
]
