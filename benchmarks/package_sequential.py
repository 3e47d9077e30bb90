# pyright: basic
"""Make the packaged sequential controller: what six benchmarks teach about the simulated pool's models.

    uv run python benchmarks/package_sequential.py

Training items only, at most 3,000 calls a benchmark; one mind for each domain. Its price of money is one at which a
call of a mid-priced model costs a hundredth of utility or less; every other price is served as well.
"""

from __future__ import annotations

from _shared import ROOT, data_folder, machine

from mar import clock
from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import CachedEncoder, MiniLM
from mar.controllers.sequential import Asked, Sequential, Terms, save_sequential
from mar.evaluation.session import Session
from mar.learning.progress import Progress
from mar.learning.sequential import Gathering, learn_minds
from mar.pool.simulated.catalogue import simulated_cards
from mar.tasks.registry import TASKS, load_task
from mar.tasks.task import subset

ITEMS = 240  # training questions of each benchmark
COST_RATE = 20.0
PACKAGED = ROOT / "mar" / "controllers" / "checkpoints" / "sequential.safetensors"


def main() -> None:
    print(machine())
    encoder, progress = CachedEncoder(MiniLM()), Progress()
    asked: list[Asked] = []
    for name in TASKS:
        task = load_task(name, data=data_folder())
        items = subset(task, "train", ITEMS, seed=0).items

        async def gather(task=task, items=items) -> list[Asked]:
            session = Session(task=task, items=items, pool="simulated", progress=progress, encoder=encoder)
            async with session.open() as rollouts:
                cards = PlanSpace.of(rollouts.runtime.pool, session.prompts).cards
                gathering = Gathering(rollouts=rollouts, cards=cards, progress=progress)
                return await gathering.gather(gathering.affordable(items))

        asked += clock.run(gather, virtual=True)
    minds = learn_minds(asked, simulated_cards(), asked[0].domain or "Math", encoder)
    controller = Sequential(minds, encoder, Terms(cost_rate=COST_RATE))
    told = {
        "task": ", ".join(TASKS),
        "pool": "simulated, version 2",
        "items": str(len(asked)),
        "calls": str(sum(len(a.calls) for a in asked)),
        "seed": "0",
    }
    save_sequential(PACKAGED, controller, trained_on=told, simulated=True)
    print(f"{PACKAGED.stat().st_size / 1e3:.0f} kB: {told}")


if __name__ == "__main__":
    main()
