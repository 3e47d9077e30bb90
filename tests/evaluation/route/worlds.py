"""Questions of two plainly different kinds, two cheap specialists, and a dear model that can do both."""

from __future__ import annotations

import hashlib

import numpy as np

from mar.controllers.sequential.calls import Asked, Call
from mar.evaluation.route.calls import Calls
from mar.pool.cards import ModelCard
from mar.tasks.scoring.formats import Number
from mar.types import Query

CARDS = (
    ModelCard(name="sums", price_in=0.1, price_out=0.1),
    ModelCard(name="places", price_in=0.1, price_out=0.1),
    ModelCard(name="dear", price_in=2.5, price_out=2.5),
)
PLACES = ("river", "city", "mountain", "lake", "border", "island", "coast", "desert")
RIGHT, WRONG = "1", "2"


class Words:
    """A vector per text that is the sum of random vectors of its words: texts that share words are alike."""

    name = "words"
    width = 64

    def encode(self, texts):
        rows = [np.sum([_vector(w, self.width) for w in text.lower().split()], axis=0) for text in texts]
        found = np.stack(rows) if rows else np.zeros((0, self.width))
        return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def _vector(word, width):
    seed = int.from_bytes(hashlib.blake2b(word.encode()).digest()[:8])
    return np.random.default_rng(seed).standard_normal(width)


def text(i: int) -> str:
    """Question i: even ones are sums, odd ones are about places."""
    if i % 2 == 0:
        return f"How much is {i} plus {i + 3} minus {i % 7} in numbers ?"
    return f"Which {PLACES[i % 8]} lies nearest to the {PLACES[i // 8 % 8]} of region {i} on the map ?"


def able(model: str, i: int) -> bool:
    """Whether a model knows question i."""
    return model == "dear" or (model == "sums") == (i % 2 == 0)


def asked(rows, form=None, knows=able, graded=True) -> list[Asked]:
    """The questions with a call of every model."""
    found = []
    for i in rows:
        calls = [
            Call(
                message_id=card.name,
                model=card.name,
                strategy=None,
                answer=RIGHT if knows(card.name, i) else WRONG,
                quality=float(knows(card.name, i)) if graded else None,
                prompt_tokens=100,
                completion_tokens=200,
            )
            for card in CARDS
        ]
        found.append(
            Asked(text=text(i), domain="Math", form="open", options=0, calls=tuple(calls), equivalent=Number())
        )
    return found


def queries(rows) -> list[Query]:
    """What a controller sees of them."""
    return [Query(text=text(i), id=str(i), domain="Math", answer_format=Number()) for i in rows]


def calls(rows, knows=able) -> Calls:
    """The table of all calls."""
    return Calls.of(queries(rows), asked(rows, knows=knows), CARDS)
