"""When a failed try is repeated, and after how long."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import anyio

from mar.errors import CallError
from mar.types import ChatReply

log = logging.getLogger(__name__)
LONG_PAUSE_S = 5.0  # a pause before another try is worth a line from here on


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a failed try is repeated, and after how long.

    A fault passes in seconds or not at all. A rate limit and a server that loads its model only need time: they are
    given more tries and longer pauses, by default at least 75 s in all. Where an answer was generated and charged for
    that is of no use (empty, filtered, broken off), each further try is bought: there are few of these.
    """

    attempts: int = 5  # tries in all
    bought: int = 2  # tries in all of which it is certain that the provider charges for them
    first_wait_s: float = 0.5  # the pause before the second try is drawn from [0, first_wait_s], then doubles
    longest_wait_s: float = 30.0  # no pause is drawn from a wider range
    longest_retry_after_s: float = 60.0  # a server that asks for more is not obeyed beyond this
    patience: int = 2  # how many times as many pauses there are where nothing but time helps
    stretch: float = 4.0  # how many times as long such pauses are; each is drawn from the upper half of its range

    async def tried(
        self,
        attempt: Callable[[], Awaitable[ChatReply]],
        *,
        longest_wait_s: float | None = None,
    ) -> ChatReply:
        """The reply of the first try that brings one. It says how many there were, and so does the last one's error.

        Args:
            attempt: Makes a try.
            longest_wait_s: A pause that would be longer is not made: whoever calls has others to ask.

        Raises:
            CallError: The last try's.
        """
        longest = math.inf if longest_wait_s is None else longest_wait_s
        tries = bought = 0
        while True:
            tries += 1
            try:
                reply = await attempt()
                return reply if reply.attempts == tries else replace(reply, attempts=tries)
            except CallError as error:
                error.attempts = tries
                bought += error.charge.charged == "yes"
                pause_s = self.pause(error, tries)
                too_long = max(pause_s, error.retry_after_s or 0.0) > longest
                if not error.retryable or too_long or self.stop(error, tries, bought):
                    raise
                if pause_s >= LONG_PAUSE_S:
                    log.warning("%s; asked again in %.0f s (try %d)", error, pause_s, tries + 1)
            await anyio.sleep(pause_s)

    def stop(self, error: CallError, tries: int, bought: int = 0) -> bool:
        """Whether the latest try was the last.

        Args:
            error: Its error.
            tries: How many there were.
            bought: How many of them were charged for.
        """
        pauses = (self.attempts - 1) * (self.patience if error.patient else 1)
        return tries > pauses or bought >= self.bought

    def pause(self, error: CallError, tries: int) -> float:
        """Seconds to wait before the next try; arguments as for `stop`."""
        widest = self.first_wait_s * 2 ** (tries - 1)
        if error.patient:
            widest = min(self.stretch * widest, self.longest_wait_s)
            drawn = random.uniform(widest / 2, widest)
        else:
            drawn = random.uniform(0, min(widest, self.longest_wait_s))
        asked = error.retry_after_s
        return drawn if asked is None else max(drawn, min(asked, self.longest_retry_after_s))
