# pyright: basic
"""What is delivered in time under load: our system-aware router, the published one, MasRouter and rules.

    uv run python benchmarks/system_goodput.py    (--tasks mbpp math --seeds 5: a part; goes on where it was stopped)

Simulated vLLM pool (five models on two GPUs) on virtual time, real questions. Every seed trains its own MasRouter,
published and our router, and draws its own arrivals; within a seed all policies get the same questions at the same
times with the same draws. Goodput is the share of arrivals that are solved within 100 s. Rules choose the model of one
agent by load; they are also shown with each prompt strategy, of which "best rule" takes the best in hindsight on the
test itself, so that comparison is hard on what is learned. Intervals are paired bootstraps over questions and seeds.

The training is cut to what fits: TRAIN questions, EPISODES episodes at each of RATES for both routers. The published
router begins with the seed's MasRouter and is tested as published, with drawn choices, and with the most likely ones.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _shared import RUNS, data_folder, machine

from mar import clock
from mar.controllers.base import Controller, PlanSpace
from mar.controllers.embeddings import CachedEncoder, MiniLM
from mar.controllers.masrouter import MasRouter, NetworkSettings, PlanOptions
from mar.controllers.system_aware import RULES, ByRule, OpenPlans, rule
from mar.controllers.system_aware.controller import STRATEGIES, SystemAware, SystemSettings, Variant, build
from mar.evaluation.loadtest import LoadTest
from mar.evaluation.qualities import single_qualities
from mar.evaluation.session import Session
from mar.evaluation.statistics import Interval, paired_bootstrap
from mar.files import write_atomically
from mar.learning.arrivals import Arrivals
from mar.learning.imagined import ImaginedTrainer
from mar.learning.progress import Progress
from mar.learning.rollouts import Rollouts
from mar.learning.rundir import RunDir
from mar.learning.settings import TrainSettings
from mar.learning.system_aware import SystemTrainer, SystemTraining
from mar.learning.system_aware.settings import LONG, LONG_TIERS, SHORT_TIERS, early
from mar.pool.choose import configured_pool
from mar.tasks.registry import load_task
from mar.tasks.task import Split, subset

TASK_ORDER = ("mbpp", "math", "gsm8k", "humaneval", "mmlu")
ITEMS: dict[Split, int] = {"train": 200, "validation": 60, "test": 300}
QUERIES = 300  # per test; questions come again where there are fewer
BUDGET_S = 100.0
HEAVY, LIGHT = 200, (10, 100)  # requests a minute
RATES = (10, 50, 100, 200)  # of the training, requests a minute
EPISODES = 400  # at each of them
COST_RATE = 10  # of MasRouter, as in the published comparison
IN_FLIGHT = 256  # while training
MASROUTER_ITEMS, MASROUTER_EPOCHS = 128, 3
PUBLISHED = ("published", "published, most likely")
LEARNED = ("MasRouter", *PUBLISHED, "ours")
WEIGHING = ("marginal-value", "best-feasible")  # rules that are also shown with each strategy
POOL = "simulated-vllm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One policy under one arrival rate with one seed: what became of each query, in order."""

    good: tuple[bool, ...]
    solved: tuple[bool, ...]
    in_time: tuple[bool, ...]
    latency_s: tuple[float, ...]
    calls: tuple[int, ...]
    goodput_per_s: float


