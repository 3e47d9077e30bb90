"""RouterEval at its full scale: 8,500 LLMs x 24,000 prompts (204 million records), pools of 3 to 1,000.

    uv run python benchmarks/routereval_scale.py                 # the comparison, its time and its memory
    uv run python benchmarks/routereval_scale.py --throughput    # against pool size and training size

The records are made up, low-rank plus noise: an LLM solves a prompt with a probability that depends on its strength,
on the prompt's difficulty and on how well six directions of the prompt's embedding suit it. So there is something to
learn, and the figures say nothing about any real LLM. Scores lie on disk and are mapped; only the columns of a pool
are read.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _shared import machine, peak_gib

from mar.controllers.routers.base import choose, prior
from mar.controllers.routers.registry import make_router
from mar.evaluation.routereval.construct import GROUPS, RoutingSet, Split, candidates, routing_set, stratified
from mar.evaluation.routereval.references import probability
from mar.evaluation.routereval.results import run_reference, run_router, run_single
from mar.evaluation.routereval.table import OutcomeTable
from mar.learning.progress import Progress

LLMS, PROMPTS, WIDTH, RANK = 8_500, 24_000, 64, 6
SIZES = (3, 10, 100, 1000)
ROUTERS = ("knn", "linear", "roberta_cluster")
BLOCK = 1_000  # prompts made at once
TIMED_S = 0.2  # CPU seconds that routing is repeated for


def make(folder: Path) -> OutcomeTable:
    """Write the records block by block and map them."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((PROMPTS, WIDTH), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    tastes = rng.standard_normal((RANK, LLMS), dtype=np.float32)
    strength = rng.normal(0, 1, LLMS).astype(np.float32)
    difficulty = rng.normal(0, 1, PROMPTS).astype(np.float32)
    folder.mkdir(parents=True)
    scores = np.lib.format.open_memmap(folder / "made.npy", mode="w+", dtype=np.uint8, shape=(PROMPTS, LLMS))
    for at in range(0, PROMPTS, BLOCK):
        some = vectors[at : at + BLOCK, :RANK] * np.float32(np.sqrt(WIDTH)) @ tastes
        logits = some + strength - difficulty[at : at + BLOCK, None]
        scores[at : at + BLOCK] = rng.random(logits.shape, dtype=np.float32) < 1 / (1 + np.exp(-logits))
    scores.flush()
    groups = tuple(f"part {i % 20}" for i in range(PROMPTS))
    models = tuple(f"llm-{j}" for j in range(LLMS))
    return OutcomeTable(name="made_up", models=models, scores=scores, vectors=vectors, groups=groups)


def main() -> None:
    print(machine())
    begin, begin_cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        table = make(Path(folder) / "table")
        print(f"{table.scores.size:,} records made in {time.process_time() - begin_cpu:.1f} s of CPU time")
        split = stratified(table.groups)
        if "--throughput" in sys.argv:
            throughput(table, split)
            return
        compare(table, split)
        whole, cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
        print(f"\nall of it: {whole:.0f} s by the clock, {cpu:.0f} s of CPU time (aim 180)")
        print(f"at most {peak_gib():.2f} GiB (aim 4)")


def compare(table: OutcomeTable, split: Split) -> None:
    print("\n| pool | group | router | mu_o | V_B | fit s | score s | prompts routed per s |")
    print("|---|---|---|---|---|---|---|---|")
    with Progress().bar("pools", total=len(SIZES) * len(GROUPS)) as bar:
        for m in SIZES:
            for group in GROUPS:
                problem = routing_set(table, candidates(table, m, group), split, group=group)
                found = [run_single(problem)]
                p = probability("oracle")
                assert p is not None
                found.append(run_reference(p, problem, name="oracle"))
                found += [run_router(make_router(name), problem, name=name) for name in ROUTERS]
                for one in found:
                    rate = f"{len(one.values) / one.score_s:,.0f}" if one.score_s else ""
                    print(
                        f"| {m} | {group} | {one.router} | {one.metrics.mu:.4f} | {one.metrics.vb:.4f} | "
                        f"{one.fit_s:.2f} | {one.score_s:.3f} | {rate} |",
                        flush=True,
                    )
                bar.advance()


def throughput(table: OutcomeTable, split: Split) -> None:
    """CPU seconds to fit, and prompts routed per CPU second, against pool size and training size."""
    print("\n| router | training prompts | " + " | ".join(f"fit s, {m} LLMs | prompts per s" for m in SIZES) + " |")
    print(f"|---|---|{'---|---|' * len(SIZES)}")
    sizes = (1_000, 5_000, len(split.train))
    cells: dict[tuple[str, int], list[str]] = {(name, n): [] for name in ROUTERS for n in sizes}
    for m in SIZES:
        models = candidates(table, m, "all_strong")
        for n in sizes:
            some = np.random.default_rng(0).permutation(split.train)[:n]
            part = Split(train=some, validation=split.validation, test=split.test)
            problem = routing_set(table, models, part, group="all_strong")
            for name in ROUTERS:
                fit_s, rate = timed(name, problem)
                cells[name, n].append(f"{fit_s:.2f} | {rate:,.0f}")
    for (name, n), row in cells.items():
        print(f"| {name} | {n:,} | {' | '.join(row)} |")


def timed(name: str, problem: RoutingSet) -> tuple[float, float]:
    """CPU seconds to fit, and prompts routed per CPU second."""
    router = make_router(name)
    begin = time.process_time()
    router.fit(problem.train, problem.validation)
    fit_s, begin, passes = time.process_time() - begin, time.process_time(), 0
    while time.process_time() - begin < TIMED_S:
        choose(router.score(problem.test), prior(problem.train))
        passes += 1
    return fit_s, passes * len(problem.test) / (time.process_time() - begin)


if __name__ == "__main__":
    main()
