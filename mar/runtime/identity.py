"""The identity of every draw, so that different samples differ and the same run repeats itself."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache

from mar.types import Plan


def digest(*parts: object, size: int = 12) -> str:
    """A short stable hash of some values that print unambiguously."""
    return hashlib.blake2b("\x1f".join(map(str, parts)).encode(errors="surrogatepass"), digest_size=size).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """Where an episode stands in a run."""

    seed: int = 0
    epoch: str = "0"  # training epoch, or the name of a phase such as "test"
    rollout: int = 0  # which of several episodes on one item

    def sample(self, item: str, agent: int, call: str) -> str:
        """Identity of one draw. It leaves the plan out, so that plans are compared on common random numbers."""
        return digest(self.seed, self.epoch, item, self.rollout, agent, call)


@lru_cache(maxsize=1024)  # a gateway plays few different plans, and each often
def plan_digest(plan: Plan) -> str:
    """Identity of a plan's content."""
    return digest(json.dumps(plan.to_json(), sort_keys=True), size=6)
