"""A router that is any program: it gets a routing problem as a file and prints mu, vb, ep as its last line."""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from mar.errors import ConfigError, DataError
from mar.evaluation.routereval.construct import RoutingSet
from mar.evaluation.routereval.metrics import REFERENCE, Metrics
from mar.evaluation.routereval.published import write_router_dataset
from mar.evaluation.routereval.results import Measured

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def run_program(command: str, problem: RoutingSet, *, timeout_s: float | None = None) -> Measured:
    """Run a program on a problem.

    Args:
        command: Its words, one of which contains {problem}: the path of a published router_dataset with this one
            problem. No shell reads them.
        problem: What to route.
        timeout_s: Seconds it may take.

    Raises:
        ConfigError: The command cannot be started, or does not take the problem.
        DataError: It failed, or its last line is not mu, vb, ep.
    """
    words = shlex.split(command)
    if not any("{problem}" in word for word in words):
        raise ConfigError(f"--program {command!r} does not say where the problem goes; expected {{problem}} in it")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{problem.benchmark}.pkl"
        write_router_dataset([problem], None, path)
        try:
            done = subprocess.run(
                [word.replace("{problem}", str(path)) for word in words],
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except OSError as error:
            raise ConfigError(f"--program {words[0]!r} cannot be started: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise DataError(f"--program {words[0]!r} took more than {timeout_s} s on {problem.name}") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise DataError(f"--program {words[0]!r} ended with status {done.returncode} on {problem.name}: {last}")
    mu, vb, ep = _last_numbers(done.stdout, words[0])
    reference = REFERENCE.get(problem.benchmark, np.nan)
    metrics = Metrics(mu=mu, vr=mu / reference, vb=vb, ep=ep)
    return Measured(router=command, metrics=metrics, values=np.empty(0, np.float32))


def _last_numbers(text: str, program: str) -> tuple[float, float, float]:
    line = (text.strip().splitlines() or [""])[-1]
    numbers = [float(found) for found in _NUMBER.findall(line)]
    if len(numbers) != 3:
        raise DataError(f"--program {program!r} ended with the line {line!r}; expected mu, vb and ep")
    return numbers[0], numbers[1], numbers[2]
