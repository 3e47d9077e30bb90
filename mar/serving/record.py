"""What is kept of requests: who asked what of whom, the episode that came of it, and what was said of the answer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from time import time
from typing import Any, Literal, Protocol

from mar.runtime import episode_to_json
from mar.serving.lines import Line, Part, Place, Sieve, opening_of, seen
from mar.traffic.records import Arm, Keep, Outcome
from mar.types import Episode, Plan, Query, Usage

DIRECT = "direct"  # the label of a request for one model by its name


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What somebody said of an answer."""

    episode: str  # its id
    rating: float  # 0 to 1
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """One call of a model."""

    model: str
    usage: Usage  # of all its tries
    seconds: float
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Keyed hashes of texts, by which turns of a conversation are recognised without them."""

    question: str
    answer: str
    before: str  # the question before, as the client's history has it
    taken: str  # what the history has as its answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One request and what came of it."""

    id: str  # of the episode, as clients are told it
    at: float  # when it came, seconds since 1970
    guest: str
    asked: str  # the model that was asked for
    keep: Keep = "nothing"  # what of it may be written down
    query: Query | None  # None: texts are not kept
    person: str | None = None  # the user by a hash, once it is written down; None: not stated, or not kept
    conversation: str | None = None  # likewise
    turn: int = 0  # of the conversation: how many came before, as far as the client told
    followed: bool = False  # whether the client says whose request or conversation it is, so that turns belong together
    marks: Marks | None = None  # once it is written down
    embedding: bytes | None = None  # of the question, 16-bit floats; None: not kept
    controller: str  # who planned; "": nobody, the model was asked for by name
    plan: Plan | None
    label: str  # the plan in a few words
    version: str = ""  # of the policy that planned: the hash of its weights and settings
    arms: tuple[Arm, ...] = ()  # all that could have been drawn, the first one was; none: nobody planned
    explored: bool = False  # whether the arm was drawn for what it teaches
    why: Mapping[str, str]  # the controller's notes
    status: int  # of HTTP; 499: the client left
    reason: str = ""  # why there is no answer, or no whole one
    usage: Usage
    models: tuple[str, ...]  # that were asked, in that order
    attempts: int  # tries of all calls
    cached: int = 0  # calls that the response cache answered
    called: tuple[Called, ...] = ()  # every call; stores keep their sums by model and time
    decision_s: float  # that planning took
    seconds: float  # from the whole request to the end of the answer
    first_s: float | None  # to the first piece of a stream
    deadline_s: float | None = None  # that the answer might take, as was asked for
    episode: Episode | None = None  # None: it did not come to its end
    outcomes: tuple[Outcome, ...] = ()  # what is known of the answer's worth

    @property
    def mode(self) -> str:
        """How agents worked together, in one word; "": it was decided step by step."""
        if self.plan is not None and self.controller:
            return self.plan.mode.name
        return DIRECT if not self.controller else ""

    @property
    def line(self) -> Line:
        """What a list shows of it."""
        query = self.query
        return Line(
            id=self.id,
            at=self.at,
            guest=self.guest,
            person=self.person,
            opening=None if query is None else opening_of(query.text),
            asked=self.asked,
            controller=self.controller,
            mode=self.mode,
            label=self.label,
            explored=self.explored,
            status=self.status,
            reason=self.reason,
            cost_usd=self.usage.cost_usd,
            models=self.models,
            attempts=self.attempts,
            seconds=self.seconds,
            deadline_s=self.deadline_s,
            plan=self.plan,
            worth=self.outcomes,
        )

    def to_json(self, *, simulated: bool) -> dict[str, Any]:
        """What /v1/episodes says of it."""
        usage = self.usage
        return {
            "object": "mar.episode",
            "id": self.id,
            "created": int(self.at),
            "model": self.asked,
            "simulated": simulated,
            "controller": self.controller,
            "label": self.label,
            "plan": None if self.plan is None else self.plan.to_json(),
            "why": dict(self.why),
            "status": self.status,
            "reason": self.reason,
            "cost_usd": usage.cost_usd,
            "uncertain_usd": usage.uncertain_usd,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "models": list(self.models),
            "attempts": self.attempts,
            "decision_s": round(self.decision_s, 6),
            "seconds": round(self.seconds, 4),
            "first_s": None if self.first_s is None else round(self.first_s, 4),
            "trace": None if self.episode is None or self.query is None else episode_to_json(self.episode),
            "version": self.version,
            "explored": self.explored,
            "arms": [asdict(arm) for arm in self.arms],
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
        }


