"""The limit of a run's money, held to by the real script in processes of its own, as the server counts it."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.serving import send_json, serving

SCRIPT = Path(__file__).resolve().parents[2] / "experiments" / "run_mbpp.py"
# Each process is a fork of one that has loaded what takes long, with an encoder that needs no model.
THREE = """
import os, runpy, sys
import mar.pool.openai_client, torch._dynamo
import mar.evaluation.experiment as experiment
from mar.controllers.embeddings import HashEncoder
experiment.MiniLM = HashEncoder
script, *limits = sys.argv[1:]
for limit in limits:
    if not (child := os.fork()):
        sys.argv = [script, *ARGV, "--max_cost", limit]
        runpy.run_path(script, run_name="__main__")
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=sys.stderr, flush=True)
"""
LIMIT_USD = 0.4
ARGV = ("--controllers", "masrouter", "--train_limit", "0", "--epochs", "0", "--test_limit", "4", "--no-baselines",
        "--cost_rate", "20", "--pool", "pool.toml", "--out", "run")  # fmt: skip
OUTPUT_TOKENS = 500
USD_PER_TOKEN = 20 / 1e6
CARD = 'name = "m"\nprice_in = 20.0\nprice_out = 20.0\nconcurrency = 4\n'
# What comes back, in turn: nothing of use, and never a count of tokens.
ENDS = [("", "stop"), ("", "content_filter"), ("I see.", "stop"), ("half", "error"), (None, None)]


class Charges(BaseHTTPRequestHandler):
    """Generates as many tokens as it may, charges for all of them and says nothing about it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body go out apart; the second would wait 40 ms for an acknowledgement
    lock = threading.Lock()
    bills: list[float]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt_tokens = sum(len(m["content"].encode()) for m in body["messages"])  # one a byte
        with self.lock:
            self.bills.append((prompt_tokens + body.get("max_tokens", OUTPUT_TOKENS)) * USD_PER_TOKEN)
            text, finish = ENDS[len(self.bills) % len(ENDS)]
        if finish is None:
            self.close_connection = True
            return
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
        send_json(self, {"choices": [choice]})

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server():
    """Its address, and what it charged for each request."""
    bills: list[float] = []
    with serving(type("Here", (Charges,), {"bills": bills})) as address:
        yield f"http://{address}/v1", bills


def test_three_processes_on_one_folder_stay_under_one_limit_together(server, tmp_path):
    url, bills = server
    (tmp_path / "pool.toml").write_text(
        f'base_url = "{url}"\n[[models]]\n{CARD}max_output_tokens = {OUTPUT_TOKENS}\n', encoding="utf-8"
    )
    env = os.environ | {"MAR_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    limits = [LIMIT_USD / 2, LIMIT_USD, LIMIT_USD]
    command = [sys.executable, "-c", f"ARGV = {ARGV!r}\n{THREE}", str(SCRIPT), *map(str, limits)]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=True)
    assert "Traceback" not in done.stderr
    assert [line for line in done.stderr.splitlines() if line.isdigit()] == ["0"] * 3
    assert done.stdout.count("cut short: the run may cost") == 3
    assert LIMIT_USD / 2 < sum(bills) <= LIMIT_USD  # the second went on where the first had stopped
