"""How long an epoch of the published router takes on MT-Bench, and a live decision for a user with 1,000 ratings.

uv run python benchmarks/gmt_speed.py
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import torch
from _shared import data_folder, machine

from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import CachedEncoder, HashEncoder
from mar.controllers.gmt import GmtRouter, InteractionStore
from mar.controllers.gmt.builders.mt_bench import build_mt_bench
from mar.controllers.gmt.comparisons import comparisons_of, names_of
from mar.controllers.gmt.personal import PersonalSettings, fit_personal
from mar.controllers.gmt.published import PublishedSettings
from mar.evaluation.gmt.protocol import split_votes
from mar.learning.gmt import PublishedTraining, train_published
from mar.learning.progress import Progress
from mar.pool.simulated import EMPTY_WORLD, simulated_pool
from mar.runtime.prompts import PromptLibrary
from mar.types import Query

EPOCHS = 6
RATINGS = 1000
REPEATS = 60


def epochs() -> None:
    split = split_votes(build_mt_bench(data_folder()).groups, 0)
    names = names_of((*split.train, *split.validation), HashEncoder())  # times do not depend on what vectors mean
    train, validation = comparisons_of(split.train, names), comparisons_of(split.validation, names)
    for multi_turn in (False, True):
        shape = PublishedSettings(multi_turn=multi_turn)
        training, quiet = PublishedTraining(epochs=EPOCHS, eval_every=10 * EPOCHS), Progress(quiet=True)
        trained = train_published(train, validation, shape, training, progress=quiet)
        cpu = statistics.median(trained.epoch_cpu_s)
        size = sum(p.numel() for p in trained.network.parameters()) / 1e6
        p50, best = statistics.median(trained.epoch_s), min(trained.epoch_s)
        print(
            f"published router, multi_turn {multi_turn}: {size:.1f}M parameters, {len(train)} votes; epoch p50 "
            f"{p50:.2f} s, fastest {best:.2f} s, CPU p50 {cpu:.2f} s (aim: under 0.3 s; published code 2.8 to 4.9 s)"
        )


def fits() -> None:
    votes, extra = build_mt_bench(data_folder()), build_mt_bench(data_folder(), judgments="gpt4_pair.jsonl")
    groups = (*votes.groups, *extra.groups)
    rows = comparisons_of(groups, names_of(groups, HashEncoder()))
    began, cpu = time.perf_counter(), time.process_time()
    fit_personal(rows, PersonalSettings())
    took, used = time.perf_counter() - began, time.process_time() - cpu
    print(f"our router: whole fit on {len(rows)} votes, people's and GPT-4's: {took:.1f} s, {used:.1f} s of CPU")


def decisions() -> None:
    torch.set_num_threads(1)
    space = PlanSpace.of(simulated_pool(EMPTY_WORLD), PromptLibrary.load())
    models = [card.name for card in space.cards]
    with tempfile.TemporaryDirectory() as folder:
        store = InteractionStore(Path(folder) / "interactions.sqlite")
        encoder = CachedEncoder(HashEncoder(), Path(folder) / "embeddings.sqlite")
        votes = build_mt_bench(data_folder()).groups
        model = fit_personal(comparisons_of(votes, names_of(votes, encoder)))
        router = GmtRouter(store, encoder, model=model)
        query = Query(text="question 7", user_id="somebody")
        ids = [_rated(store, i, models) for i in range(RATINGS)]
        router.choose([query], space)
        for name, rate in (("nothing new", False), ("a new rating before each", True)):
            wall, cpu = list[float](), list[float]()
            for i in range(REPEATS):
                if rate:
                    store.rate(ids[-1], (i % 5) / 4)
                began, used = time.perf_counter(), time.process_time()
                router.choose([query], space)
                wall.append(1e3 * (time.perf_counter() - began))
                cpu.append(1e3 * (time.process_time() - used))
            p50, p95 = statistics.median(wall), sorted(wall)[int(0.95 * REPEATS)]
            print(
                f"a decision for a user with {RATINGS} ratings, {len(models)} LLMs, {name}: p50 {p50:.2f} ms, "
                f"p95 {p95:.2f} ms, CPU p50 {statistics.median(cpu):.2f} ms (aim: under 10 ms)"
            )
        store.close()


def _rated(store: InteractionStore, i: int, models: list[str]) -> int:
    text = f"question {i}"
    identity = store.record(
        "somebody", conversation=str(i), turn=0, model=models[i % len(models)], opening=text, query=text, response="yes"
    )
    store.rate(identity, (i * 7 % 5) / 4)
    return identity


if __name__ == "__main__":
    print(machine())
    decisions()
    fits()
    epochs()
