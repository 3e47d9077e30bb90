# pyright: basic
"""What cascades are chosen on: graded single calls as a table, a row for each item, a column for each model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from mar.controllers.belief.likelihood import PASSED, UNTESTED
from mar.controllers.belief.topics import Topics
from mar.controllers.cascades.logistic import Floats
from mar.controllers.embeddings import Encoder
from mar.controllers.sequential.calls import RIGHT, Asked, Call, Numbered
from mar.controllers.sequential.habits import sureness
from mar.errors import ConfigError
from mar.pool.cards import ModelCard

Ints = npt.NDArray[np.int64]
COMPONENTS = 8  # coordinates of a text
PER_COMPONENT = 10  # training items that one coordinate takes
SIGNS = 5  # what can be seen of an answer: see `signs`
NOTHING = -1  # instead of an answer's number: nothing can be agreed with


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Graded calls of models that read nothing, one of each model on each item. A call that is missing had failed."""

    models: tuple[str, ...]
    quality: Floats  # (n, M); 0 where there is no call
    usd: Floats  # what the call cost, (n, M); 0 where there is none
    cost_rate: float  # price of money, utility per USD
    answer: Ints  # equal where answers agree, (n, M); NOTHING where none could be read, or its program failed tests
    heard: npt.NDArray[np.bool_]  # whether there is a call, (n, M)
    signs: Floats  # (n, M, SIGNS), measured against what is usual for the model
    usual: Floats  # mean and spread of how sure and how long answers of each model are, (M, 2, 2)
    texts: Floats  # coordinates of the items' texts, (n, K)
    topics: Topics

    @classmethod
    def of(cls, asked: Sequence[Asked], cards: Sequence[ModelCard], encoder: Encoder, cost_rate: float) -> Table:
        """Read graded calls, without models that were never heard or whose price counts and is not known.

        Raises:
            ConfigError: There is nothing to learn from.
        """
        chosen = [_alone(question) for question in asked]
        spoke = {call.model for calls in chosen for call in calls}
        kept = [c for c in cards if c.name in spoke and (c.has_price or not cost_rate)]
        if not kept:
            raise ConfigError("no graded call of a model of the pool to learn a cascade from; expected some of each")
        place = {card.name: i for i, card in enumerate(kept)}
        shape = (len(asked), len(kept))
        quality, usd, raw = np.zeros(shape), np.full(shape, np.nan), np.full((*shape, SIGNS), np.nan)
        answer, heard = np.full(shape, NOTHING), np.zeros(shape, dtype=bool)
        for i, (question, calls) in enumerate(zip(asked, chosen, strict=True)):
            for call, number in zip(calls, numbers(replace(question, calls=tuple(calls))), strict=True):
                if (m := place.get(call.model)) is None:
                    continue
                heard[i, m], answer[i, m], quality[i, m] = True, number, call.quality or 0.0
                usd[i, m], raw[i, m] = _usd(kept[m], call), signs(call)
        usual = _usual(raw[:, :, -2:])
        vectors = torch.from_numpy(encoder.encode([a.text for a in asked]))
        topics = Topics.of(vectors, min(COMPONENTS, len(asked) // PER_COMPONENT))
        return cls(
            models=tuple(place),
            quality=quality,
            usd=_known(usd, heard),
            cost_rate=cost_rate,
            answer=answer,
            heard=heard,
            signs=_against(raw, usual[None]),
            usual=usual,
            texts=topics(vectors).numpy().astype(np.float64),
            topics=topics,
        )

    def __len__(self) -> int:
        return len(self.quality)

    @property
    def price(self) -> Floats:
        """Of each call, in utility, (n, M)."""
        return self.cost_rate * self.usd

    def at(self, cost_rate: float) -> Table:
        """The same calls at another price of money."""
        return replace(self, cost_rate=cost_rate)

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Which answers count as right, (n, M)."""
        return self.quality >= RIGHT

    @property
    def worth(self) -> Floats:
        """Utility of each model alone, (n, M)."""
        return self.quality - self.price

    def seen(self, model: int, call: Call) -> Floats:
        """The signs of a new call, (SIGNS,)."""
        return _against(signs(call)[None], self.usual[model][None])[0]

    def coordinates(self, vectors: npt.NDArray[np.float32]) -> Floats:
        """Of embeddings (n, E), (n, K)."""
        return self.topics(torch.from_numpy(vectors)).numpy().astype(np.float64)

    def among(self, cards: Sequence[ModelCard]) -> tuple[int, ...]:
        """Models that are in a pool, by number, those that are worth most alone first.

        Raises:
            ConfigError: None is.
        """
        names = {card.name for card in cards}
        worth = self.worth.mean(0)
        found = [m for m, name in enumerate(self.models) if name in names]
        if not found:
            raise ConfigError(
                f"the cascade knows none of {', '.join(sorted(names))}; it was learned from calls of others"
            )
        return tuple(sorted(found, key=lambda m: -worth[m]))


def signs(call: Call) -> Floats:
    """What can be seen of an answer: passed, failed, silent; and how sure and how long, NaN where that is unknown."""
    sure = np.nan if call.mean_logprob is None else sureness(call.mean_logprob)
    long = np.log(call.completion_tokens) if call.completion_tokens else np.nan
    return np.array(
        [call.feedback == "passed", call.feedback == "failed", call.answer is None, sure, long], dtype=float
    )


def numbers(asked: Asked) -> list[int]:
    """Numbers of a question's answers that are equal where these agree: programs agree if they pass the shown tests."""
    said = Numbered.of(asked).said
    if asked.form != "programs":
        return [number if number >= 0 else NOTHING for number in said]
    # Whether programs that were not tested agree, nobody knows.
    return [0 if number == PASSED else 1 + i if number == UNTESTED else NOTHING for i, number in enumerate(said)]


def _alone(question: Asked) -> list[Call]:
    """The first call of each model that read nothing; with a strategy only where there is none without."""
    first: dict[str, Call] = {}
    for call in sorted((c for c in question.calls if not c.read), key=lambda c: c.strategy is not None):
        first.setdefault(call.model, call)
    return list(first.values())


def _usd(card: ModelCard, call: Call) -> float:
    usd = card.cost_usd(
        prompt_tokens=call.prompt_tokens, completion_tokens=call.completion_tokens, seconds=call.latency_s or 0.0
    )
    return np.nan if usd is None else usd


def _known(usd: Floats, heard: npt.NDArray[np.bool_]) -> Floats:
    """Costs of which those unknown are the model's mean, or the mean of all."""
    sums, counts = np.nansum(usd, 0), (~np.isnan(usd)).sum(0)
    overall = sums.sum() / max(1, counts.sum())
    means = np.where(counts > 0, sums / np.maximum(counts, 1), overall)
    return np.where(heard, np.where(np.isnan(usd), means, usd), 0.0)


def _usual(raw: Floats) -> Floats:
    """Mean and spread of columns (n, M, 2) by model, (M, 2, 2); 0 and 1 of what was never seen."""
    known = ~np.isnan(raw)
    counts = np.maximum(known.sum(0), 1)
    mean = np.where(known, raw, 0.0).sum(0) / counts
    spread = np.sqrt((np.where(known, raw - mean, 0.0) ** 2).sum(0) / counts)
    return np.stack([mean, np.where(spread > 0, spread, 1.0)], axis=-1)


def _against(raw: Floats, usual: Floats) -> Floats:
    """Signs (..., SIGNS) of which the last two are standardised; what is unknown is usual."""
    scaled = (raw[..., -2:] - usual[..., 0]) / usual[..., 1]
    return np.nan_to_num(np.concatenate([raw[..., :-2], scaled], axis=-1))
