# pyright: basic
"""Asking for programs step by step, on answers that 11 real LLMs gave to MBPP prompts (RouterBench).

    uv run python benchmarks/sequential_programs.py

The prompts whose text equals an MBPP task's, on which recorded answers can be executed (their only function is
renamed to what the tests call; an answer that defines no single function fails). The first test is shown, all tests
grade. Costs are those recorded. Five-fold cross-validation, five permutations: models, prices, the cascade's order and
the best single LLM are learned on the other four parts. "in hindsight": the LLM that is best on all prompts. Verdicts
are kept in runs/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from _shared import ROOT, RUNS, data_folder, machine

from mar import clock
from mar.concurrency import gather
from mar.controllers.weighing.programs import Programs
from mar.evaluation.recording_tables import called_name, renamed
from mar.evaluation.routereval.state import digest_of_files
from mar.evaluation.statistics import calibration_by_chance, calibration_error, paired_bootstrap
from mar.pool import RouterBenchItem, load_routerbench
from mar.runtime.code import extract_code
from mar.runtime.sandbox import Sandbox
from mar.tasks.mbpp import Mbpp, MbppItem

PRICES = (0.0, 1.0, 10.28, 100.0)  # utility per USD
PATIENCE = (0.5, 1.0, 2.0, 4.0)
SEEDS, FOLDS = 5, 5


def main() -> None:
    print(machine())
    by_text = {item.text.strip(): item for item in Mbpp.load(data=data_folder()).all_items}
    rows = load_routerbench(data_folder() / "outcomes" / "routerbench_mbpp" / "mbpp.jsonl.gz")
    some = [(row, by_text[row.prompt.strip()]) for row in rows if row.prompt.strip() in by_text]
    shown, graded = verdicts(some)
    usd = np.array([[answer.cost_usd or 0.0 for answer in row.answers.values()] for row, _ in some])
    models = list(some[0][0].answers)
    print(f"\n{len(some)} prompts, {len(models)} LLMs; "
          f"a passing program is right in {graded.sum() / shown.sum():.1%}")  # fmt: skip
    print("\n| price, utility per USD | way | accuracy | calls | USD / 100 | utility | over best single | "
          "over best single in hindsight | ECE | of true probabilities, 95% |\n" + "|---" * 10 + "|")  # fmt: skip
    for price in PRICES:
        ways = [ways_at(price, shown, graded, usd, seed) for seed in range(SEEDS)]
        best = int((graded - price * usd).mean(axis=0).argmax())
        hindsight = [graded[:, best] - price * usd[:, best]] * SEEDS
        for name in ways[0]:
            show(price, name, [w[name] for w in ways], [w["best single"] for w in ways], hindsight)
        print(f"| {price} | in hindsight: {models[best]} | {graded[:, best].mean():.3f} | 1 | "
              f"{100 * usd[:, best].mean():.4f} | {np.mean(hindsight):.4f} | | | | |")  # fmt: skip


def ways_at(
    price: float, shown: np.ndarray, graded: np.ndarray, usd: np.ndarray, seed: int
) -> Mapping[str, Mapping[str, np.ndarray]]:
    """Utility, accuracy, calls, USD and certainty of each way on every prompt, decided without its part."""
    n, m = shown.shape
    order = np.random.default_rng(seed).permutation(n)
    names = ("best single", "cascade", "step by step")
    found = {name: {k: np.zeros(n) for k in ("utility", "right", "calls", "usd", "sure")} for name in names}
    for fold in range(FOLDS):
        test = order[fold::FOLDS]
        train = np.setdiff1d(order, test)
        mean = usd[train].mean(axis=0)
        model = Programs().fit(shown[train], graded[train])

        def ran(rows: np.ndarray, patience: float, model=model, mean=mean) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            decided = model.run(shown[rows], price * mean, patience=patience)
            return graded[rows, decided.chosen], decided.asked, decided.sure

        def worth(outcome: tuple, rows: np.ndarray) -> float:
            return float((outcome[0] - price * (usd[rows] * outcome[1]).sum(axis=1)).mean())

        patience = max(PATIENCE, key=lambda p: worth(ran(train, p), train))
        single = int((graded[train] - price * usd[train]).mean(axis=0).argmax())
        queue = greedy(shown[train], graded[train], usd[train], price)
        outcomes = {
            "best single": (
                graded[test, single],
                np.tile(np.eye(m)[single], (len(test), 1)),
                np.full(len(test), np.nan),
            ),
            "cascade": (*cascade(shown[test], graded[test], queue), np.full(len(test), np.nan)),
            "step by step": ran(test, patience),
        }
        for name, (right, asked, sure) in outcomes.items():
            spent = (usd[test] * asked).sum(axis=1)
            for key, values in (
                ("utility", right - price * spent),
                ("right", right),
                ("calls", asked.sum(axis=1)),
                ("usd", spent),
                ("sure", sure),
            ):
                found[name][key][test] = values
    return found


def cascade(shown: np.ndarray, graded: np.ndarray, queue: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Ask in this order until a program passes; the last one is handed in."""
    asked = np.zeros(shown.shape)
    right, active = np.zeros(len(shown)), np.ones(len(shown), dtype=bool)
    for j in queue:
        asked[active, j] = 1
        right[active] = graded[active, j]
        active &= ~shown[:, j]
    return right, asked


