"""What is counted over episodes: small facts of each, so that thousands of traces need not be held at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mar.types import DOMAINS, CallAnswered, CallFailed, Considered, Domain, Episode, StepBound


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeFacts:
    """One episode in figures."""

    run: int  # number of the run
    position: int  # line of the episodes' file, from 0
    query_id: str
    mode: str  # of the plan; the policy's name without one
    domain: Domain | None  # as the plan says; None without a plan
    roles: tuple[str, ...]  # of the agents, decider excluded
    models: tuple[str, ...]  # of the agents, as bound; "unbound" for those that never ran
    called: tuple[str, ...]  # model of every call, answered or failed, decider's included
    cost_usd: float | None  # None: unknown
    latency_s: float
    failure: str | None  # kind of the episode's failure
    stated: float | None = None  # probability that its answer is right, as its policy stated it when it settled

    @classmethod
    def of(cls, episode: Episode, *, run: int, position: int) -> EpisodeFacts:
        """The facts of an episode."""
        bound = {e.index: e.model for e in episode.events if isinstance(e, StepBound)}
        roles, plan = episode.roles, episode.plan
        named = {} if plan is None else {i: agent.model for i, agent in enumerate(plan.agents)}
        return cls(
            run=run,
            position=position,
            query_id=episode.query_id,
            mode=episode.policy if plan is None else plan.mode.name,
            domain=None if plan is None else plan.domain,
            roles=tuple(roles.values()),
            models=tuple(bound.get(i) or named.get(i) or "unbound" for i in roles),
            called=tuple(e.model for e in episode.events if isinstance(e, CallAnswered | CallFailed)),
            cost_usd=episode.cost_usd,
            latency_s=episode.latency_s,
            failure=None if episode.failure is None else episode.failure.kind,
            stated=_stated(episode),
        )


def _stated(episode: Episode) -> float | None:
    settled = [e.why for e in episode.events if isinstance(e, Considered) and e.index is None]
    return settled[-1].options[0].right if settled and settled[-1].options else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One part of a whole."""

    name: str
    count: int
    share: float  # 0 to 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """How a whole is divided, largest part first."""

    title: str
    unit: str  # what is counted
    n: int
    parts: tuple[Share, ...]

    @classmethod
    def of(cls, title: str, unit: str, names: Iterable[str]) -> Shares:
        """Count names."""
        counts = Counter(names)
        total = counts.total()
        ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        return cls(
            title=title, unit=unit, n=total, parts=tuple(Share(name=k, count=c, share=c / total) for k, c in ordered)
        )


def shares(facts: Sequence[EpisodeFacts]) -> tuple[Shares, ...]:
    """Of modes, roles and LLMs."""
    return (
        Shares.of("Modes", "episodes", (f.mode for f in facts)),
        Shares.of("Roles", "agents", (r for f in facts for r in f.roles)),
        Shares.of("LLMs, by agents", "agents", (m for f in facts for m in f.models)),
        Shares.of("LLMs, by calls", "calls, deciders' included", (m for f in facts for m in f.called)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How a count is distributed over queries. None where nothing was measured."""

    mean: float | None
    p50: float | None
    p95: float | None
    most: int | None

    @classmethod
    def of(cls, counts: Sequence[int]) -> Spread:
        """The spread of counts."""
        if not counts:
            return cls(mean=None, p50=None, p95=None, most=None)
        p50, p95 = (float(q) for q in np.quantile(counts, [0.5, 0.95]))
        return cls(mean=float(np.mean(counts)), p50=p50, p95=p95, most=max(counts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """Recognised domains by true domain."""

    domains: tuple[Domain, ...]
    counts: tuple[tuple[int, ...], ...]  # row: the benchmark's domain; column: the plan's

    @classmethod
    def of(cls, pairs: Iterable[tuple[Domain, Domain]]) -> Confusion:
        """Count pairs of the benchmark's and the plan's domain."""
        counts = Counter(pairs)
        domains = (*DOMAINS, *sorted({d for pair in counts for d in pair} - {*DOMAINS}))
        return cls(domains=domains, counts=tuple(tuple(counts[t, p] for p in domains) for t in domains))

    @property
    def n(self) -> int:
        """Episodes."""
        return sum(sum(row) for row in self.counts)

    @property
    def right(self) -> int:
        """Episodes whose domain was recognised."""
        return sum(self.counts[i][i] for i in range(len(self.domains)))
