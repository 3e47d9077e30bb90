"""Which live pool is configured: found in the environment, .env and pool files, and put together here.

Where a model is reached is looked up in this order, the first that knows the model wins:

1. the variable MODEL_BASE_URLS (JSON, or the path of a JSON file),
2. ./config_test.json,
3. the pool file: the path given, else ./pool.toml, else ./pool.json,
4. ./logs/vllm/model_base_urls.json, which scripts/vllm writes,
5. the variables URL and KEY.

Which models there are is said by the pool file; without one, by the first of the others that names any; with URL and
KEY alone, by the server, which is asked for its list. A key goes only where it was given for: the key of a source to
that source's addresses, KEY to URL (and to MODEL_BASE_URLS where these are on the same host, or no URL is set), and
the variable that a card names in `key_env` to that card's model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from mar.environment import DEFAULT_ENV_FILE, Environment, Setting, cache_folder, days_kept, read_environment
from mar.errors import ConfigError
from mar.pool.breaker import BreakerPolicy
from mar.pool.cache import CachedModel, FileReplies
from mar.pool.cache_store import RESPONSES
from mar.pool.cards import ModelCard
from mar.pool.files import VLLM_TAG, Source, check_url, parse_source, read_source
from mar.pool.hosted import hosted_cards
from mar.pool.keys import clean_key, shown_variable
from mar.pool.listed import listed_cards
from mar.pool.pool import Pool
from mar.pool.watcher import TelemetryWatcher, WatchedModel
from mar.types import ChatModel

TEST_CONFIG = Path("config_test.json")
POOL_FILES = (Path("pool.toml"), Path("pool.json"))
VLLM_URLS = Path("logs/vllm/model_base_urls.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """A live pool's configuration."""

    cards: tuple[ModelCard, ...]  # each with its base_url
    keys: Mapping[str, SecretStr]  # by model name; a model that is called without a key has none
    missing_keys: Mapping[str, str]  # variable that a card names and that is not set, by model name
    found: tuple[str, ...]  # where it was found, in words
    guessed: bool = False  # only an address is configured: which models its server has, it has not been asked

    def require_keys(self) -> None:
        """Check that every named key variable is set.

        Raises:
            ConfigError: One is not.
        """
        for model, variable in self.missing_keys.items():
            raise ConfigError(
                f"{self.found[0]}: model {model!r} takes its key from {shown_variable(variable)}, which is not set; "
                f"set it in .env or in the environment"
            )


def pool_from_env(
    path: str | Path | None = None,
    *,
    env_file: str | Path | None = DEFAULT_ENV_FILE,
    cache: bool = False,
    breaker: BreakerPolicy | None = None,
) -> Pool | None:
    """The live pool that is configured, or None when nothing is.

    Args:
        path: A pool file; None: the usual places.
        env_file: File of variables beside the process's own; None: none.
        cache: Whether answers are kept in the response cache.
        breaker: When a server that is ill is left alone for a while; None: never.

    Raises:
        ConfigError: Something that is configured cannot be used.
    """
    config = pool_config(path, env_file=env_file)
    if config is None:
        return None
    config.require_keys()
    from mar.pool.openai_client import OpenAIModel

    model: ChatModel = OpenAIModel(config.cards, config.keys, breaker=breaker)
    served = [card for card in config.cards if VLLM_TAG in card.tags]
    if served:
        model = WatchedModel(model, TelemetryWatcher(served, config.keys))
    if cache:
        replies = FileReplies(cache_folder(env_file) / RESPONSES, days=days_kept(env_file))
        model = CachedModel(model, replies, cards=config.cards)
    return Pool(config.cards, model, kind="live")


def pool_config(path: str | Path | None = None, *, env_file: str | Path | None = DEFAULT_ENV_FILE) -> PoolConfig | None:
    """The configuration of the live pool; where only an address is configured, its server is asked for its models.

    Raises:
        ConfigError: Something that is configured cannot be used, or the server does not say which models it has.
    """
    config = find_pool_config(path, env_file=env_file)
    if config is None or not config.guessed:
        return config
    url, key = config.cards[0].base_url or "", next(iter(config.keys.values()), None)
    cards = tuple(c.model_copy(update={"base_url": url}) for c in listed_cards(url, key, config.found[0]))
    keys = {} if key is None else {card.name: key for card in cards}
    return PoolConfig(cards=cards, keys=keys, missing_keys={}, found=config.found)


