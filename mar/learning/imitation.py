# pyright: basic
"""A policy begins by imitating the best plans of a survey, half-heartedly, so that it goes on exploring around them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mar.controllers.masrouter import CandidateNames, Choices, MasRouter, log_price
from mar.learning.policy import Policy, generator_of, task_loss
from mar.learning.settings import TrainSettings, draw_rates
from mar.learning.survey import Survey
from mar.runtime.identity import digest
from mar.types import DOMAINS

ENOUGH = 0.3  # probability of the plans to be imitated at which imitation ends
STEPS, BATCH = 300, 64
FIELDS = ("domain", "mode", "count", "roles", "llms")


def imitate(
    surveys: Sequence[Survey],
    router: MasRouter,
    names: CandidateNames,
    optimizer: torch.optim.Optimizer,
    settings: TrainSettings,
    policy: Policy,
    inputs: Tensor,
    domains: Tensor,
) -> None:
    """Teach a policy each domain's best plan at each price, until it would draw it now and then.

    Args:
        surveys: What was found, one for each domain.
        router: Whose policy it is.
        names: What indices of choices stand for.
        optimizer: Of the router's network.
        settings: Of the training.
        policy: The router's.
        inputs: Embeddings of the training items, (n, E).
        domains: Their domains, (n,).
    """
    by_domain = {DOMAINS.index(s.domain): (s, router.choices_of(s.plans, names)) for s in surveys}
    there = torch.tensor([i for i, d in enumerate(domains.tolist()) if d in by_domain])
    for step in range(STEPS):
        key = digest(settings.seed, "imitate", step)
        picked = there[torch.randint(len(there), (BATCH,), generator=generator_of(key, "queries"))]
        rates = draw_rates(settings, len(picked), key, spread=router.settings.price_conditioned)
        truth = domains[picked]
        given = _best_plans(by_domain, truth, rates)
        price = torch.tensor([log_price(r) for r in rates])
        output, _ = policy(inputs[picked], key, price=price, given=given)
        if output.log_prob.mean() > math.log(ENOUGH):
            return
        loss = task_loss(router, output, truth) - output.log_prob.mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(router.network.parameters(), settings.gradient_clip)
        optimizer.step()


def _best_plans(surveys: Mapping[int, tuple[Survey, Choices]], domains: Tensor, rates: Sequence[float]) -> Choices:
    """The best surveyed plan of each domain (B,) at each price (B,)."""
    prices = np.array(rates)
    rows: list[Choices] = []
    best = {d: survey.best(prices) for d, (survey, _) in surveys.items()}
    for i, domain in enumerate(domains.tolist()):
        choices, at = surveys[domain][1], best[domain][i]
        rows.append(Choices(**{n: getattr(choices, n)[at] for n in FIELDS}))
    return Choices(**{n: torch.stack([getattr(r, n) for r in rows]) for n in FIELDS})