def greedy(shown: np.ndarray, graded: np.ndarray, usd: np.ndarray, price: float) -> list[int]:
    """The order of the cascade, model by model, as long as another adds utility."""

    def worth(queue: list[int]) -> float:
        right, asked = cascade(shown, graded, queue)
        return float((right - price * (usd * asked).sum(axis=1)).mean())

    queue: list[int] = []
    while len(queue) < shown.shape[1]:
        longer = [[*queue, j] for j in range(shown.shape[1]) if j not in queue]
        best = max(longer, key=worth)
        if queue and worth(best) <= worth(queue):
            break
        queue = best
    return queue


def show(
    price: float,
    name: str,
    runs: Sequence[Mapping[str, np.ndarray]],
    single: Sequence[Mapping[str, np.ndarray]],
    hindsight: Sequence[np.ndarray],
) -> None:
    """One row."""
    values = [run["utility"].tolist() for run in runs]
    gaps = (
        paired_bootstrap(values, [run["utility"].tolist() for run in single]),
        paired_bootstrap(values, [h.tolist() for h in hindsight]),
    )
    cells = [f"{g.mean:+.3f} ({g.low:+.3f} to {g.high:+.3f}){'' if g.excludes_zero else ' tie'}" for g in gaps]
    accuracy, calls, usd, utility = (
        float(np.mean([run[key] for run in runs])) for key in ("right", "calls", "usd", "utility")
    )
    sure, right = (np.concatenate([run[key] for run in runs]) for key in ("sure", "right"))
    error = by_chance = ""
    if np.isfinite(sure).all():
        stated, came = sure.tolist(), (right > 0).tolist()
        chance = calibration_by_chance(stated, came, list(range(len(hindsight[0]))) * len(runs))
        error = f"{calibration_error(stated, came):.3f}"
        by_chance = f"{chance.mean:.3f} ({chance.low:.3f} to {chance.high:.3f})"
    print(f"| {price} | {name} | {accuracy:.3f} | {calls:.2f} | {100 * usd:.4f} | {utility:.4f} | "
          f"{' | '.join(cells)} | {error} | {by_chance} |", flush=True)  # fmt: skip


def verdicts(some: Sequence[tuple[RouterBenchItem, MbppItem]]) -> tuple[np.ndarray, np.ndarray]:
    """Whether each program passes the first test, and all tests, (n, m): executed once."""
    path = RUNS / "sequential_programs" / f"verdicts-{digest_of_files(_sandbox())}.npz"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        first, every = clock.run(partial(judged, some), virtual=False)
        np.savez_compressed(path, first=first, every=every)
    with np.load(path) as kept:
        return kept["first"], kept["every"]


def _sandbox() -> list[Path]:
    return sorted((ROOT / "mar" / "runtime" / "sandbox").glob("*.py"))


async def judged(some: Sequence[tuple[RouterBenchItem, MbppItem]]) -> tuple[np.ndarray, np.ndarray]:
    """The same, executed."""
    models = list(some[0][0].answers)
    first, every = (np.zeros((len(some), len(models)), dtype=bool) for _ in range(2))
    async with Sandbox() as sandbox:

        async def one(q: int, m: int) -> None:
            row, item = some[q]
            code = renamed(extract_code(row.answers[models[m]].text), called_name(item.tests[0]))
            if code is not None:
                report = await sandbox.run_tests(item.job(code))
                first[q, m] = bool(report.results) and report.results[0].outcome == "passed"
                every[q, m] = report.passed

        await gather([partial(one, q, m) for q in range(len(some)) for m in range(len(models))], limit=8)
    return first, every


if __name__ == "__main__":
    main()
