"""The catalogues of simulated models: cards, published scores and serving speeds.

`models.toml` holds well-known models as their vendors or hosts serve them, `served.toml` five open-weight models behind
vLLM on two GPUs, `specialists.toml` three made-up ones for a first look. A name stands in one of them only.

A score that nobody published is estimated from the nearest benchmark that the model has one on: its log-odds plus the
mean difference of log-odds between the two benchmarks over the models that have both. Estimates say so.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mar.errors import ConfigError
from mar.pool.cards import ModelCard
from mar.pool.simulated.assumptions import FIRST_BENCHMARK
from mar.pool.simulated.logits import logistic, logit
from mar.types import Domain

Percent = Annotated[float, Field(gt=0, lt=100)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Auc = Annotated[float, Field(ge=0.5, lt=1)]
NonNegative = Annotated[float, Field(ge=0)]

SimulatedPoolName = Literal["simulated", "simulated-vllm", "simulated-specialists"]
CATALOGUES: Mapping[SimulatedPoolName, str] = {
    "simulated": "models.toml",
    "simulated-vllm": "served.toml",
    "simulated-specialists": "specialists.toml",
}

NEAREST: Mapping[str, tuple[str, ...]] = {
    "mbpp": ("humaneval", "math", "mmlu"),
    "humaneval": ("mbpp", "math", "mmlu"),
    "gsm8k": ("math", "mmlu", "humaneval"),
    "math": ("gsm8k", "mmlu_pro", "humaneval"),
    "mmlu": ("mmlu_pro", "gsm8k", "math"),
    "mmlu_pro": ("mmlu", "math", "gsm8k"),
}
TITLES: Mapping[str, str] = {
    "mmlu": "MMLU",
    "mmlu_pro": "MMLU-Pro",
    "gsm8k": "GSM8K",
    "math": "MATH",
    "humaneval": "HumanEval",
    "mbpp": "MBPP",
}


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PublishedScore(_Record):
    """One accuracy on one benchmark."""

    percent: Percent
    source: str = Field(min_length=1)
    approximate: bool = False


class Serving(_Record):
    """How fast one model is served: continuous batching of up to `slots` sequences."""

    slots: int = Field(gt=0)  # sequences computed at once (max_num_seqs)
    prefill_tokens_per_s: Positive  # prompt tokens of one sequence alone
    tpot_base_s: Positive  # seconds per output token, the part that does not depend on the batch
    tpot_slope_s: NonNegative = 0.0  # seconds per output token added by every sequence in the batch
    overhead_s: NonNegative = 0.0  # network and gateway, added to every call
    kv_tokens: int = Field(gt=0)  # tokens that fit the KV cache
    gpu: str | None = None  # servers with one label share one GPU
    source: str = ""


class CatalogueModel(_Record):
    """One model of the catalogue file."""

    name: str
    family: str  # models of one family share part of what they find hard
    about: str  # one sentence
    price_in: NonNegative  # USD per million prompt tokens
    price_out: NonNegative  # USD per million completion tokens
    price_source: str
    context_tokens: int = Field(gt=0)
    max_output_tokens: int = Field(gt=0)
    verbosity: Positive = 1.0  # factor on completion tokens
    silence: Share = 0.03  # share of the answers it does not know that it does not give
    confidence_auc: Auc = 0.7  # how well its log-probabilities tell right answers from wrong ones
    scores: dict[str, PublishedScore] = Field(min_length=1)
    serving: Serving


class Catalogue(_Record):
    """The catalogue file."""

    version: str
    model: list[CatalogueModel] = Field(min_length=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProfile:
    """What the simulator knows about one model beyond its card."""

    family: str
    verbosity: float  # factor on completion tokens
    scores: Mapping[str, float]  # published accuracy by benchmark, 0 to 1
    serving: Serving
    silence: float = 0.03  # share of the answers it does not know that it does not give
    confidence_auc: float = 0.7  # how well its log-probabilities tell right answers from wrong ones
    loadings: Mapping[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])
    """What topics are worth to it by benchmark, in logits; where none are stated they are drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """An accuracy that the simulator works with."""

    accuracy: float  # 0 to 1
    benchmark: str  # where it was published; another name than asked for means that it is an estimate


@cache
def catalogue(name: SimulatedPoolName = "simulated") -> Catalogue:
    """One of the packaged catalogues."""
    text = files("mar.pool.simulated").joinpath(CATALOGUES[name]).read_text("utf-8")
    return Catalogue.model_validate(tomllib.loads(text))


def simulated_cards(name: SimulatedPoolName = "simulated") -> list[ModelCard]:
    """Cards of every model in a catalogue, with descriptions that state price and scores in words."""
    return [_card(model) for model in catalogue(name).model]


def profiles_of(names: Iterable[str]) -> dict[str, ModelProfile]:
    """Profiles of these models.

    Raises:
        ConfigError: No catalogue has such a model.
    """
    known = {model.name: model for name in CATALOGUES for model in catalogue(name).model}
    missing = [name for name in names if name not in known]
    if missing:
        raise ConfigError(f"the simulator has no model {missing[0]!r}; it has: {', '.join(known)}")
    return {name: _profile(known[name]) for name in names}


def score_of(profiles: Mapping[str, ModelProfile], model: str, benchmark: str, domain: Domain) -> Score:
    """A model's accuracy on a benchmark: published, or else estimated from the nearest one.

    Raises:
        ConfigError: The model has no score that an estimate could start from.
    """
    scores = profiles[model].scores
    target = benchmark if benchmark in NEAREST else FIRST_BENCHMARK[domain]
    if target in scores:
        return Score(accuracy=scores[target], benchmark=target)
    for near in NEAREST[target]:
        if near in scores:
            shift = _mean_shift([p.scores for p in profiles_all().values()], near, target)
            return Score(accuracy=logistic(logit(scores[near]) + shift), benchmark=near)
    raise ConfigError(f"simulated model {model!r} has no score on {target} nor on a benchmark near it")


@cache
def profiles_all() -> Mapping[str, ModelProfile]:
    """Profiles of the catalogue of well-known models, which shifts between benchmarks are estimated from."""
    return {model.name: _profile(model) for model in catalogue().model}


def _mean_shift(scores: Iterable[Mapping[str, float]], near: str, target: str) -> float:
    shifts = [logit(s[target]) - logit(s[near]) for s in scores if near in s and target in s]
    return sum(shifts) / len(shifts) if shifts else 0.0


def _profile(model: CatalogueModel) -> ModelProfile:
    scores = {name: score.percent / 100 for name, score in model.scores.items()}
    return ModelProfile(
        family=model.family,
        verbosity=model.verbosity,
        scores=scores,
        serving=model.serving,
        silence=model.silence,
        confidence_auc=model.confidence_auc,
    )


def _card(model: CatalogueModel) -> ModelCard:
    return ModelCard(
        name=model.name,
        description=_description(model),
        price_in=model.price_in,
        price_out=model.price_out,
        context_tokens=model.context_tokens,
        max_output_tokens=model.max_output_tokens,
        concurrency=model.serving.slots,
        timeout_s=3600.0,  # a simulated queue may be long; what is too late is for budgets to say
        tags=("simulated", model.family),
    )


def _description(model: CatalogueModel) -> str:
    scores = ", ".join(f"{score.percent:.1f} on {TITLES[name]}" for name, score in model.scores.items())
    return (
        f"{model.about} It costs {model.price_in:.3g} USD per million input tokens and {model.price_out:.3g} USD per "
        f"million output tokens. It scores {scores} (percent accuracy)."
    )
