"""Controllers learned on real vLLM servers: three tiny models with different skills, on this machine's processor.

    scripts/vllm/install_cpu.sh && uv run python benchmarks/tiny_pool.py

Five seeds of the cascade and of the sequential controller; beside them stand every model alone, random plans, and the
oracle that picks for each question the model that answers it. Then what serving takes: the start, and the speed of one
server under load.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import anyio
import httpx
from _shared import machine

from mar.concurrency import gather
from mar.controllers.embeddings import CachedEncoder, MiniLM
from mar.evaluation.results import Row
from mar.evaluation.statistics import bootstrap_mean, paired_bootstrap, wilson
from mar.learning.progress import Progress
from mar.pool import ModelCard
from mar.pool.servers import Watch
from mar.testing.tinypool import TinyServers, serve_tiny_pool
from mar.testing.tinyskills import MixedSkills
from mar.testing.tinytrain import TinyLearned, TinyRun, learn_on, train_on

SEEDS = 5
TASK = MixedSkills(sizes={"train": 60, "validation": 24, "test": 200})


async def train_all(tiny: TinyServers, folder: Path) -> tuple[list[TinyRun], list[TinyLearned]]:
    """One run of each controller per seed, on the same questions."""
    runs: list[TinyRun] = []
    learned: list[TinyLearned] = []
    encoder = CachedEncoder(MiniLM())
    async with tiny.pool(memo=folder / "replies.sqlite") as pool:
        for seed in range(SEEDS):
            baselines = runs[0].baselines if runs else ()
            run = await train_on(
                pool,
                TASK,
                encoder,
                folder / str(seed),
                seed=seed,
                baselines=baselines,
                progress=Progress(),
            )
            runs.append(run)
            place = folder / f"sequential-{seed}"
            learned.append(await learn_on(pool, TASK, encoder, place, seed=seed, progress=Progress()))
    return runs, learned


async def tokens_per_second(card: ModelCard, requests: int, tokens: int) -> float:
    """Tokens per second of one server with so many requests at once."""
    body = {"model": card.name, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": tokens}
    began = time.perf_counter()
    async with httpx.AsyncClient(timeout=600) as client:
        post = partial(client.post, f"{card.base_url}/chat/completions", json=body | {"ignore_eos": True})
        await gather([post] * requests)
    return requests * tokens / (time.perf_counter() - began)


def show(runs: Sequence[TinyRun], sequential: Sequence[TinyLearned]) -> None:
    """The table of accuracies and what was chosen."""
    values = [[r.value for r in run.learned.results] for run in runs]
    print(f"\n{TASK.notes['questions']}; {len(TASK.items('train'))} training and {runs[0].learned.n} test questions\n")
    print("| controller | accuracy % | 95% | failed | USD / 100 |\n|---|---|---|---|---|")
    print(_seeds("cascade", [run.learned for run in runs]))
    calls = sum(s.calls for s in sequential) / len(sequential)
    print(_seeds(f"sequential, learned from {calls:.0f} calls", [s.row for s in sequential]))
    for row in runs[0].baselines:
        print(_line(row))
    solved = [any(r.solved for r in results) for results in zip(*(s.results for s in runs[0].singles), strict=True)]
    reach = wilson(sum(solved), len(solved))
    print(f"| oracle | {100 * reach.mean:.1f} | {100 * reach.low:.1f} to {100 * reach.high:.1f} | | |")
    best = runs[0].best_single
    gain = paired_bootstrap(values, [[r.value for r in best.results]] * len(runs))
    between = f"95% {100 * gain.low:+.1f} to {100 * gain.high:+.1f}"
    print(f"\ncascade minus {best.name}: {100 * gain.mean:+.1f} points ({between})")
    for kind in runs[0].picks:
        picked = Counter(model for run in runs for model in run.picks[kind])
        shares = ", ".join(f"{name} {count / picked.total():.0%}" for name, count in picked.most_common())
        asked = Counter(model for s in sequential for model in s.asked[kind])
        per_query = asked.total() / sum(len(s.row.results) for s in sequential) * len(runs[0].picks)
        beside = ", ".join(f"{name} {count / asked.total():.0%}" for name, count in asked.most_common())
        print(f"{kind}: cascade {shares}; sequential {beside} ({per_query:.2f} calls a query)")


def _seeds(name: str, rows: Sequence[Row]) -> str:
    over_seeds = bootstrap_mean([row.accuracy.mean for row in rows])
    low, high = 100 * over_seeds.low, 100 * over_seeds.high
    failed, cost = sum(row.n_failed for row in rows), sum(row.cost_per_100 or 0.0 for row in rows) / len(rows)
    told = f"{name}, {len(rows)} seeds | {100 * over_seeds.mean:.1f} | {low:.1f} to {high:.1f} (over seeds)"
    return f"| {told} | {failed} | {cost:.4f} |"


def _line(row: Row) -> str:
    a, cost = row.accuracy, "unknown" if row.cost_per_100 is None else f"{row.cost_per_100:.4f}"
    return f"| {row.name} | {100 * a.mean:.1f} | {100 * a.low:.1f} to {100 * a.high:.1f} | {row.n_failed} | {cost} |"


def main() -> None:
    """Serve, train, print."""
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder, began = Path(name), time.perf_counter()
        with serve_tiny_pool(folder, watch=Watch(say=print)) as tiny:
            started_s = time.perf_counter() - began
            began = time.perf_counter()
            runs, sequential = anyio.run(train_all, tiny, folder)
            trained_s = time.perf_counter() - began
            show(runs, sequential)
            print(f"\nthree servers ready after {started_s:.0f} s; {len(runs)} runs took {trained_s:.0f} s")
            card = tiny.cards()[0]
            for requests in (1, 8):
                rate = anyio.run(tokens_per_second, card, requests, 300)
                print(f"{card.name}, {requests} at once: {rate:.0f} tokens/s")


if __name__ == "__main__":
    main()
