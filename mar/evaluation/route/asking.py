# pyright: basic
"""Asks every model of a pool about every row, once: first about a few, which tells what all will cost."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

from mar.controllers.embeddings import Encoder
from mar.controllers.sequential.calls import Asked
from mar.errors import ConfigError
from mar.evaluation.route.agreement import by_agreement
from mar.evaluation.route.calls import Calls
from mar.evaluation.route.kinds import ALONE
from mar.learning.progress import Progress
from mar.learning.rollouts import Rollouts
from mar.learning.sequential import Gathering
from mar.pool.cards import ModelCard
from mar.tasks.grading.texts import Nobody
from mar.tasks.task import ItemT
from mar.types import Query

PILOT = 4  # rows that are asked first
ROOM = 1.15  # what rows are taken to cost at most, as a multiple of what those few cost
FEWEST = 25  # rows that something can be learned from and tested on


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What asking everything is expected to cost."""

    rows: int
    models: int
    measured: int  # calls that it is measured by
    usd_per_row: float
    dearest: str  # model
    share: float  # of the costs that it takes

    @property
    def usd(self) -> float:
        """For all rows."""
        return self.rows * self.usd_per_row

    @property
    def text(self) -> str:
        """One line."""
        return (
            f"{self.rows:,} rows x {self.models} models = {self.rows * self.models:,} calls, about {self.usd:.2g} USD "
            f"in all (measured on {self.measured} calls; {self.dearest} takes {100 * self.share:.0f}%)"
        )

    def rows_within(self, usd: float) -> int:
        """How many rows a limit is enough for."""
        return self.rows if not self.usd_per_row else min(self.rows, int(usd / (ROOM * self.usd_per_row)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What was asked."""

    forecast: Forecast
    calls: Calls | None  # None: no more was wanted than the forecast
    left_out: int = 0  # rows that were asked and lack a call or its grade


@dataclass(slots=True, kw_only=True)
class Asking(Generic[ItemT]):
    """Puts rows to a pool."""

    rollouts: Rollouts[ItemT]
    encoder: Encoder
    progress: Progress
    max_cost: float | None = None  # USD
    seed: int = 0

    @property
    def cards(self) -> Sequence[ModelCard]:
        """Of the models that are asked."""
        return tuple(self.rollouts.runtime.pool.cards.values())

    async def gather(self, items: Sequence[ItemT], *, forecast_only: bool = False) -> Gathered:
        """Ask about all items that the limit is enough for.

        Raises:
            ConfigError: The limit is enough for too few, or too many calls failed.
        """
        gathering = Gathering(
            rollouts=self.rollouts,
            cards=self.cards,
            progress=self.progress,
            seed=self.seed,
            readers=0,
            strategies=ALONE,
        )
        order = list(items)
        random.Random(f"route/{self.seed}").shuffle(order)
        first = await gathering.gather(order[:PILOT])
        forecast = self._forecast([self._query(i) for i in order[:PILOT]], first, len(items))
        self.progress.say(forecast.text)
        if forecast_only:
            return Gathered(forecast=forecast, calls=None)
        chosen = self._within(order, forecast)
        asked = [*first, *await gathering.gather(chosen[PILOT:])]
        queries = [self._query(i) for i in chosen]
        if isinstance(getattr(self.rollouts.task, "grader", None), Nobody):
            asked = by_agreement(asked, queries, self.cards, self.rollouts.task.domain, self.encoder)
        calls = Calls.of(queries, asked, self.cards)
        if len(calls) < FEWEST:
            why = self.rollouts.limit_reached or f"{len(asked) - len(calls)} lack a call or its grade"
            raise ConfigError(f"{len(calls)} of {len(items)} rows can be used ({why}); expected {FEWEST} or more")
        return Gathered(forecast=forecast, calls=calls, left_out=len(asked) - len(calls))

    def _query(self, item: ItemT) -> Query:
        return self.rollouts.task.query(item)

    def _forecast(self, queries: Sequence[Query], asked: Sequence[Asked], rows: int) -> Forecast:
        """By what a few rows cost, whatever they were worth."""
        calls = Calls.of(queries, [a.graded([0.0] * len(a.calls)) for a in asked], self.cards)
        if not len(calls):
            raise ConfigError(
                f"none of the first {PILOT} rows was answered by all {len(self.cards)} models; mar pool shows which do"
                if not self.rollouts.limit_reached
                else f"the limit is not enough for {PILOT} rows: {self.rollouts.limit_reached}"
            )
        mean = calls.usd.mean(axis=0)
        dearest = int(mean.argmax())
        return Forecast(
            rows=rows,
            models=len(calls.models),
            measured=calls.usd.size,
            usd_per_row=float(mean.sum()),
            dearest=calls.models[dearest],
            share=float(mean[dearest] / mean.sum()) if mean.sum() else 1 / len(mean),
        )

    def _within(self, order: Sequence[ItemT], forecast: Forecast) -> Sequence[ItemT]:
        if self.max_cost is None or self.rollouts.runtime.pool.free:
            return order
        enough = forecast.rows_within(self.max_cost)
        if enough < FEWEST:
            raise ConfigError(
                f"--max_cost {self.max_cost:g} is enough for {enough} of {forecast.rows} rows; expected {FEWEST} or "
                f"more, about {FEWEST * forecast.usd_per_row * ROOM:.2g} USD"
            )
        if enough < forecast.rows:
            self.progress.say(f"--max_cost {self.max_cost:g} is enough for {enough} rows: these are asked")
        return order[:enough]