def find_pool_config(
    path: str | Path | None = None, *, env_file: str | Path | None = DEFAULT_ENV_FILE
) -> PoolConfig | None:
    """Look up the configuration of the live pool; None when nothing is configured. Nobody is asked.

    Raises:
        ConfigError: Something that is configured cannot be used.
    """
    environment = read_environment(env_file)
    pool_file = _pool_file(path)
    sources = [
        source
        for source in (_from_variable(environment), _optional(TEST_CONFIG), pool_file, _vllm_source())
        if source is not None
    ]
    fallback = _url_setting(environment)
    chosen = pool_file or next((s for s in sources if s.cards), None)
    if chosen is None and fallback is None:
        return None
    cards = hosted_cards() if chosen is None else chosen.cards
    return replace(_resolve(cards, chosen, sources, fallback, environment), guessed=chosen is None)


def _resolve(
    cards: tuple[ModelCard, ...],
    chosen: Source | None,
    sources: list[Source],
    fallback: Source | None,
    environment: Environment,
) -> PoolConfig:
    """Give every card its address and its key."""
    found = [chosen.where] if chosen is not None else []
    resolved: list[ModelCard] = []
    keys: dict[str, SecretStr] = {}
    missing: dict[str, str] = {}
    for card in cards:
        source = next((s for s in sources if card.name in s.urls), fallback)
        if source is None:
            place = "the pool" if chosen is None else chosen.where
            raise ConfigError(
                f"{place}: model {card.name!r} has no address; "
                f"give it a base_url, or set URL in .env or the environment"
            )
        url = source.urls.get(card.name) or source.urls[_ANY]
        resolved.append(card.model_copy(update={"base_url": url}))
        if source.where not in found:
            found.append(source.where)
        key = _key_of(card, source, environment)
        if key is not None:
            keys[card.name] = key
        elif card.key_env is not None:
            missing[card.name] = card.key_env
    return PoolConfig(cards=tuple(resolved), keys=keys, missing_keys=missing, found=tuple(found))


_ANY = "*"  # in a source's addresses: that of every model


def _key_of(card: ModelCard, source: Source, environment: Environment) -> SecretStr | None:
    """The key that a model is called with.

    Raises:
        ConfigError: It is none that can be sent.
    """
    if card.key_env is None:
        return None if source.key is None else clean_key(source.key, source.where)
    setting = environment.get(card.key_env)
    return None if setting is None else clean_key(setting.value, f"{shown_variable(card.key_env)} {setting.where}")


def _from_variable(environment: Environment) -> Source | None:
    """MODEL_BASE_URLS: JSON text, or the path of a JSON file."""
    setting = environment.get("MODEL_BASE_URLS")
    if setting is None:
        return None
    inline = setting.text.lstrip().startswith("{")
    source = parse_source(setting.text, str(setting)) if inline else _read_named(setting)
    if source.key is not None:
        return source
    key, url = environment.get("KEY"), environment.get("URL")
    if key is None or (url is not None and any(_host(u) != _host(url.text) for u in source.urls.values())):
        return source
    return Source(where=source.where, urls=source.urls, cards=source.cards, key=key.value)


def _read_named(setting: Setting) -> Source:
    path = Path(setting.text)
    if path.suffix.lower() not in (".json", ".toml"):
        # Not quoted: what stands here may be a key that was pasted into the wrong line.
        raise ConfigError(f"{setting}: neither JSON nor the path of a .json file; expected {{name: url}} or a path")
    return read_source(path)


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _url_setting(environment: Environment) -> Source | None:
    """URL and KEY: one address for every model."""
    url, key = environment.get("URL"), environment.get("KEY")
    if url is None:
        if key is not None and environment.get("MODEL_BASE_URLS") is None and key.where != "in the environment":
            raise ConfigError(f"{key}: there is a key but no URL; set URL to the address of the server, or remove KEY")
        return None
    address = check_url(url.text, str(url))
    return Source(where=str(url), urls={_ANY: address}, cards=(), key=None if key is None else key.value)


def _pool_file(path: str | Path | None) -> Source | None:
    if path is not None:
        return read_source(Path(path))
    return next((read_source(p) for p in POOL_FILES if p.exists()), None)


def _optional(path: Path) -> Source | None:
    return read_source(path) if path.exists() else None


def _vllm_source() -> Source | None:
    """What scripts/vllm wrote: the servers take priorities."""
    source = _optional(VLLM_URLS)
    if source is None:
        return None
    cards = tuple(card.model_copy(update={"tags": (VLLM_TAG,)}) for card in source.cards)
    return Source(where=source.where, urls=source.urls, cards=cards, key=source.key)
