"""What a worker does for rollouts from its start to its end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from mar.concurrency import beside
from mar.controllers.base import Controller
from mar.serving.exchange import Exchange
from mar.serving.forgetting import Deleted
from mar.serving.house import House
from mar.serving.record import Entry
from mar.serving.rollout.keeper import Keeper
from mar.serving.rollout.referee import Referee
from mar.serving.rollout.shadow import Shadows
from mar.serving.settings import ControllerSettings
from mar.serving.state import State
from mar.traffic.rollout import Rules

SHADOW = "shadow"  # under which limits know what shadows spend


class Rollouts:
    """Keeps what a worker serves as the store says, and plans in shadow, once it is opened.

    Args:
        house: The models and who plans.
        rules: How careful rollouts are.
        load: Makes a controller; takes its time.
        referee: Compares answers in shadow with those that were served.
        on_shadow: Is told what became of each request in shadow.
        on_verdict: Is told what was said of each answer in shadow.
        on_drift: Is told of what has drifted.
    """

    def __init__(
        self,
        house: House,
        rules: Rules,
        load: Callable[[ControllerSettings], Controller],
        referee: Referee,
        *,
        on_shadow: Callable[[str], None],
        on_verdict: Callable[[str], None],
        on_drift: Callable[[str], None],
    ) -> None:
        self._house, self._rules, self._load, self._referee = house, rules, load, referee
        self._on_shadow, self._on_verdict, self._on_drift = on_shadow, on_verdict, on_drift
        self._shadows: Shadows | None = None

    def add(self, exchange: Exchange, entry: Entry) -> None:
        """Take note of a request that has ended."""
        if self._shadows is not None:
            self._shadows.add(exchange, entry)

    def drop(self, gone: Deleted) -> None:
        """See `Holds`."""
        if self._shadows is not None:
            self._shadows.drop(gone)

    @asynccontextmanager
    async def opened(self, state: State | None) -> AsyncGenerator[None]:
        """At work meanwhile; without a state there is nothing to do.

        Raises:
            StoreUnavailable: The store gives no answer.
        """
        if state is None:
            yield
            return
        purse = state.purse(SHADOW, usd_day=self._rules.shadow_usd_day)
        self._shadows = Shadows(
            self._house,
            state.rollouts,
            self._rules,
            purse,
            self._referee,
            on_state=self._on_shadow,
            on_verdict=self._on_verdict,
        )
        keeper = Keeper(state.rollouts, self._house, self._rules, self._load, self._on_drift)
        await keeper.look()
        async with beside(keeper.watch, keeper.lead, keeper.notice, self._shadows.run):
            yield
