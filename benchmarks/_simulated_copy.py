# pyright: basic
"""A simulated copy of recorded answers: the same questions, texts and models, answered by the simulator's own rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from _outcomes import Choices

from mar.pool.simulated.assumptions import Assumptions
from mar.pool.simulated.catalogue import ModelProfile, Serving
from mar.pool.simulated.draws import draws
from mar.pool.simulated.outcome import Reading, decide
from mar.pool.simulated.skill import Skills
from mar.pool.simulated.topics import Encoder, with_topics
from mar.pool.simulated.world import SimItem, World, item_difficulties
from mar.types import CallContext

SERVING = Serving(slots=1, prefill_tokens_per_s=1, tpot_base_s=1, kv_tokens=1)
ALONE = Reading(own=None, peers=(), latest=None)


def profiles(
    models: Sequence[str],
    families: Sequence[str],
    accuracy: Sequence[float],
    benchmark: str,
    *,
    silence: Mapping[str, float] | None = None,
    loadings: Mapping[str, Sequence[float]] | None = None,
) -> dict[str, ModelProfile]:
    """Models as the simulator knows them."""
    return {
        m: ModelProfile(
            family=f,
            verbosity=1.0,
            scores={benchmark: a},
            serving=SERVING,
            silence=(silence or {}).get(m, 0.0),
            loadings={benchmark: tuple(loadings[m])} if loadings else {},
        )
        for m, f, a in zip(models, families, accuracy, strict=True)
    }


def copy_of(
    recorded: Choices, known: Mapping[str, ModelProfile], encoder: Encoder, rho: float, rules: Assumptions, seed: int
) -> Choices:
    """The same questions answered by these models, asked once and alone."""
    ids = [f"q{i}" for i in range(len(recorded.gold))]
    difficulties = item_difficulties(ids, recorded.words(), rho=rho, seed=seed)
    items = {}
    for i, d, gold, options in zip(ids, difficulties, recorded.gold, recorded.options, strict=True):
        wrong = [str(o) for o in np.random.default_rng([seed, int(i[1:])]).permutation(options) if o != gold]
        items[i] = SimItem(
            domain="Commonsense",
            benchmark="mmlu_pro",
            difficulty=d,
            right=(str(gold),),
            wrong=tuple(wrong),
            form="choice",
        )
    world = with_topics(World(items), dict(zip(ids, recorded.texts, strict=True)), encoder, rules)
    skills = Skills(known, rules, seed)
    answers = np.full(recorded.answers.shape, -1)
    for q, item_id in enumerate(ids):
        for m, model in enumerate(recorded.models):
            item, mind = skills.meets(model, item_id, world.items[item_id])
            context = CallContext(item=item_id, message_id="")
            said = decide(item, mind, context, ALONE, draws(seed, item_id, model), model, rules)
            if said.answer >= 0:
                answers[q, m] = int((item.right if said.correct else item.wrong)[said.answer])
    return replace(recorded, answers=answers)
