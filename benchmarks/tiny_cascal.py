"""Routing with generated data on real vLLM servers, end to end: a tiny writer, two tiny quiz models, no label.

    scripts/vllm/install_cpu.sh && uv run python benchmarks/tiny_cascal.py

Per seed the writer writes questions on two subjects, both quiz models answer them with log-probabilities, CASCAL learns
who is good at what, and routes test questions. Beside it stand every model alone and the oracle, by labels.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from _shared import machine

from mar.controllers.embeddings import CachedEncoder, MiniLM
from mar.evaluation.statistics import paired_bootstrap
from mar.learning.progress import Progress
from mar.pool.servers import Watch
from mar.testing.tinygenerated import GeneratedRun, run_generated
from mar.testing.tinypool import QUIZZERS, serve_tiny_pool

SEEDS = 5


def show(runs: list[GeneratedRun]) -> None:
    """Accuracies of all seeds, and the difference to the best single model of each."""
    models = list(runs[0].singles)
    print("| seed | learned from | of them sound | CASCAL | " + " | ".join(models) + " | oracle |")
    print("|---|---|---|---|" + "---|" * (len(models) + 1))
    for seed, run in enumerate(runs):
        alone = [float(np.mean(run.singles[m])) for m in models]
        shown = [
            run.sound,
            float(np.mean(run.routed)),
            *alone,
            float(np.any(list(run.singles.values()), axis=0).mean()),
        ]
        print(f"| {seed} | {run.written} | " + " | ".join(f"{100 * value:.1f}" for value in shown) + " |")
    best = [max(run.singles.values(), key=sum) for run in runs]
    gap = paired_bootstrap([[float(x) for x in run.routed] for run in runs], [[float(x) for x in b] for b in best])
    print(
        f"\nCASCAL minus the best single model of each seed (by labels): {100 * gap.mean:+.1f} "
        f"({100 * gap.low:+.1f} to {100 * gap.high:+.1f}) points"
    )
    for subject in runs[0].picks:
        chosen = sum((run.picks[subject] for run in runs), start=type(runs[0].picks[subject])())
        print(f"{subject}: " + ", ".join(f"{model} {count}" for model, count in chosen.most_common()))


def main() -> None:
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with serve_tiny_pool(place / "servers", QUIZZERS, first_port=8480, watch=Watch()) as tiny:
            encoder = CachedEncoder(MiniLM())
            runs = [
                run_generated(tiny, place / str(seed), encoder, seed=seed, progress=Progress()) for seed in range(SEEDS)
            ]
    show(runs)


if __name__ == "__main__":
    main()
