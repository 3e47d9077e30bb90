"""Work for tests: sums, and what can go wrong with them."""

import os
import signal
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.lowlevel

from mar.errors import ConfigError, DataError
from mar.execution import Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """What is added, and what befalls whoever adds it."""

    a: int
    b: int
    once: Path | None = None  # a file that is made; while it is not there, what happens happens
    happens: str = ""  # "killed", "waits" for a file beside it called "go", "stands still"
    wrong: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums(Spec[Sum, tuple[int, int]]):
    """Gives the sum and who added it."""

    plus: int = 0
    cannot: str = ""  # why it cannot be opened
    cannot_close: str = ""  # why it cannot be closed

    @asynccontextmanager
    async def open(self):
        if self.cannot:
            raise ConfigError(self.cannot)
        yield self.add
        if self.cannot_close:
            raise ConfigError(self.cannot_close)

    async def add(self, job):
        await anyio.lowlevel.checkpoint()
        if job.wrong:
            raise DataError(f"{job.a} is no number")
        if job.once is not None and not job.once.exists():
            job.once.touch()
            if job.happens == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if job.happens == "waits":
                while not job.once.with_name("go").exists():  # noqa: ASYNC110 - of another process
                    await anyio.sleep(0.05)
            else:
                os.kill(os.getpid(), signal.SIGSTOP)  # as on a machine that has been paused
        return self.plus + job.a + job.b, os.getpid()
