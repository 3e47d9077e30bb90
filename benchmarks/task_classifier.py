# pyright: basic
"""How well does the task classifier tell the domains of held-out queries? All six benchmarks, five seeds.

    uv run python benchmarks/task_classifier.py    (--limit 300: at most so many queries of each split)
    uv run python benchmarks/task_classifier.py --cross_validate    (how STAY was chosen: training queries only)

The classifier is taught as in training: on every training query of the union before the first update, and again for a
controller whose query projection the policy has moved since (here: by noise a tenth of its weights' size). Tested on
every test query of the six benchmarks. Real questions, no LLM, so nothing here is simulated. What a whole training run
reaches, `experiments/run_all.py` prints.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from _learning import SEEDS
from _shared import data_folder, machine
from rich.console import Console
from torch import Tensor

from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import CachedEncoder, MiniLM
from mar.controllers.masrouter import MasRouter, NetworkSettings
from mar.evaluation.domains import DomainRow, domain_rows, domain_table
from mar.learning import domains as lessons_of_domains
from mar.learning.domains import Lessons
from mar.pool.simulated import EMPTY_WORLD, simulated_pool
from mar.runtime import PromptLibrary
from mar.tasks.registry import TASKS, load_task
from mar.tasks.task import subset
from mar.types import DOMAINS

COST_RATE, SPREAD = 20.0, 16.0  # utility per USD: about what is chosen on the simulated pool, and training's spread
DRIFT = 0.1
STAYS, FOLDS = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2), (0, 1)  # two of five folds: a fit takes half a minute


def main() -> None:
    """Teach, test, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--limit", type=int, help="at most so many queries of each split of each benchmark")
    parser.add_argument("--cross_validate", action="store_true", help="compare weights of staying on training queries")
    arguments = parser.parse_args()
    limit = arguments.limit
    torch.set_num_threads(1)
    print(machine())
    encoder = CachedEncoder(MiniLM())
    space = PlanSpace.of(simulated_pool(EMPTY_WORLD), PromptLibrary.load(), max_agents=6)
    tasks = {name: load_task(name, data=data_folder()) for name in TASKS}
    train = [t.query(i) for t in tasks.values() for i in subset(t, "train", limit).items]
    test = {name: [t.query(i) for i in subset(t, "test", limit).items] for name, t in tasks.items()}
    truth = torch.tensor([DOMAINS.index(q.domain) for q in train])
    queries = torch.from_numpy(encoder.encode([q.text for q in train]))
    print(f"{len(train)} training queries")
    if arguments.cross_validate:
        names = np.array([n for n, t in tasks.items() for _ in subset(t, "train", limit).items])
        cross_validate(encoder, space, queries, truth, names)
        return
    by_seed: dict[str, list[list[DomainRow]]] = {"taught": [], "moved": [], "taught again": []}
    for seed in SEEDS:
        router = MasRouter(NetworkSettings(), encoder, cost_rate=COST_RATE, seed=seed)
        random = torch.Generator().manual_seed(seed)
        lessons = teach(router, space, queries, truth, random)
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


def teach(router: MasRouter, space: PlanSpace, queries: Tensor, truth: Tensor, random: torch.Generator) -> Lessons:
    """Fit the classifier to queries (n, E) of known domains (n,), at the run's price and at one drawn for each."""
    n = len(queries)
    drawn = COST_RATE * SPREAD ** (2 * torch.rand(n, generator=random) - 1)
    prices = torch.cat([torch.full((n,), COST_RATE), drawn]).log10()
    domains = router.candidates(space)[0].domains
    lessons = Lessons(queries=queries.repeat(2, 1), prices=prices, truth=truth.repeat(2), domains=domains)
    lessons.begin(router.network)
    return lessons


def cross_validate(encoder: CachedEncoder, space: PlanSpace, queries: Tensor, truth: Tensor, names: np.ndarray) -> None:
    """Accuracy on held-out fifths of the training queries, by benchmark, for weights of staying."""
    fold = np.random.default_rng(0).integers(0, 5, len(queries))
    print("| STAY | " + " | ".join(TASKS) + " | mean |\n|" + "---|" * (2 + len(TASKS)))
    for weight in STAYS:
        lessons_of_domains.STAY = weight
        rows = []
        for held_out in FOLDS:
            there, here = torch.from_numpy(fold != held_out), fold == held_out
            router = MasRouter(NetworkSettings(), encoder, cost_rate=COST_RATE, seed=0)
            taught = teach(router, space, queries[there], truth[there], torch.Generator().manual_seed(0))
            asked, network = queries[torch.from_numpy(here)], router.network
            with torch.no_grad():
                contexts = network.query_context(asked, torch.full((len(asked),), COST_RATE).log10())
                right = (network.domain_logits(contexts, taught.domains).argmax(-1) == truth[here]).numpy()
            rows.append([100 * right[names[here] == name].mean() for name in TASKS])
        mean = np.mean(rows, axis=0)
        print(f"| {weight:g} | " + " | ".join(f"{x:.1f}" for x in mean) + f" | {mean.mean():.2f} |", flush=True)


if __name__ == "__main__":
    main()
