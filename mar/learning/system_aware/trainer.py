# pyright: basic
"""Training under load: episodes arrive in an open loop, and what they teach changes the policy while others run.

A run is a list of segments, one for each arrival process of each epoch. Within a segment every finished episode goes
into a batch; a full batch is learned from on copies of the networks, which are then swapped in between two decisions.
On a real pool the learning happens in a thread beside the event loop, on virtual time it takes no time. On-policy
learners get only the steps that were decided by the present weights or the ones before; older ones are dropped and
counted. Alone that rule would drop slow episodes and keep quick ones, and teach that slow choices are rare, not bad:
so on-policy learners also wait with an update until every episode that began under older weights has ended. The state
is saved after every segment, when nothing is under way; on virtual time each segment is a world of its own, so a
killed run goes on bit for bit.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic

import anyio

from mar.clock import virtual_clock
from mar.controllers.base import PlanSpace
from mar.controllers.system_aware.controller import SystemAware
from mar.controllers.system_aware.executor import Recording
from mar.controllers.system_aware.planners import Ask, Drawn
from mar.learning.arrivals import Arrivals
from mar.learning.openloop import open_loop
from mar.learning.progress import Bar, Progress
from mar.learning.rollouts import Job, Rollouts
from mar.learning.rundir import RunDir, TrainingState
from mar.learning.system_aware.gradient import PolicyGradient
from mar.learning.system_aware.pilot import run_pilot
from mar.learning.system_aware.samples import Sample, StepSample, sample_of
from mar.learning.system_aware.selection import Selection
from mar.learning.system_aware.settings import SystemTraining
from mar.learning.system_aware.worth import WorthLearner
from mar.numerics import one_thread
from mar.runtime import RunIdentity
from mar.tasks.task import ItemT


@dataclass(slots=True)
class Counts:
    """What became of the episodes of a segment."""

    shed: int = 0  # turned away
    outside: int = 0  # failed for reasons that say nothing about the policy
    stale_steps: int = 0  # dropped for their age
    stale_episodes: int = 0  # of which nothing was left
    samples: list[Sample] = field(default_factory=list[Sample])


class SystemTrainer(Generic[ItemT]):
    """Trains a system-aware controller, segment by segment.

    Args:
        controller: Who learns; it draws its choices while it does.
        space: What plans are made of.
        items: What is asked in training.
        validation: What is asked to choose among policies.
        settings: Of the training.
        run: Where the state is kept.
        progress: Shows what goes on.
    """

    def __init__(
        self,
        controller: SystemAware,
        space: PlanSpace,
        items: Sequence[ItemT],
        validation: Sequence[ItemT],
        settings: SystemTraining,
        run: RunDir,
        progress: Progress,
    ) -> None:
        self.controller, self.space, self.settings = controller, space, settings
        self.items, self.validation = items, validation
        self.run, self.progress = run, progress
        self.learner = (
            WorthLearner(controller, settings)
            if controller.settings.variant == "ours"
            else PolicyGradient(controller, space, settings)
        )
        self.parts = self.learner.parts()
        state = run.load_state(self.parts)
        self.state = state or TrainingState()
        if state is not None:
            self.learner.swap()
        self._batch: list[tuple[Sample, tuple[StepSample, ...]]] = []
        self._updating = anyio.Lock()
        self._under_way = Counter[int]()  # episodes by the version of the weights that they began under

    # Segments -------------------------------------------------------------------------------------------------

    @property
    def segments(self) -> int:
        """How many there are: a pilot where it is needed, every arrival process of every epoch, and a choice."""
        return self._piloted + self._trained + self._chosen

    @property
    def _trained(self) -> int:
        return self.settings.epochs * len(self.settings.arrivals)

    @property
    def _chosen(self) -> int:
        return int(self.settings.epochs > 0 and self.controller.settings.variant == "ours")

    @property
    def _piloted(self) -> int:
        settings = self.controller.settings
        return int(self.settings.epochs > 0 and (settings.variant == "ours" or settings.estimates))

    @property
    def next_segment(self) -> int | None:
        """The segment to run next; None when all are done."""
        return self.state.batch if self.state.batch < self.segments else None

    async def segment(
        self, rollouts: Rollouts[ItemT], *, derive: Callable[[list[Sample]], None] = lambda _: None
    ) -> list[Sample]:
        """Run the next segment and save the state. The servers must be idle.

        Args:
            rollouts: Who runs episodes.
            derive: Writes what else is kept of the segment's samples. The state is saved after it, so that a run that
                was killed in between does both again.
        """
        with one_thread():  # the tensors are small: more threads would only wait for each other
            samples = await self._segment(rollouts)
        derive(samples)
        self.run.save_state(self.state, self.parts)
        return samples

    async def _segment(self, rollouts: Rollouts[ItemT]) -> list[Sample]:
        number = self.state.batch
        self.controller.greedy = False
        samples: list[Sample] = []
        about = (self.controller, self.space, rollouts)
        if number < self._piloted:
            samples = await run_pilot(*about, self.items, self.settings, self.progress)
            self.learner.begin(samples)
            metrics: dict[str, float] = {}
        elif number < self._piloted + self._trained:
            samples, metrics = await self._train(rollouts, number - self._piloted)
        else:
            metrics = await self._choose(rollouts)
        metrics |= self.learner.end_segment()
        self._swap()
        self.run.log(self.state.step, {"epoch": self.epoch_of(number), "segment": number, **metrics})
        self.state.batch = number + 1
        return samples

    async def _choose(self, rollouts: Rollouts[ItemT]) -> dict[str, float]:
        assert isinstance(self.learner, WorthLearner)
        selection = Selection(
            controller=self.controller,
            space=self.space,
            rollouts=rollouts,
            items=[*self.validation, *self.items],
            settings=self.settings,
            progress=self.progress,
        )
        knobs, metrics = await selection.choose()
        self.learner.set(knobs)
        return metrics

    def epoch_of(self, segment: int) -> int:
        """The epoch that a segment belongs to; -1 for the pilot."""
        return (segment - self._piloted) // len(self.settings.arrivals)

    def arrivals_of(self, segment: int) -> Arrivals | None:
        """The arrival process of a segment; None for the pilot."""
        place = segment - self._piloted
        return None if place < 0 else self.settings.arrivals[place % len(self.settings.arrivals)]

    async def _train(self, rollouts: Rollouts[ItemT], place: int) -> tuple[list[Sample], dict[str, float]]:
        settings, counts = self.settings, Counts()
        epoch, arrivals = divmod(place, len(settings.arrivals))
        process = settings.arrivals[arrivals]
        seed = settings.seed * 1000 + place
        rng = random.Random(f"{seed}/segment")
        times = process.times(settings.episodes, seed=seed)
        items = _cycled(len(self.items), settings.episodes, rng)
        budgets = [rng.choice(settings.budgets_s) for _ in times]
        senses, pool = self.controller.executor.senses, rollouts.runtime.pool

        def ask(i: int, *, now: bool = True) -> Ask:
            telemetry = pool.telemetry() if now else {}
            query = rollouts.task.query(self.items[items[i]])
            return Ask(seen=senses.arrival(query, budgets[i], telemetry), key=f"{seed}/{i}/plan")

        plans = _Plans(self.controller, self.space, ask, settings.episodes, settings.update_every)
        label = f"epoch {epoch + 1}, {60 * process.rate:g}/min {process.pattern}"
        with self.progress.bar(label, total=len(times)) as bar:

            async def one(i: int) -> None:
                began = self.controller.executor.version
                self._under_way[began] += 1
                asked, drawn = plans.draw(i)
                recording = Recording(self.controller.executor, len(drawn.plan.agents), f"{seed}/{i}")
                late = replace(rollouts, deadline_s=budgets[i])
                how = self.controller.carried(drawn.plan, recording.bind)
                identity = RunIdentity(seed=settings.seed, epoch=f"train-{place}", rollout=i)
                outcome = await late.one(Job(item=self.items[items[i]], how=how, identity=identity))
                self._under_way[began] -= 1
                await self._collect(sample_of(asked.seen, drawn, recording.decisions, outcome, budgets[i]), counts)
                self._show(bar, counts)

            results = await open_loop(times, one, most=settings.most_in_flight)
        counts.shed = len(results) - len(counts.samples) - counts.outside
        self._batch.clear()
        self._under_way.clear()
        return counts.samples, _metrics(counts, process)

    def _show(self, bar: Bar, counts: Counts) -> None:
        recent = counts.samples[-64:]
        quality = sum(s.outcome.score.value for s in recent) / max(1, len(recent))
        bar.advance(note=f"quality {quality:.2f}, version {self.controller.executor.version}")

    # Updates --------------------------------------------------------------------------------------------------

    async def _collect(self, sample: Sample, counts: Counts) -> None:
        if not sample.learnable:
            counts.outside += 1
            return
        counts.samples.append(sample)
        fresh = self._fresh(sample)
        counts.stale_steps += len(sample.steps) - len(fresh)
        if self.learner.on_policy and sample.steps and not fresh:
            counts.stale_episodes += 1
            return
        self._batch.append((sample, fresh))
        if len(self._batch) >= self.settings.update_every and not self._awaited():
            batch, self._batch = self._batch, []
            await self._update(batch)

    def _awaited(self) -> bool:
        """Whether an on-policy learner must wait for episodes that began under older weights."""
        version = self.controller.executor.version
        return self.learner.on_policy and any(n > 0 for v, n in self._under_way.items() if v < version)

    def _fresh(self, sample: Sample) -> tuple[StepSample, ...]:
        """The steps that were decided by the present weights or the ones before."""
        oldest = self.controller.executor.version - 1
        return tuple(s for s in sample.steps if s.decision.version >= oldest)

    async def _update(self, batch: Sequence[tuple[Sample, tuple[StepSample, ...]]]) -> None:
        samples, steps = [s for s, _ in batch], [x for _, fresh in batch for x in fresh]
        async with self._updating:
            key = f"{self.settings.seed}/update/{self.state.step}"
            if virtual_clock() is None:
                metrics = await anyio.to_thread.run_sync(self.learner.learn, samples, steps, key)
            else:
                metrics = self.learner.learn(samples, steps, key)
            self._swap()
        self.state.step += 1
        self.run.log(self.state.step, metrics)

    def _swap(self) -> None:
        self.learner.swap()
        self.controller.executor.version += 1
        self.controller.planner.version += 1


class _Plans:
    """Draws plans: on arrival where the planner sees the load, else in blocks, each in one tensor pass."""

    def __init__(
        self, controller: SystemAware, space: PlanSpace, ask: Callable[..., Ask], episodes: int, block: int
    ) -> None:
        self._controller, self._space, self._ask = controller, space, ask
        self._episodes, self._block = episodes, block
        self._ready: dict[int, tuple[Ask, Drawn]] = {}

    def draw(self, i: int) -> tuple[Ask, Drawn]:
        """The plan of episode `i`, which has arrived, and what was seen of it."""
        if self._controller.sees_load:
            asks = [self._ask(i)]
            return asks[0], self._drawn(asks)[0]
        if i not in self._ready:
            numbers = range(i, min(i + self._block, self._episodes))
            asks = [self._ask(k, now=False) for k in numbers]
            self._ready |= dict(zip(numbers, zip(asks, self._drawn(asks), strict=True), strict=True))
        return self._ready.pop(i)

    def _drawn(self, asks: list[Ask]) -> list[Drawn]:
        return self._controller.planner.draw(asks, self._space, greedy=False)


def _cycled(n: int, count: int, rng: random.Random) -> list[int]:
    """`count` items of `n`, every one as often as every other, but for one."""
    order: list[int] = []
    while len(order) < count:
        order += rng.sample(range(n), n)
    return order[:count]


def _metrics(counts: Counts, process: Arrivals) -> dict[str, Any]:
    samples = counts.samples
    n = max(1, len(samples))
    return {
        "rate_per_min": 60 * process.rate,
        "episodes": len(samples),
        "shed": counts.shed,
        "failed_outside": counts.outside,
        "stale_steps": counts.stale_steps,
        "stale_episodes": counts.stale_episodes,
        "segment_quality": sum(s.outcome.score.value for s in samples) / n,
        "segment_in_time": sum(s.in_time for s in samples) / n,
        "segment_latency_s": sum(s.outcome.latency_s for s in samples) / n,
    }
