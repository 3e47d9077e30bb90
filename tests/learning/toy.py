"""A task and a pool so small that a policy is learned in seconds, and a script that trains on them."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from mar import clock
from mar.controllers import PlanSpace
from mar.controllers.embeddings import HashEncoder
from mar.controllers.masrouter import Fixes, MasRouter, NetworkSettings, PlanOptions
from mar.learning.imagined import ImaginedTrainer
from mar.learning.progress import Progress
from mar.learning.reinforce import Trainer
from mar.learning.rollouts import Rollouts
from mar.learning.rundir import RunDir
from mar.learning.settings import TrainSettings
from mar.pool.cards import ModelCard
from mar.pool.pool import Pool
from mar.pool.scripted import ScriptedModel
from mar.runtime import Runtime
from mar.tasks.task import Score
from mar.types import ChatReply, Query

FEW = {"calls": 90, "updates": 3, "questions": 4, "generations": 1}
PRICES = {"good": 1.0, "dear": 100.0, "bad": 1.0}  # USD per million tokens, in and out


@dataclass(frozen=True)
class ToyItem:
    id: str


class ToyTask:
    """Solved when the answer says so; models named bad never do."""

    name = "toy"
    domain = "Math"
    notes = {}  # noqa: RUF012

    def items(self, split):
        return [ToyItem(f"{split}-{i}") for i in range(24)]

    def query(self, item):
        return Query(id=item.id, text=f"toy question {item.id}")

    async def score(self, item, answer, sandbox):
        solved = answer is not None and "solved" in answer
        return Score(value=float(solved), solved=solved)

    async def world(self, items, sandbox):
        raise AssertionError("the toy needs no world")


class TwoDomains(ToyTask):
    """Every other question is about code."""

    def query(self, item):
        return replace(super().query(item), domain="Code" if int(item.id.split("-")[1]) % 2 else "Math")


def answer(request):
    return ChatReply(
        text="wrong" if request.model == "bad" else "solved",
        model=request.model,
        prompt_tokens=500,
        completion_tokens=500,
    )


def toy_pool():
    cards = [ModelCard(name=n, description=f"{n} model", price_in=p, price_out=p) for n, p in PRICES.items()]
    return Pool(cards, ScriptedModel(answer), kind="scripted", virtual_time=True)


def train(
    folder, *, epochs=2, seed=0, fixes=None, pool=None, on_step=None, cost_rate=5.0, lr=0.01, task=None, imagined=None
):
    """Train on the toy; returns the router, the result and the space.

    Args:
        imagined: Settings of training on imagined episodes; None: it is trained on real ones.
    """
    pool, task = pool or toy_pool(), task or ToyTask()
    runtime = Runtime(pool, keep_prompts=False)
    space = PlanSpace(cards=tuple(pool.cards.values()), prompts=runtime.prompts, modes=("IO", "Chain"), max_agents=2)
    settings = NetworkSettings(max_agents=2, price_conditioned=fixes is None, fixes=fixes or Fixes())
    options = PlanOptions(domain=None if isinstance(task, TwoDomains) else "Math")
    router = MasRouter(settings, HashEncoder(), cost_rate=cost_rate, seed=seed, options=options)
    rollouts = Rollouts(runtime=runtime, task=task, sandbox=None)
    training = TrainSettings(
        epochs=epochs, cost_rate=cost_rate, seed=seed, batch_size=8, patience=99, lr=lr, **imagined or {}
    )
    run = RunDir.open(Path(folder), arguments={"seed": seed, "epochs": epochs}, prompts="")
    if on_step is not None:
        run.log = lambda step, metrics, log=run.log: (log(step, metrics), on_step(step))
    kind = Trainer if imagined is None else ImaginedTrainer
    trainer = kind(router, space, rollouts, training, run, Progress(quiet=True))

    async def main():
        async with pool:
            return await trainer.train(task.items("train"), task.items("validation"))

    return router, clock.run(main, virtual=True), space


if __name__ == "__main__":  # what the test of resuming kills: says which step is done, then waits to be told to go on
    train(
        sys.argv[2],
        epochs=3,
        task=TwoDomains(),
        on_step=lambda step: (print(step, flush=True), sys.stdin.readline()),
        imagined=FEW if sys.argv[1] == "imagined" else None,
    )
