# pyright: basic
"""Routers that read more than similarity: against the best single LLM and every simple router, on recorded answers.

    uv run python benchmarks/routereval_better.py mmlu_pro           # 28 LLMs, three pools, five splits
    uv run python benchmarks/routereval_better.py untested           # what was decided by: prompts that no split tests
    uv run python benchmarks/routereval_better.py model7             # seven LLMs, five test sets, five seeds
    uv run python benchmarks/routereval_better.py routerbench_mbpp   # 11 LLMs, quality against cost

The first two take `--embedding`, a name or a folder: another encoder than MiniLM, for all routers.

Routers that choose nothing on validation learn from the training and the validation prompts, simple ones and ours
alike; test prompts are only routed. "best simple" is the simple router with the highest mean on the very test prompts,
chosen in hindsight, against us. Intervals of differences are paired bootstraps over prompts, with seeds or splits
resampled too. A run that was killed goes on, unless routers were rewritten meanwhile.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import _routing
import numpy as np
from _routing import POOLS, TRAIN, VALIDATION, Categories, WordedCategories, embedded_table, pool_problem
from _shared import ROOT, RUNS, machine

from mar.controllers.routers.base import joined
from mar.controllers.routers.registry import make_router
from mar.controllers.routers.shrunken import Benchmarks
from mar.evaluation.routereval.construct import RoutingSet, Split, permuted, ranked, routing_set, stated
from mar.evaluation.routereval.recorded import MODEL7_PARTS, RECORDED
from mar.evaluation.routereval.results import SINGLE, Measured, run_router, run_single
from mar.evaluation.routereval.state import digest_of_files, digest_of_problem
from mar.evaluation.routereval.store import Store
from mar.evaluation.routereval.table import OutcomeTable
from mar.evaluation.routereval.trade_off import aiq_gain, sweep
from mar.evaluation.statistics import Interval
from mar.extensions import parse_call
from mar.learning.progress import Progress

OURS = ("shrunken",)
PARTS = (
    "trees",
    "kernel",
    "_routing:Neighbours",
    "_routing:Categories",
    "_routing:WithKernel",
    "_routing:WordedCategories",
    "_routing:WordedNeighbours",
    "_routing:WithWording",
)
CHOOSING = ("mlp",)  # stops by the validation loss, so it may not learn from those prompts
SIMPLE = ("knn", "knn(k=200)", "roberta_cluster(clusters=10)", "mf", "elo", "mlp", "_routing:SimpleSum")
SEEDS = range(5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=("mmlu_pro", "untested", "model7", "routerbench_mbpp"))
    parser.add_argument("--embedding", help="encoder of MMLU-Pro's queries, by name or folder (default: MiniLM)")
    chosen = parser.parse_args()
    if chosen.embedding and chosen.table not in ("mmlu_pro", "untested"):
        parser.error(f"--embedding is of mmlu_pro and untested; {chosen.table} is embedded with MiniLM")
    print(machine())
    if chosen.table == "model7":
        model7()
    elif chosen.table == "routerbench_mbpp":
        trade_off()
    else:
        table = embedded_table("mmlu_pro_query", RECORDED["mmlu_pro_query"], chosen.embedding)
        (mmlu_pro if chosen.table == "mmlu_pro" else untested)(table)


def run(name: str, problem: RoutingSet, seed: int, *, both: bool = True) -> Measured:
    """One router on one problem, or what an earlier run measured.

    Args:
        name: The router.
        problem: What to route.
        seed: Of the split, and on model7 of the router.
        both: Whether the training and the validation prompts are different ones.
    """
    store = Store.open(RUNS / "routereval", {})
    key = f"{problem.benchmark}-{problem.group}-{seed}-{name}-{digest_of_problem(problem)}-{code()}"
    key = key.replace(" ", "_").replace("/", "_")
    if key not in store and name == SINGLE:
        store.put(key, run_single(problem))
    elif key not in store:
        learned = problem
        if both and name in SIMPLE and name not in CHOOSING:
            learned = replace(problem, train=joined(problem.train, problem.validation))
        kind, parameters = parse_call(name, "router")
        router = make_router(kind, **parameters)
        if hasattr(router, "seed") and problem.benchmark == "model7":
            router = make_router(kind, **{**parameters, "seed": seed})
        store.put(key, run_router(router, learned, name=name, seed=seed))
    return store.get(key)


@cache
def code() -> str:
    """Digest of all routers' code: what was measured with other code is measured again."""
    return digest_of_files([*sorted((ROOT / "mar" / "controllers" / "routers").glob("*.py")), Path(_routing.__file__)])


