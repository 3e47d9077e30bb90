"""A conversation stays with the model that answered it last, as far as its controller has that model as an alternative.

What was said so far is then in that server's prompt cache, and the voice does not change from turn to turn. What it
costs is the controller's choice: a later turn that another model is better at stays where the first one was. So it is
off unless a gateway is told for how long a conversation stays, and a controller that plans a team, decides step by step
or minds conversations itself (GMT) is left alone. All workers look at one shelf; while it gives no answer, controllers
choose as if there were none.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import anyio

from mar.controllers.base import Planned
from mar.errors import StoreUnavailable
from mar.serving.admission import Visit
from mar.serving.asked import Asked
from mar.serving.store.shelf import Shelf

log = logging.getLogger(__name__)
STAYS = "stays"  # the note that says why a conversation stays where it is
MOST_WAITING = 10_000  # answers that are not yet on the shelf


class Sticky:
    """Which model a conversation stays with.

    Args:
        shelf: Gives what workers share, once it is open.
        seconds: For how long after its last answer a conversation stays.
    """

    def __init__(self, shelf: Callable[[], Shelf], seconds: float) -> None:
        self._shelf, self._seconds = shelf, seconds
        self._send, self._receive = anyio.create_memory_object_stream[tuple[bytes, str]](math.inf)

    async def stayed(self, place: bytes, planned: Planned, allowed: Sequence[str]) -> Planned:
        """A plan of one agent, on the model that the conversation stays with where the controller has it, too."""
        plan = planned.plan
        if plan is None or planned.policy is not None or len(plan.agents) != 1:
            return planned
        chosen, kept = plan.agents[0].model, await self._kept(place)
        if kept is None or kept == chosen or kept not in allowed or kept not in planned.alternatives:
            return planned
        others = (chosen, *(name for name in planned.alternatives if name != kept))
        why = f"stays with {kept}, which answered this conversation last; {chosen} would be chosen"
        return replace(
            planned,
            plan=replace(plan, agents=(replace(plan.agents[0], model=kept),)),
            alternatives=tuple(name for name in others if name is not None),
            notes={**planned.notes, STAYS: why},
        )

    def answered(self, place: bytes, model: str) -> None:
        """Take note of who answered; nobody waits for it."""
        if self._send.statistics().current_buffer_used < MOST_WAITING:
            self._send.send_nowait((place, model))

    async def run(self) -> None:
        """Put what is noted on the shelf until `close`."""
        async for place, model in self._receive:
            try:
                await self._shelf().put(place, model.encode(), self._seconds)
            except StoreUnavailable as down:
                log.warning("%s", down)

    def close(self) -> None:
        """Let `run` end once everything is there."""
        self._send.close()

    async def _kept(self, place: bytes) -> str | None:
        try:
            found = await self._shelf().get(place)
        except StoreUnavailable as down:
            log.warning("%s", down)
            return None
        return None if found is None else found.decode()


def place_of(asked: Asked, visit: Visit) -> bytes:
    """Where on the shelf a conversation lies: one of a key with one controller."""
    query = asked.query
    parts = ("stays", visit.guest, asked.model, query.user_id or "", query.conversation_id or "")
    return hashlib.blake2b("\x1f".join(parts).encode("utf-8", "replace"), digest_size=16).digest()
