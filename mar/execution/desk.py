"""What holds over all workers: limits, and one call for one question. They ask the driver's desk.

A try holds what it holds in one process: one of its model's slots, its turn under the model's rate, and the most that
it can cost in the run's ledger; when it has ended, the desk is told what it cost. So a run's limit holds to the last
call for any number of workers, and what is written down about spending is written by the driver alone. A worker whose
connection ends (killed, a node removed) leaves its tries booked at their worst, since nobody can know.

Before a worker asks a model what its cache does not hold, it waits for its turn, so that of several who would ask the
same, one does and the others find its answer. Workers on other machines have their answers from the driver's response
cache and put them there, by the desk.

Here is the driver's side; the worker's is `mar.execution.far_desk`. A worker first shows the run's token, which it has
from the driver. What it says then (`mar.execution.wire`), and hears:

["ask", number, model, USD at worst]            ["go", number] or ["no", number, why]
["cost", number, USD, uncertain USD]            that try has ended, or
["lost", number]                                has ended at its worst
["turn", number, key]                           ["go", number]
["over", number]                                somebody else's turn
["get", number, key]                            ["go", number, reply or null]
["put", number, key, reply]
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup
from pydantic import TypeAdapter

from mar.clock import real_work
from mar.concurrency import task_group
from mar.environment import days_kept
from mar.errors import InternalError, LimitReached
from mar.execution.spec import LOOPBACK, Executor, JobT, OnDone, OutcomeT, Spec
from mar.execution.wire import LONGEST_WORD, Wire
from mar.pool.cache import UNUSABLE, FileReplies
from mar.pool.cards import ModelCard
from mar.pool.limits import ModelLimits
from mar.runtime.ledger import Purse
from mar.types import ZERO_USAGE, ChatReply, Usage

log = logging.getLogger(__name__)

REPLY: TypeAdapter[ChatReply] = TypeAdapter(ChatReply)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a desk is found, and what shows that somebody belongs to its run."""

    host: str
    port: int
    token: str = field(repr=False)

    @property
    def shares_files(self) -> bool:
        """Whether who finds it here is on the driver's machine."""
        return self.host == LOOPBACK


@dataclass(slots=True, kw_only=True, eq=False)
class _Held:
    """A worker's try."""

    number: int
    model: str
    worst: float | None  # USD
    say: Callable[..., None]
    made: bool = False  # whether it may have been made
    usage: Usage | None = None  # None: nobody has said
    ended: anyio.Event = field(default_factory=anyio.Event)
    booked: anyio.Event = field(default_factory=anyio.Event)
    waiting: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    def end(self, usage: Usage | None) -> None:
        """It has ended, and used this."""
        self.usage = usage
        self.ended.set()
        if not self.made:
            self.waiting.cancel()


class _Turns:
    """Who is at what, and who waits for it."""

    def __init__(self) -> None:
        self._queues: dict[str, list[Callable[[], None]]] = {}  # the first of each is at it

    def wait(self, key: str, go: Callable[[], None]) -> None:
        """Have `go` called when it is somebody's turn."""
        queue = self._queues.setdefault(key, [])
        queue.append(go)
        if len(queue) == 1:
            go()

    def leave(self, key: str, go: Callable[[], None]) -> None:
        """Somebody's turn is over, or is no longer waited for."""
        queue = self._queues[key]
        at_it = queue[0] is go
        queue.remove(go)
        if not queue:
            del self._queues[key]
        elif at_it:
            queue[0]()


class _Answers:
    """Replies of the driver's response cache, for workers that have no other."""

    def __init__(self, replies: FileReplies) -> None:
        self._replies = replies
        self._unwritten: dict[str, str] = {}  # by key

    async def get(self, key: str) -> str | None:
        """A reply as it travels; None: there is none."""
        if (fresh := self._unwritten.get(key)) is not None:
            return fresh
        try:
            reply = await self._replies.get(bytes.fromhex(key))
        except UNUSABLE as error:
            log.warning("%s could not be read: %s", self._replies.where, error)
            return None
        return None if reply is None else travelling(reply)

    def put(self, key: str, reply: str) -> None:
        """Keep a reply, from now on; `write` makes it last."""
        self._unwritten[key] = reply

    async def write(self, key: str) -> None:
        """Write what was put, also where the desk is being closed: it has been paid for."""
        with anyio.CancelScope(shield=True):
            try:
                await self._replies.put(bytes.fromhex(key), REPLY.validate_json(self._unwritten[key]))
            except UNUSABLE as error:
                log.warning("%s could not be written: %s", self._replies.where, error)
            finally:
                del self._unwritten[key]


def travelling(reply: ChatReply) -> str | None:
    """A reply as it travels; None: it is too long for a word."""
    text = REPLY.dump_json(reply).decode()
    return text if len(json.dumps(text)) < LONGEST_WORD - 256 else None


