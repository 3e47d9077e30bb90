"""How often somebody may do something: a bucket of tokens for each, which fills evenly."""

from __future__ import annotations

import time
from collections import OrderedDict

from mar.serving.errors import Refusal

MOST_KNOWN = 10_000  # who is remembered; of more, those who came first are forgotten, and have a full bucket


class Pace:
    """Lets each of many do something so often a minute, and as often at once.

    Args:
        per_minute: How often.
    """

    def __init__(self, per_minute: int) -> None:
        self._most, self._per_s = float(per_minute), per_minute / 60
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # what is left, and when that was

    def step(self, who: str) -> None:
        """Take one.

        Raises:
            Refusal: There is none left.
        """
        now = time.monotonic()
        left, at = self._left.pop(who, (self._most, now))
        left = min(self._most, left + (now - at) * self._per_s)
        self._left[who] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > MOST_KNOWN:
            self._left.popitem(last=False)
        if left < 1:
            message = f"this key may rate {self._most:g} answers a minute, and has rated them"
            raise Refusal(message, status=429, code="too_many_ratings", retry_after_s=(1 - left) / self._per_s)
