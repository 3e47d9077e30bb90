"""Which models are relatives: what one of them believes, the others believe too."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_RELATIVES = {"mixtral": "mistral", "mathstral": "mistral", "codestral": "mistral", "gemini": "gemma"}
_MAKERS = {"meta", "google", "microsoft"}


def families_of(models: Sequence[str], known: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The family of each model: as `known` says, else the first word of its name ("Meta-Llama-3-8B": llama)."""
    return tuple((known or {}).get(m) or _family(m) for m in models)


def _family(name: str) -> str:
    words = [w for w in re.split(r"[^a-z]+", name.lower().rsplit("/", 1)[-1]) if w]
    named = [w for w in words if w not in _MAKERS or len(words) == 1] or words or [name]
    return _RELATIVES.get(named[0], named[0])