class Desk:
    """The driver's side.

    Args:
        purse: What is paid from.
        cards: Models with their limits.
    """

    def __init__(self, purse: Purse, cards: Mapping[str, ModelCard]) -> None:
        self._purse = purse
        self._limits = {
            name: ModelLimits(name, concurrency=card.concurrency, requests_per_minute=card.requests_per_minute)
            for name, card in cards.items()
        }
        self._held: set[_Held] = set()
        self._turns = _Turns()

    @asynccontextmanager
    async def open(self, host: str = LOOPBACK) -> AsyncGenerator[Address]:
        """Serve workers for as long as the context lasts.

        Args:
            host: Address that they reach this machine by.

        Raises:
            ConfigError: They are on other machines, and the response cache cannot be opened.
        """
        async with AsyncExitStack() as stack:
            answers = None
            if host != LOOPBACK:
                answers = _Answers(await stack.enter_async_context(FileReplies(days=days_kept())))
            yield await stack.enter_async_context(self._serve(host, answers))

    @asynccontextmanager
    async def _serve(self, host: str, answers: _Answers | None) -> AsyncGenerator[Address]:
        token = secrets.token_hex(16)
        async with task_group() as tasks:

            def hold(held: _Held) -> None:
                self._held.add(held)
                tasks.start_soon(self._hold, held)

            wires = set[Wire]()

            def visited() -> Wire:
                visitor = _Visitor(token.encode(), hold, self._turns, answers, tasks, wires.discard)
                wires.add(visitor.wire)
                return visitor.wire

            server = await asyncio.get_running_loop().create_server(visited, host, 0)
            try:
                yield Address(host=host, port=server.sockets[0].getsockname()[1], token=token)
            finally:
                server.close()
                for wire in list(wires):
                    wire.close()
                tasks.cancel_scope.cancel()  # what is held is booked at its worst

    async def run(
        self,
        executor: Executor,
        spec: Spec[JobT, OutcomeT],
        jobs: Sequence[JobT],
        on_done: OnDone[OutcomeT] | None = None,
    ) -> list[OutcomeT]:
        """Let workers do jobs that pay here, and see that every try that they made is booked. See `Executor.run`."""
        work = partial(executor.run, spec, jobs, on_done)
        outcomes = await real_work(lambda: anyio.to_thread.run_sync(work, abandon_on_cancel=True))
        for held in list(self._held):
            await held.booked.wait()
        return outcomes

    async def _hold(self, held: _Held) -> None:
        limits = self._limits.get(held.model)
        try:
            with held.waiting:
                async with AsyncExitStack() as stack:
                    if limits is not None:
                        await stack.enter_async_context(limits.slot())
                    one = await stack.enter_async_context(self._purse.hold(held.worst, held.model))
                    held.made = not held.ended.is_set()
                    if held.made:
                        held.say("go", held.number)
                        await held.ended.wait()
                    one.usage = held.usage if held.made else ZERO_USAGE  # it was called off
        except LimitReached as refused:
            held.say("no", held.number, str(refused))
        finally:
            self._held.remove(held)
            held.booked.set()


class _Visitor:
    """A worker at the desk."""

    def __init__(
        self,
        token: bytes,
        hold: Callable[[_Held], None],
        turns: _Turns,
        answers: _Answers | None,
        tasks: TaskGroup,
        left: Callable[[Wire], None],
    ) -> None:
        self.wire = Wire(self._hear, self._leave)
        self._left = left
        self._token, self._hold, self._answers, self._tasks = token, hold, answers, tasks
        self._known = False
        self._tries: dict[int, _Held] = {}
        self._turns = turns
        self._waits: dict[int, tuple[str, Callable[[], None]]] = {}  # turns that it waits for or has

    def _hear(self, message: bytes) -> None:
        if self._known:
            for what, number, *more in json.loads(message):
                self._do(what, number, *more)
        elif hmac.compare_digest(message, self._token):
            self._known = True
        else:
            self.wire.close()

    def _do(self, what: str, number: int, *more: Any) -> None:
        match what:
            case "ask":
                model, worst = more
                held = self._tries[number] = _Held(number=number, model=model, worst=worst, say=self.wire.say)
                self._hold(held)
            case "cost":
                self._tries.pop(number).end(Usage(cost_usd=more[0], uncertain_usd=more[1]))
            case "lost":
                self._tries.pop(number).end(None)
            case "turn":
                self._waits[number] = wait = more[0], partial(self.wire.say, "go", number)
                self._turns.wait(*wait)
            case "over":
                self._turns.leave(*self._waits.pop(number))
            case "get" if self._answers is not None:
                self._tasks.start_soon(self._get, self._answers, number, more[0])
            case "put" if self._answers is not None:
                self._answers.put(*more)
                self._tasks.start_soon(self._answers.write, more[0])
            case _:
                raise InternalError(f"a worker says {what!r}")

    async def _get(self, answers: _Answers, number: int, key: str) -> None:
        self.wire.say("go", number, await answers.get(key))

    def _leave(self) -> None:
        self._left(self.wire)
        for held in self._tries.values():
            held.end(None)  # booked at its worst
        self._tries.clear()
        for wait in self._waits.values():
            self._turns.leave(*wait)
        self._waits.clear()
