# pyright: basic
"""Does a trained controller beat the best fixed plan? Six benchmarks, five seeds, half, once and twice the effects.

    uv run python benchmarks/six_benchmarks.py    (--tasks gsm8k --effects 1: a part; goes on where it was stopped)

Simulated pool on virtual time, real questions. To be run in an hour, each benchmark is cut to fixed samples of its
splits (SAMPLES), the same for every seed; MBPP is also measured in full, by mbpp_learning.py. Every controller gets
DRAWS episodes per test item. It is compared with two simple plans. One was chosen as anyone would, on the training
items: it is the survey's, at which training begins. The other is the best of every LLM alone and of every mode with the
best LLM on the test items themselves, in hindsight, which nobody could have chosen. Intervals are paired bootstraps
over items and seeds. After the simulated pool come the recorded answers of real LLMs (RouterBench's MBPP, MMLU-Pro),
unless --tasks is given.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmlu_pro_replay
import routerbench_replay
from _learning import SEEDS, mean, read_items, run_fixed, utilities, verdict
from _shared import RUNS, data_folder, machine

from mar.evaluation.experiment import run_experiment
from mar.evaluation.options import RunOptions
from mar.evaluation.results import ItemResult, Row, oracle
from mar.evaluation.statistics import Interval, bootstrap_mean, paired_bootstrap
from mar.learning.survey import SIMPLE
from mar.tasks.registry import TASKS, load_task
from mar.tasks.resplit import OtherSplits
from mar.tasks.task import Split, Task, subset

SAMPLES: Mapping[Split, int] = {"train": 200, "validation": 40, "test": 200}
EPOCHS = 5  # 65 updates
MORE_EPOCHS = {"humaneval": 32}  # of its 28 training items, which are two updates
DRAWS = 2


def excerpt(task: Task[Any]) -> OtherSplits:
    """A task of which each split is cut to the same items for every seed."""
    splits: dict[Split, Sequence[Any]] = {s: subset(task, s, n, seed=0).items for s, n in SAMPLES.items()}
    return OtherSplits(task=task, splits=splits, how="an excerpt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A benchmark at one size of the effects: the learned controller of each seed, and everything that is fixed."""

    name: str
    effects: float
    cost_rate: float
    learned: list[list[ItemResult]]  # by seed
    surveyed: list[list[ItemResult]]  # by seed: the simple plan that was best on the training items
    singles: dict[str, list[ItemResult]]
    modes: dict[str, list[ItemResult]]
    random: list[ItemResult]
    oracle: list[ItemResult]

    def mean_utility(self, results: Sequence[ItemResult]) -> float:
        return mean([r.utility(self.cost_rate) for r in results])

    def best(self, plans: Mapping[str, list[ItemResult]]) -> str:
        return max(plans, key=lambda name: self.mean_utility(plans[name]))

    def difference(self, others: Sequence[list[ItemResult]]) -> Interval:
        """Learned minus others, seed by seed."""
        ours, theirs = ([utilities(run, self.cost_rate, DRAWS) for run in runs] for runs in (self.learned, others))
        return paired_bootstrap(ours, theirs)


def measure(name: str, effects: float, seeds: Sequence[int]) -> Measured:
    """Train and test what has not been yet, and read everything."""
    task = excerpt(load_task(name, data=data_folder()))
    how = {"pool": "simulated", "effects": effects, "test_draws": DRAWS}
    folders = [RUNS / f"six-{name}-{effects:g}-{seed}" for seed in seeds]
    for seed, folder in zip(seeds, folders, strict=True):
        if not (folder / "items.json").is_file():
            run_experiment(
                task, RunOptions(seed=seed, epochs=MORE_EPOCHS.get(name, EPOCHS), baselines=False, out=folder, **how)
            )
    cost_rate = _cost_rate(folders[0])
    fixed = RunOptions(epochs=0, cost_rate=cost_rate, out=RUNS / f"six-{name}-{effects:g}-fixed", **how)
    plans = run_fixed(task, fixed)
    modes = {n: r for n, r in plans.items() if " x " in n}
    singles = {n: r for n, r in plans.items() if n not in modes and n != "random plans"}
    return Measured(
        name=name,
        effects=effects,
        cost_rate=cost_rate,
        learned=[read_items(f)["MasRouter"] for f in folders],
        surveyed=[read_items(f)[SIMPLE] for f in folders],
        singles=singles,
        modes=modes,
        random=plans["random plans"],
        oracle=_oracle({**singles, **modes}, cost_rate),
    )


