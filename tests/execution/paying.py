"""Work for tests that costs money: it is written into a file, as a provider would bill it."""

import os
import signal
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio.lowlevel

from mar.errors import LimitReached
from mar.execution import Spec
from mar.execution.desk import Address
from mar.execution.far_desk import far_desk
from mar.types import Usage

WORST, COST = 1 / 16, 1 / 32  # USD of a try


@dataclass(frozen=True, slots=True, kw_only=True)
class Paying(Spec[int, str]):
    """Each job makes one try; who makes the tenth is killed in the middle of it."""

    desk: Address
    folder: Path

    @property
    def at_once(self):
        return 8

    @property
    def repeatable(self):
        return False

    @asynccontextmanager
    async def open(self):
        async with far_desk(self.desk) as purse:
            yield lambda job: self.pay(purse, job)

    async def pay(self, purse, job):
        try:
            async with purse.hold(WORST, "m") as one:
                await anyio.lowlevel.checkpoint()
                with (self.folder / "bills").open("a") as file:
                    file.write(f"{COST}\n")
                    tenth = file.tell() >= 10 * len(f"{COST}\n")
                if tenth:
                    self.die()
                one.usage = Usage(calls=1, cost_usd=COST)
        except LimitReached as refused:
            return str(refused)
        return "paid"

    def die(self):
        with suppress(FileExistsError):
            (self.folder / "died").touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)
