"""What one episode teaches: who decided what, with what outcome."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from mar.controllers.system_aware.estimators import CallRecord
from mar.controllers.system_aware.executor import Decision
from mar.controllers.system_aware.observe import DECIDER, LOG_TOKENS, RUNNING, SLOTS, WAITING, Observation
from mar.controllers.system_aware.planners import Drawn
from mar.learning.rollouts import OUTSIDE, Outcome
from mar.types import CallAnswered, CallFailed, Episode, StepBound

OF_LOAD = frozenset({"timeout", "limit", "rate_limited"})  # failures that a policy can bring about by overloading


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSample:
    """One decision and how long its calls took."""

    decision: Decision
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One episode."""

    seen: Observation  # on arrival
    drawn: Drawn
    steps: tuple[StepSample, ...]
    outcome: Outcome
    budget_s: float

    @property
    def latency_s(self) -> float:
        """Of the workflow: the sum over waves of the slowest agent in the wave, as published."""
        return workflow_latency(self.outcome.episode)

    @property
    def in_time(self) -> bool:
        """Whether it ended within the budget, by the clock on the wall; an answer that cannot be read has its time."""
        return self.outcome.latency_s <= self.budget_s

    @property
    def learnable(self) -> bool:
        """Whether it says something about the policy: nothing failed but what load can make fail."""
        failures = self.outcome.episode.failures
        if self.outcome.failure is not None:
            failures = (*failures, self.outcome.failure)
        return not any(f.kind in OUTSIDE - OF_LOAD for f in failures)


def sample_of(
    seen: Observation, drawn: Drawn, decisions: Sequence[Decision], outcome: Outcome, budget_s: float
) -> Sample:
    """Put an episode's decisions together with what came of them."""
    took = step_seconds(outcome.episode)
    made = sorted(decisions, key=lambda d: (d.round, d.index))  # those of one instant come in any order
    steps = tuple(StepSample(decision=d, seconds=took.get((d.round, d.index), 0.0)) for d in made)
    return Sample(seen=seen, drawn=drawn, steps=steps, outcome=outcome, budget_s=budget_s)


def step_seconds(episode: Episode) -> dict[tuple[int, int], float]:
    """Seconds that the calls of each step (round, index) took together, failed ones included."""
    took: dict[tuple[int, int], float] = defaultdict(float)
    for event in episode.events:
        if isinstance(event, CallAnswered | CallFailed):
            took[event.round, event.index] += max(0.0, event.latency_s)
    return took


def workflow_latency(episode: Episode) -> float:
    """The sum over waves of the slowest step in the wave."""
    took = step_seconds(episode)
    waves: dict[int, float] = defaultdict(float)
    for event in episode.events:
        if isinstance(event, StepBound):
            waves[event.wave] = max(waves[event.wave], took.get((event.round, event.index), 0.0))
    return sum(waves.values())


def call_records(sample: Sample, strategies: int) -> list[CallRecord]:
    """The first call of every step, for the estimators: later calls of a step were sent under another load."""
    first: dict[tuple[int, int], CallAnswered] = {}
    for call in sample.outcome.episode.calls():
        first.setdefault((call.round, call.index), call)
    records: list[CallRecord] = []
    for step in sample.steps:
        made = step.decision
        call = first.get((made.round, made.index))
        if call is None or call.call == "revise":
            continue
        model, strategy = divmod(made.action, strategies)
        load = made.seen.models[model]
        records.append(
            CallRecord(
                model=model,
                strategy=strategy,
                log_query_tokens=float(made.seen.step[LOG_TOKENS]),
                decider=bool(made.seen.step[DECIDER]),
                share=float(min(load[RUNNING] / load[SLOTS], 1.0)),
                queue=float(load[WAITING] / load[SLOTS]),
                tokens=call.usage.completion_tokens or 0,
                seconds=call.latency_s,
            )
        )
    return records