def rated(entry: Entry, rating: float, note: str) -> Outcome:
    """What a rating says of an answer: the word of whoever asked."""
    return Outcome(kind="rating", value=rating, by=entry.person or "", at=time(), note=note)


def known_by(entry: Entry, outcome: Outcome) -> Entry:
    """An entry with what is known of its worth, in place of what the same source said before."""
    others = (o for o in entry.outcomes if (o.kind, o.by) != (outcome.kind, outcome.by))
    return replace(entry, outcomes=(*others, outcome))


class Record(Protocol):
    """Keeps entries. `add` must not wait: whatever takes time is done in batches, off the path of requests."""

    def add(self, entry: Entry) -> None:
        """Keep what came of a request."""
        ...

    async def find(self, id: str) -> Entry | None:
        """A request by its episode's id; None: it was never there, or is no longer kept."""
        ...

    async def latest(self, sieve: Sieve, *, before: Place | None, most: int) -> Part:
        """The latest requests that are to be seen, the latest first; fewer than there are where it would take long.

        Args:
            sieve: Which ones.
            before: Those that came before this place; None: all.
            most: How many, at most.
        """
        ...

    async def lines(self, entries: Sequence[Entry]) -> list[Line]:
        """What lists show of requests that were just added, as far as it may be kept, written down or not."""
        ...

    async def rate(self, feedback: Feedback) -> Entry | None:
        """Keep what was said of an answer; gives what it was said of, or None where that is not kept."""
        ...

    async def tell(self, episode: str, outcome: Outcome) -> None:
        """Keep what is known of an answer's worth, in place of what the same source said before."""
        ...

    async def forget(self, what: Literal["user", "conversation"], name: str) -> int:
        """Delete all that is kept of a user or a conversation, by the name that clients gave; gives how many requests.

        It stays known by a hash who was deleted and when, so that what is trained on the log drops them, too.
        """
        ...

    def whose(self, what: Literal["user", "conversation"], name: str) -> Callable[[str], bool]:
        """Whether a name that clients gave is the one meant, which may be a hash as the log shows it."""
        ...


class Memory:
    """Keeps the latest entries of one process.

    Args:
        keep: How many.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._entries: OrderedDict[str, Entry] = OrderedDict()

    def add(self, entry: Entry) -> None:
        """See `Record`."""
        self._entries[entry.id] = _kept(entry)
        if len(self._entries) > self._keep:
            self._entries.popitem(last=False)

    async def find(self, id: str) -> Entry | None:
        """See `Record`."""
        return self._entries.get(id)

    async def latest(self, sieve: Sieve, *, before: Place | None, most: int) -> Part:
        """See `Record`."""
        lines = sorted((e.line for e in self._entries.values()), key=lambda line: line.place, reverse=True)
        past = (line for line in lines if before is None or line.place < before)
        found = [line for line in past if seen(sieve, line)]
        return Part(lines=tuple(found[:most]), on=found[most - 1].place if len(found) > most else None)

    async def lines(self, entries: Sequence[Entry]) -> list[Line]:
        """See `Record`."""
        return [_kept(entry).line for entry in entries]

    async def rate(self, feedback: Feedback) -> Entry | None:
        """See `Record`."""
        entry = self._entries.get(feedback.episode)
        if entry is not None:
            outcome = rated(entry, feedback.rating, feedback.comment)
            self._entries[entry.id] = known_by(entry, outcome)
        return entry

    async def tell(self, episode: str, outcome: Outcome) -> None:
        """See `Record`."""
        entry = self._entries.get(episode)
        if entry is not None:
            self._entries[episode] = known_by(entry, outcome)

    async def forget(self, what: Literal["user", "conversation"], name: str) -> int:
        """See `Record`."""
        of = {
            id: e.query.user_id if what == "user" else e.query.conversation_id
            for id, e in self._entries.items()
            if e.query
        }
        gone = [id for id, whose in of.items() if whose == name]
        for id in gone:
            del self._entries[id]
        return len(gone)

    def whose(self, what: Literal["user", "conversation"], name: str) -> Callable[[str], bool]:
        """See `Record`. There are no hashes."""
        return lambda other: other == name


def _kept(entry: Entry) -> Entry:
    return entry if entry.keep == "text" else replace(entry, query=None, episode=None)