def mmlu_pro(table: OutcomeTable) -> None:
    """Mean over five splits. All routers see the query as agents get it, with its options."""
    print("\n| pool | router | mean test accuracy | over the best simple router, 95% | |\n|---|---|---|---|---|")
    together: dict[str, list[np.ndarray]] = {}
    with Progress().bar("routers", total=len(POOLS) * len(SEEDS) * (len(SIMPLE) + len(OURS))) as bar:
        for pool in POOLS:
            values: dict[str, list[np.ndarray]] = {}
            for seed in SEEDS:
                problem = pool_problem(table, pool, seed)
                values.setdefault("oracle", []).append(problem.test.scores.max(axis=1))
                values.setdefault(SINGLE, []).append(run_single(problem).values)
                for name in (*SIMPLE, *OURS):
                    values.setdefault(name, []).append(run(name, problem, seed).values)
                    bar.advance(note=f"{pool} {name}")
            table_rows(pool, values)
            for name, found in values.items():  # the same prompts, whatever the pool
                together[name] = [a + b / len(POOLS) for a, b in zip(together.get(name, [0] * 5), found, strict=True)]
    table_rows("mean of the three", together)


def untested(table: OutcomeTable) -> None:
    """Cross-validation among the prompts that are in none of the five test parts: where designs are compared."""
    tested = [permuted(len(table), seed=seed, train=TRAIN, validation=VALIDATION).test for seed in SEEDS]
    left = np.setdiff1d(np.arange(len(table)), np.concatenate(tested))
    order = np.random.default_rng(100).permutation(left)
    print(f"\n{len(left)} prompts\n")
    print(f"| router | {' | '.join(POOLS)} | sum over {SINGLE} | sum minus {OURS[0]}, 95% | |")
    print(f"|{'---|' * 7}")
    values: dict[str, np.ndarray] = {}  # (pools, prompts)
    for name in (*OURS, SINGLE, "knn(k=200)", "elo", "_routing:SimpleSum", *PARTS):
        values[name] = np.stack([cross_validated(table, name, pool, order) for pool in POOLS])
    for name, found in values.items():
        gap = difference([found.sum(axis=0)], [values[OURS[0]].sum(axis=0)])
        cells = " | ".join(f"{mean:.4f}" for mean in found.mean(axis=1))
        over = (found.sum(axis=0) - values[SINGLE].sum(axis=0)).mean()
        span = "" if name in OURS else f"{gap.mean:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})"
        print(f"| {name} | {cells} | {over:+.4f} | {span} | {'' if name in OURS else verdict_of(gap)} |")
    print(f"\nthe right category: Categories {told_apart(table, order, Categories):.1%} of the questions, "
          f"WordedCategories {told_apart(table, order, WordedCategories):.1%}")  # fmt: skip


def folds(order: np.ndarray) -> Iterator[Split]:
    """Five folds; nothing is chosen on validation, so it is training again."""
    for fold in SEEDS:
        test = order[fold :: len(SEEDS)]
        learned = np.setdiff1d(order, test)
        yield Split(train=learned, validation=learned, test=test)


def told_apart(table: OutcomeTable, order: np.ndarray, kind: type[Benchmarks]) -> float:
    """How often the most probable category is the right one."""
    right = []
    for split in folds(order):
        problem = routing_set(table, table.models, split, group="categories")
        categories = kind()
        categories.fit(problem.train, problem.train)
        likely = categories.names_[categories.probabilities(problem.test).argmax(axis=1)]
        right.append(likely == np.array(problem.test.groups))
    return float(np.concatenate(right).mean())


def cross_validated(table: OutcomeTable, name: str, pool: str, order: np.ndarray) -> np.ndarray:
    """What a router scores on each prompt, fold by fold."""
    values = []
    for fold, split in enumerate(folds(order)):
        problem = routing_set(table, ranked(table, *POOLS[pool]), split, group=f"untested {pool}")
        values.append(run(name, problem, fold, both=False).values)
    return np.concatenate(values)


def table_rows(pool: str, values: Mapping[str, Sequence[np.ndarray]]) -> None:
    means = {name: float(np.mean([v.mean() for v in some])) for name, some in values.items()}
    best = max(SIMPLE, key=lambda name: means[name])
    for name in ("oracle", SINGLE, *SIMPLE, *OURS):
        gap = difference(values[name], values[best])
        verdict = "" if name in ("oracle", best) else verdict_of(gap)
        span = "" if name in ("oracle", best) else f"{gap.mean:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})"
        mark = " (best simple)" if name == best else ""
        print(f"| {pool} | {name}{mark} | {means[name]:.4f} | {span} | {verdict} |", flush=True)


