"""What a model's card states about its quality: scores of known benchmarks, read from its description."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from mar.pool.cards import ModelCard
from mar.types import Domain

STATED: Mapping[Domain, tuple[str, ...]] = {
    "Code": ("MBPP", "HumanEval"),
    "Math": ("GSM8K", "MATH"),
    "Commonsense": ("MMLU-Pro", "MMLU"),
}
"""Benchmarks whose scores on a model's card tell about a domain."""


def stated_percents(card: ModelCard, domain: Domain | None) -> dict[str, float]:
    """A card's scores by benchmark, in percent, from 1 to 99; domain None: of all domains."""
    return dict(_percents(card.description, domain))


@lru_cache(maxsize=4096)  # the default controller reads every card for every query
def _percents(description: str, domain: Domain | None) -> tuple[tuple[str, float], ...]:
    wanted = [name for d, names in STATED.items() if domain in (None, d) for name in names]
    found = ((name, _percent(description, name)) for name in wanted)
    return tuple((name, percent) for name, percent in found if percent is not None)


def _percent(description: str, benchmark: str) -> float | None:
    name = rf"(?<![\w-]){re.escape(benchmark)}(?![\w-])"
    number = r"(\d{1,2}(?:\.\d+)?)\s*(?:%|percent)?"
    match = re.search(rf"{number}\s+(?:on|in|at)\s+{name}|{name}\s*(?:[:=]|of|is)?\s*{number}", description)
    return None if match is None else min(max(float(match.group(1) or match.group(2)), 1.0), 99.0)