class Bench:
    """One benchmark."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.task = load_task(name, data=data_folder() / "benchmarks")
        self.items = {split: list(subset(self.task, split, n, 0).items) for split, n in ITEMS.items()}
        self.encoder = CachedEncoder(MiniLM())
        everything = [i for items in self.items.values() for i in items]
        self.encoder.encode([self.task.query(i).text for i in everything])
        self.session = Session(
            task=self.task, items=everything, pool=POOL, progress=Progress(quiet=True), encoder=self.encoder
        )
        self.space: PlanSpace | None = None
        self.qualities: dict[str, float] = {}

    def folder(self, seed: int) -> Path:
        """Where a seed's results are kept."""
        return RUNS / "system_goodput" / self.name / f"seed{seed}"

    def seen(self, seed: int, policy: str, rate: float) -> Cell | None:
        """A cell that was measured before."""
        path = self._path(seed, policy, rate)
        if not path.is_file():
            return None
        kept: dict[str, Any] = json.loads(path.read_text())
        return Cell(**{k: tuple(v) if isinstance(v, list) else v for k, v in kept.items()})  # pyright: ignore

    def _path(self, seed: int, policy: str, rate: float) -> Path:
        slug = "".join(c if c.isalnum() else "-" for c in policy)
        return self.folder(seed) / f"{slug}-{rate:g}.json"

    # Measuring ------------------------------------------------------------------------------------------------

    def measure(self, seed: int) -> None:
        """All cells of a seed that are missing."""
        wanted = [(p, r) for p in LEARNED for r in (*LIGHT, HEAVY)] + [(p, HEAVY) for p in rule_names()]
        if all(self.seen(seed, p, r) is not None for p, r in wanted):
            return
        self._in_loop(self._prepare)
        router = self._in_loop(partial(self._masrouter, seed))
        learned: dict[str, Controller] = {"MasRouter": router}
        for variant in ("published", "ours"):
            learned[variant] = self._trained(seed, variant, router)
        for policy, rate in wanted:
            if self.seen(seed, policy, rate) is None:
                self._in_loop(partial(self._cell, seed, policy, rate, learned))

    def _in_loop(self, work: Any) -> Any:
        """Run something on servers that are idle."""

        async def main() -> Any:
            async with self.session.open() as rollouts:
                return await work(rollouts)

        return clock.run(main, virtual=configured_pool(POOL) is None)

    async def _prepare(self, rollouts: Rollouts[Any]) -> None:
        if self.space is None:
            self.space = PlanSpace.of(rollouts.runtime.pool, rollouts.runtime.prompts)
            pilot = self.items["train"]
            self.qualities = await single_qualities(rollouts, self.space, pilot, Progress(quiet=True))

    def _test(self, rollouts: Rollouts[Any], seed: int) -> LoadTest[Any]:
        assert self.space is not None
        return LoadTest(
            rollouts=rollouts,
            space=self.space,
            items=self.items["test"],
            progress=Progress(quiet=True),
            budget_s=BUDGET_S,
            seed=seed,
        )

    async def _cell(
        self, seed: int, policy: str, rate: float, learned: dict[str, Controller], rollouts: Rollouts[Any]
    ) -> None:
        controller = self._controller(policy, learned)
        result = await self._test(rollouts, seed).run(controller, Arrivals(rate=rate / 60), QUERIES)
        kept = {
            "good": [r.good for r in result.requests],
            "solved": [r.solved for r in result.requests],
            "in_time": [r.in_time for r in result.requests],
            "latency_s": [r.latency_s for r in result.requests],
            "calls": [r.calls for r in result.requests],
            "goodput_per_s": result.figures()["goodput_per_s"],
        }
        write_atomically(self._path(seed, policy, rate), json.dumps(kept))

    def _controller(self, name: str, learned: dict[str, Controller]) -> Controller:
        assert self.space is not None
        if name in LEARNED:
            controller = learned[name.partition(",")[0]]
            if isinstance(controller, SystemAware):
                controller.greedy = name != "published"
            return controller
        choice, _, strategy = name.partition(", ")
        plans = OpenPlans(self.task.domain, strategy=strategy or None)
        return ByRule(plans, rule(choice, self.space.cards, self.qualities), name=name)

    # Learning -------------------------------------------------------------------------------------------------

    async def _masrouter(self, seed: int, rollouts: Rollouts[Any]) -> MasRouter:
        assert self.space is not None
        router = MasRouter(
            NetworkSettings(),
            self.encoder,
            cost_rate=COST_RATE,
            seed=seed,
            options=PlanOptions(domain=self.task.domain),
        )
        settings = TrainSettings(epochs=MASROUTER_EPOCHS, cost_rate=COST_RATE, seed=seed)
        run = RunDir.open(self.folder(seed) / "masrouter", arguments=settings.model_dump(mode="json"), prompts="")
        trainer = ImaginedTrainer(router, self.space, rollouts, settings, run, Progress(quiet=True))
        began = time.process_time()
        await trainer.train(self.items["train"][:MASROUTER_ITEMS], self.items["validation"])
        self._say(seed, "MasRouter", began)
        return router

    def _trained(self, seed: int, variant: Variant, router: MasRouter) -> SystemAware:
        assert self.space is not None
        settings = SystemTraining(
            arrivals=tuple(Arrivals(rate=r / 60) for r in RATES),
            episodes=EPISODES,
            budgets_s=LONG_TIERS if self.name in LONG else SHORT_TIERS,
            most_in_flight=IN_FLIGHT,
            seed=seed,
        )
        settings = early(settings) if variant == "early" else settings
        make = SystemSettings(variant=variant, domain=self.task.domain, models=tuple(c.name for c in self.space.cards))
        run = RunDir.open(self.folder(seed) / variant, arguments=settings.model_dump(mode="json"), prompts="")
        controller = build(make, self.space, self.encoder, seed=seed, router=_copy(router, self.encoder))
        trainer = SystemTrainer(
            controller, self.space, self.items["train"], self.items["validation"], settings, run, Progress(quiet=True)
        )
        began = time.process_time()
        while trainer.next_segment is not None:
            self._in_loop(trainer.segment)
        self._say(seed, variant, began)
        return controller

    def _say(self, seed: int, what: str, began: float) -> None:
        print(f"{self.name}, seed {seed}: {what} trained, {time.process_time() - began:.0f} s of CPU time", flush=True)


def _copy(router: MasRouter, encoder: CachedEncoder) -> MasRouter:
    """A router that can learn on without changing this one."""
    fresh = MasRouter(router.settings, encoder, cost_rate=router.cost_rate, options=router.options)
    fresh.network.load_state_dict(router.network.state_dict())
    return fresh


def rule_names() -> list[str]:
    """Every rule, and those that weigh quality with each prompt strategy."""
    return [*RULES, *(f"{name}, {strategy}" for name in WEIGHING for strategy in STRATEGIES)]


