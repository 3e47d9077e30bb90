import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "experiments" / "run_mbpp.py"


def test_an_interrupted_run_says_how_to_go_on_and_keeps_what_it_has(tmp_path):
    out = tmp_path / "run"
    env = os.environ | {"HF_HUB_OFFLINE": "1", "MAR_CACHE": str(tmp_path / "cache")}
    command = [
        sys.executable,
        str(SCRIPT),
        "--pool",
        "simulated",
        "--out",
        str(out),
        "--no-baselines",
        "--epochs",
        "50",
        "--without",
        "imagination",  # updates begin at once
    ]
    run = subprocess.Popen(
        command,
        env=env,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # tests in the background ignore it
    )
    try:
        give_up = time.monotonic() + 240
        while not (out / "state.safetensors").is_file():  # the first update is saved
            assert run.poll() is None
            assert time.monotonic() < give_up
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == 130, said  # 128 + SIGINT
    assert "interrupted" in said
    assert str(out) in said.replace("\n", "")
    assert "Traceback" not in said
    assert not (out / "results.json").exists()
