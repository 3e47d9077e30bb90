"""Several tasks as one, a controller that learns each item's own domain, and the script that trains it."""

import importlib.util
import json
from functools import partial

import anyio
import pytest

from mar import clock
from mar.controllers import PlanSpace
from mar.controllers.embeddings import HashEncoder
from mar.controllers.masrouter import MasRouter, NetworkSettings
from mar.errors import ConfigError
from mar.learning.progress import Progress
from mar.learning.reinforce import Trainer
from mar.learning.rollouts import Rollouts
from mar.learning.rundir import RunDir
from mar.learning.settings import TrainSettings
from mar.runtime import Runtime
from mar.tasks.registry import TASKS, load_task
from mar.tasks.union import UnionTask
from mar.types import DOMAINS, Query
from tests.learning.toy import ToyTask, toy_pool
from tests.tasks.benchmarks import CHECKOUT, sample


class CodeToy(ToyTask):
    name = "codetoy"

    def query(self, item):
        return Query(id=f"codetoy/{item.id}", text=f"write {item.id}", domain="Code")


@pytest.fixture
def union():
    return UnionTask.of([load_task(name, path=sample(name)) for name in ("gsm8k", "mmlu")])


def test_every_benchmark_states_its_queries_domain():
    for name in TASKS:
        task = load_task(name, path=sample(name))
        assert {task.query(i).domain for i in task.all_items} == {task.domain}


def test_a_union_holds_all_items_tagged_with_their_task(union):
    items = union.items("test")
    assert len(items) == sum(len(t.items("test")) for t in union.tasks.values())
    assert len({i.id for i in items}) == len(items)
    assert {(i.task, union.query(i).domain) for i in items} == {("gsm8k", "Math"), ("mmlu", "Commonsense")}
    assert union.notes["mmlu, metric"] == "right letter"


def test_a_union_asks_scores_and_simulates_as_the_items_own_tasks_do(union):
    items = [union.items("test")[0], union.items("test")[-1]]

    async def main():
        scores = [(await union.score(i, i.item.gold, None)).value for i in items]
        return scores, await union.world(items, None)

    scores, world = anyio.run(main)
    assert scores == [1.0, 1.0]
    assert set(world.items) == {union.query(i).id for i in items}
    for item in items:
        assert union.query(item) == union.tasks[item.task].query(item.item)
        assert world.items[union.query(item).id].right == (item.item.gold,)


@pytest.mark.parametrize("tasks", [[], [ToyTask(), ToyTask()]])
def test_a_union_of_none_or_of_equal_names_is_refused(tasks):
    with pytest.raises(ConfigError, match="each with its own name"):
        UnionTask.of(tasks)


def test_training_takes_each_items_own_domain_for_true(tmp_path):
    union = UnionTask.of([ToyTask(), CodeToy()])  # the toy's queries state none, so the union's (the first's) counts
    pool, ran = toy_pool(), []
    runtime = Runtime(pool, keep_prompts=False)
    rollouts = Rollouts(runtime=runtime, task=union, sandbox=None)
    space = PlanSpace(cards=tuple(pool.cards.values()), prompts=runtime.prompts, modes=("IO",), max_agents=1)
    router = MasRouter(NetworkSettings(max_agents=1), HashEncoder(), cost_rate=5.0)
    run = RunDir.open(tmp_path / "run", arguments={}, prompts="")
    settings = TrainSettings(epochs=1, cost_rate=5.0, batch_size=4, rollouts=2)
    trainer = Trainer(router, space, rollouts, settings, run, Progress(quiet=True))
    items = [*union.items("train")[:4], *union.items("train")[-4:]]
    plain = type(rollouts).run

    async def recorded(jobs, **how):
        ran.extend(jobs)
        return await plain(rollouts, jobs, **how)

    trainer.rollouts = type("Recorded", (), {"run": staticmethod(recorded), "task": union, "limit_reached": None})()

    async def main():
        async with pool:
            await trainer.train(items, [])

    clock.run(main, virtual=True)
    assert {(job.item.task, job.how.domain) for job in ran} == {("toy", "Math"), ("codetoy", "Code")}
    assert [DOMAINS[d] for d in trainer.domains.tolist()] == ["Math"] * 4 + ["Code"] * 4


def test_one_controller_is_trained_on_all_and_tested_on_each(tmp_path, monkeypatch, capsys):
    path = CHECKOUT / "experiments" / "run_all.py"
    spec = importlib.util.spec_from_file_location("run_all", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "MiniLM", HashEncoder)
    monkeypatch.setattr("mar.evaluation.experiment.MiniLM", HashEncoder)
    monkeypatch.setattr("mar.evaluation.experiment.TrainSettings", partial(TrainSettings, updates=2, generations=1))
    monkeypatch.setenv("MAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    argv = ["--tasks", "gsm8k", "mmlu", "--limit", "3", "--epochs", "1", "--cost_rate", "20", "--no-baselines"]
    monkeypatch.setattr("sys.argv", ["run_all", *argv, "--out", "run"])
    module.main()
    table = capsys.readouterr().out.partition("task classifier on held-out queries")[2]
    rows = [[cell.strip() for cell in line.split("│")] for line in table.splitlines()]
    assert [row[3] for name in ("gsm8k", "mmlu", "all") for row in rows if row[1:2] == [name]] == ["3", "3", "6"]
    for folder, items in (("run", 2 * 3), ("run/gsm8k", 3), ("run/mmlu", 3)):
        assert len((tmp_path / folder / "episodes-test.jsonl").read_text().splitlines()) == items
    assert json.loads((tmp_path / "run/mmlu/results.json").read_text())["notes"]["training"].startswith("0 updates")
    monkeypatch.setattr("sys.argv", ["run_all", "--without", "predicted_domain"])
    with pytest.raises(ConfigError, match="has to find the domain out"):
        module.main()
