"""Pool files: which models there are and where, in TOML or JSON.

Four shapes are understood, told apart by their fields:

- mar's own: `models` with one table per model card, and optionally `base_url` and `key_env` for all that have none;
  a card with a table `vllm` is served by `mar vllm serve`, on this machine unless it has a base_url;
- `{key, key_env, model_base_urls}`: addresses by model name;
- `{global_settings, models: [{Name, Description, MaxModelLen, MaxOutputTokens, vllm_config}], model_base_urls}`:
  profiles of models served by vLLM;
- `{name: url}`: addresses alone.

Unknown fields are errors, except inside `global_settings` and `vllm_config`, which belong to vLLM.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from mar.errors import ConfigError
from mar.pool.cards import ModelCard
from mar.pool.hosted import VENDOR_URLS
from mar.reading import parse_json, parse_toml, read_text, validated

SHAPES = (
    "models as [[models]] tables, {key, model_base_urls}, {global_settings, models, model_base_urls} or {name: url}"
)
VLLM_TAG = "vllm"


class _FileModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), hide_input_in_errors=True)


class ServeSettings(_FileModel):
    """How vLLM serves a model: the table `vllm` of its card. Its context is the card's."""

    model: str = Field(min_length=1)  # name on the hub, or the folder of a checkpoint
    port: int = Field(gt=0, lt=65536)
    devices: tuple[int, ...] = ()  # GPUs, by number; several share the model. None named: the first
    memory: float | None = Field(default=None, gt=0, le=1)  # share of each GPU's memory
    kv_cache_gib: int = Field(default=4, gt=0)  # memory for the KV cache on a CPU
    threads: int | None = Field(default=None, gt=0)  # that compute on a CPU; None: one for every core
    dtype: str = Field(default="auto", min_length=1)
    flags: tuple[str, ...] = ()  # further words of vLLM's command line

    @property
    def url(self) -> str:
        """Where the server listens, as clients on the same machine see it."""
        return f"http://127.0.0.1:{self.port}/v1"


class PoolModel(ModelCard):
    """A model card as pool files hold it."""

    vllm: ServeSettings | None = None

    @property
    def card(self) -> ModelCard:
        """The card alone; a served model has vLLM's tag and, unless stated otherwise, its server's address."""
        fields = self.model_dump(exclude={"vllm"})
        if self.vllm is not None:
            fields["base_url"] = self.base_url or self.vllm.url
            fields["tags"] = tuple(dict.fromkeys((*self.tags, VLLM_TAG)))
        return ModelCard(**fields)


class PoolFile(_FileModel):
    """mar's own shape."""

    models: tuple[PoolModel, ...] = Field(min_length=1)
    base_url: str | None = None  # of every model that has none
    key_env: str | None = None  # of every model that names none


class EndpointFile(_FileModel):
    """Addresses by model name, and the key that they take."""

    model_base_urls: dict[str, str] = Field(min_length=1)
    key: SecretStr | None = None
    key_env: str | None = None  # name of the variable that holds the key, instead of the key itself


class Profile(_FileModel):
    """One model that vLLM serves."""

    name: str = Field(alias="Name", min_length=1)
    description: str = Field(default="", alias="Description")
    max_model_len: int = Field(default=8192, alias="MaxModelLen", gt=0)
    max_output_tokens: int = Field(default=1024, alias="MaxOutputTokens", gt=0)
    vllm_config: dict[str, Any] = Field(default_factory=dict)


