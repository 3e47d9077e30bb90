"""RouterEval's baselines on MMLU-Pro, 28 real LLMs: the published code's figures, and how long routing takes.

    uv run python benchmarks/routereval_published.py           # the figures
    uv run python benchmarks/routereval_published.py --time    # kNN, linear, MLP and cluster on three pools, timed
    uv run python benchmarks/routereval_published.py --time --torch   # the same with linear and MLP in PyTorch

Split: numpy default_rng(0).permutation(12032), first 9,600 train, next 1,200 validation, rest test. Embeddings:
MiniLM of the question. "published ties" gives ties to the first column, as the published code does; beside it, ties
by training mean.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence

import numpy as np
from _routing import POOLS, embedded_table, pool_problem
from _shared import machine

from mar.controllers.routers.registry import make_router
from mar.evaluation.routereval.construct import RoutingSet
from mar.evaluation.routereval.recorded import mmlu_pro_table
from mar.evaluation.routereval.references import probability
from mar.evaluation.routereval.results import Measured, run_reference, run_router, run_single

PUBLISHED: Mapping[tuple[str, str], tuple[float, ...]] = {  # mu, V_B, E_p as the published code prints them
    ("five strongest", "knn"): (0.6372, 0.9075, 2.3018),
    ("ten middle", "knn"): (0.3815, 0.8987, 3.3015),
    ("five weakest", "knn"): (0.2321, 0.8614, 2.3059),
    ("five strongest", "roberta_cluster"): (0.7021,),
    ("ten middle", "roberta_cluster"): (0.4643,),
    ("five weakest", "roberta_cluster"): (0.2606,),
}
TIMED = ("knn", "linear", "mlp", "roberta_cluster")
IN_TORCH = ("knn", "_torch_networks:TorchLinear", "_torch_networks:TorchMlp", "roberta_cluster")


def row(pool: str, found: Measured, what: str) -> str:
    m = found.metrics
    known = PUBLISHED.get((pool, found.router), ()) if what == "published ties" else ()
    verdict = ""
    if known:
        reached = (m.mu, m.vb, m.ep)[: len(known)]
        verdict = " ".join(f"{k:.4f}" for k in known)
        verdict += " equal" if np.allclose(reached, known, atol=1.01e-4) else " DIFFERS"
    error = found.values.std(ddof=1) / np.sqrt(len(found.values))
    return (
        f"| {pool} | {found.router} | {what} | {m.mu:.4f} (se {error:.4f}) | {m.vb:.4f} | {m.ep:.4f} | {verdict} | "
        f"{found.fit_s:.2f} | {found.score_s:.2f} |"
    )


def references(pool: str, problem: RoutingSet) -> None:
    for name in ("oracle", "r_o_0.5", "random"):
        p = probability(name)
        assert p is not None
        print(row(pool, run_reference(p, problem, name=name), ""))
    print(row(pool, run_single(problem), ""))


def figures(problems: Mapping[str, RoutingSet]) -> None:
    print("\n| pool | router | ties | mu_o | V_B | E_p | published code | fit s | score s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for pool, problem in problems.items():
        references(pool, problem)
        for name in ("knn", "roberta_cluster"):
            print(row(pool, run_router(make_router(name), problem, name=name, published_ties=True), "published ties"))
        for name in (*TIMED, "svm", "mf", "elo"):
            print(row(pool, run_router(make_router(name), problem, name=name), "training mean"))


def timed(problems: Mapping[str, RoutingSet], routers: Sequence[str]) -> None:
    """CPU seconds of this process, which begins with importing everything and reading the embedded table."""
    cpu = {"imports and data": time.process_time()}
    reached: dict[str, list[str]] = {}
    for problem in problems.values():
        for name in routers:
            begin = time.process_time()
            found = run_router(make_router(name), problem, name=name)
            cpu[name] = cpu.get(name, 0.0) + time.process_time() - begin
            reached.setdefault(name, []).append(f"{found.metrics.mu:.4f}")
    print(f"\n| | CPU s | mu_o: {', '.join(problems)} |\n|---|---|---|")
    for what, seconds in cpu.items():
        print(f"| {what} | {seconds:.1f} | {' '.join(reached.get(what, []))} |")
    print(f"| all of it (aim: under 20) | {time.process_time():.1f} | |")


def main() -> None:
    print(machine())
    table = embedded_table("mmlu_pro", mmlu_pro_table)
    problems = {pool: pool_problem(table, pool, 0) for pool in POOLS}
    if "--time" in sys.argv:
        timed(problems, IN_TORCH if "--torch" in sys.argv else TIMED)
    else:
        figures(problems)


if __name__ == "__main__":
    main()
