# pyright: basic
"""What asking once more is worth: the expected probability of being right after the next call, less what it is now.

One step of look-ahead: every model with every strategy, alone or reading what was said. All outcomes of a call (each
answer given so far, a new one, none; a program that passes or fails; said surely or not) are linear in the probability
that it knows, so the value of a call is a few sums over hypotheses.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import torch

from mar.controllers.belief.beliefs import Beliefs
from mar.controllers.belief.likelihood import (
    HOPELESS,
    PASSED,
    UNSEEN,
    UNTESTED,
    Chances,
    Evidence,
    Posterior,
    family_numbers,
    hypotheses,
    scattered,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What is believed of some questions, and what every call would be worth."""

    right: torch.Tensor  # probability that each answer is right, (Q, C); of programs each call's, (Q, N)
    alone: torch.Tensor  # probability of being right after a call of a model that reads nothing, (Q, S, M)
    reading: torch.Tensor | None  # the same of one that reads all that was said, (Q, S, M)

    @property
    def now(self) -> torch.Tensor:
        """Probability of being right with the best answer so far, (Q,)."""
        return self.right.amax(1) if self.right.shape[1] else torch.zeros(len(self.right))


@torch.no_grad()
def consider(
    beliefs: Beliefs, evidence: Evidence, *, telling: float = 0.0, reading: bool = False, tested: bool = True
) -> Outlook:
    """Weigh what was said and what might be said next.

    Args:
        beliefs: What is believed of the models.
        evidence: What was said.
        telling: How far apart the confidence of those who know and of those who do not will be, in standard deviations.
        reading: Whether models may read what was said.
        tested: Whether shown tests will be run on what is said next, where that is a program.
    """
    rows = hypotheses(beliefs, evidence)
    posterior = Posterior.of(beliefs, evidence, rows)
    if beliefs.form == "programs":
        return _programs(posterior, tested=tested)
    return _answers(posterior, telling, reading=reading)


