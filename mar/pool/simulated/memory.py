"""What the simulator remembers about the messages it wrote."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """One message that the simulator wrote."""

    item: str
    model: str
    role: str
    index: int  # of the agent in its plan; the decider's is past the agents'
    knew: bool
    correct: bool  # as those who know see it, also by a guess
    answer: int  # position in the item's right or wrong answers; -1: none could be read
    luck: float  # the draw that decided over right and wrong
    extra_tokens: int  # simulated completion tokens beyond what the text counts for


class Memory:
    """The last `limit` messages by id, the oldest forgotten first."""

    def __init__(self, limit: int = 300_000) -> None:
        self._messages: OrderedDict[str, Remembered] = OrderedDict()
        self._limit = limit

    def __len__(self) -> int:
        return len(self._messages)

    def store(self, message_id: str, message: Remembered) -> None:
        """Remember a message; one of the same id is replaced."""
        self._messages[message_id] = message
        self._messages.move_to_end(message_id)
        if len(self._messages) > self._limit:
            self._messages.popitem(last=False)

    def recall(self, message_ids: Iterable[str]) -> list[Remembered]:
        """The messages of these ids that are known, in the order given."""
        found = (self._messages.get(i) for i in message_ids)
        return [message for message in found if message is not None]
