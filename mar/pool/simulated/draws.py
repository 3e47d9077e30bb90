"""Randomness by hash: every draw is a function of what it is for, so order and repetition cannot change it.

A draw is blake2b(simulator seed, sample identity, model, purpose) read as a number in (0, 1). Two calls with one
sample draw alike, two samples differ, and no generator has a state that the order of calls could move.
"""

from __future__ import annotations

import hashlib
import struct
from statistics import NormalDist
from typing import NamedTuple

_WORDS = struct.Struct("<11I")
_ONE = struct.Struct("<Q")
_UNIT = 2.0**-53
_WORD = 2.0**-32
_STANDARD = NormalDist()


class Draws(NamedTuple):
    """The uniform draws of one call, each in (0, 1); the name is the purpose."""

    luck: float  # whether the answer is known
    keep: float  # whether a revision keeps the luck of what it revises
    copy: float  # whether another message's answer is taken over
    pick: float  # which of them
    answer: float  # which right answer, or which of those that nothing speaks for
    length: float  # completion tokens
    cut: float  # whether an answer cut off by max_tokens can still be read
    phrase: float  # wording, and whether the call fails
    silence: float  # whether nothing is answered
    trap: float  # whether the popular mistake is made
    confidence: float  # the log-probability reported


def _unit(bits: int) -> float:
    return ((bits >> 11) + 0.5) * _UNIT


def draws(seed: int, sample: str, model: str) -> Draws:
    """All draws of one call: the first words of one 64-byte digest."""
    digest = hashlib.blake2b(f"{seed}\x1f{sample}\x1f{model}".encode(), digest_size=64).digest()
    return Draws._make([(word + 0.5) * _WORD for word in _WORDS.unpack_from(digest)])


def uniform(*parts: object) -> float:
    """A number in (0, 1) that depends on the parts and on nothing else."""
    key = "\x1f".join(map(str, parts)).encode()
    return _unit(_ONE.unpack(hashlib.blake2b(key, digest_size=8).digest())[0])


def normal(*parts: object) -> float:
    """A standard normal number that depends on the parts and on nothing else."""
    return _STANDARD.inv_cdf(uniform(*parts))


def to_normal(unit: float) -> float:
    """The standard normal quantile of a number in (0, 1)."""
    return _STANDARD.inv_cdf(unit)
