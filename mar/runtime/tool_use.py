"""The tools that one message is made with: what its model is offered, what is carried out, and when that is enough.

What models write and tools find out is a stranger's: arguments are checked and results bounded, cleaned of what is no
text, and handed to the model as they are. Nothing in them is interpreted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import anyio

from mar.clock import real_work, ticks, virtual_clock, within
from mar.concurrency import gather
from mar.errors import DataError
from mar.pool.cards import ModelCard
from mar.pool.costs import worst_cost
from mar.reading import parse_json, table
from mar.runtime.ledger import BYTES_PER_TOKEN, estimate_tokens
from mar.runtime.state import EpisodeState
from mar.runtime.toolkit.records import Tool, ToolLimits, ToolReport
from mar.types import ChatReply, ChatRequest, Message, Move, ToolCall, ToolCalled, ToolSpec

ENOUGH = "No more tools can be called. Give your answer now, with what you have found out."
LEAST_CHARS = 200  # of a result: less says too little
MOST_ARGUMENTS = 2000  # characters of a call's arguments that the trace keeps
MARK = "\n(cut)"


@dataclass(slots=True, kw_only=True)
class ToolUse:
    """Offers tools for one message of an agent, has them called and counts."""

    state: EpisodeState
    move: Move
    names: Sequence[str]  # of tools, as the role has them
    results: int = 0  # calls that were carried out or refused
    seconds: float = 0.0  # that they took
    longest_s: float = 0.0  # that a call of the model took
    short: bool = False  # whether results were shortened to fit the model's context
    tools: Mapping[str, Tool] = field(init=False)

    def __post_init__(self) -> None:
        means = self.state.means
        # What was recorded are answers without tools.
        self.tools = means.tools.offered(self.names) if means.pool.reach == "anything" else {}

    @property
    def _limits(self) -> ToolLimits:
        return self.state.means.tools.kit.limits

    def begin(self, request: ChatRequest) -> ChatRequest:
        """The first request for the message, with what its model may call."""
        return replace(request, tools=self._offered(request))

    def _offered(self, request: ChatRequest) -> tuple[ToolSpec, ...]:
        """What may be called: nothing once a limit is reached, or where no money or room is left to answer after."""
        whole = self.state.seconds_left()
        late = self._seconds_left() <= 0 or (whole is not None and whole <= 2 * self.longest_s)
        if not self.tools or self.results >= self._limits.calls or late:
            return ()
        specs = tuple(tool.spec for tool in self.tools.values())
        card = self.state.means.pool.card(request.model)
        if self._room(request, card, specs) < 0 or not self._affordable(replace(request, tools=specs), card):
            return ()
        return specs

    def _affordable(self, request: ChatRequest, card: ModelCard) -> bool:
        """Whether the answer can be asked for, too, after a call that may end in calls of tools."""
        left = self.state.ledger.left_usd
        if left is None:
            return True
        worst = worst_cost(request, card)
        return worst is not None and 2 * worst <= left

    def _room(self, request: ChatRequest, card: ModelCard, specs: Sequence[ToolSpec]) -> float:
        """Characters of results that the model's context has room for, cautiously."""
        context = card.context_tokens - card.max_output_tokens
        return (context - estimate_tokens(request.messages, specs)) * BYTES_PER_TOKEN - LEAST_CHARS

    async def carry_out(self, request: ChatRequest, reply: ChatReply, spent_usd: float | None) -> ChatRequest:
        """Do what a reply calls for, all at once. Gives the request that goes on from there.

        Args:
            request: What was asked.
            reply: What is called.
            spent_usd: What the message has cost so far; None: nobody knows.
        """
        self.longest_s = max(self.longest_s, reply.latency_s)
        began, seconds = self.state.recorder.now(), self._seconds_left()
        room = self._room(request, self.state.means.pool.card(request.model), request.tools)
        chars = int(max(LEAST_CHARS, min(self._limits.chars, room / 2 / len(reply.calls))))
        allowed = self._limits.calls - self.results
        jobs = [
            lambda call=call, may=number < allowed: self._call(call, seconds, chars, may=may)
            for number, call in enumerate(reply.calls)
        ]
        results = await gather(jobs)
        self.results += len(results)
        self.seconds += self.state.recorder.now() - began
        said = Message(speaker="assistant", text=reply.text, calls=reply.calls)
        request = replace(request, messages=(*request.messages, said, *results))
        limit = self._limits.usd
        spent = limit is not None and (spent_usd is None or spent_usd >= limit)
        specs = () if spent else self._offered(request)
        return replace(request, tools=specs) if specs else _last(request)

    def _seconds_left(self) -> float:
        """For tools: what the limit leaves, and of an episode's time no more than half, nor what the answer takes."""
        left = self._limits.seconds - self.seconds
        whole = self.state.seconds_left()
        return left if whole is None else min(left, whole / 2, whole - self.longest_s)

    @property
    def can_shorten(self) -> bool:
        """Whether a prompt that does not fit can do with less of the results."""
        return self.results > 0 and not self.short

    def shortened(self, request: ChatRequest) -> ChatRequest:
        """The request with little of every result, and no more tools."""
        self.short = True
        messages = tuple(
            replace(m, text=_cut(m.text, LEAST_CHARS)) if m.speaker == "tool" else m for m in request.messages
        )
        request = replace(request, messages=messages)
        return _last(request) if request.tools else request

    # One call --------------------------------------------------------------------------------------------------

    async def _call(self, call: ToolCall, seconds: float, chars: int, *, may: bool) -> Message:
        began = self.state.recorder.now()
        if may:
            report = await self._report(call, seconds)
        else:
            report = ToolReport.wrong("no more tools can be called")
        text = _cut(_text(report.text), chars)
        now = self.state.recorder.now()
        self.state.recorder.add(
            ToolCalled(
                t=now,
                index=self.move.index,
                round=self.move.round,
                tool=call.name[:64],
                arguments=_cut(call.arguments, MOST_ARGUMENTS),
                result=text,
                ok=report.ok,
                seconds=now - began,
                failure=report.failure,
            )
        )
        return Message(speaker="tool", text=text, call_id=call.id)

    async def _report(self, call: ToolCall, seconds: float) -> ToolReport:
        tool = self.tools.get(call.name)
        if tool is None:
            return ToolReport.wrong(f"no tool is called {call.name[:64]!r}; there are: {', '.join(self.tools)}")
        try:
            arguments = table(parse_json(call.arguments, "the arguments"), "the arguments")
        except DataError as error:
            return ToolReport.wrong(str(error))
        limit = min(tool.timeout_s, seconds)
        if limit <= 0:
            return ToolReport.wrong("no time is left for tools")
        try:
            if virtual_clock() is not None and tool.charge_s > limit:
                await anyio.sleep(ticks(limit))
                raise TimeoutError
            return await real_work(lambda: within(limit, lambda: tool.call(arguments)), charge_s=tool.charge_s)
        except TimeoutError:
            return ToolReport.failed(f"{call.name} has not come back within {limit:.3g} s")
        except Exception as error:  # of a tool of the user's own class
            return ToolReport.failed(f"{type(error).__name__}: {error}")


def _last(request: ChatRequest) -> ChatRequest:
    """The request as the last one for its message, which asks for the answer."""
    return replace(request, tools=(), messages=(*request.messages, Message(speaker="user", text=ENOUGH)))


def _text(text: str) -> str:
    """A text without halves of characters and without NUL, which APIs refuse."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[: chars - len(MARK)] + MARK