class ProfileFile(_FileModel):
    """Profiles of models that vLLM serves, and where."""

    models: tuple[Profile, ...] = Field(min_length=1)
    model_base_urls: dict[str, str] = Field(default_factory=dict)
    global_settings: dict[str, Any] = Field(default_factory=dict)
    key: SecretStr | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One place that says where models are, and perhaps what they are."""

    where: str  # in words: a path, a variable
    urls: Mapping[str, str]  # base URL by model name
    cards: tuple[ModelCard, ...]
    key: SecretStr | None = None  # taken by every address of this source


F = TypeVar("F", bound=_FileModel)


def read_source(path: Path) -> Source:
    """Read a pool file of any shape.

    Raises:
        ConfigError: The file is missing, malformed, of no known shape, or holds a value that cannot be.
    """
    return parse_source(_text(path), str(path), toml=path.suffix.lower() == ".toml")


def parse_source(text: str, where: str, *, toml: bool = False) -> Source:
    """Read the text of a pool file of any shape; `where` names it in errors.

    Raises:
        ConfigError: See `read_source`.
    """
    data = _decode(text, where, toml=toml)
    if "global_settings" in data or any("Name" in table for table in _tables(data.get("models"))):
        return _from_profiles(_validate(ProfileFile, data, where), where)
    if isinstance(data.get("models"), dict):
        raise ConfigError(f"{where}: models is one table; expected [[models]], in double brackets, for each model")
    if "models" in data:
        return _from_pool_file(_validate(PoolFile, data, where), where)
    if "model_base_urls" in data:
        endpoints = _validate(EndpointFile, data, where)
        return _from_endpoints(endpoints, where)
    return _from_endpoints(_validate(EndpointFile, {"model_base_urls": data}, where), where)


def read_pool_file(path: Path) -> PoolFile:
    """Read a pool file of mar's own shape as it stands, with what it says about serving.

    Raises:
        ConfigError: See `read_source`; also when it is of another shape.
    """
    read_source(path)  # all that is wrong with any pool file
    data = _decode(_text(path), str(path), toml=path.suffix.lower() == ".toml")
    return _validate(PoolFile, data, str(path))


def check_url(url: str, where: str) -> str:
    """A base URL in its plain form: no trailing slash, no /chat/completions.

    The value is not quoted in errors, since keys get pasted into the wrong field.

    Raises:
        ConfigError: It is no http(s) address, or carries a user, a password or a query.
    """
    expected = "expected an address such as https://host/v1"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # reading the port checks it
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or re.search(r"[\s\x00-\x1f]", url):
        raise _refusal(f"{where}: no http(s) URL; {expected}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise _refusal(f"{where}: the URL carries a password or a query; {expected}, and the key by `key_env`")
    return url.rstrip("/").removesuffix("/chat/completions").rstrip("/")


def _text(path: Path) -> str:
    if not path.exists():
        raise _refusal(f"{path}: no such pool file; expected TOML or JSON with {SHAPES}")
    return read_text(path, expected=f"a pool file, TOML or JSON with {SHAPES}", error=ConfigError)


def _decode(text: str, where: str, *, toml: bool) -> dict[str, Any]:
    parse = parse_toml if toml else parse_json
    data = parse(text, where, expected=SHAPES, error=ConfigError)
    if not isinstance(data, dict) or not data:
        raise _refusal(f"{where}: no table of settings; expected {SHAPES}")
    return cast("dict[str, Any]", data)


def _refusal(message: str) -> ConfigError:
    """An error of one line, whatever names the file holds."""
    return ConfigError("".join(c if c.isprintable() else "?" for c in message))


def _tables(value: object) -> list[dict[str, Any]]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]


def _validate(kind: type[F], data: dict[str, Any], where: str) -> F:
    return validated(kind, data, where, error=ConfigError)


def _from_pool_file(file: PoolFile, where: str) -> Source:
    shared = None if file.base_url is None else check_url(file.base_url, f"{where}: base_url")
    urls: dict[str, str] = {}
    cards: list[ModelCard] = []
    for number, model in enumerate(file.models):
        card = model.card
        card = card if card.key_env or not file.key_env else card.model_copy(update={"key_env": file.key_env})
        if card.base_url is not None:
            urls[card.name] = check_url(card.base_url, f"{where}: models[{number}].base_url")
        elif url := shared or VENDOR_URLS.get(card.key_env or ""):
            urls[card.name] = url
        cards.append(card)
    _check_names([card.name for card in cards], where)
    return Source(where=where, urls=urls, cards=tuple(cards))


def _from_profiles(file: ProfileFile, where: str) -> Source:
    cards = tuple(
        validated(
            ModelCard,
            {
                "name": profile.name,
                "description": profile.description,
                "context_tokens": profile.max_model_len,
                "max_output_tokens": profile.max_output_tokens,
                "tags": (VLLM_TAG,),
            },
            f"{where}: models[{number}]",
            error=ConfigError,
        )
        for number, profile in enumerate(file.models)
    )
    _check_names([card.name for card in cards], where)
    return Source(where=where, urls=_checked(file.model_base_urls, where), cards=cards, key=file.key)


def _from_endpoints(file: EndpointFile, where: str) -> Source:
    urls = _checked(file.model_base_urls, where)
    cards = tuple(
        validated(ModelCard, {"name": name, "key_env": file.key_env}, f"{where}: model {name!r}", error=ConfigError)
        for name in urls
    )
    return Source(where=where, urls=urls, cards=cards, key=file.key)


def _checked(urls: Mapping[str, str], where: str) -> dict[str, str]:
    if "" in urls:
        raise _refusal(f"{where}: a model has an empty name; expected {{name: url}}")
    return {name: check_url(url, f"{where}: address of {name}") for name, url in urls.items()}


def _check_names(names: list[str], where: str) -> None:
    for number, name in enumerate(names):
        if name in names[:number]:
            raise _refusal(f"{where}: models[{number}].name: {name!r} is named twice; names must differ")
