"""Load tests on scripted models with one slot and known service times, on virtual time."""

import csv

import anyio
import pytest

from mar import clock
from mar.controllers.base import PlanSpace
from mar.controllers.baselines import single
from mar.evaluation.loadtest import LoadTest, as_markdown, goodput_lines, queue_lines, write_requests
from mar.learning.arrivals import Arrivals
from mar.learning.progress import Progress
from mar.learning.rollouts import Rollouts
from mar.pool import ModelCard, Pool
from mar.runtime import Ledger, PromptLibrary, Runtime
from mar.tasks.task import Score
from mar.types import ChatReply, Query

SERVICE_S = 10.0


class OneAtATime:
    """A model that computes one call at a time, ten seconds each, and is always right."""

    def __init__(self, tokens=1):
        self._tokens = tokens
        self._slot = anyio.Lock()

    async def chat(self, request, on_delta=None):
        async with self._slot:
            await anyio.sleep(SERVICE_S)
        return ChatReply(
            text="42", model=request.model, prompt_tokens=1, completion_tokens=self._tokens, latency_s=SERVICE_S
        )


class Item:
    def __init__(self, number):
        self.id = str(number)


class Task:
    name, domain, notes = "toy", "Math", {}

    def query(self, item):
        return Query(text="what?", id=item.id)

    async def score(self, item, answer, sandbox):
        return Score(value=1.0, solved=answer == "42")


def run(n, rate, *, budget_s=25.0, max_cost=None, tokens=1, **options):
    card = ModelCard(name="m", price_in=1.0, price_out=1.0)

    async def main():
        pool = Pool([card], OneAtATime(tokens), kind="scripted", virtual_time=True)
        prompts = PromptLibrary.load()
        rollouts = Rollouts(runtime=Runtime(pool, prompts=prompts, ledger=Ledger(max_cost)), task=Task(), sandbox=None)
        test = LoadTest(
            rollouts=rollouts,
            space=PlanSpace.of(pool, prompts),
            items=[Item(i) for i in range(3)],
            progress=Progress(quiet=True),
            budget_s=budget_s,
            **options,
        )
        async with pool:
            return await test.run(single("m", "Math"), Arrivals(rate=rate, pattern="constant"), n)

    return clock.run(main, virtual=True)


def test_slow_answers_do_not_slow_arrivals():
    result = run(5, rate=0.2)  # one every 5 s, 10 s each: the k-th (from 0) waits 5 k s
    assert [r.arrival_s for r in result.requests] == [0, 5, 10, 15, 20]
    assert [r.latency_s for r in result.requests] == pytest.approx([10, 15, 20, 25, 30])
    assert [r.in_time for r in result.requests] == [True, True, True, True, False]


def test_goodput_counts_what_was_solved_in_time_as_a_share_of_arrivals_and_per_second():
    figures = run(5, rate=0.2).figures()
    assert figures["goodput"] == 0.8
    assert figures["accuracy"] == 1.0
    assert figures["goodput_per_s"] == pytest.approx(4 / 50)  # the last answer comes after 50 s


def test_queries_beyond_the_limit_are_turned_away_and_counted():
    result = run(50, rate=10.0, most_in_flight=4)
    figures = result.figures()
    assert figures["n_shed"] == 46
    assert figures["n_failed"] == 46
    assert figures["goodput"] == pytest.approx(2 / 50)  # of four, those after 10 and 20 s
    assert all(r.failure == "shed" for r in result.requests if r.latency_s is None)


def test_an_episode_that_stops_at_its_budget_frees_its_place():
    figures = run(4, rate=10.0, stop_at_budget=True).figures()
    assert figures["latency_p99_s"] <= 25.001
    assert figures["goodput"] == 0.5


def test_queries_that_a_spent_limit_left_out_are_not_run_instead_of_failed():
    # An answer costs 0.001025 USD, and at most 0.001024 and a prompt are held for it: there is no room for a fifth.
    partly = run(5, rate=0.05, max_cost=0.005, tokens=1024)
    assert 0 < len(partly.requests) < 5
    assert len(partly.requests) + partly.n_not_run == 5
    assert (partly.n_failed, partly.figures()["goodput"], partly.figures()["accuracy"]) == (0, 1.0, 1.0)
    assert f"| {len(partly.requests)} of 5 | 0 | 0 |" in as_markdown([partly], title="toy", sandbox="none")


def test_a_test_without_a_single_query_has_no_figures(tmp_path):
    never = run(5, rate=0.2, max_cost=0)
    assert (never.requests, never.n_not_run, never.n_failed) == ((), 5, 0)
    assert {never.figures()[name] for name in ("goodput", "goodput_low", "accuracy", "goodput_per_s")} == {None}
    table = as_markdown([never], title="toy", sandbox="none")
    assert "not run" in table
    assert "0.0" not in table
    header, _, row = table.splitlines()[2:5]
    assert row.count("|") == header.count("|")
    write_requests(tmp_path / "requests.csv", [never])
    assert goodput_lines([never]) == {}


def test_queues_and_requests_are_written_down(tmp_path):
    result = run(5, rate=0.2)
    assert set(queue_lines(result)) == {"m"}
    write_requests(tmp_path / "requests.csv", [result])
    rows = list(csv.DictReader((tmp_path / "requests.csv").open(encoding="utf-8")))
    assert [row["query_id"] for row in rows] == ["0", "1", "2", "0", "1"]  # three items: they come again
    assert "80.0" in as_markdown([result], title="toy", sandbox="none")
