"""What a worker does beside its requests for its pool: says how servers stand, and hears which models are out."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager

import anyio

from mar.concurrency import beside
from mar.errors import StoreUnavailable
from mar.serving.store.standing import Standings
from mar.types import ModelTelemetry

log = logging.getLogger(__name__)
LOOK_S = 1.0  # between looks for what is out: half of what it may take to reach every worker
WRITE_S = 5.0  # between words on how servers stand


@asynccontextmanager
async def watching(
    standings: Standings,
    telemetry: Callable[[], Mapping[str, ModelTelemetry]],
    on_out: Callable[[frozenset[str]], None],
) -> AsyncGenerator[None]:
    """A watch meanwhile, which knows from the beginning what is out; see `PoolWatch`.

    Raises:
        StoreUnavailable: The store gives no answer.
    """
    watch = PoolWatch(standings, telemetry, on_out)
    await watch.look()
    async with beside(watch.run):
        yield


class PoolWatch:
    """Keeps one worker and the others of one mind about a pool.

    Args:
        standings: What workers share.
        telemetry: How servers stand, as this worker knows.
        on_out: Is told which models are taken out, whenever that has changed.
    """

    def __init__(
        self,
        standings: Standings,
        telemetry: Callable[[], Mapping[str, ModelTelemetry]],
        on_out: Callable[[frozenset[str]], None],
    ) -> None:
        self._standings, self._telemetry, self._on_out = standings, telemetry, on_out
        self._worker = secrets.token_hex(8)
        self._out: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Go on until it is called off. While the store is away, what was known last holds."""
        told = -WRITE_S
        away = False
        while True:
            try:
                await self.look()
                if anyio.current_time() - told >= WRITE_S:
                    told = anyio.current_time()
                    await self._standings.write(self._worker, self._telemetry().values())
                away = False
            except StoreUnavailable as down:
                if not away:
                    log.warning("%s", down)
                away = True
            await anyio.sleep(LOOK_S)

    async def look(self) -> None:
        """Hear which models are out.

        Raises:
            StoreUnavailable: The store gives no answer.
        """
        out = frozenset(one.model for one in await self._standings.out())
        if out != self._out:
            self._out = out
            self._on_out(out)
