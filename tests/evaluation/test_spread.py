"""A session whose episodes are run by workers: the same outcomes as in one process, with the driver's money."""

import json
import multiprocessing
import os
import re
import signal
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler

import pytest

from mar import clock
from mar.controllers.embeddings import HashEncoder
from mar.errors import ConfigError
from mar.evaluation.options import RunOptions
from mar.evaluation.run_checks import check_options
from mar.evaluation.session import Session, Spread
from mar.execution import Workers, executor
from mar.learning.progress import Progress
from mar.learning.rollouts import Job
from mar.runtime import RunIdentity
from mar.types import AgentSpec, ModeSpec, Plan
from tests.learning.toy import ToyItem, ToyTask, toy_pool
from tests.serving import send_json, serving

PLAN = Plan(
    mode=ModeSpec(name="Chain"),
    domain="Math",
    agents=tuple(AgentSpec(role="MathSolver", model="m") for _ in range(2)),
)


class Solver(BaseHTTPRequestHandler):
    """Answers by what it was asked alone, and keeps count."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    asked: list[bytes]
    lock = threading.Lock()
    seconds = 0.0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.lock:
            self.asked.append(body)
        time.sleep(self.seconds)
        text = json.loads(body)["messages"][-1]["content"]
        solved = "The answer is solved" if sum(text.encode()) % 3 else "I do not know"
        usage = {"prompt_tokens": len(text), "completion_tokens": 7, "total_tokens": len(text) + 7}
        choice = {"index": 0, "message": {"role": "assistant", "content": solved}, "finish_reason": "stop"}
        send_json(self, {"choices": [choice], "usage": usage})

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """What it was asked; a pool file names it."""
    asked: list[bytes] = []
    with serving(type("Here", (Solver,), {"asked": asked})) as address:
        card = 'name = "m"\nprice_in = 10.0\nprice_out = 10.0\nconcurrency = 4\n'
        (tmp_path / "pool.toml").write_text(f'base_url = "http://{address}/v1"\n[[models]]\n{card}', encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        yield asked


def outcomes_of(cache, monkeypatch, workers=None, on_done=None, n=24, items=range(24)):
    monkeypatch.setenv("MAR_CACHE", str(cache))
    jobs = [
        Job(item=ToyItem(f"i-{items[i % len(items)]}"), how=PLAN, identity=RunIdentity(rollout=i % 2)) for i in range(n)
    ]
    session = Session(
        task=ToyTask(), items=[], pool="pool.toml", progress=Progress(quiet=True), encoder=HashEncoder(),
        max_cost=10.0, spending=cache / "spending.jsonl", concurrency=8,
        spread=None if workers is None else Spread(executor=workers, pool="pool.toml"),
    )  # fmt: skip

    async def main():
        async with session.open() as rollouts:
            return await rollouts.run(jobs, on_done=on_done), rollouts.runtime.ledger.spent

    return clock.run(main, virtual=False)


def bare(outcome):
    """Everything but what the clock says."""
    return outcome.query_id, outcome.score, outcome.plan, outcome.cost_usd, outcome.calls, outcome.episode.answer


def test_workers_run_the_episodes_of_one_process_and_a_killed_one_loses_nothing(server, tmp_path, monkeypatch):
    alone, paid_alone = outcomes_of(tmp_path / "alone", monkeypatch)
    requests = sorted(server)
    server.clear()
    told = []

    def done(*, note):
        told.append(note)
        if len(told) == 8:
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    said = []
    with executor(Workers(workers=2), say=said.append) as workers:
        spread, paid = outcomes_of(tmp_path / "spread", monkeypatch, workers, done)
        assert len({o.score.value for o in alone}) == 2
        assert [bare(o) for o in spread] == [bare(o) for o in alone]
        assert sorted(set(server)) == sorted(set(requests))
        assert len(server) <= len(requests) + 4  # calls that were under way at the killed worker were made again
        assert paid_alone.usd <= paid.usd  # and are booked at the most they can have cost
        assert len(said) == 1
        counts = [re.fullmatch(r"2 workers: (\d+), (\d+) done", note) for note in told]
        assert [sum(map(int, c.groups())) for c in counts[:8]] == list(range(1, 9))  # then one was killed
        assert all(counts)
        server.clear()
        again, paid_now = outcomes_of(tmp_path / "spread", monkeypatch, workers)
    assert [bare(o) for o in again] == [bare(o) for o in alone]
    assert server == []  # what was paid for is in the cache
    assert paid_now.usd == pytest.approx(paid.usd, rel=1e-12)  # added in the order of beginnings, not of ends


def test_what_two_workers_would_ask_at_once_is_asked_once(server, tmp_path, monkeypatch):
    monkeypatch.setattr(Solver, "seconds", 0.2)
    with executor(Workers(workers=2)) as workers:
        _, before = outcomes_of(tmp_path / "cache", monkeypatch, workers, n=8)  # both have been started
        server.clear()
        outcomes, after = outcomes_of(tmp_path / "cache", monkeypatch, workers, n=8, items=[99])
    assert len(server) == sum(o.calls for o in outcomes[:2])  # of each draw
    assert after.usd - before.usd == pytest.approx(sum(o.cost_usd for o in outcomes[:2]))
    assert [bare(o) for o in outcomes] == 4 * [bare(o) for o in outcomes[:2]]


def test_what_shares_a_clock_is_not_spread():
    async def main(**changes):
        jobs = [Job(item=ToyItem("i-0"), how=PLAN, identity=RunIdentity(), **changes)]
        session = Session(
            task=ToyTask(), items=[], pool=toy_pool(), progress=Progress(quiet=True), encoder=HashEncoder(),
        )  # fmt: skip
        async with session.open() as rollouts:
            await replace(rollouts, elsewhere=lambda *_: None).run(jobs)

    with pytest.raises(ConfigError, match="arrive or end by the clock belong to one process"):
        clock.run(lambda: main(start_s=1.0), virtual=True)


def test_a_simulated_pool_is_not_spread_and_the_run_says_why_before_it_begins():
    with pytest.raises(
        ConfigError, match="cannot spread a batch on a simulated pool: its episodes wait for each other"
    ):
        check_options(RunOptions(workers=2), None)


def test_where_work_is_done_is_no_part_of_a_run_s_identity():
    assert RunOptions(workers=2).identity() == RunOptions(ray="local").identity() == RunOptions().identity()
