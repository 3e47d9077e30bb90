"""Which models a server says it has: its list at /models, asked for where only an address is configured."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr

from mar.errors import ConfigError, DataError
from mar.pool.cards import ModelCard
from mar.pool.hosted import hosted_cards
from mar.pool.network import http_client
from mar.reading import decoded, parse_json, validated

TIMEOUT_S = 5.0
MOST = 24  # models that are all taken: of a longer list nobody wants each
SAY = "say in pool.toml which models there are, or give --pool (docs/serving.md)"
LIST = "the list of models"


class Listed(BaseModel):
    """One entry of the list."""

    id: str = Field(min_length=1)
    max_model_len: int | None = Field(default=None, gt=0)  # tokens, as vLLM states it


class _ModelList(BaseModel):
    data: tuple[Listed, ...]


def read_list(content: bytes) -> tuple[Listed, ...]:
    """The entries of a server's list.

    Raises:
        DataError: It is none.
    """
    return validated(_ModelList, parse_json(decoded(content, LIST), LIST), LIST).data


def listed_cards(url: str, key: SecretStr | None, where: str) -> tuple[ModelCard, ...]:
    """Cards of the models that a server lists: of all, or where these are too many, of those with a known price.

    Prices are only known of well-known hosted models; the limits of others are those of any card, or what vLLM states.

    Args:
        url: The server's base address.
        key: That it takes.
        where: The address is configured, for messages.

    Raises:
        ConfigError: The server cannot be reached, refuses the key, or lists no models or too many; says what to set.
    """
    try:
        found = read_list(_asked(url, key, where))
    except DataError:
        raise ConfigError(f"{where}: {url}/models is no list of models; {SAY}") from None
    names = {entry.id.removeprefix("models/"): entry for entry in found}
    if not names:
        raise ConfigError(f"{where}: {url} lists no models; {SAY}")
    known = {card.name: card for card in hosted_cards() if card.name in names}
    if len(names) <= MOST:
        return tuple(known.get(name) or _card(name, entry) for name, entry in names.items())
    if not known:
        raise ConfigError(f"{where}: {url} lists {len(names)} models, too many to take all; {SAY}")
    return tuple(known.values())


def _card(name: str, entry: Listed) -> ModelCard:
    limits = {} if entry.max_model_len is None else {"context_tokens": entry.max_model_len}
    fits = {} if entry.max_model_len is None else {"max_output_tokens": max(1, min(1024, entry.max_model_len // 2))}
    return ModelCard.model_validate({"name": name, "served_name": entry.id} | limits | fits)


def _asked(url: str, key: SecretStr | None, where: str) -> bytes:
    import httpx  # a pool file needs none of it

    headers = {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}
    try:
        with http_client(httpx.Client, url, timeout=TIMEOUT_S) as client:
            response = client.get(f"{url}/models", headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        why = type(error).__name__
        raise ConfigError(f"{where}: {url} cannot be reached ({why}); start the server, or {SAY}") from None
    if response.status_code in (401, 403):
        given = "refuses the KEY" if key is not None else "wants a KEY"
        raise ConfigError(f"{where}: {url} {given} ({response.status_code}); set KEY beside URL")
    if response.status_code != 200:
        raise ConfigError(f"{where}: {url} lists no models ({response.status_code} for /models); {SAY}")
    return response.content
