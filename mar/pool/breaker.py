"""A circuit breaker: a server that is ill is left alone for a while, and those who have others to ask learn so at once.

After several failures in a row that mean an ill server (no connection or a broken one, no answer in time, a fault of
its own) every call fails at once. When the pause is over one call may try; if that fails, too, the pause is longer.
Refusals and rate limits are answers: whoever gives them is well.

Runs that train or compare do without: for them the patience of `RetryPolicy` is right, and which calls fail must not
hang on what other calls met.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from pydantic import BaseModel, ConfigDict, Field

from mar.clock import now
from mar.errors import CallError, CallTimeout, Charge, ConnectionLost, ServerDown, ServerFault
from mar.pool.faults import Where
from mar.types import Circuit

ILL = (ConnectionLost, CallTimeout, ServerFault)  # what an ill server does


class BreakerPolicy(BaseModel):
    """When a server is left alone, and for how long."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    failures: int = Field(default=5, gt=0)  # in a row, that open the circuit
    first_pause_s: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    longest_pause_s: float = Field(default=60.0, gt=0, allow_inf_nan=False)  # pauses double up to this


class Breaker:
    """The circuit to one model's server.

    Args:
        policy: When it opens, and for how long.
    """

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._failures = 0  # in a row
        self._pauses = 0  # in a row
        self._open_until: float | None = None  # on the event loop's clock; None: the circuit is closed
        self._trying = False  # whether a call tries if the server is well again
        self._last = ""  # what the latest failure was

    @property
    def state(self) -> Circuit:
        """Whether calls go through: all, one that tries, or none."""
        if self._open_until is None:
            return "closed"
        return "trial" if self._trying or now() >= self._open_until else "open"

    def check(self, where: Where) -> None:
        """Let a call through, or not.

        Raises:
            ServerDown: The server is left alone.
        """
        if self._open_until is None:
            return
        left = self._open_until - now()
        if left > 0 or self._trying:
            wait = max(left, 0.0)
            raise ServerDown(
                f"{where}: not asked, since {self._failures} calls in a row have failed; the last: {self._last}",
                retry_after_s=wait,
                charge=Charge(charged="no"),
            )

    @contextmanager
    def call(self, where: Where) -> Generator[None]:
        """Around a call: what comes of it says how the server is.

        Raises:
            ServerDown: The server is left alone; nothing inside is done.
        """
        self.check(where)
        tries, self._trying = self._open_until is not None, self._open_until is not None
        try:
            yield
            self._well()
        except ILL as error:
            self._ill(str(error), tried=tries)
            raise
        except CallError:
            self._well()
            raise
        finally:
            if tries:
                self._trying = False

    def _well(self) -> None:
        self._failures = self._pauses = 0
        self._open_until = None

    def _ill(self, what: str, *, tried: bool) -> None:
        self._failures, self._last = self._failures + 1, what
        if tried or (self._open_until is None and self._failures >= self._policy.failures):
            pause_s = min(self._policy.first_pause_s * 2.0**self._pauses, self._policy.longest_pause_s)
            self._pauses = min(self._pauses + 1, 64)
            self._open_until = now() + pause_s
