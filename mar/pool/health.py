"""Whether the servers of a pool answer: one cheap request to /models for each, all at once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
from pydantic import SecretStr

from mar.errors import ConfigError, DataError
from mar.pool.cards import ModelCard
from mar.pool.listed import read_list
from mar.pool.network import http_client

if TYPE_CHECKING:  # imported where it is used: a simulated pool has no servers
    import httpx

TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What one model's server said."""

    ok: bool
    text: str  # a few words for people


async def check_health(
    cards: Iterable[ModelCard], keys: Mapping[str, SecretStr], *, timeout_s: float = TIMEOUT_S
) -> dict[str, Health]:
    """Ask every model's server for its list of models; by name of the model. Nothing is raised."""
    import httpx

    results: dict[str, Health] = {}
    async with anyio.create_task_group() as tasks:

        async def check(card: ModelCard) -> None:
            try:
                client = http_client(httpx.AsyncClient, card.base_url or "", timeout=timeout_s)
            except ConfigError as error:
                results[card.name] = Health(ok=False, text=str(error))
                return
            async with client:
                results[card.name] = await _check(client, card, keys.get(card.name), timeout_s)

        for card in cards:
            tasks.start_soon(check, card)
    return results


async def _check(client: httpx.AsyncClient, card: ModelCard, key: SecretStr | None, timeout_s: float) -> Health:
    import httpx

    headers, query = dict(card.headers), {} if card.api_version is None else {"api-version": card.api_version}
    if key is not None:
        headers["Authorization"] = f"Bearer {key.get_secret_value()}"
        if card.api_version is not None:
            headers["api-key"] = key.get_secret_value()
    began = time.perf_counter()
    with anyio.move_on_after(timeout_s):  # httpx's own limit is per read, not for the whole reply
        try:
            response = await client.get(f"{card.base_url}/models", headers=headers, params=query)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            return Health(ok=False, text=f"unreachable ({type(error).__name__})")
        return _judge(response, card, time.perf_counter() - began)
    return Health(ok=False, text=f"no answer in {timeout_s:g} s")


def _judge(response: httpx.Response, card: ModelCard, seconds: float) -> Health:
    if response.status_code in (401, 403):
        return Health(ok=False, text=f"key refused ({response.status_code})")
    if response.status_code >= 500:
        return Health(ok=False, text=f"server fault ({response.status_code})")
    if response.status_code != 200:
        return Health(ok=True, text=f"answers, but lists no models ({response.status_code})")
    try:
        listed = {model.id for model in read_list(response.content)}
    except DataError:
        return Health(ok=True, text="answers, but lists no models")
    name = card.served_name or card.name
    # Some vendors list their models as models/NAME.
    if listed and name not in listed and f"models/{name}" not in listed:
        return Health(ok=False, text="answers, but does not list this model")
    return Health(ok=True, text=f"up, {seconds * 1000:.0f} ms")