def verdict_of(gap: Interval) -> str:
    return "above" if gap.low > 0 else "below" if gap.high < 0 else "tie"


def difference(a: Sequence[np.ndarray], b: Sequence[np.ndarray], *, draws: int = 4000) -> Interval:
    """Mean of a - b over splits of equal weight, resampling splits and the prompts within each."""
    gaps = [x - y for x, y in zip(a, b, strict=True)]
    rng = np.random.default_rng(0)
    means = np.empty(draws)
    for i in range(draws):
        some = [gaps[j] for j in rng.integers(0, len(gaps), len(gaps))]
        means[i] = np.mean([g[rng.integers(0, len(g), len(g))].mean() for g in some])
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(mean=float(np.mean([g.mean() for g in gaps])), low=float(low), high=float(high))


def model7() -> None:
    """Mean over the five test sets, five seeds; a tenth of the five training sets validates."""
    table = embedded_table("model7", RECORDED["model7"])
    problems = {seed: routing_set(table, table.models, stated(table.splits, seed=seed), group="all", relabel=False)
                for seed in SEEDS}  # fmt: skip
    parts = {name: np.array(problems[0].test.groups) == name for name in MODEL7_PARTS}
    values = {
        name: [run(name, problem, seed).values for seed, problem in problems.items()]
        for name in (SINGLE, *SIMPLE, *OURS)
    }
    values["oracle"] = [problems[0].test.scores.max(axis=1)] * len(problems)
    means = {name: np.mean([[v[part].mean() for part in parts.values()] for v in some], axis=0)
             for name, some in values.items()}  # fmt: skip
    best = max(SIMPLE, key=lambda name: means[name].mean())
    print(f"\n| router | {' | '.join(MODEL7_PARTS)} | mean | over {best}, 95% | |\n|---|{'---|' * 8}")
    for name in ("oracle", SINGLE, *SIMPLE, *OURS):
        gap = over_parts(values[name], values[best], list(parts.values()))
        cells = " | ".join(f"{100 * x:.2f}" for x in means[name])
        span = f"{100 * gap.mean:+.2f} ({100 * gap.low:+.2f} to {100 * gap.high:+.2f})"
        print(f"| {name} | {cells} | {100 * means[name].mean():.2f} | {span} | {verdict_of(gap)} |", flush=True)


def over_parts(
    a: Sequence[np.ndarray], b: Sequence[np.ndarray], parts: Sequence[np.ndarray], *, draws: int = 4000
) -> Interval:
    """Mean of a - b over test sets of equal weight, resampling seeds, and prompts within each test set."""
    gaps = np.stack(a).astype(np.float64) - np.stack(b)
    rng = np.random.default_rng(0)
    means = np.empty(draws)
    for i in range(draws):
        rows = gaps[rng.integers(0, len(gaps), len(gaps))].mean(axis=0)
        means[i] = np.mean([rng.choice(rows[part], part.sum()).mean() for part in parts])
    low, high = np.quantile(means, [0.025, 0.975])
    exact = float(np.mean([gaps.mean(axis=0)[part].mean() for part in parts]))
    return Interval(mean=exact, low=float(low), high=float(high))


def trade_off() -> None:
    """Area under the quality-cost curve against the hull of the single LLMs: five splits like the published one."""
    table = embedded_table("routerbench_mbpp", RECORDED["routerbench_mbpp"])
    assert table.costs is not None
    print("\n| router | AIQ minus that of the single LLMs' hull, 95% | |\n|---|---|---|")
    for name in ("knn", "knn(k=50)", "mf", "kernel", "shrunken"):
        curves, tests = [], []
        for seed in SEEDS:
            split = permuted(len(table), seed=seed, train=259, validation=40)
            problem = routing_set(table, table.models, split, group="all")
            kind, parameters = parse_call(name, "router")
            router = make_router(kind, **parameters)
            router.fit(problem.train, problem.validation)
            predicted = router.score(problem.test)
            known = np.asarray(table.costs)
            tests.append((problem.test.scores, known[split.test]))
            curves.append(sweep(predicted, known[split.train].mean(axis=0), problem.test.scores, known[split.test]))
        gap = aiq_gain(curves, tests)
        print(f"| {name} | {gap.mean:+.4f} ({gap.low:+.4f} to {gap.high:+.4f}) | {verdict_of(gap)} |", flush=True)


if __name__ == "__main__":
    main()
