# pyright: basic
"""What checkpoints say about themselves, read without reading the rest."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open


def header_of(path: Path) -> str:
    """A checkpoint's header as JSON text, of any version; "" where the file is no checkpoint or is not there."""
    try:
        with safe_open(path, framework="np") as file:
            metadata: dict[str, str] = file.metadata() or {}
            return metadata.get("mar", "")
    except (SafetensorError, OSError):
        return ""
