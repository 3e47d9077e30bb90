# pyright: basic
"""Readers of what mar itself writes: CASCAL's models, what a run resumes from, and stores of what can be made again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import numpy as np
import torch
from _parsers import ENCODER, PARSERS, QUERY, SPACE, beside, parser, rng, saved
from torch import nn

from mar.cli.cache import _table
from mar.controllers.cascal.artefacts import load_model, save_model
from mar.controllers.cascal.controller import Cascal, CascalModel
from mar.controllers.cascal.local import train_local
from mar.controllers.cascal.skills import Skills, SubjectSkills
from mar.controllers.embeddings import CachedEncoder
from mar.controllers.system_aware.estimators import CallRecord
from mar.learning.correction import Errors
from mar.learning.imagination import Worth
from mar.learning.rundir import RunDir, SavedParts, TrainingState
from mar.learning.system_aware.memory import Calls, Ring
from mar.learning.system_aware.ppo import Multiplier
from mar.pool.cache import CachedModel, FileReplies
from mar.pool.cache_store import ResponseStore, cache_key
from mar.pool.scripted import ScriptedModel
from mar.reading import attempt
from mar.runtime.account import Account
from mar.runtime.sandbox.memo import Memo
from mar.runtime.sandbox.records import Fence, TestReport, TestResult
from mar.types import ChatReply, ChatRequest, ConfidenceScale, Message

__all__ = ["PARSERS"]


def cascal(path: Path) -> object:
    """What the controller of a file plans."""
    return Cascal(load_model(path), ENCODER, top=3).plan([QUERY], SPACE)


POINTS = ENCODER.encode([f"question {i}" for i in range(12)])
LLMS = tuple(card.name for card in SPACE.cards[:3])
SCORES = rng.random((12, 3))
SUBJECT = SubjectSkills(
    representative=POINTS.mean(axis=0).astype(np.float64),
    centroids=POINTS[:2].astype(np.float64),
    scores=SCORES[:2],
    sizes=np.array([5, 7]),
    assigned=np.array([0] * 5 + [1] * 7),
)
for kind, learned in (
    ("skills", Skills(models=LLMS, subjects={"Math": SUBJECT}, overall=SCORES.mean(axis=0))),
    ("local", train_local(LLMS, SCORES, ["Code"] * 6 + ["Math"] * 6, POINTS)),
):
    known = CascalModel(
        learned=learned, encoder=ENCODER.name, confidence={LLMS[0]: ConfidenceScale(centre=-1.0, spread=0.5)}
    )
    parser(f"CASCAL, {kind}", "c", saved(lambda path, known=known: save_model(path, known)), cascal)

# Runs -----------------------------------------------------------------------------------------------------------

parser("run, spending", "s.jsonl", '{"number": 1, "spent": {"usd": 0.5}}\n' * 2, lambda path: Account(path).before)
parser("run, facts", "facts.json", {"cost_rate": 20.0}, lambda path: RunDir(path.parent).recall("cost_rate"))


CALL = CallRecord(model=0, strategy=1, log_query_tokens=2.0, decider=True, share=0.5, queue=1.0, tokens=9, seconds=1.5)


class Trained:
    """A little of everything that trainings keep, as it is after an update."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network = nn.Linear(3, 2)
        self.adam = torch.optim.Adam(self.network.parameters())
        self.errors, self.calls, self.steps = Errors(2), Calls(2), Ring(4)
        self.multiplier = Multiplier(value=0.5, step=0.1, most=2.0)
        self.parts = SavedParts(
            modules={"network": self.network},
            optimizers={"adam": self.adam},
            memories={
                "errors": self.errors,
                "calls": self.calls,
                "steps": self.steps,
                "multiplier": self.multiplier,
            },
        )

    def update(self) -> None:
        """As a batch does."""
        self.adam.zero_grad()
        self.network(torch.ones(1, 3)).sum().backward()
        self.adam.step()
        imagined = Worth(quality=torch.ones(2, 1), cost=torch.ones(2, 1))
        self.errors.add(torch.ones(2, 2), imagined, torch.ones(2), torch.ones(2))
        self.errors.correction()
        self.calls.records.append(CALL)
        self.calls.fit(None)
        self.steps.add({"x": torch.ones(3, 2), "reward": torch.ones(3)})
        self.steps.draw(2, torch.Generator().manual_seed(0))
        self.multiplier.move(0.1)


