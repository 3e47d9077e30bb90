# pyright: basic
"""The library's training of `linear` and `mlp` against the published one, on MMLU-Pro.

    uv run python benchmarks/routereval_sequential.py linear    # three pools, about 40 s each
    uv run python benchmarks/routereval_sequential.py mlp       # five strongest, about 15 minutes

Published (RouterEval, arXiv 2503.10657): one prompt at a time, binary cross-entropy on logits, Adam, a cosine schedule;
`linear` one layer, learning rate 0.01, 10 epochs; `mlp` two hidden layers of 256, 1e-4, 100 epochs. It is written here
once more, with PyTorch's layers, loss and optimiser, and shares no line with the library's. What a run found is kept:
a second one only prints.
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise

import numpy as np
import torch
from _routing import POOLS, embedded_table, pool_problem
from _shared import RUNS, machine
from torch import nn

from mar.controllers.routers.base import choose, prior
from mar.controllers.routers.registry import make_router
from mar.evaluation.routereval.construct import RoutingSet
from mar.evaluation.routereval.recorded import mmlu_pro_table
from mar.evaluation.routereval.results import run_router
from mar.evaluation.statistics import paired_bootstrap
from mar.learning.progress import Progress

SETTINGS = {"linear": ((), 0.01, 10), "mlp": ((256, 256), 1e-4, 100)}  # hidden layers, learning rate, epochs
WHERE = {"linear": tuple(POOLS), "mlp": ("five strongest",)}
SEEDS = 5  # of the library's training


def published(name: str, problem: RoutingSet, pool: str) -> tuple[np.ndarray, float]:
    """Test scores of the LLMs that the published training chooses, and the seconds of CPU time it took."""
    hidden, lr, epochs = SETTINGS[name]
    torch.manual_seed(0)
    torch.set_num_threads(1)
    begin = time.process_time()
    x, y = torch.from_numpy(problem.train.vectors), torch.from_numpy(problem.train.targets)
    sizes = (x.shape[1], *hidden, y.shape[1])
    network = nn.Sequential(*[part for a, b in pairwise(sizes) for part in (nn.ReLU(), nn.Linear(a, b))][1:])
    optimizer = torch.optim.Adam(network.parameters(), lr=lr, fused=True)  # the same steps in one kernel
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(x))
    loss = nn.BCEWithLogitsLoss()
    with Progress().bar(f"published {name}, {pool}", total=epochs) as bar:
        for epoch in range(epochs):
            for i in torch.randperm(len(x)).tolist():
                optimizer.zero_grad()
                loss(network(x[i : i + 1]), y[i : i + 1]).backward()
                optimizer.step()
                schedule.step()
            values = chosen(network, problem)
            bar.advance(note=f"{values.mean():.4f} after {epoch + 1}")
    return values, time.process_time() - begin


def chosen(network: nn.Module, problem: RoutingSet) -> np.ndarray:
    """Test scores of the LLMs that a network's logits choose."""
    with torch.inference_mode():
        logits = network(torch.from_numpy(problem.test.vectors)).numpy()
    at = choose(logits, prior(problem.train))
    return problem.test.scores[np.arange(len(at)), at]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("router", choices=sorted(SETTINGS))
    name = parser.parse_args().router
    print(machine())
    table = embedded_table("mmlu_pro", mmlu_pro_table)
    print("\n| pool | router | published training: mu_o | standard error | CPU s | ours: mean of 5 seeds | CPU s | "
          "ours - published, 95% | within a standard error |\n|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    for pool in WHERE[name]:
        problem = pool_problem(table, pool, 0)
        place = RUNS / "routereval_sequential" / f"{name}-{pool.replace(' ', '_')}.npz"
        if not place.is_file():
            values, seconds = published(name, problem, pool)
            place.parent.mkdir(parents=True, exist_ok=True)
            np.savez(place, values=values, seconds=seconds)
        with np.load(place) as kept:
            values, seconds = kept["values"], float(kept["seconds"])
        begin = time.process_time()
        ours = [run_router(make_router(name, seed=seed), problem, name=name).values for seed in range(SEEDS)]
        each = (time.process_time() - begin) / SEEDS
        gap = paired_bootstrap(np.stack(ours).tolist(), [values.tolist()] * SEEDS)
        error = values.std(ddof=1) / np.sqrt(len(values))
        better = "better" if gap.mean > 0 else "worse"
        verdict = "yes" if abs(gap.mean) <= error else f"no: ours is {better}"
        print(
            f"| {pool} | {name} | {values.mean():.4f} | {error:.4f} | {seconds:.0f} | {np.mean(ours):.4f} | "
            f"{each:.1f} | "
            f"{gap.mean:+.4f} ({gap.low:+.4f} to {gap.high:+.4f}) | {verdict} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
