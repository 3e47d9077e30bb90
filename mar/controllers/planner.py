"""Plans for queries as they come: of all that wait together, in a thread, and at once where that costs nothing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import anyio
import anyio.to_thread

from mar.clock import real_work
from mar.controllers.base import Controller, Planned, PlanSpace, Quick
from mar.controllers.careful import plan_carefully
from mar.types import Query


@dataclass(slots=True, kw_only=True)
class _Waiting:
    """A query that has to be planned."""

    query: Query
    planned: Planned | None = None
    error: Exception | None = None


class Planner:
    """Asks one controller for plans, one batch at a time. It belongs to one event loop.

    Args:
        controller: Who decides.
        space: What plans may be made of.
    """

    def __init__(self, controller: Controller, space: PlanSpace) -> None:
        self.controller, self.space = controller, space
        self._quick = controller if isinstance(controller, Quick) else None
        self._waiting: list[_Waiting] = []
        self._planning = anyio.Lock()

    async def plan(self, query: Query) -> Planned:
        """A plan for a query. Whoever comes while others are planned plans for all who wait.

        Raises:
            ConfigError: Controller and pool do not fit together.
        """
        if self._quick is not None and self._quick.quick(query):
            return plan_carefully(self.controller, [query], self.space)[0]
        mine = _Waiting(query=query)
        self._waiting.append(mine)
        async with self._planning:
            if mine.planned is None and mine.error is None:
                together, self._waiting = self._waiting, []
                await real_work(lambda: anyio.to_thread.run_sync(self._plan_all, together))
        if mine.error is not None:
            raise mine.error
        assert mine.planned is not None
        return mine.planned

    def _plan_all(self, together: Sequence[_Waiting]) -> None:
        """Plan queries, in a thread. Where one of several cannot be planned, each is planned alone."""
        with _one_thread():
            try:
                found = plan_carefully(self.controller, [w.query for w in together], self.space)
                for waiting, planned in zip(together, found, strict=True):
                    waiting.planned = planned
            except Exception as error:  # each task gets its own, below
                if len(together) == 1:
                    together[0].error = error
                    return
                for waiting in together:
                    self._plan_all([waiting])


def _one_thread() -> AbstractContextManager[None]:
    """PyTorch on one thread: more cost more than they gain on a few queries, and others wait for the processor."""
    if "torch" not in sys.modules:
        return nullcontext()
    from mar.numerics import one_thread

    return one_thread()
