"""Real benchmarks, when they are here, and how tests score an answer."""

import json

import anyio
import pytest

from mar.concurrency import gather
from mar.runtime.sandbox import Sandbox
from tests.machine import CHECKOUT, DATA

SPLITS = ("train", "validation", "test")


def real(within):
    """A file or folder of the data folder; the test is skipped without it."""
    for path in (DATA / within, DATA / "benchmarks" / within):
        if path.exists():
            return path
    pytest.skip(f"{within} is not here")
    raise AssertionError


def write(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def sizes(task):
    return {split: len(task.items(split)) for split in SPLITS}


def in_sandbox(work, *, workers=2):
    """Run an asynchronous function that takes a sandbox."""

    async def main():
        async with Sandbox(workers=workers) as sandbox:
            return await work(sandbox)

    return anyio.run(main)


def score_all(task, pairs):
    """The scores of (item, answer) pairs."""
    return in_sandbox(lambda s: gather([lambda i=i, a=a: task.score(i, a, s) for i, a in pairs]))


def assert_disjoint(task):
    seen = [item.id for split in SPLITS for item in task.items(split)]
    assert len(seen) == len(set(seen)) == len(task.all_items)


def assert_world_is_right(task, items):
    """Every right answer is written and read back as right, and every wrong one as wrong."""
    from mar.pool.simulated.texts import final_answer

    world = in_sandbox(lambda s: task.world(items, s))
    pairs, wanted = [], []
    for item in items:
        query = task.query(item)
        known = world.items[query.id]
        for answers, right in ((known.right, True), (known.wrong, False)):
            for answer in answers:
                pairs.append((item, query.answer_format.extract(final_answer(known, answer, 0.3))))
                wanted.append(right)
    assert [s.solved for s in score_all(task, pairs)] == wanted
    return world


def sample(name):
    """The file of a bundled sample."""
    return CHECKOUT / "mar" / "tasks" / "samples" / f"{name}.jsonl"