def _sure(telling: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities of sounding sure and unsure of those who know and of those who do not, (B,) each."""
    if telling <= 0:
        return torch.ones(1), torch.ones(1)
    high = NormalDist().cdf(telling / 2)
    return torch.tensor([high, 1 - high]), torch.tensor([1 - high, high])


def _answers(posterior: Posterior, telling: float, *, reading: bool) -> Outlook:
    beliefs, evidence, rows = posterior.beliefs, posterior.evidence, posterior.rows
    chance, weights, count = Chances.of(beliefs), posterior.weights(), evidence.given
    numbers = torch.arange(count)
    is_right, is_popular = rows.right[:, None] == numbers, rows.popular[:, None] == numbers  # (H, C)
    counted = torch.where(is_right, 1 - chance.mislabelled, torch.where(is_popular, chance.mislabelled, 0.0))
    right = torch.zeros(len(evidence), count).index_add(0, rows.question, counted * weights.sum(1, keepdim=True))
    calls = _Calls(posterior, weights, counted, chance, *_sure(telling))
    nothing = torch.zeros_like(weights[:, 0])
    alone = calls.value(posterior.knowing(), nothing, torch.zeros_like(counted))
    if not (reading and count):
        return Outlook(right=right, alone=alone, reading=None)
    said = evidence.answer[rows.question]
    good = (said == rows.right[:, None]).sum(1).float()
    bad = (said >= 0).sum(1).float() - good
    heard = beliefs.gain * torch.log1p(good) - beliefs.harm * torch.log1p(bad)
    shares = (said[:, :, None] == numbers).sum(1) / bad.clamp(min=1)[:, None]
    copies = torch.where(bad > 0, torch.sigmoid(beliefs.copying), nothing)
    read = calls.value(posterior.knowing(heard), copies, torch.where(is_right, 0.0, shares))
    return Outlook(right=right, alone=alone, reading=read)


@dataclass(frozen=True, slots=True)
class _Calls:
    """What calls are worth where answers can be compared."""

    posterior: Posterior
    weights: torch.Tensor  # of rows and nodes, (H, I)
    counted: torch.Tensor  # probability that each answer counts as right by row, (H, C)
    chance: Chances
    if_known: torch.Tensor  # (B,)
    if_not: torch.Tensor  # (B,)

    def value(self, knows: torch.Tensor, copies: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        """Expected probability of being right after a call, (Q, S, M).

        Args:
            knows: Probability that it knows, (H, S, M, I).
            copies: Probability of repeating a mistake that it reads when it does not know, (H,).
            shares: Of each answer among those mistakes, (H, C).
        """
        rows, chance, count = self.posterior.rows, self.chance, self.counted.shape[1]
        shape = knows.shape[1:3]
        knows = knows.flatten(1, 2)  # (H, A, I)
        silent = chance.silent.repeat(shape[0])
        known = (self.weights[:, None] * knows).sum(2)
        mistaken = self.weights[:, None] * (1 - knows)
        trapped = mistaken @ chance.popular
        ignorant = mistaken.sum(2)
        speaks = (1 - copies)[:, None] * (1 - silent)
        guess = speaks * (ignorant - trapped) / rows.choices[:, None]
        numbers = torch.tensor([*range(count), UNSEEN])
        is_right, is_popular = (
            (rows.right == numbers[:, None])[..., None],
            (rows.popular == numbers[:, None])[..., None],
        )
        given = (self.posterior.evidence.answer[rows.question][:, :, None] == numbers[:-1]).any(1).sum(1)
        own = guess.expand(count + 1, *guess.shape).clone()  # (C + 1, H, A)
        own[count] *= (rows.choices - given)[:, None]
        if self.posterior.beliefs.form != "options":
            own[:count] = torch.where(is_right[:count], 0.0, own[:count])
        unknown = own + torch.where(is_popular, speaks * trapped, 0.0)
        unknown[:count] += (copies[:, None] * shares).T[..., None] * ignorant
        sure = torch.where(is_right, known, 0.0)
        outcomes = sure * self.if_known[:, None, None, None] + unknown * self.if_not[:, None, None, None]
        best = self._best(outcomes)  # (B, C + 1, Q, A)
        fresh = (1 - chance.mislabelled) * sure[count] * self.if_known[:, None, None]
        fresh += chance.mislabelled * torch.where(is_popular[count], speaks * trapped, 0.0) * self.if_not[:, None, None]
        best[:, count] = torch.maximum(best[:, count], self._by_question(fresh))
        nothing = (1 - copies)[:, None] * silent * ignorant
        return (best.sum((0, 1)) + self._best(nothing)).reshape(-1, *shape)

    def _best(self, outcome: torch.Tensor) -> torch.Tensor:
        """Largest over answers of the probability that it is right and of an outcome, (..., H, A) to (..., Q, A)."""
        if not self.counted.shape[1]:
            return torch.zeros(*outcome.shape[:-2], len(self.posterior.evidence), outcome.shape[-1])
        each = [self._by_question(column[:, None] * outcome) for column in self.counted.T]
        return torch.stack(each).amax(0)

    def _by_question(self, values: torch.Tensor) -> torch.Tensor:
        """Sums over the rows of every question, (..., H, A) to (..., Q, A)."""
        return by_question(values, self.posterior, values.dim() - 2)


def by_question(values: torch.Tensor, posterior: Posterior, dim: int) -> torch.Tensor:
    """Sums over the rows of every question along a dimension."""
    if len(posterior.evidence) == 1:
        return values.sum(dim, keepdim=True)
    shape = list(values.shape)
    shape[dim] = len(posterior.evidence)
    return torch.zeros(shape).index_add(dim, posterior.rows.question, values)


def _programs(posterior: Posterior, *, tested: bool) -> Outlook:
    beliefs, rows = posterior.beliefs, posterior.rows
    weights = posterior.weights()
    passing = Chances.of(beliefs).passing[rows.right]
    solved = _solved(posterior, passing)  # (N, H, I)
    right = by_question((solved * weights).sum(2), posterior, 1)  # (N, Q)
    knows = posterior.knowing()
    shape = knows.shape[1:3]
    known = weights[:, None] * knows.flatten(1, 2)  # (H, A, I)
    if not tested:  # nothing will be seen of it: it is as good as it was expected to be
        after = by_question(known.sum(2), posterior, 0)
        value = torch.maximum(after, right.amax(0)[:, None]) if len(right) else after
        return Outlook(right=right.T, alone=value.reshape(-1, *shape), reading=None)
    passed = known + (weights[:, None] - known) * passing[:, None, None]
    before = by_question(torch.einsum("nhi,hai->nha", solved, passed), posterior, 1).amax(0)
    failed = by_question(torch.einsum("nhi,hai->nha", solved, weights[:, None] - passed), posterior, 1).amax(0)
    after = by_question(known.sum(2), posterior, 0)
    value = torch.maximum(before, after) + failed
    return Outlook(right=right.T, alone=value.reshape(-1, *shape), reading=None)


def _solved(posterior: Posterior, passing: torch.Tensor) -> torch.Tensor:
    """Probability that each call's program is right, by row and node, (N, H, I)."""
    beliefs, evidence, rows = posterior.beliefs, posterior.evidence, posterior.rows
    groups, scatter = family_numbers(beliefs.families), scattered(beliefs)
    level = torch.gather(beliefs.theta + evidence.skill, 1, evidence.model) + beliefs.effects[evidence.strategy]
    found: list[torch.Tensor] = []
    for n in range(evidence.answer.shape[1]):
        said, model = evidence.answer[:, n][rows.question], evidence.model[:, n][rows.question]
        place = torch.searchsorted(posterior.used, model).clamp(max=max(len(posterior.used) - 1, 0))
        knows = torch.sigmoid(level[:, n][rows.question][:, None, None, None] + scatter)
        odds = knows * torch.exp(evidence.surer[:, n])[rows.question][:, None, None, None]
        lucky = torch.where(said == PASSED, passing, torch.ones_like(passing))[:, None, None, None]
        each = odds / (odds + (1 - knows) * lucky).clamp(min=1e-9)
        able = ((said == PASSED) | (said == UNTESTED)) & (rows.right != HOPELESS)
        h = torch.arange(len(rows.question))
        if not len(posterior.used):
            found.append(torch.zeros_like(posterior.joint))
            continue
        mean = (each * posterior.own[h, place]).sum(-1)
        mean = (mean * posterior.family[h, groups[model]]).sum(-1)
        found.append(torch.where(able[:, None], mean, 0.0))
    return torch.stack(found)
