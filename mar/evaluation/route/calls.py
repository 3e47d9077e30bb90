# pyright: basic
"""What every model said about every row, what that was worth and what it cost."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mar.controllers.sequential.calls import Asked, Call
from mar.errors import ConfigError
from mar.evaluation.routereval.files import COST
from mar.evaluation.routereval.table import OutcomeTable
from mar.files import write_atomically
from mar.pool.cards import ModelCard
from mar.types import Domain, Query

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """One call of every model about every row; rows that lack one are left out, so all stand on the same ground."""

    models: tuple[str, ...]
    queries: tuple[Query, ...]
    asked: tuple[Asked, ...]  # the calls, in the order of the models; empty: only scores are known
    quality: Floats  # 0 to 1, (n, M)
    usd: Floats  # (n, M)

    def __len__(self) -> int:
        return len(self.queries)

    def rows(self, at: npt.NDArray[np.int64]) -> Calls:
        """Some of the rows, in this order."""
        return Calls(
            models=self.models,
            queries=tuple(self.queries[i] for i in at),
            asked=tuple(self.asked[i] for i in at) if self.asked else (),
            quality=self.quality[at],
            usd=self.usd[at],
        )

    @classmethod
    def of(cls, queries: Sequence[Query], asked: Sequence[Asked], cards: Sequence[ModelCard]) -> Calls:
        """Graded calls as a table, without the rows to which a model has no call or one that was not graded.

        Raises:
            ConfigError: What a model's calls cost is not known.
        """
        names = tuple(card.name for card in cards)
        kept = [i for i, question in enumerate(asked) if _whole(question, names)]
        ordered = [_ordered(asked[i], names) for i in kept]
        usd = np.array([[_usd(c, call) for c, call in zip(cards, a.calls, strict=True)] for a in ordered])
        usd = usd.reshape(len(kept), len(names))
        if kept and (unknown := [n for n, column in zip(names, usd.T, strict=True) if np.isnan(column).all()]):
            raise ConfigError(f"nobody says what the calls of {unknown[0]} cost: its server counts no tokens")
        usd = np.where(np.isnan(usd), np.nanmean(usd, axis=0, keepdims=True) if kept else 0.0, usd)
        quality = [[call.quality or 0.0 for call in a.calls] for a in ordered]
        return cls(
            models=names,
            queries=tuple(queries[i] for i in kept),
            asked=tuple(ordered),
            quality=np.array(quality, dtype=np.float64).reshape(len(kept), len(names)),
            usd=usd,
        )

    @classmethod
    def of_scores(cls, table: OutcomeTable, domain: Domain) -> Calls:
        """A table of scores with costs.

        Raises:
            ConfigError: It has no costs, or no prompts.
        """
        if table.costs is None:
            raise ConfigError(
                f"{table.name} has no costs; expected a column NAME{COST} with USD for every LLM (docs/routers.md)"
            )
        if not table.prompts:
            raise ConfigError(f"{table.name} has no prompts; expected a column prompt with the texts to route by")
        ids = table.ids or tuple(str(i + 1) for i in range(len(table)))
        return cls(
            models=table.models,
            queries=tuple(Query(text=t, id=i, domain=domain) for t, i in zip(table.prompts, ids, strict=True)),
            asked=(),
            quality=table.scores.astype(np.float64),
            usd=np.asarray(table.costs, dtype=np.float64),
        )

    def save(self, path: Path) -> None:
        """Write a table that `--table` reads, here and in `mar routereval`."""
        text = io.StringIO(newline="")
        lines = csv.writer(text)
        lines.writerow(["id", "prompt", *self.models, *(f"{m}{COST}" for m in self.models)])
        for query, quality, usd in zip(self.queries, self.quality, self.usd, strict=True):
            lines.writerow([query.id, query.text, *(f"{q:g}" for q in quality), *(f"{u:.9g}" for u in usd)])
        write_atomically(path, text.getvalue())


def _whole(question: Asked, names: Sequence[str]) -> bool:
    return {call.model for call in question.calls if call.quality is not None} >= set(names)


def _ordered(question: Asked, names: Sequence[str]) -> Asked:
    first = {call.model: call for call in reversed(question.calls)}
    return replace(question, calls=tuple(first[name] for name in names))


def _usd(card: ModelCard, call: Call) -> float:
    usd = card.cost_usd(
        prompt_tokens=call.prompt_tokens, completion_tokens=call.completion_tokens, seconds=call.latency_s or 0.0
    )
    return np.nan if usd is None else usd
