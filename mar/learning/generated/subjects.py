"""Descriptions of the subjects that a generator writes questions about, from files beside this module."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from mar.errors import ConfigError, DataError
from mar.reading import parse_toml, read_text

TASKS = ("mmlu_pro", "super_gpqa", "medmcqa", "bbeh")
_EXPECTED = "TOML with a description per subject"
_PUBLISHED = {"mmlu-pro": "mmlu_pro", "mmlupro": "mmlu_pro", "supergpqa": "super_gpqa", "super-gpqa": "super_gpqa"}


def task_name(name: str) -> str:
    """A benchmark's name from any spelling that the published commands use.

    Raises:
        ConfigError: There is no such benchmark.
    """
    plain = name.strip().lower().replace(" ", "")
    found = _PUBLISHED.get(plain, plain.replace("-", "_"))
    if found not in TASKS:
        raise ConfigError(f"benchmark {name!r}; expected {', '.join(TASKS)}")
    return found


def subject_descriptions(task: str, path: Path | None = None) -> Mapping[str, str]:
    """Descriptions by subject, sorted by name.

    Args:
        task: A benchmark.
        path: A file of one's own instead: TOML, one line per subject.

    Raises:
        ConfigError: There is no such benchmark.
        DataError: The file cannot be used.
    """
    if path is None:
        text = files("mar.learning.generated").joinpath(f"subjects/{task_name(task)}.toml").read_text(encoding="utf-8")
    else:
        if not path.is_file():
            raise DataError(f"no subject file {path}; expected {_EXPECTED}")
        text = read_text(path, expected=_EXPECTED)
    found = parse_toml(text, str(path or task), expected=_EXPECTED)
    if not found or not all(isinstance(v, str) and v.strip() for v in found.values()):
        raise DataError(f"{path or task}: expected at least one subject, each with a text as its description")
    return dict(sorted(found.items()))
