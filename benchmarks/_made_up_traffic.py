# pyright: basic
"""Made-up requests in a gateway's store, which nobody asked and no model answered: for pictures and timings."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mar.serving.record import Called, Entry, Feedback
from mar.serving.store.places import database
from mar.serving.store.record import Retention, Stored
from mar.traffic.records import Arm
from mar.types import AgentSpec, ModeSpec, Plan, Query, Usage

QUESTIONS = (
    "Summarise this complaint in two sentences for the support team.",
    "Which of these three contracts has the shortest notice period?",
    "Write a function that merges two sorted lists.",
    "Translate the release notes into French.",
    "A train leaves at 9:40 and takes 95 minutes. When does it arrive?",
    "Is this review positive, negative or mixed? Answer in one word.",
)
PEOPLE = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model as it is made up to be."""

    name: str
    price_in: float  # USD per million tokens
    price_out: float
    seconds: float  # that an answer takes, by and large
    right: float  # probability that somebody likes its answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of request."""

    share: float
    asked: str
    controller: str
    mode: str  # "": step by step
    models: tuple[int, ...]  # by position


KINDS = (
    Kind(share=0.34, asked="mar", controller="cards", mode="IO", models=(0,)),
    Kind(share=0.14, asked="mar", controller="cards", mode="IO", models=(1,)),
    Kind(share=0.06, asked="mar", controller="cards", mode="IO", models=(0, 1)),
    Kind(share=0.12, asked="mar/learned", controller="sequential", mode="", models=(0,)),
    Kind(share=0.07, asked="mar/learned", controller="sequential", mode="", models=(0, 1)),
    Kind(share=0.03, asked="mar/learned", controller="sequential", mode="", models=(0, 1, -1)),
    Kind(share=0.04, asked="mar/team", controller="masrouter", mode="Debate", models=(0, 1, 1)),
    Kind(share=0.03, asked="mar/team", controller="masrouter", mode="Chain", models=(0, -1)),
    Kind(share=0.10, asked="", controller="", mode="", models=(-1,)),
    Kind(share=0.07, asked="", controller="", mode="", models=(0,)),
)


def entries(n: int, models: Sequence[Model], keys: Sequence[str], *, days: float, seed: int = 0) -> Iterator[Entry]:
    """Requests of the last days, the earliest first; more of them by day than by night."""
    draw = random.Random(seed)
    now = time.time()
    for at in sorted(_moment(draw, now, days) for _ in range(n)):
        yield _entry(draw, at, draw.choices(KINDS, [k.share for k in KINDS])[0], models, keys)


def _moment(draw: random.Random, now: float, days: float) -> float:
    while True:
        at = now - draw.random() * days * 86400
        if draw.random() < 0.55 + 0.45 * math.sin((at % 86400 / 86400 - 0.3) * 2 * math.pi):
            return at


def _entry(draw: random.Random, at: float, kind: Kind, models: Sequence[Model], keys: Sequence[str]) -> Entry:
    asked = [models[position] for position in kind.models]
    called = tuple(_call(draw, model) for model in asked)
    failed = draw.random() < 0.012
    usage = sum((call.usage for call in called), Usage())
    person = f"{draw.randrange(PEOPLE):04x}"
    query = Query(text=draw.choice(QUESTIONS), id=f"gateway/{draw.randrange(10**9)}", user_id=person)
    names = tuple(dict.fromkeys(model.name for model in asked))
    label = f"{kind.mode or kind.controller or 'direct'}({', '.join(names)})" if kind.controller else "direct"
    agents = tuple(AgentSpec(role="Assistant", model=model.name) for model in asked)
    plan = Plan(mode=ModeSpec(name=kind.mode), domain="Commonsense", agents=agents) if kind.mode else None
    alone = kind.mode == "IO" and len(asked) == 1
    return Entry(
        id=f"ep_{draw.randrange(16**24):024x}",
        at=at,
        guest=draw.choices(keys, range(len(keys), 0, -1))[0],
        asked=kind.asked or asked[0].name,
        query=query,
        controller=kind.controller,
        plan=plan,
        label=label,
        version=f"{kind.controller}-1" if kind.controller else "",
        keep="features" if alone else "nothing",
        arms=_drawn(models, names[0]) if alone else (),
        why={"why": "made up"},
        status=draw.choice((429, 502, 504)) if failed else 200,
        reason="made up: the model's server failed" if failed else "",
        usage=usage,
        models=names,
        attempts=len(called) + failed,
        called=called,
        decision_s=draw.uniform(0.0002, 0.004),
        seconds=sum(call.seconds for call in called),
        first_s=None,
    )


def _drawn(models: Sequence[Model], name: str) -> tuple[Arm, ...]:
    """What was drawn of the first two models, the second one in three of ten times, as `KINDS` has it."""
    arms = {model.name: Arm(name=model.name, probability=p) for model, p in zip(models, (0.7, 0.3), strict=False)}
    return (arms.pop(name), *arms.values())


def _call(draw: random.Random, model: Model) -> Called:
    read, written = int(draw.lognormvariate(5.5, 0.8)), int(draw.lognormvariate(5.0, 0.7))
    failed = draw.random() < 0.008
    cost = (read * model.price_in + (0 if failed else written) * model.price_out) / 1e6
    usage = Usage(calls=1, prompt_tokens=read, completion_tokens=0 if failed else written, cost_usd=cost)
    return Called(
        model=model.name, usage=usage, seconds=draw.lognormvariate(math.log(model.seconds), 0.5), failed=failed
    )


async def fill(
    place: str, n: int, models: Sequence[Model], keys: Sequence[str], *, days: float, rated: float, seed: int = 0
) -> None:
    """Write made-up requests into a store, and what people are made up to have said of some answers."""
    draw, liked = random.Random(seed + 1000), {model.name: model.right for model in models}
    async with database(place, durable=False) as db, Stored(db, Retention(days=None, rows=None)) as stored:
        told = []
        for number, entry in enumerate(entries(n, models, keys, days=days, seed=seed)):
            stored.add(entry)
            if draw.random() < rated and entry.status == 200:
                told.append((entry, float(draw.random() < liked[entry.models[-1]])))
            if number % 5000 == 4999:
                await _written(stored)
        await _written(stored)
        for entry, rating in told:
            await stored.rate(Feedback(episode=entry.id, rating=rating))


async def _written(stored: Stored) -> None:
    while stored._waiting:
        await stored._empty.wait()
