"""An episode as a conversation: numbered utterances, who read which, what was thought, and what else happened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from mar.types import (
    AnyEvent,
    CallAnswered,
    CallFailed,
    Considered,
    Decided,
    Episode,
    EpisodeStarted,
    Message,
    PassedThrough,
    PromptTrimmed,
    ServerAdapted,
    StepBound,
    StepEvent,
    StepFailed,
    StepFinished,
    Stopped,
    ToolCalled,
    ToolRan,
    Why,
)

Form = Literal["utterance", "line", "thought"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text that the page shows folded."""

    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """A model call, answered or failed, or a message that was passed on."""

    number: int  # from 1, in order of time
    kind: str  # "agent", "revise", "decider", "passed on"; "under way": it has not ended
    who: str
    lane: int  # the agent's index
    round: int  # from 0
    model: str  # empty for a message that was passed on
    begin_s: float
    end_s: float
    note: str  # tokens and cost, or why it failed
    failed: bool
    read: tuple[int, ...]  # numbers of the utterances that the prompt showed
    texts: tuple[Text, ...]

    form: ClassVar[Form] = "utterance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Something else that happened."""

    t: float
    who: str
    text: str
    bad: bool = False
    times: int = 1  # how often in a row

    form: ClassVar[Form] = "line"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thought:
    """What a policy believed, and why it did what came next."""

    t: float
    who: str  # whose move came next; empty before settling
    why: Why

    form: ClassVar[Form] = "thought"


Entry = Utterance | Line | Thought


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A whole episode."""

    lanes: tuple[str, ...]
    entries: tuple[Entry, ...]
    stepwise: bool = False  # whether moves were decided one after another, so that their order in time tells something

    @property
    def utterances(self) -> tuple[Utterance, ...]:
        """Calls and messages passed on."""
        return tuple(e for e in self.entries if isinstance(e, Utterance))


def converse(episode: Episode, *, ended: bool = True) -> Conversation:
    """Read an episode's events as a conversation; of one that has not ended, also what is under way."""
    return _Reader(episode).read(ended=ended)


class _Reader:
    def __init__(self, episode: Episode) -> None:
        self._episode = episode
        self._lanes = episode.lanes
        self._numbers: dict[str, int] = {}  # of the utterance, by its message's id
        self._said: dict[str, str] = {}  # text by message id
        self._count = 0

    def read(self, *, ended: bool) -> Conversation:
        entries: list[Entry] = []
        for event in self._episode.events:
            for entry in self._entries(event):
                last = entries[-1] if entries else None
                if isinstance(entry, Line) and isinstance(last, Line) and replace(last, t=entry.t, times=1) == entry:
                    entries[-1] = replace(last, times=last.times + 1)
                else:
                    entries.append(entry)
        if not ended:
            entries.extend(self._under_way())
        return Conversation(lanes=self._lanes, entries=tuple(entries), stepwise=self._episode.plan is None)

    def _entries(self, event: AnyEvent) -> Iterator[Entry]:
        match event:
            case CallAnswered() | CallFailed() | PassedThrough():
                yield self._utterance(event)
            case Considered():
                who = "" if event.index is None else self._lanes[event.index]
                yield Thought(t=event.t, who=who, why=event.why)
            case StepFinished() if self._said.get(event.message_id) == event.text:
                return  # the message is the utterance just shown
            case _:
                yield _line(event, self._lanes)

    def _utterance(self, event: CallAnswered | CallFailed | PassedThrough) -> Utterance:
        self._count += 1
        number = self._count
        begin = event.t if isinstance(event, PassedThrough) else event.t - event.latency_s
        read = () if isinstance(event, CallFailed) else self._read(event)
        if not isinstance(event, CallFailed):
            self._numbers[event.message_id] = number
            self._said[event.message_id] = event.text
        return Utterance(
            number=number,
            kind="passed on" if isinstance(event, PassedThrough) else event.call,
            who=self._lanes[event.index],
            lane=event.index,
            round=event.round,
            model="" if isinstance(event, PassedThrough) else event.model,
            begin_s=max(0.0, begin),
            end_s=event.t,
            note=_note(event),
            failed=isinstance(event, CallFailed),
            read=read,
            texts=tuple(_texts(event)),
        )

    def _under_way(self) -> Iterator[Utterance]:
        """Moves that were given a model and have not brought anything."""
        bound: dict[tuple[int, int], StepBound] = {}
        for event in self._episode.events:
            if isinstance(event, StepBound):
                bound[event.index, event.round] = event
            elif isinstance(event, CallAnswered | CallFailed | PassedThrough | StepFinished | StepFailed):
                bound.pop((event.index, event.round), None)
        for event in bound.values():
            self._count += 1
            yield Utterance(
                number=self._count,
                kind="under way",
                who=self._lanes[event.index],
                lane=event.index,
                round=event.round,
                model=event.model,
                begin_s=event.t,
                end_s=event.t,
                note="under way",
                failed=False,
                read=(),
                texts=(),
            )

    def _read(self, event: CallAnswered | PassedThrough) -> tuple[int, ...]:
        ids = (event.source,) if isinstance(event, PassedThrough) else event.read
        return tuple(self._numbers[i] for i in ids if i in self._numbers)


