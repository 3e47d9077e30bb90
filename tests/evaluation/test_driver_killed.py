"""The driver of a run over workers is killed with -9 and started again: the same bytes, and nothing is paid twice."""

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from mar.testing.chat_server import ChatServer
from tests.on_ray import on_ray

SCRIPT = Path(__file__).resolve().parents[2] / "experiments" / "run_mmlu_pro.py"
DRIVER = """
import runpy, sys
import mar.evaluation.experiment as experiment
from mar.controllers.embeddings import HashEncoder
experiment.MiniLM = HashEncoder
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
ARGV = ("--controllers", "masrouter", "--without", "imagination", "--epochs", "1", "--limit", "6", "--train_limit", "6",
        "--batch_size", "2", "--rollouts", "2", "--no-baselines", "--cost_rate", "20", "--pool", "pool.toml",
        "--concurrency", "8", "--max_agent", "2", "--out", "run")  # fmt: skip
CARD = '[[models]]\nname = "{name}"\nprice_in = 10.0\nprice_out = 10.0\nconcurrency = 4\n'
KILLED_AFTER = 20  # answers
PATIENCE_S = 240.0


class Counting(ChatServer):
    """Answers by what it is asked alone, counts what it answers, and after so many answers gives no more."""

    def __init__(self, most=None):
        super().__init__(answer=self.letter)
        self.most, self.answered = most, Counter()

    def letter(self, request):
        self.answered[repr(sorted(request.body.items()))] += 1
        if self.answered.total() == self.most:
            self.faults = {"hang": 1.0}
        return f"The answer is ({'ABCD'[hashlib.sha256(request.prompt.encode()).digest()[0] % 4]})"


@pytest.fixture
def portal():
    with start_blocking_portal() as found:
        yield found


def started(folder, url, *more):
    folder.mkdir(exist_ok=True)
    pool = f'base_url = "{url}"\n' + "".join(CARD.format(name=name) for name in ("a", "b"))
    (folder / "pool.toml").write_text(pool, encoding="utf-8")
    env = os.environ | {"MAR_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", DRIVER, str(SCRIPT), *ARGV, *more]
    return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finished(run):
    _, said = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 0, said


def until(what):
    give_up = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < give_up
        threading.Event().wait(0.05)


def kept(cache):
    """Answers in the response cache."""
    with closing(sqlite3.connect(cache / "responses.sqlite")) as db:
        return db.execute("SELECT count(*) FROM replies").fetchone()[0]


def test_a_run_whose_driver_was_killed_ends_in_the_same_bytes_and_asks_nothing_twice(portal, tmp_path):
    alone, broken = tmp_path / "alone", tmp_path / "broken"
    with portal.wrap_async_context_manager(Counting()) as server:
        finished(started(alone, server.base_url))
        wanted = server.answered
    assert wanted.total() > 2 * KILLED_AFTER
    with portal.wrap_async_context_manager(Counting(KILLED_AFTER)) as server:
        run = started(broken, server.base_url, "--workers", "2")
        # A few more, of calls that had arrived already.
        until(lambda: KILLED_AFTER <= server.answered.total() == kept(broken / "cache"))
        until(lambda: server.running)  # calls under way, which are never answered
        run.send_signal(signal.SIGKILL)
        run.communicate(timeout=PATIENCE_S)
        until(lambda: not server.running)  # its workers ended with it
        server.faults = {}
        finished(started(broken, server.base_url, "--workers", "2"))
        assert server.answered == wanted
    for name in ("checkpoint.safetensors", "state.safetensors"):
        assert (broken / "run" / name).read_bytes() == (alone / "run" / name).read_bytes()


@on_ray
def test_a_training_by_actors_ends_in_the_bytes_of_one_process_and_fills_the_driver_s_cache(portal, tmp_path):
    asked = {}
    for where in ((), ("--ray", "local", "--workers", "2")):
        folder = tmp_path / f"{len(where)}"
        with portal.wrap_async_context_manager(Counting()) as server:
            finished(started(folder, server.base_url, *where))
            assert server.answered.total() == kept(folder / "cache")
            asked[folder] = server.answered
    alone, spread = asked
    assert asked[alone] == asked[spread]
    for name in ("checkpoint.safetensors", "state.safetensors"):
        assert (spread / "run" / name).read_bytes() == (alone / "run" / name).read_bytes()
