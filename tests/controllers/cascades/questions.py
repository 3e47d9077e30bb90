"""Graded training calls, written down by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mar.controllers.cascades import Table
from mar.controllers.embeddings import HashEncoder
from mar.controllers.sequential import Asked, Call
from mar.pool.cards import ModelCard
from mar.tasks.scoring.formats import Number
from mar.types import PlainText

ENCODER = HashEncoder(16)
FORMS = {"open": Number(), "programs": PlainText(), "options": Number()}


def cards(**prices: float | None) -> list[ModelCard]:
    """Models whose completion tokens cost so many USD each."""
    return [
        ModelCard(name=name, price_in=None if p is None else 0.0, price_out=None if p is None else 1e6 * p)
        for name, p in prices.items()
    ]


def call(model: str, answer: str | None, quality: float | None = None, **more) -> Call:
    """A call of one completion token."""
    return Call(
        **{
            "message_id": model,
            "model": model,
            "strategy": None,
            "answer": answer,
            "quality": quality,
            "prompt_tokens": 10,
            "completion_tokens": 1,
        }
        | more
    )


def question(text: str, calls: Sequence[Call], form: str = "open") -> Asked:
    """A question of a form."""
    return Asked(
        text=text, form=form, options=4 if form == "options" else 0, calls=tuple(calls), equivalent=FORMS[form]
    )


def answered(by_model: Mapping[str, str], gold: str = "y") -> list[Asked]:
    """Questions to which each model gave the answers of its string, letter by letter; a dot: its call failed."""
    letters = {"y": "1", "n": "2", "x": "3"}
    return [
        question(
            f"question {i}",
            [
                call(model, letters[said[i]], float(said[i] == gold))
                for model, said in by_model.items()
                if said[i] != "."
            ],
        )
        for i in range(len(next(iter(by_model.values()))))
    ]


def table(by_model: Mapping[str, str], cost_rate: float = 1.0, **prices: float) -> Table:
    """The table of such answers."""
    return Table.of(answered(by_model), cards(**prices), ENCODER, cost_rate)
