"""Who answers under a name: one immutable record, which is replaced as a whole when anything of it changes.

A request looks at it once, when it is planned, and ends with what it saw: no request sees half a change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from mar.controllers.base import Controller

_ALL = 2**64


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A controller that answers, and which version of it this is."""

    controller: Controller
    version: str  # the hash of its weights and settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A candidate that takes a share of what another one would answer."""

    candidate: Serving
    share: float  # 0: it takes nothing, and plans in shadow
    salt: str  # of the draw: its rollout's id, so that not the same people try every candidate

    def takes(self, unit: str) -> bool:
        """Whether the candidate answers whoever asks; of a larger share it answers the same ones, and others."""
        return share_of(f"{self.salt}/{unit}") < self.share


def share_of(text: str) -> float:
    """A number from 0 to 1 that follows from a text as if it were drawn."""
    drawn = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(drawn, "big") / _ALL


@dataclass(frozen=True, slots=True, kw_only=True)
class Staff:
    """Who answers, by the name that clients ask for."""

    serving: Mapping[str, Serving]
    trials: Mapping[str, Trial] = field(default_factory=dict[str, Trial])

    def who(self, name: str, unit: str) -> Serving:
        """Who answers somebody.

        Args:
            name: That is asked for.
            unit: Who stays with one version: a user, or a conversation.
        """
        trial = self.trials.get(name)
        return trial.candidate if trial is not None and trial.takes(unit) else self.serving[name]