def _cost_rate(folder: Path) -> float:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))["cost_rate"]


def _oracle(plans: Mapping[str, list[ItemResult]], cost_rate: float) -> list[ItemResult]:
    rows = [Row(name=name, group="", results=tuple(results)) for name, results in plans.items()]
    return list(oracle(rows, cost_rate).results)


# What is printed ----------------------------------------------------------------------------------------------


def show(measured: Measured) -> None:
    """One benchmark's table."""
    n = len(measured.learned[0]) // DRAWS
    print(
        f"\n### {measured.name}, effects x {measured.effects:g}: {n} test items x {DRAWS} draws, "
        f"{len(measured.learned)} seeds, cost_rate {measured.cost_rate:g}; simulated pool\n"
    )
    print("| controller | accuracy % | utility | USD / 100 | calls | failed % |\n|---|---|---|---|---|---|")
    single, mode = measured.best(measured.singles), measured.best(measured.modes)
    by_seed = bootstrap_mean([measured.mean_utility(run) for run in measured.learned])
    print(
        _row(
            measured,
            "MasRouter",
            [r for run in measured.learned for r in run],
            f" ({by_seed.low:.3f} to {by_seed.high:.3f} over seeds)",
        )
    )
    print(_row(measured, "best simple plan on training items", [r for run in measured.surveyed for r in run]))
    print(_row(measured, f"best single LLM: {single}", measured.singles[single]))
    print(_row(measured, f"best fixed mode: {mode}", measured.modes[mode]))
    print(_row(measured, "random plans", measured.random))
    print(_row(measured, "oracle over the fixed plans", measured.oracle))


def _row(measured: Measured, name: str, results: Sequence[ItemResult], note: str = "") -> str:
    accuracy = 100 * mean([float(r.solved) for r in results])
    cost, calls = 100 * mean([r.cost_usd or 0.0 for r in results]), mean([float(r.calls) for r in results])
    failed = 100 * mean([float(r.failure is not None) for r in results])
    utility = f"{measured.mean_utility(results):.3f}{note}"
    return f"| {name} | {accuracy:.1f} | {utility} | {cost:.4f} | {calls:.1f} | {failed:.1f} |"


def show_headlines(everything: Sequence[Measured]) -> None:
    """The differences to the best simple plans, side by side."""
    print("\n### MasRouter minus the best simple plan, utility; simulated pool\n")
    print("| benchmark | effects | MasRouter | chosen on the training items | difference | 95% | |", end="")
    print(" chosen in hindsight | difference | 95% | |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for m in everything:
        fixed = {**m.singles, **m.modes}
        best = m.best(fixed)
        cells = [m.name, f"{m.effects:g}", f"{mean([m.mean_utility(run) for run in m.learned]):.3f}"]
        cells += [f"{mean([m.mean_utility(run) for run in m.surveyed]):.3f}", *_compared(m.difference(m.surveyed))]
        cells += [f"{best} {m.mean_utility(fixed[best]):.3f}", *_compared(m.difference([fixed[best]] * len(m.learned)))]
        print("| " + " | ".join(cells) + " |")


def _compared(d: Interval) -> list[str]:
    return [f"{d.mean:+.4f}", f"{d.low:+.4f} to {d.high:+.4f}", verdict(d)]


def main() -> None:
    """Measure, then print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), help="only these, and no recorded answers")
    parser.add_argument("--effects", type=float, nargs="+", default=[1.0, 0.5, 2.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    arguments = parser.parse_args()
    print(machine())
    everything = [
        measure(n, effects, arguments.seeds) for effects in arguments.effects for n in arguments.tasks or TASKS
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
    main()
