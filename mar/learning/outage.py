"""A server that no longer answers ends a run; it does not teach that everything fails.

Each call has been tried again and again before it counts as failed. So calls of one model that fail one after another,
with no answer in between, are no bad luck: what comes after them would be learned from holes. The run stops where it
is, the update under way is not made, and the same command goes on from the last one. A wrong key or a name that the
server does not know will not mend itself, so the first such failure is enough.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mar.errors import ConfigError, PoolDown
from mar.types import CallAnswered, CallFailed, Episode, FailureKind

IN_A_ROW = 20
FINAL: frozenset[FailureKind] = frozenset({"bad_key", "unknown_model"})
PASSING: frozenset[FailureKind] = frozenset(
    {"call", "rate_limited", "server_fault", "timeout", "connection", "bad_reply", "bad_request"}
)


@dataclass(slots=True)
class Outage:
    """Counts, for each model, the calls that failed since it last answered."""

    _failed: Counter[str] = field(default_factory=Counter[str])

    def episode(self, episode: Episode) -> None:
        """Take note of an episode's calls; answers from the cache say nothing about a server.

        Raises:
            ConfigError: See `failed`.
            PoolDown: See `failed`.
        """
        for event in episode.events:
            match event:
                case CallAnswered(cached=False):
                    self.answered(event.model)
                case CallFailed():
                    self.failed(event.model, event.failure.kind, event.failure.reason)
                case _:
                    pass

    def answered(self, model: str) -> None:
        """A model has answered."""
        self._failed[model] = 0

    def failed(self, model: str, kind: str, reason: str) -> None:
        """A call has failed for good.

        Raises:
            ConfigError: Its key or its name is wrong.
            PoolDown: Too many calls of this model have failed in a row.
        """
        if kind in FINAL:
            raise ConfigError(f"model {model}: {reason}; put it right, and the same command goes on from here")
        if kind not in PASSING:
            return
        self._failed[model] += 1
        if self._failed[model] >= IN_A_ROW:
            raise PoolDown(
                f"model {model} failed {IN_A_ROW} times in a row, the last time with: {reason}; when it answers again, "
                "the same command goes on from here"
            )
