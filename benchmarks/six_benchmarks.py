# pyright: basic
"""Do learned controllers beat the best fixed plan? Six benchmarks, five seeds, three prices of money.

    uv run python benchmarks/six_benchmarks.py    (--tasks gsm8k --effects 0.5: a part; goes on where it was stopped;
                                                  --workers 8: so many trainings and searches at once;
                                                  --calibration: the sequential controller's alone, at effects x 1)

Simulated pool on virtual time, real questions. Each benchmark is cut to fixed samples of its splits (SAMPLES), the
same for every seed. Each controller learns from at most 3,000 calls and serves every price without learning anew.
Beside them stand, at each price, the best of some two thousand fixed plans on the training and validation items
(`_plan_search.py`), and the best of every LLM alone and of every mode with the best LLM on the test items themselves,
in hindsight: nobody could have chosen it. Intervals are paired bootstraps over items and seeds. After the simulated
pool come the recorded answers of real LLMs (RouterBench's MBPP, MMLU-Pro), unless --tasks is given.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
import mmlu_pro_replay
import routerbench_replay
from _learning import SEEDS, mean, read_items, utilities, verdict
from _plan_search import search
from _shared import RUNS, data_folder, machine

from mar import clock
from mar.controllers.base import PlanSpace
from mar.controllers.baselines import Constant
from mar.controllers.embeddings import CachedEncoder, MiniLM
from mar.evaluation.comparison import Comparison
from mar.evaluation.experiment import run_experiment
from mar.evaluation.options import RunOptions
from mar.evaluation.results import ORACLE, ItemResult
from mar.evaluation.sequential_run import CHECKPOINT
from mar.evaluation.session import Session
from mar.evaluation.statistics import (
    Interval,
    bootstrap_mean,
    calibration_by_chance,
    calibration_error,
    paired_bootstrap,
)
from mar.execution import Spec, Workers, executor
from mar.files import write_atomically
from mar.learning.progress import Progress
from mar.runtime import read_episodes
from mar.tasks.registry import TASKS, load_task
from mar.tasks.resplit import OtherSplits
from mar.tasks.task import Split, Task, subset
from mar.types import Considered

SAMPLES: Mapping[Split, int] = {"train": 200, "validation": 40, "test": 500}
EPOCHS = {"sequential": 1, "masrouter": 5}
CHECKPOINTS = {"sequential": CHECKPOINT, "masrouter": "checkpoint.safetensors"}
DRAWS = 4  # of each test item
DRAWS_ELSEWHERE = 2  # at other prices than the first
RATES = {"mbpp": 18.5, "mmlu_pro": 22.9, "gsm8k": 33.9, "math": 25.4, "mmlu": 22.3, "humaneval": 44.4}
"""Prices of money at which the median random plan costs a tenth of utility."""
FACTORS = (1.0, 10.0, 0.1)  # of the price of money


def excerpt(task: Task[Any]) -> OtherSplits:
    """A task of which each split is cut to the same items for every seed."""
    splits: dict[Split, Sequence[Any]] = {s: subset(task, s, n, seed=0).items for s, n in SAMPLES.items()}
    return OtherSplits(task=task, splits=splits, how="an excerpt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A benchmark at one size of the effects."""

    name: str
    effects: float
    learned: dict[tuple[str, float], list[list[ItemResult]]]  # by controller and factor of the price; by seed
    fixed: dict[str, list[ItemResult]]
    searched: dict[float, list[ItemResult]]  # the best plan of the search by factor of the price
    search: str  # what the search was
    calibration: dict[float, float]  # expected calibration error by factor, of the sequential controller
    calls: float  # that it learned from, mean over seeds

    def rate(self, factor: float) -> float:
        return RATES[self.name] * factor

    def utility(self, results: Sequence[ItemResult], factor: float) -> float:
        return mean([r.utility(self.rate(factor)) for r in results])

    def best(self, factor: float) -> str:
        """The fixed plan that is best on the test items."""
        names = [n for n in self.fixed if n not in {"random plans", ORACLE}]
        return max(names, key=lambda n: self.utility(self.fixed[n], factor))

    def difference(self, controller: str, factor: float) -> Interval:
        """A controller minus the best fixed plan in hindsight, seed by seed."""
        return self._minus(controller, factor, self.fixed[self.best(factor)])

    def beyond_search(self, controller: str, factor: float) -> Interval:
        """A controller minus the best plan of the search, seed by seed."""
        return self._minus(controller, factor, self.searched[factor])

    def _minus(self, controller: str, factor: float, other: Sequence[ItemResult]) -> Interval:
        rate, runs = self.rate(factor), self.learned[controller, factor]
        draws = len(runs[0]) * DRAWS // len(other)
        return paired_bootstrap([utilities(r, rate, draws) for r in runs], [utilities(other, rate, DRAWS)] * len(runs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A run with a folder of its own."""

    name: str
    effects: float
    what: str  # a controller, "fixed" or "searched"
    factor: float = 1.0
    seed: int = 0

    def run(self) -> None:
        task, how = excerpt(load_task(self.name, data=data_folder())), _how(self.effects)
        place = f"six-{self.name}-{self.effects:g}"
        if self.what == "fixed":
            _fixed(task, self.name, RUNS / f"{place}-fixed", how)
        elif self.what == "searched":
            _searched(task, self.name, self.effects, RUNS / f"{place}-searched.json")
        else:
            _learned(self.what, task, self.name, self.factor, self.seed, how)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts(Spec[Part, None]):
    """Runs parts, each of which has virtual time and a thread of its own."""

    @property
    def repeatable(self) -> bool:
        """No two may be at work in one folder."""
        return False

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Callable[[Part], Awaitable[None]]]:
        yield self._work

    async def _work(self, part: Part) -> None:
        await anyio.to_thread.run_sync(part.run)


def run_ahead(
    where: Workers, names: Sequence[str], effects: Sequence[float], seeds: Sequence[int], controllers: Sequence[str]
) -> None:
    """Run everything that `measure` reads, several parts at once; at other prices only once a controller is there."""
    worlds = [(name, size) for size in effects for name in names]
    part = [partial(Part, name=name, effects=size) for name, size in worlds]
    first = [p(what=c, seed=s) for p in part for c in controllers for s in seeds]
    first += [p(what=what) for p in part for what in ("searched", "fixed")]
    others = [p(what=c, seed=s, factor=f) for p in part for c in controllers for s in seeds for f in FACTORS if f != 1]
    with executor(where, say=Progress().say) as workers:
        spec = Parts()
        for parts in (first, others):
            workers.run(
                spec, parts, lambda number, _, standing, of=parts: print(f"{of[number]}; {standing}", flush=True)
            )


def _how(effects: float) -> dict[str, Any]:
    return {"pool": "simulated", "effects": effects, "test_draws": DRAWS}


def _fixed(task: Any, name: str, folder: Path, how: Mapping[str, Any]) -> None:
    _run(task, folder, {"epochs": 0, "controllers": (), "baselines": True, **how}, RATES[name])


def measure(name: str, effects: float, seeds: Sequence[int], controllers: Sequence[str]) -> Measured:
    """Train and test what has not been yet, and read everything."""
    task = excerpt(load_task(name, data=data_folder()))
    how = _how(effects)
    place = f"six-{name}-{effects:g}"
    learned: dict[tuple[str, float], list[list[ItemResult]]] = {}
    calibration: dict[float, float] = {}
    calls: list[float] = []
    if "sequential" in controllers:
        for factor in FACTORS:
            folders = [_learned("sequential", task, name, factor, seed, how) for seed in seeds]
            learned["sequential", factor] = [read_items(f)["sequential"] for f in folders]
            calibration[factor] = calibration_error(*_stated(folders)[:2])
            calls += [_calls(f) for f in folders] if factor == 1 else []
    if "masrouter" in controllers:
        for factor in FACTORS:
            folders = [_learned("masrouter", task, name, factor, seed, how) for seed in seeds]
            learned["MasRouter", factor] = [read_items(f)["MasRouter"] for f in folders]
    fixed = RUNS / f"{place}-fixed"
    _fixed(task, name, fixed, how)
    found = _searched(task, name, effects, RUNS / f"{place}-searched.json")
    return Measured(
        name=name,
        effects=effects,
        learned=learned,
        fixed=read_items(fixed),
        searched={factor: [ItemResult(**r) for r in found["results"][f"{factor:g}"]] for factor in FACTORS},
        search=found["search"],
        calibration=calibration,
        calls=mean(calls),
    )


def _searched(task: Any, name: str, effects: float, path: Path) -> dict[str, Any]:
    """The best fixed plans of the search at each price on the test items; they are searched now unless they were."""

    async def find() -> None:
        train, test, progress = [*task.items("train"), *task.items("validation")], task.items("test"), Progress()
        encoder = CachedEncoder(MiniLM())
        session = Session(
            task=task, items=[*train, *test], pool="simulated", progress=progress, encoder=encoder, effects=effects
        )
        rates = {factor: RATES[name] * factor for factor in FACTORS}
        results: dict[str, Any] = {}
        async with session.open() as rollouts:
            space = PlanSpace.of(rollouts.runtime.pool, session.prompts)
            found = await search(rollouts, space, train, list(rates.values()), progress)
            comparison = Comparison(rollouts=rollouts, space=space, items=test, progress=progress, draws=DRAWS)
            for factor, rate in rates.items():
                row, _ = await comparison.run(Constant(found.plans[rate], name="searched"), group="fixed")
                results[f"{factor:g}"] = [asdict(r) for r in row.results]
        told = f"{found.searched:,} plans, {found.episodes:,} episodes"
        plans = {f"{factor:g}": found.plans[rate].to_json() for factor, rate in rates.items()}
        write_atomically(path, json.dumps({"search": told, "plans": plans, "results": results}))

    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        clock.run(find, virtual=True)
    return json.loads(path.read_text(encoding="utf-8"))


def _learned(controller: str, task: Any, name: str, factor: float, seed: int, how: Mapping[str, Any]) -> Path:
    """The run folder of a controller at a price; at other prices than the first it only serves."""
    place = RUNS / f"six-{name}-{how['effects']:g}-{controller}"
    first = place / f"{seed}"
    folder = first if factor == 1 else place / f"{seed}-x{factor:g}"
    options: dict[str, Any] = {"seed": seed, "controllers": (controller,), "epochs": EPOCHS[controller], **how}
    if factor != 1:
        options |= {"epochs": 0, "checkpoint": first / CHECKPOINTS[controller], "test_draws": DRAWS_ELSEWHERE}
    _run(task, folder, options, RATES[name] * factor)
    return folder


def _run(task: Any, folder: Path, options: dict[str, Any], rate: float) -> None:
    if not (folder / "items.json").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        run_experiment(task, RunOptions(**{"baselines": False, "cost_rate": rate, "out": folder} | options))


def _calls(folder: Path) -> float:
    notes = json.loads((folder / "results.json").read_text(encoding="utf-8"))["notes"]["sequential"]
    return float(notes.split()[2].replace(",", ""))


def _stated(folders: Sequence[Path]) -> tuple[list[float], list[bool], list[int]]:
    """Of every episode the stated probability that its answer is right, whether it is, and the number of its item."""
    stated: list[float] = []
    right: list[bool] = []
    items: list[int] = []
    for folder in folders:
        results = read_items(folder)["sequential"]
        episodes = list(read_episodes(folder / "episodes-test.jsonl"))
        places = {name: i for i, name in enumerate(sorted({e.query_id for e in episodes}))}
        for result, episode in zip(results, episodes, strict=True):
            last = [e for e in episode.events if isinstance(e, Considered)][-1]
            stated.append(last.why.options[0].right or 0.0)
            right.append(result.solved)
            items.append(places[episode.query_id])
    return stated, right, items


# What is printed ----------------------------------------------------------------------------------------------


def show(measured: Measured) -> None:
    """One benchmark's table."""
    n = len(next(iter(measured.fixed.values()))) // DRAWS
    draws = f"{DRAWS} draws ({DRAWS_ELSEWHERE} of learned controllers at other prices)"
    print(
        f"\n### {measured.name}, effects x {measured.effects:g}: {n} test items x {draws}; simulated pool, "
        f"version 2\n\n| cost_rate | controller | accuracy % | utility | USD / 100 | calls | failed % |\n"
        "|---|---|---|---|---|---|---|"
    )
    for factor in FACTORS:
        for (name, at), runs in measured.learned.items():
            if at == factor:
                by_seed = bootstrap_mean([measured.utility(run, factor) for run in runs])
                note = f" ({by_seed.low:.3f} to {by_seed.high:.3f} over {len(runs)} seeds)"
                print(_row(measured, factor, name, [r for run in runs for r in run], note))
        print(_row(measured, factor, f"best fixed plan of a search over {measured.search}", measured.searched[factor]))
        best = measured.best(factor)
        print(_row(measured, factor, f"best fixed plan in hindsight: {best}", measured.fixed[best]))
        print(_row(measured, factor, "random plans", measured.fixed["random plans"]))


def _row(measured: Measured, factor: float, name: str, results: Sequence[ItemResult], note: str = "") -> str:
    accuracy = 100 * mean([float(r.solved) for r in results])
    cost, calls = 100 * mean([r.cost_usd or 0.0 for r in results]), mean([float(r.calls) for r in results])
    failed = 100 * mean([float(r.failure is not None) for r in results])
    utility = f"{measured.utility(results, factor):.3f}{note}"
    cells = [f"{measured.rate(factor):.4g}", name, f"{accuracy:.1f}", utility, f"{cost:.4f}", f"{calls:.1f}"]
    return f"| {' | '.join(cells)} | {failed:.1f} |"


def show_headlines(everything: Sequence[Measured]) -> None:
    """The differences to the best fixed plan in hindsight, side by side."""
    print("\n### Learned minus the best fixed plan in hindsight, utility; simulated pool, version 2\n")
    print("| benchmark | effects | cost_rate x | controller | utility | best fixed plan | difference | 95% | | ECE |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for m in everything:
        for (name, factor), runs in m.learned.items():
            d, best = m.difference(name, factor), m.best(factor)
            utility = mean([m.utility(run, factor) for run in runs])
            error = f"{m.calibration[factor]:.3f}" if name == "sequential" else ""
            cells = [m.name, f"{m.effects:g}", f"{factor:g}", name, f"{utility:.3f}"]
            cells += [f"{best} {m.utility(m.fixed[best], factor):.3f}", f"{d.mean:+.4f}"]
            print(f"| {' | '.join(cells)} | {d.low:+.4f} to {d.high:+.4f} | {verdict(d)} | {error} |")
    print("\n### Learned minus the best fixed plan of the search on the training items\n")
    print("| benchmark | effects | cost_rate x | controller | best plan of the search | difference | 95% | |")
    print("|---|---|---|---|---|---|---|---|")
    for m in everything:
        for name, factor in m.learned:
            d = m.beyond_search(name, factor)
            cells = [m.name, f"{m.effects:g}", f"{factor:g}", name, f"{m.utility(m.searched[factor], factor):.3f}"]
            print(f"| {' | '.join(cells)} | {d.mean:+.4f} | {d.low:+.4f} to {d.high:+.4f} | {verdict(d)} |")
    print("\nCalls that the sequential controller learned from: ", end="")
    print(", ".join(f"{m.name} {m.calls:,.0f}" for m in everything))


def show_calibration(names: Sequence[str], seeds: Sequence[int]) -> None:
    """How far stated probabilities are off, and how far true ones would be."""
    print("\n| benchmark | cost_rate x | utility | stated | right | ECE | of true probabilities, 95% "
          "| of ones whose level so many items teach, 95% |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
    for name in names:
        task = excerpt(load_task(name, data=data_folder()))
        learned_from = len(task.items("train")) + len(task.items("validation"))
        for factor in FACTORS:
            folders = [_learned("sequential", task, name, factor, seed, _how(1.0)) for seed in seeds]
            stated, right, items = _stated(folders)
            results = [r for folder in folders for r in read_items(folder)["sequential"]]
            by_chance = [calibration_by_chance(stated, right, items, learned_from=n) for n in (None, learned_from)]
            cells = [name, f"{factor:g}", f"{mean([r.utility(RATES[name] * factor) for r in results]):.3f}"]
            cells += [f"{mean(stated):.3f}", f"{mean(right):.3f}", f"{calibration_error(stated, right):.3f}"]
            cells += [f"{c.mean:.3f} ({c.low:.3f} to {c.high:.3f})" for c in by_chance]
            print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Measure, then print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), help="only these, and no recorded answers")
    parser.add_argument("--effects", type=float, nargs="+", default=[1.0, 0.5, 2.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--controllers", nargs="+", choices=("masrouter", "sequential"))
    parser.add_argument("--calibration", action="store_true", help="how far stated probabilities are off, nothing else")
    parser.add_argument("--workers", type=int, help="processes that run parts at once")
    arguments = parser.parse_args()
    print(machine())
    controllers = arguments.controllers or ("masrouter", "sequential")
    if arguments.workers is not None:
        names = arguments.tasks or list(TASKS)
        run_ahead(Workers(workers=arguments.workers), names, arguments.effects, arguments.seeds, controllers)
    if arguments.calibration:
        show_calibration(arguments.tasks or list(TASKS), arguments.seeds)
        return
    everything = [
        measure(n, effects, arguments.seeds, controllers)
        for effects in arguments.effects
        for n in arguments.tasks or TASKS
    ]
    for measured in everything:
        show(measured)
    show_headlines(everything)
    if arguments.tasks is None:
        print("\n### Recorded answers: MBPP prompts of RouterBench, 11 real LLMs")
        routerbench_replay.main()
        print("\n### Recorded answers: MMLU-Pro, 8 real LLMs")
        mmlu_pro_replay.main()


if __name__ == "__main__":
    import six_benchmarks  # by the name that workers find it by

    six_benchmarks.main()
