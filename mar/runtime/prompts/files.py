"""Reading prompt files: one line that names the file and the field for whatever is wrong with them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from mar import reading
from mar.errors import ConfigError

Record = TypeVar("Record", bound=BaseModel)
SUFFIXES = (".md.j2", ".toml", ".md")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFile:
    """A file of the library."""

    path: str  # below the library's root, with forward slashes
    text: str
    root: str = ""  # folder of one's own that it is from

    @property
    def where(self) -> str:
        """The file in messages."""
        return f"{self.root}/{self.path}" if self.root else self.path

    @property
    def folder(self) -> str:
        """The folder that it is in, "" for the root."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        """Its name without the suffix."""
        name = self.path.rpartition("/")[2]
        suffix = next((s for s in SUFFIXES if name.endswith(s)), "")
        return name.removesuffix(suffix)

    @property
    def suffix(self) -> str:
        """What kind of file it is."""
        return self.path.removeprefix(f"{self.folder}/").removeprefix(self.name)


def read_files(folder: Traversable, *, root: str = "") -> tuple[PromptFile, ...]:
    """All files below a folder, sorted by path; hidden ones and Python's are left out.

    Args:
        folder: The folder.
        root: What messages call it.

    Raises:
        ConfigError: The folder or a file cannot be read.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: not a folder of prompts")
    return tuple(sorted(_walk(folder, "", root), key=lambda file: file.path))


def _walk(folder: Traversable, prefix: str, root: str) -> Iterator[PromptFile]:
    for entry in folder.iterdir():
        path = f"{prefix}{entry.name}"
        if entry.name.startswith((".", "__")) or entry.name.endswith(".py"):
            continue
        if entry.is_dir():
            yield from _walk(entry, f"{path}/", root)
        else:
            yield PromptFile(path=path, text=read_text(entry, f"{root}/{path}" if root else path), root=root)


def read_text(file: Traversable, path: str) -> str:
    """The text of a file, called `path` in messages.

    Raises:
        ConfigError: It cannot be read, or is not UTF-8.
    """
    return reading.read_text(file, where=path, error=ConfigError)


def hash_texts(texts: Mapping[str, str]) -> str:
    """A short hash of named texts, whatever their order."""
    digest = hashlib.sha256()
    for name, text in sorted(texts.items()):
        digest.update(f"{len(name)} {name} {len(text)} {text}".encode())
    return digest.hexdigest()[:16]


def parse(model: type[Record], file: PromptFile, **from_path: str) -> Record:
    """The record in a TOML file, completed with the fields that its path states.

    Raises:
        ConfigError: The file is no TOML, or a field is unknown, missing or wrong.
    """
    data = reading.parse_toml(file.text, file.where, error=ConfigError)
    for name in from_path:
        if name in data:
            raise ConfigError(f"{file.where}: field '{name}' is not expected; the file's path states it")
    try:
        return model.model_validate(from_path | data)
    except ValidationError as error:
        raise ConfigError(f"{file.where}: {_in_words(error, model)}") from None


def _in_words(error: ValidationError, model: type[BaseModel]) -> str:
    lines: list[str] = []
    for item in error.errors():
        field = ".".join(str(part) for part in item["loc"])
        match item["type"]:
            case "extra_forbidden":
                lines.append(f"field '{field}' is unknown; there are: {', '.join(model.model_fields)}")
            case "missing":
                lines.append(f"field '{field}' is missing")
            case "unknown_check":
                lines.append(f"field '{field}': {item['msg']}")
            case "misfit":
                lines.append(item["msg"])
            case _:
                lines.append(f"field '{field}': {item['msg']}, not {item['input']!r:.80}")
    return "; ".join(lines)
