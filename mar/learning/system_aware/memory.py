# pyright: basic
"""What training remembers: decisions with their outcomes, and the latest calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple

import torch
from torch import Tensor

from mar.controllers.system_aware.estimators import FEWEST_CALLS, RECENT_CALLS, CallEstimator, CallRecord
from mar.controllers.system_aware.observe import Inputs
from mar.learning.system_aware.samples import Sample, call_records

SEEN = ("query", "role", "remaining", "budget", "models", "step")


class Ring:
    """Rows of named columns; new ones take the place of the oldest.

    Args:
        capacity: Rows kept.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.taken_in = 0  # rows ever
        self._columns: dict[str, Tensor] = {}

    def __len__(self) -> int:
        return min(self.taken_in, self.capacity)

    def add(self, rows: Mapping[str, Tensor]) -> None:
        """Remember rows; every column has the same length."""
        n = len(next(iter(rows.values())))
        place = torch.arange(self.taken_in, self.taken_in + n) % self.capacity
        for name, column in rows.items():
            if name not in self._columns:
                self._columns[name] = torch.zeros(self.capacity, *column.shape[1:])
            self._columns[name][place] = column.float()
        self.taken_in += n

    def draw(self, n: int, generator: torch.Generator) -> dict[str, Tensor]:
        """`n` rows, drawn with replacement."""
        index = torch.randint(len(self), (n,), generator=generator)
        return {name: column[index] for name, column in self._columns.items()}

    def state(self) -> dict[str, Tensor]:
        """All columns and the count, for saving."""
        return {**self._columns, "taken_in": torch.tensor(self.taken_in)}

    def load(self, state: Mapping[str, Tensor], /) -> None:
        """Take over what `state` returned."""
        self.taken_in = int(state["taken_in"]) if "taken_in" in state else 0
        self._columns = {k: v.clone() for k, v in state.items() if k != "taken_in"}


class Calls:
    """The latest calls, which the estimators are fitted to."""

    def __init__(self, strategies: int) -> None:
        self.strategies = strategies
        self.records: list[CallRecord] = []

    def note(self, batch: Sequence[Sample]) -> None:
        """Take in the calls of some episodes."""
        self.records += [c for s in batch for c in call_records(s, self.strategies)]
        del self.records[:-RECENT_CALLS]

    def fit(self, estimator: CallEstimator | None) -> dict[str, float]:
        """Fit an estimator, where there is one and enough calls; returns its errors on calls held out."""
        if estimator is None or len(self.records) < FEWEST_CALLS:
            return {}
        return asdict(estimator.fit(self.records))

    def state(self) -> dict[str, Tensor]:
        """For saving."""
        return {"records": torch.tensor([astuple(r) for r in self.records], dtype=torch.float64)}

    def load(self, state: Mapping[str, Tensor], /) -> None:
        """Take over what `state` returned."""
        rows = state["records"].tolist()
        self.records = [
            CallRecord(
                model=int(m),
                strategy=int(s),
                log_query_tokens=q,
                decider=bool(d),
                share=share,
                queue=queue,
                tokens=int(tokens),
                seconds=seconds,
            )
            for m, s, q, d, share, queue, tokens, seconds in rows
        ]


def columns(seen: Inputs) -> dict[str, Tensor]:
    """Inputs as columns. Roles are left out: who chooses by worth does not look at them."""
    return {name: getattr(seen, name) for name in SEEN if name != "role"}


def inputs(rows: Mapping[str, Tensor]) -> Inputs:
    """Columns as inputs."""
    return Inputs(role=rows["query"][:, :0], **{name: rows[name] for name in SEEN if name != "role"})
