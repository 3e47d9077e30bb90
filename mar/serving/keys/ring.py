"""The keys as one worker knows them: all in memory, looked at again every second."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import anyio

from mar.concurrency import beside
from mar.errors import StoreUnavailable
from mar.serving.errors import Refusal
from mar.serving.keys.key import PREFIX, Key, hash_of
from mar.serving.store.keys import KeyStore, Known

log = logging.getLogger(__name__)
LOOK_S = 1.0  # between looks for keys that were made or revoked: half of what a revocation may take
STALE_S = 30.0  # after which nobody is let in by what was known when the store last answered


class KeyRing:
    """Finds keys by their secrets, without waiting. Use it as `async with KeyRing(store) as keys`."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._known = Known(revision=-1, keys={}, now=0.0)
        self._looked = 0.0  # when the store last answered, on the loop's clock
        self._said = 0.0  # when `known.now` was, on the loop's clock
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._look()
        await self._stack.enter_async_context(beside(self._watch))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(None, None, None)

    @property
    def any(self) -> bool:
        """Whether there has ever been a key: one that is revoked stays known."""
        return bool(self._known.keys)

    @property
    def names(self) -> Mapping[str, str]:
        """What each key is for, by its id."""
        return {key.id: key.name for key, _ in self._known.keys.values()}

    def find(self, secret: str | bytes | None) -> Key:
        """The key of a secret, or of a secret's hash.

        Raises:
            Refusal: There is none, or it is no longer good. What was shown is not repeated.
        """
        if secret is None:
            raise _refusal(f"a key is needed: send `Authorization: Bearer {PREFIX}...`", code="missing_api_key")
        if anyio.current_time() - self._looked > STALE_S:
            raise Refusal("keys cannot be looked up at the moment", status=503, code="unavailable")
        kept = secret if isinstance(secret, bytes) else hash_of(secret)
        key, ends = self._known.keys.get(kept, (None, None))
        if key is None:
            raise _refusal("there is no such key; ask whoever runs this gateway for one")
        if key.revoked is not None:
            raise _refusal(f"{key.id} has been revoked")
        if ends is not None and self._known.now + anyio.current_time() - self._said >= ends:
            raise _refusal(f"{key.id} has a new secret, and this one has ended")
        return key

    async def _watch(self) -> None:
        while True:
            await anyio.sleep(LOOK_S)
            try:
                await self._look()
            except StoreUnavailable as down:
                log.warning("%s", down)

    async def _look(self) -> None:
        began = anyio.current_time()
        known = await self._store.known(self._known.revision)
        self._looked = began
        if known is not None:
            self._known, self._said = known, began


def _refusal(message: str, *, code: str = "invalid_api_key") -> Refusal:
    return Refusal(message, status=401, code=code)
