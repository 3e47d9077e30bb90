"""Names of counters: whose they are, what they count, and in which period of UTC, by the store's clock.

Requests and tokens are counted by the calendar's minute. A bucket that refills (token bucket) would be smoother and
allow as many in the worst minute, twice the limit; this way a limit means what it says, and when it is whole again is
known to the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

Money = Literal["day", "month", "total"]
PERIODS: tuple[Money, ...] = ("day", "month", "total")
MINUTE_S = 60
MINUTES_LIVE_S = 3600  # how long a minute's counter is kept: longer than any request takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The counters of one key at one time."""

    key: str
    now: float  # the store's, in seconds since 1970

    def money(self, period: Money) -> str:
        """What was spent in nano-USD; a call belongs to the day on which it began."""
        day = datetime.fromtimestamp(self.now, UTC).date().isoformat()
        return f"usd/{self.key}/" + {"day": day, "month": day[:7], "total": "total"}[period]

    @property
    def requests(self) -> str:
        """Requests of this minute."""
        return f"requests/{self.key}/{int(self.now // MINUTE_S)}"

    @property
    def tokens(self) -> str:
        """Tokens of this minute."""
        return f"tokens/{self.key}/{int(self.now // MINUTE_S)}"

    @property
    def at_once(self) -> str:
        """Requests under way."""
        return f"at-once/{self.key}"

    @property
    def next_minute_s(self) -> float:
        """Seconds until another minute begins."""
        return MINUTE_S - self.now % MINUTE_S

    def next_s(self, period: Money) -> float | None:
        """Seconds until another period begins; None: none ever does."""
        if period == "total":
            return None
        at = datetime.fromtimestamp(self.now, UTC)
        if period == "day":
            return 86400 - self.now % 86400
        year, month = (at.year + 1, 1) if at.month == 12 else (at.year, at.month + 1)
        return datetime(year, month, 1, tzinfo=UTC).timestamp() - self.now
