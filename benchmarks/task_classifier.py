# pyright: basic
"""How well does the task classifier tell the domains of held-out queries? All six benchmarks, five seeds.

    uv run python benchmarks/task_classifier.py    (--limit 300: at most so many queries of each split)

The classifier is taught as in training: on every training query of the union before the first update, and again for a
controller whose query projection the policy has moved since (here: by noise a tenth of its weights' size). Tested on
every test query of the six benchmarks. Real questions, no LLM, so nothing here is simulated. What a whole training run
reaches, `experiments/run_all.py` prints.
"""

from __future__ import annotations

import argparse

import torch
from _learning import SEEDS
from _shared import data_folder, machine
from rich.console import Console

from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import CachedEncoder, MiniLM
from mar.controllers.masrouter import MasRouter, NetworkSettings
from mar.evaluation.domains import DomainRow, domain_rows, domain_table
from mar.learning.domains import Lessons
from mar.pool.simulated import EMPTY_WORLD, simulated_pool
from mar.runtime import PromptLibrary
from mar.tasks.registry import TASKS, load_task
from mar.tasks.task import subset
from mar.types import DOMAINS

COST_RATE, SPREAD = 20.0, 16.0  # utility per USD: about what is chosen on the simulated pool, and training's spread
DRIFT = 0.1


def main() -> None:
    """Teach, test, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--limit", type=int, help="at most so many queries of each split of each benchmark")
    limit = parser.parse_args().limit
    torch.set_num_threads(1)
    print(machine())
    encoder = CachedEncoder(MiniLM())
    space = PlanSpace.of(simulated_pool(EMPTY_WORLD), PromptLibrary.load(), max_agents=6)
    tasks = {name: load_task(name, data=data_folder()) for name in TASKS}
    train = [t.query(i) for t in tasks.values() for i in subset(t, "train", limit).items]
    test = {name: [t.query(i) for i in subset(t, "test", limit).items] for name, t in tasks.items()}
    truth = torch.tensor([DOMAINS.index(q.domain) for q in train])
    queries = torch.from_numpy(encoder.encode([q.text for q in train])).repeat(2, 1)
    print(f"{len(train)} training queries")
    by_seed: dict[str, list[list[DomainRow]]] = {"taught": [], "moved": [], "taught again": []}
    for seed in SEEDS:
        router = MasRouter(NetworkSettings(), encoder, cost_rate=COST_RATE, seed=seed)
        random = torch.Generator().manual_seed(seed)
        drawn = COST_RATE * SPREAD ** (2 * torch.rand(len(train), generator=random) - 1)
        prices = torch.cat([torch.full((len(train),), COST_RATE), drawn]).log10()
        domains = router.candidates(space)[0].domains
        lessons = Lessons(queries=queries, prices=prices, truth=truth.repeat(2), domains=domains)
        lessons.begin(router.network)
        by_seed["taught"].append(domain_rows(router, space, test))
        with torch.no_grad():
            weight = router.network.query_projection.weight
            weight += DRIFT * weight.std() * torch.randn(weight.shape, generator=random)
        by_seed["moved"].append(domain_rows(router, space, test))
        lessons.refresh(router.network)
        by_seed["taught again"].append(domain_rows(router, space, test))
    for when, runs in by_seed.items():
        shares = [100 * rows[-1].accuracy.mean for rows in runs]
        print(f"{when}: {', '.join(f'{s:.2f}' for s in shares)} % right by seed")
    Console(width=120).print(domain_table(by_seed["taught again"][0]))


if __name__ == "__main__":
    main()
