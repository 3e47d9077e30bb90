# pyright: basic
"""A router from fit to checkpoint to runtime: the recorded answers of 8 LLMs to MMLU-Pro, parsed and scored anew.

    uv run python benchmarks/routereval_replay.py

The router is fitted on the table's training part, saved, loaded, and asked for single-agent plans; a replay pool
gives the recorded texts; the task reads a letter from each and scores it. The table has the letters that the
publisher read.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from _routing import TRAIN, VALIDATION, embedded_table
from _shared import data_folder, machine

from mar import clock
from mar.api import load_controller
from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import CachedEncoder, MiniLM
from mar.controllers.routers import RouterController, make_router, save_routed
from mar.controllers.routers.base import prior
from mar.evaluation.routereval.construct import permuted, routing_set
from mar.evaluation.routereval.recorded import RECORDED
from mar.learning.rollouts import Job, Outcome, Rollouts
from mar.pool import Recording, RecordingKey, load_mmlu_pro, replay_pool
from mar.runtime import RunIdentity, Runtime
from mar.tasks.mmlu_pro import MmluPro
from mar.tasks.options import OptionItem

ITEMS = 300  # test questions


def recordings(folder: Path) -> dict[RecordingKey, Recording]:
    """The 8 LLMs' answers under the ids that MMLU-Pro's queries have."""
    return {
        RecordingKey(item=f"mmlu_pro/{a.question_id}", model=a.model): Recording(text=a.text)
        for path in sorted(folder.glob("*.jsonl.gz"))
        for a in load_mmlu_pro(path)
    }


def main() -> None:
    print(machine())
    data = data_folder()
    answers = recordings(data / "outcomes" / "mmlu_pro" / "responses")
    names = sorted({key.model for key in answers})
    table = embedded_table("mmlu_pro_query", RECORDED["mmlu_pro_query"])  # with the options, as queries are read
    split = permuted(len(table), seed=0, train=TRAIN, validation=VALIDATION)
    problem = routing_set(table, names, split, group="recorded texts")
    router = make_router("knn", k=300)
    router.fit(problem.train, problem.validation)
    controller = RouterController(
        router=router, models=problem.models, ties=prior(problem.train), encoder=CachedEncoder(MiniLM()), name="knn"
    )
    task = MmluPro.load(data=data)
    items = [task.all_items[i] for i in split.test[:ITEMS].tolist()]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "router.safetensors"
        save_routed(path, controller, trained_on={"table": table.name})
        loaded = load_controller(path)
        outcomes = clock.run(lambda: replayed(loaded, task, items, answers), virtual=True)
    report(outcomes, problem.test.scores[:ITEMS], problem.models)


async def replayed(
    controller: object, task: MmluPro, items: list[OptionItem], answers: dict[RecordingKey, Recording]
) -> list[Outcome]:
    async with replay_pool(answers) as pool:
        runtime = Runtime(pool, keep_prompts=False)
        space = PlanSpace.of(pool, runtime.prompts)
        plans = controller.plan([task.query(i) for i in items], space)  # pyright: ignore
        jobs = [Job(item=i, how=p.how, identity=RunIdentity(epoch="test")) for i, p in zip(items, plans, strict=True)]
        # Letters are compared in this process; no code is run.
        return await Rollouts(runtime=runtime, task=task, sandbox=None).run(jobs)  # pyright: ignore[reportArgumentType]


def report(outcomes: list[Outcome], scores: np.ndarray, models: tuple[str, ...]) -> None:
    chosen = [models.index(o.plan.agents[0].model or "") for o in outcomes]
    table = scores[np.arange(len(chosen)), chosen]
    anew = np.array([o.score.value for o in outcomes])
    failed = sum(o.failure is not None for o in outcomes)
    print(f"{len(outcomes)} questions, {len(set(chosen))} of {len(models)} LLMs chosen, {failed} failures")
    print(f"accuracy by the table {table.mean():.4f}, parsed and scored anew {anew.mean():.4f}")
    print(f"the same verdict on {(table == anew).mean():.1%}; right only in the table {(table > anew).sum()}, "
          f"only anew {(anew > table).sum()}")  # fmt: skip


if __name__ == "__main__":
    main()