def _note(event: CallAnswered | CallFailed | PassedThrough) -> str:
    match event:
        case CallFailed():
            return f"failed: {event.failure.kind}"
        case PassedThrough():
            return "no call was needed"
        case CallAnswered():
            usage = event.usage
            tokens = "unknown" if usage.completion_tokens is None else f"{usage.completion_tokens:,}"
            prompt = "unknown" if usage.prompt_tokens is None else f"{usage.prompt_tokens:,}"
            cost = "cost unknown" if usage.cost_usd is None else f"{usage.cost_usd:.6f} USD"
            called = ", calls " + ", ".join(call.name for call in event.calls) if event.calls else ""
            return f"{prompt} + {tokens} tokens, {cost}{', cached' if event.cached else ''}{event.cut}{called}"


def _texts(event: CallAnswered | CallFailed | PassedThrough) -> Iterator[Text]:
    match event:
        case CallFailed():
            yield Text(title="why", text=event.failure.reason)
        case PassedThrough():
            yield Text(title="message", text=event.text)
        case CallAnswered():
            yield from (Text(title=f"prompt, {m.speaker}", text=_written(m)) for m in event.prompt)
            if event.reasoning:
                yield Text(title="reasoning", text=event.reasoning)
            if event.text or not event.calls:
                yield Text(title="message", text=event.text)
            yield from (Text(title=f"calls {call.name}", text=call.arguments) for call in event.calls)


def _written(message: Message) -> str:
    called = (f"(calls {call.name}: {call.arguments})" for call in message.calls)
    return "\n".join(filter(None, (message.text, *called)))


def _line(event: AnyEvent, lanes: tuple[str, ...]) -> Line:
    """An event that is no utterance, in one line."""
    who = lanes[event.index] if isinstance(event, StepEvent) else ""
    match event:
        case EpisodeStarted():
            bound = "" if event.call_bound is None else f"; at most {event.call_bound} calls"
            return Line(t=event.t, who=who, text=f"started{bound}")
        case StepBound():
            strategy = "" if event.strategy is None else f", strategy {event.strategy}"
            return Line(t=event.t, who=who, text=f"round {event.round + 1}: runs on {event.model}{strategy}")
        case PromptTrimmed():
            text = f"{len(event.dropped)} messages left out of the prompt (limit {event.limit_tokens:,} tokens)"
            return Line(t=event.t, who=who, text=text, bad=True)
        case ServerAdapted():
            return Line(t=event.t, who=who, text=f"{event.model}'s server: {'; '.join(event.learned)}")
        case ToolRan():
            why = "" if event.failure is None else f" ({event.failure.kind}: {event.failure.reason})"
            return Line(t=event.t, who=who, text=f"{event.tool}: {event.summary}{why}", bad=not event.ok)
        case ToolCalled():
            why = "" if event.failure is None else f" ({event.failure.kind})"
            text = f"{event.tool}({event.arguments}) in {event.seconds:.2f} s{why}: {event.result}"
            return Line(t=event.t, who=who, text=text, bad=not event.ok)
        case StepFinished():
            return Line(t=event.t, who=who, text=f"its message is: {event.text}")
        case StepFailed():
            text = f"produced nothing ({event.failure.kind}: {event.failure.reason})"
            return Line(t=event.t, who=who, text=text, bad=True)
        case Stopped():
            return Line(t=event.t, who=who, text=f"stopped in round {event.round + 1}: {event.why}")
        case Decided():
            answer = "nothing could be read" if event.answer is None else "answer read"
            return Line(t=event.t, who=who, text=f"decided by {event.how}: {answer}", bad=event.answer is None)
        case _:
            return Line(t=event.t, who=who, text=type(event).__name__)