def trained(path: Path) -> None:
    """The state of a run after an update."""
    one = Trained()
    one.update()
    RunDir(path.parent).save_state(TrainingState(epoch=1, step=1, best_by_item=[0.5]), one.parts)


def resumed(path: Path) -> object:
    """Where a run stands that goes on for one update."""
    one = Trained()
    state = RunDir(beside({"metrics.jsonl": STEP})(path)).load_state(one.parts)
    one.update()
    return state


STEP = json.dumps({"step": 1, "epoch": 0.0, "validation_utility": 0.5, "segment": 0}) + "\n"
parser("run, state", "state.safetensors", saved(trained, "state.safetensors"), resumed)


def resumed_after(path: Path) -> object:
    """The same where the metrics are what is damaged."""
    trained(path)
    return resumed(path)


parser("run, metrics to resume", "metrics.jsonl", STEP, resumed_after)

# Stores of what can be made again ---------------------------------------------------------------------------------

HELLO = ChatRequest(model="m", messages=(Message(speaker="user", text="hello"),))
KEPT = ChatReply(text="hi", model="m", prompt_tokens=3, completion_tokens=1, mean_logprob=-0.5)


def ask_twice(path: Path) -> object:
    """What is answered with a cache, what that says it holds, and how much of it there was to clear."""

    async def main() -> list[ChatReply]:
        async with CachedModel(ScriptedModel(lambda _: "hello to you"), FileReplies(path)) as model:
            return [await model.chat(HELLO) for _ in range(2)]

    answers = anyio.run(main)
    assert all(type(a.text) is str and type(a.latency_s) is float for a in answers)
    store = ResponseStore(path)
    try:
        return answers, _table(store.stats()), store.clear()
    finally:
        store.close()


def answered(path: Path) -> None:
    """A cache of one answer."""
    store = ResponseStore(path)
    store.put(cache_key(HELLO), KEPT)
    store.close()


parser("response cache", "r.sqlite", saved(answered), ask_twice)
JOB = "k"


def judge_twice(path: Path) -> object:
    """What a store of verdicts says, and whether it takes another."""
    memo = Memo(path, 4)
    found = memo.get(JOB)
    if found is not None:
        f"{found.fence} {found.wall_s:.1f} {found.passed} {found.count('failed')}".encode()
    memo.put(JOB, VERDICT)
    memo.close()
    return found


VERDICT = TestReport(
    results=(TestResult(test="assert f(1) == 2", outcome="failed", detail="1 == 2"),),
    wall_s=0.1,
    fence=Fence(isolation="namespaces"),
)


def judged(path: Path) -> None:
    """A store of one verdict."""
    memo = Memo(path, 4)
    memo.put(JOB, VERDICT)
    memo.close()


parser("verdict store", "v.sqlite", saved(judged), judge_twice)


def encode_twice(path: Path) -> object:
    """Vectors with a cache."""
    vectors = CachedEncoder(ENCODER, path).encode(["a", "b"])
    assert vectors.shape == (2, 16)
    assert np.isfinite(vectors).all()
    return vectors.sum()


parser("cache of embeddings", "e.sqlite", saved(lambda path: CachedEncoder(ENCODER, path).encode(["a"])), encode_twice)


def within(make: Callable[[Path], None], table: str, column: str, read: Callable[[Path], object]):
    """A reader of a store in which one cell is what is tried."""

    def tried(path: Path) -> object:
        store, content = path.with_name("store.sqlite"), path.read_bytes()
        make(store)
        with sqlite3.connect(store) as db:
            text = attempt(content.decode, "the cell") if len(content) % 4 else content
            db.execute(f"UPDATE {table} SET {column} = ?", (text,))
        db.close()
        return read(store)

    return tried


def cell(make: Callable[[Path], None], table: str, column: str) -> bytes:
    """A cell as it is written."""
    with TemporaryDirectory() as folder:
        make(Path(folder) / "s")
        with sqlite3.connect(Path(folder) / "s") as db:
            (value,) = db.execute(f"SELECT {column} FROM {table}").fetchone()
        db.close()
        return value.encode()


for what, make, place, read in (
    ("response cache, a reply", answered, ("replies", "reply"), ask_twice),
    ("response cache, a model", answered, ("replies", "model"), ask_twice),
    ("verdict store, a verdict", judged, ("verdicts", "report"), judge_twice),
):
    parser(what, "cell", cell(make, *place), within(make, *place, read))
