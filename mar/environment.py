"""Settings from environment variables and a .env file, with where each came from and no way to print its value.

Some of them concern all of mar: `cache_folder`, `days_kept`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import platformdirs
from dotenv.parser import parse_stream
from pydantic import SecretStr

from mar.errors import ConfigError
from mar.reading import read_text

DEFAULT_ENV_FILE = ".env"
CACHE_VARIABLE = "MAR_CACHE"
DAYS_VARIABLE = "MAR_CACHE_DAYS"
DAYS_KEPT = 30.0  # that answers of models are reused


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The value of one variable."""

    name: str
    value: SecretStr  # any variable may hold a key, so all are held as secrets
    where: str  # "in .env line 3", "in the environment"

    @property
    def text(self) -> str:
        """The bare value."""
        return self.value.get_secret_value()

    def __str__(self) -> str:
        return f"{self.name} {self.where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Variables by name. An empty value counts as unset."""

    settings: Mapping[str, Setting]

    def get(self, name: str) -> Setting | None:
        """A variable's value, or None when it is unset."""
        return self.settings.get(name)


def read_environment(env_file: str | Path | None = DEFAULT_ENV_FILE) -> Environment:
    """Read the process's variables and a .env file; the process's win. Values are taken as they stand, no `${…}`.

    Raises:
        ConfigError: The file has a line that is no assignment, or a file other than the default is missing.
    """
    settings = {} if env_file is None else _read_file(Path(env_file))
    for name, value in os.environ.items():
        if value:
            settings[name] = Setting(name=name, value=SecretStr(value), where="in the environment")
    return Environment(settings=settings)


def _read_file(path: Path) -> dict[str, Setting]:
    if str(path) == DEFAULT_ENV_FILE and not path.exists():
        return {}
    if not path.exists():
        raise ConfigError(f"{path}: no such file; expected lines of NAME=value")
    text = read_text(path, expected="UTF-8 text with lines of NAME=value", error=ConfigError)
    settings: dict[str, Setting] = {}
    for binding in parse_stream(StringIO(text)):
        line = binding.original.line
        if binding.error:
            # The line itself is not quoted: it may hold a key.
            raise ConfigError(f"{path} line {line}: no assignment; expected NAME=value or NAME='value'")
        if binding.key and binding.value:
            where = f"in {path} line {line}"
            settings[binding.key] = Setting(name=binding.key, value=SecretStr(binding.value), where=where)
    return settings


def cache_folder(env_file: str | Path | None = DEFAULT_ENV_FILE) -> Path:
    """Where mar keeps what it need not compute or pay again: the folder MAR_CACHE, else the user's cache folder.

    Raises:
        ConfigError: The environment file cannot be read.
    """
    given = read_environment(env_file).get(CACHE_VARIABLE)
    if given is None:
        return Path(platformdirs.user_cache_dir("mar"))
    try:
        return Path(given.text).expanduser()
    except RuntimeError:
        raise ConfigError(f"{given}: ~ stands for a home that is not known; expected the path of a folder") from None


def days_kept(env_file: str | Path | None = DEFAULT_ENV_FILE) -> float:
    """How many days an answer in the response cache is reused: MAR_CACHE_DAYS, else 30.

    Raises:
        ConfigError: It is no number above 0, or the environment file cannot be read.
    """
    given = read_environment(env_file).get(DAYS_VARIABLE)
    if given is None:
        return DAYS_KEPT
    try:
        days = float(given.text)
    except ValueError:
        days = math.nan
    if not days > 0:
        raise ConfigError(f"{given}: expected the number of days that answers are reused, above 0")
    return days
