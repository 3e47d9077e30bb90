# pyright: basic
"""Planners: mode, number of agents and roles of a query, decided on its arrival; the models stay open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from mar.controllers.base import PlanSpace
from mar.controllers.masrouter import Cascade, Choices, MasRouter
from mar.controllers.masrouter.controller import log_price
from mar.controllers.system_aware.executor import draw, unit
from mar.controllers.system_aware.observe import Inputs, Observation, decide_by
from mar.controllers.system_aware.shapes import Shape
from mar.types import Domain, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A query that has arrived."""

    seen: Observation
    key: str  # of its draw


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A plan and how it came about."""

    plan: Plan
    choice: int | Choices  # what the planner chose: a shape, or the cascade's indices (one row)
    log_prob: float
    version: int  # of the weights that chose


class Planner(Protocol):
    """Chooses plans."""

    version: int  # of its weights
    sees_load: bool  # whether it must decide on arrival; else a block of queries can be decided at once

    @property
    def network(self) -> nn.Module:
        """What learns."""
        ...

    def draw(self, asks: Sequence[Ask], space: PlanSpace, *, greedy: bool) -> list[Drawn]:
        """A plan for every query."""
        ...


class EarlyPlanner(nn.Module):
    """Logits over shapes from the query alone."""

    def __init__(self, embedding: int, shapes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(embedding, 128), nn.ReLU(), nn.Linear(128, shapes))

    def forward(self, seen: Inputs) -> tuple[Tensor, Tensor]:
        """Logits (B, K), and no values: zeros (B,)."""
        return self.layers(seen.query), torch.zeros(len(seen.query))


class ShapePlanner:
    """Chooses one of a list of shapes.

    Args:
        network: Inputs to logits (B, K).
        shapes: What there is to choose from.
        domain: Of the queries.
        sees_load: Whether the network looks at the load.
    """

    def __init__(self, network: nn.Module, shapes: Sequence[Shape], domain: Domain, *, sees_load: bool) -> None:
        self.version, self.sees_load = 0, sees_load
        self._network, self._logits = network, decide_by(network)
        self.shapes = tuple(shapes)
        self._plans = [shape.plan(domain) for shape in shapes]

    @property
    def network(self) -> nn.Module:
        """The logits' network."""
        return self._network

    def draw(self, asks: Sequence[Ask], space: PlanSpace, *, greedy: bool) -> list[Drawn]:
        """A shape for every query."""
        logits, _ = self._logits(Inputs.stack([a.seen for a in asks]))
        picked, logs = draw(logits, None if greedy else [a.key for a in asks])
        return [
            Drawn(plan=self._plans[k], choice=k, log_prob=float(row[k]), version=self.version)
            for k, row in zip(picked.tolist(), logs, strict=True)
        ]


class CascadePlanner:
    """MasRouter's cascade for mode, number of agents and roles; its choice of LLMs is left out.

    Args:
        router: Fresh, or from a checkpoint. It learns with the planner.
        domain: Of the queries.
    """

    sees_load = False

    def __init__(self, router: MasRouter, domain: Domain) -> None:
        self.router, self.domain, self.version = router, domain, 0

    @property
    def network(self) -> Cascade:
        """The cascade."""
        return self.router.network

    def draw(self, asks: Sequence[Ask], space: PlanSpace, *, greedy: bool) -> list[Drawn]:
        """A plan for every query, in one pass."""
        candidates, names = self.router.candidates(space)
        queries = torch.from_numpy(np.stack([a.seen.query for a in asks]))
        source = None if greedy else torch.Generator().manual_seed(int(unit(asks[0].key) * 2**52))
        with torch.inference_mode():
            output = self.router.network(
                queries,
                self.router.network.encode(candidates),
                price=self.prices(len(asks)),
                domain=torch.full((len(asks),), names.domain(self.domain)),
                generator=source,
                open_llms=True,
            )
        plans = [_opened(p) for p in self.router.plans_of(output.choices, names)]
        logs = output.log_prob.tolist()
        return [
            Drawn(plan=p, choice=_row(output.choices, i), log_prob=logs[i], version=self.version)
            for i, p in enumerate(plans)
        ]

    def prices(self, n: int) -> Tensor:
        """The log price of money of n queries."""
        return torch.full((n,), log_price(self.router.cost_rate))


def joined(rows: Sequence[Choices]) -> Choices:
    """Rows of choices as one batch."""
    names = ("domain", "mode", "count", "roles", "llms")
    return Choices(**{n: torch.cat([getattr(r, n) for r in rows]) for n in names})


def _row(choices: Choices, i: int) -> Choices:
    names = ("domain", "mode", "count", "roles", "llms")
    return Choices(**{n: getattr(choices, n)[i : i + 1].clone() for n in names})


def _opened(plan: Plan) -> Plan:
    return replace(plan, agents=tuple(replace(a, model=None) for a in plan.agents))
