"""A fitted router, run by the runtime on recorded answers: parsed and scored anew, they agree with the table."""

import numpy as np

from mar import clock
from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import HashEncoder
from mar.controllers.routers import load_routed, save_routed
from mar.evaluation.routereval.keep import fitted_controller
from mar.evaluation.routereval.table import OutcomeTable
from mar.learning.rollouts import Job, Rollouts
from mar.pool import Recording, RecordingKey, replay_pool
from mar.runtime import RunIdentity, Runtime
from mar.tasks.mmlu_pro import MmluPro
from mar.tasks.options import OptionItem

ENCODER = HashEncoder(8)


def items_of(n):
    options = ("yes", "no", "maybe")
    fields = [{"id": str(i), "question": f"Question {i}?", "gold": "ABC"[i % 3]} for i in range(n)]
    return tuple(OptionItem(split="test", options=options, category="c", **f) for f in fields)


def outcomes_of(controller, items, pool):
    """Plans for all items by the controller, run on the pool."""
    task = MmluPro(all_items=items, source="made", protocol="")

    async def main():
        async with pool:
            runtime = Runtime(pool)
            space = PlanSpace.of(pool, runtime.prompts)
            plans = [p.plan for p in controller.plan([task.query(i) for i in items], space)]
            jobs = [Job(item=i, how=p, identity=RunIdentity()) for i, p in zip(items, plans, strict=True)]
            return await Rollouts(runtime=runtime, task=task, sandbox=None).run(jobs)

    return clock.run(main, virtual=True)


def test_replayed_answers_are_scored_as_the_table_says(tmp_path):
    rng = np.random.default_rng(0)
    items = items_of(60)
    right = {"x": rng.random(60) < 0.7, "y": rng.random(60) < 0.5}
    table = OutcomeTable(
        name="t",
        models=tuple(right),
        scores=np.stack(list(right.values()), axis=1).astype(np.float32),
        vectors=ENCODER.encode([i.question for i in items]),
    )
    answers = {
        RecordingKey(item=f"mmlu_pro/{item.id}", model=model): Recording(
            text=f"So. The answer is ({item.gold if solved[i] else 'ABC'[('ABC'.index(item.gold) + 1) % 3]})."
        )
        for model, solved in right.items()
        for i, item in enumerate(items)
    }
    save_routed(tmp_path / "r", fitted_controller(table, table.models, "knn", ENCODER), trained_on={})
    found = outcomes_of(load_routed(tmp_path / "r", ENCODER), items, replay_pool(answers))
    chosen = [o.plan.agents[0].model for o in found]
    assert set(chosen) == {"x", "y"}
    assert [o.score.value for o in found] == [float(right[model][i]) for i, model in enumerate(chosen)]
    assert not any(o.failure for o in found)


def test_an_answer_that_nobody_recorded_is_a_failure():
    items = items_of(20)
    vectors = ENCODER.encode([i.question for i in items])
    table = OutcomeTable(name="t", models=("x",), scores=np.ones((20, 1), np.float32), vectors=vectors)
    known = {RecordingKey(item="mmlu_pro/0", model="x"): Recording(text="The answer is (A).")}
    controller = fitted_controller(table, ("x",), "knn", ENCODER)
    first, second = outcomes_of(controller, items[:2], replay_pool(known))
    assert (first.score.value, first.failure) == (1.0, None)
    assert not second.learnable
    assert "no_recording" in [f.kind for f in second.episode.failures]
