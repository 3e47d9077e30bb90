"""A server that no longer answers ends a run; it does not teach that everything fails.

Each call has been tried again and again before it counts as failed. So calls of one model that fail one after another,
with no answer in between, are no bad luck: what comes after them would be learned from holes. The run stops where it
is, the update under way is not made, and the same command goes on from the last one. At the end of a batch, from which
something is about to be learned, fewer are enough. A wrong key or a name that the server does not know will not mend
itself, so the first such failure is enough.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mar.errors import ConfigError, PoolDown
from mar.types import CallAnswered, CallFailed, Episode, FailureKind

IN_A_ROW = 20
AT_THE_END = 3  # of a batch
FINAL: frozenset[FailureKind] = frozenset({"bad_key", "unknown_model"})
# A server that answers with nothing of use is no server that is gone: some models say nothing to what they cannot do.
PASSING: frozenset[FailureKind] = frozenset({"call", "rate_limited", "server_fault", "timeout", "connection"})


@dataclass(slots=True)
class Outage:
    """Counts, for each model, the calls that failed since it last answered."""

    _failed: Counter[str] = field(default_factory=Counter[str])
    _why: dict[str, str] = field(default_factory=dict[str, str])  # the latest failure of each model

    def episode(self, episode: Episode) -> None:
        """Take note of an episode's calls. Answers from the cache count, too, or a batch that is run again after a kill
        would stop at the few calls that fail for ever.

        Raises:
            ConfigError: See `failed`.
            PoolDown: See `failed`.
        """
        for event in episode.events:
            match event:
                case CallAnswered():
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
        self._why[model] = reason
        self._stop(IN_A_ROW)

    def batch_over(self) -> None:
        """Something is about to be learned from the calls so far.

        Raises:
            PoolDown: The latest calls of a model have all failed.
        """
        self._stop(AT_THE_END)

    def _stop(self, limit: int) -> None:
        for model, count in self._failed.items():
            if count >= limit:
                raise PoolDown(
                    f"model {model} failed {count} times in a row, the last time with: {self._why[model]}; when it "
                    "answers again, the same command goes on from here"
                )