# Reporting ----------------------------------------------------------------------------------------------------


def goods(cells: Sequence[Cell]) -> list[list[float]]:
    """Goodput by seed and query."""
    return [[float(x) for x in cell.good] for cell in cells]


Table = dict[tuple[str, float], list[Cell]]  # by policy and requests a minute: a cell for each seed


def report(bench: str, table: Table) -> None:
    """The rows of one benchmark and what they say about the goals."""
    print(f"\n### {bench}\n")
    print("| policy | req/min | goodput % (std over seeds) | per s | solved % | in time % | mean s | p95 s | calls |")
    print("|---|---|---|---|---|---|---|---|---|")
    for (policy, rate), cells in table.items():
        share = [100 * np.mean(c.good) for c in cells]
        latency = [x for c in cells for x in c.latency_s]
        print(
            f"| {policy} | {rate:g} | {np.mean(share):.1f} ({np.std(share):.1f}) | "
            f"{np.mean([c.goodput_per_s for c in cells]):.2f} | {100 * np.mean([c.solved for c in cells]):.1f} | "
            f"{100 * np.mean([c.in_time for c in cells]):.1f} | {np.mean(latency):.0f} | "
            f"{np.quantile(latency, 0.95):.0f} | {np.mean([c.calls for c in cells]):.1f} |"
        )
    ours, idle = table["ours", HEAVY], table["MasRouter", LIGHT[0]]
    published, plain, best = (_best(table, names) for names in (PUBLISHED, RULES, rule_names()))
    print()
    for what, other in (
        ("MasRouter", table["MasRouter", HEAVY]),
        ("published (the better of both)", published),
        ("the best rule in hindsight", plain),
        ("the best rule with the best strategy in hindsight", best),
        ("MasRouter on an idle pool", idle),
    ):
        print(f"ours at {HEAVY}/min minus {what}: {_points(paired_bootstrap(goods(ours), goods(other)))}")
    gap = _share(idle) - _share(published)
    closed = f"{(_share(ours) - _share(published)) / gap:.2f}" if gap > 0 else "there is none"
    print(f"share of the gap between published under load and MasRouter idle that ours closes: {closed} (aim 0.5)")
    loaded = _share(table["MasRouter", HEAVY])
    times = f"{_share(ours) / loaded:.1f} times it" if loaded > 0 else "it is 0"
    print(f"goodput over MasRouter's: {times} (aim 2, or MasRouter above 45%)")


def summary(tables: dict[str, Table]) -> None:
    """A row for each benchmark."""
    at = f"at {HEAVY}"
    heads = ["", f"MasRouter at {LIGHT[0]}/min", f"MasRouter {at}", f"published {at}: drawn; most likely", f"ours {at}"]
    print(f"\n| {' | '.join(heads)} | ours - published | ours - best rule | ours - best rule and strategy |")
    print("|---" * (len(heads) + 3) + "|")
    for bench, table in tables.items():
        ours = table["ours", HEAVY]
        shares = [_spread(table["MasRouter", LIGHT[0]]), _spread(table["MasRouter", HEAVY])]
        shares += ["; ".join(_spread(table[name, HEAVY]) for name in PUBLISHED), _spread(ours)]
        others = [_best(table, names) for names in (PUBLISHED, RULES, rule_names())]
        leads = [_points(paired_bootstrap(goods(ours), goods(other))) for other in others]
        print(f"| {bench} | {' | '.join([*shares, *leads])} |")


def _best(table: Table, names: Iterable[str]) -> list[Cell]:
    """The policy that delivers most under load, chosen in hindsight."""
    return max((table[name, HEAVY] for name in names), key=_share)


def _spread(cells: Sequence[Cell]) -> str:
    """Goodput in percent, and its standard deviation over seeds."""
    share = [100 * np.mean(cell.good) for cell in cells]
    return f"{np.mean(share):.1f} ({np.std(share):.1f})"


def _share(cells: Sequence[Cell]) -> float:
    return float(np.mean([c.good for c in cells]))


def _points(difference: Interval) -> str:
    verdict = "a tie" if not difference.excludes_zero else "above" if difference.low > 0 else "below"
    return (
        f"{100 * difference.mean:+.1f} points ({100 * difference.low:+.1f} to {100 * difference.high:+.1f}), {verdict}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", nargs="+", default=list(TASK_ORDER), choices=TASK_ORDER)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    print(f"{machine()}; simulated; {options.seeds} seeds; budget {BUDGET_S:g} s, {QUERIES} queries", flush=True)
    tables: dict[str, Table] = {}
    keys = [(p, r) for p in LEARNED for r in (*LIGHT, HEAVY)] + [(p, HEAVY) for p in rule_names()]
    for name in options.tasks:
        bench = Bench(name)
        for seed in range(options.seeds):
            bench.measure(seed)
        found = {key: [bench.seen(seed, *key) for seed in range(options.seeds)] for key in keys}
        tables[name] = {key: [c for c in cells if c is not None] for key, cells in found.items()}
        report(name, tables[name])
    summary(tables)


if __name__ == "__main__":
    main()
