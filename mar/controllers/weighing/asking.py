# pyright: basic
"""Whom to ask next, and when to stop: one-step value of information on the aggregator's belief.

Another answer is worth what it is expected to add to the probability of the best option: the mean, over what the model
may say, of the highest probability then, less the highest mean probability. That is never below 0, and 0 where no
answer could change the choice. What a model may say follows from the belief: that it knows, or falls for the mistake,
or guesses, or is silent, at every difficulty; how reliable it will look, which shows with the answer only, has three
nodes.

The model is asked whose answer is worth most above its price, as long as one is. Looking one step ahead undervalues two
answers that only together change the choice; `patience` is what prices are divided by for that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mar.controllers.weighing.aggregator import FAR, LOOKS, Aggregator, Case, Factors, Own, others
from mar.controllers.weighing.options import Answers, Flags, Floats, Ints

STOP = -1
_PAIRS = 8192  # questions times models that are looked at together
_NOTHING = 1e-6  # gains below this are rounding


@dataclass(kw_only=True)
class Asking:
    """A step-by-step decision for many questions at once."""

    aggregator: Aggregator
    prices: Floats  # utility that a call of each model costs, (m,)
    most: int | None = None  # calls a question; None: as many as there are models
    patience: float = 1.0

    def run(self, answers: Answers) -> Flags:
        """Which models are asked, (n, m); an answer is looked at only after its model was asked."""
        n, m = answers.choices.shape
        asked, active = np.zeros((n, m), dtype=np.bool_), np.arange(n)
        for _ in range(self.most or m):
            following = self.following(answers.rows(active), asked[active])
            active, following = active[following >= 0], following[following >= 0]
            if not len(active):
                break
            asked[active, following] = True
        return asked

    def following(self, answers: Answers, asked: Flags) -> Ints:
        """The model to ask next, or STOP, (n,), given the answers of those asked (n, m)."""
        net = np.where(asked, -np.inf, self.gains(answers, asked) - self.prices / self.patience)
        best = net.argmax(axis=1)
        return np.where(net[np.arange(len(best)), best] >= -_NOTHING, best, STOP)

    @torch.no_grad()
    def gains(self, answers: Answers, asked: Flags) -> Floats:
        """Expected gain in the probability of the best option by every model's answer, 0 of those asked, (n, m)."""
        found = np.zeros(asked.shape, dtype=np.float32)
        block = max(1, _PAIRS // asked.shape[1])
        for start in range(0, len(answers), block):
            at = np.arange(start, min(start + block, len(answers)))
            found[at] = self._gains(Case.of(answers.rows(at)), torch.from_numpy(asked[at].astype(np.float32)))
        return found

    def _gains(self, case: Case, mask: torch.Tensor) -> Floats:
        model, found = self.aggregator, torch.zeros(mask.shape)
        factors, expected = model.factors(case), model.expected(case)
        now = Now.of(case, *model.joint(case, factors, mask))
        question, j = torch.nonzero(mask == 0, as_tuple=True)
        if len(j):
            following = _Next.of(model, case, factors, mask, question, j)
            found[question, j] = following.gain(now.rows(question), expected[question, j])
        return found.numpy()


@dataclass(frozen=True, slots=True)
class Now:
    """What is believed before an answer."""

    right: torch.Tensor  # P(t = o, z), (n, o, z)
    mistake: torch.Tensor  # P(w = o, z), (n, o, z)

    @classmethod
    def of(cls, case: Case, right: torch.Tensor, mistake: torch.Tensor) -> Now:
        """From the aggregator's log-weights."""
        exists = case.exists[:, :, None]
        as_right = _shares(right + others(mistake, case.exists)[:, :, None], exists)
        free = torch.exp(right - right.amax(dim=(1, 2), keepdim=True)) * exists
        elsewhere = torch.log((free.sum(dim=1, keepdim=True) - free).clamp(min=1e-12))
        return cls(as_right, _shares(mistake[:, :, None] + elsewhere, exists))

    def rows(self, at: torch.Tensor) -> Now:
        """Of some questions, in this order."""
        return Now(self.right[at], self.mistake[at])


@dataclass(frozen=True, slots=True)
class _Next:
    """Answers that are not known yet, one of a model j to a question in each of r rows."""

    model: Aggregator
    j: torch.Tensor  # (r,)
    exists: torch.Tensor  # (r, o)
    options: torch.Tensor  # (r,)
    count: torch.Tensor  # how much of an opinion it will count, (r, 1)
    right: torch.Tensor  # log-weights of the other answers once they count as they will then, (r, o, z)
    mistake: torch.Tensor  # (r, o)

    @classmethod
    def of(
        cls,
        model: Aggregator,
        case: Case,
        factors: Factors,
        asked: torch.Tensor,
        question: torch.Tensor,
        j: torch.Tensor,
    ) -> _Next:
        rows = torch.arange(len(j))
        then = asked[question]
        then[rows, j] = 1
        counts = model.opinions(then)
        others_only = counts.clone()
        others_only[rows, j] = 0
        right, mistake = model.weighed(case.rows(question), factors.rows(question), others_only)
        return cls(model, j, case.exists[question], case.options[question], counts[rows, j, None], right, mistake)

    def gain(self, now: Now, expected: torch.Tensor) -> torch.Tensor:
        """Expected gain, (r,), given what is believed, and what is expected of the model's skill (r,)."""
        best, mean = torch.zeros(len(expected)), torch.zeros_like(self.mistake)
        for look, weight in LOOKS:
            own = self.model.factors_of_one(self.j, expected + look * self.model.unsure_[self.j], self.options)
            said, silent = self._says(now, own)
            answered, unanswered = self._answered(own), self._unanswered(own)
            best = best + weight * ((said * answered.amax(dim=2)).sum(dim=1) + silent * unanswered.amax(dim=1))
            mean = mean + weight * ((said[:, :, None] * answered).sum(dim=1) + silent[:, None] * unanswered)
        return (best - mean.amax(dim=1)).clamp(min=0)

    def _says(self, now: Now, own: Own) -> tuple[torch.Tensor, torch.Tensor]:
        """How probably it says each option, (n, o), and nothing, (n,)."""
        ignorant = torch.exp(own.anyway)[:, None, :]
        misled = torch.sigmoid(self.model.popular_ + self.model.populars_[self.j])[:, None, None]
        silence = self.model.silence_[self.j]
        whole = now.right.sum(dim=1, keepdim=True)
        guessed = whole * (1 - misled) / self.options[:, None, None] + now.mistake * misled
        said = now.right * (1 - ignorant) + guessed * ignorant * (1 - silence[:, None, None])
        return said.sum(dim=2) * self.exists, silence * (whole * ignorant).sum(dim=(1, 2))

    def _answered(self, own: Own) -> torch.Tensor:
        """Posterior of the options (last) after each answer (middle), (n, o, o)."""
        base = self.right + own.anyway[:, None, :] * self.count[:, :, None]
        other = torch.logsumexp(base, dim=2)
        same = torch.logsumexp(base + own.right[:, None, :] * self.count[:, :, None], dim=2)
        weights = torch.exp(self.mistake) * self.exists
        more = weights * torch.expm1(own.mistake[:, None] * self.count)
        diagonal = torch.eye(weights.shape[1])
        rest = weights.sum(dim=1)[:, None, None] - weights[:, None, :] + more[:, :, None] * (1 - diagonal)
        logits = torch.log(rest.clamp(min=1e-9)) + other[:, None, :] + diagonal * (same - other)[:, :, None]
        return torch.softmax(logits.masked_fill(~self.exists[:, None, :], FAR), dim=2)

    def _unanswered(self, own: Own) -> torch.Tensor:
        """Posterior of the options after silence, (n, o)."""
        whole = torch.logsumexp(self.right + own.anyway[:, None, :] * self.count[:, :, None], dim=2)
        logits = whole + others(self.mistake, self.exists)
        return torch.softmax(logits.masked_fill(~self.exists, FAR), dim=1)


def _shares(logs: torch.Tensor, exists: torch.Tensor) -> torch.Tensor:
    """Weights over options and difficulties that sum to 1."""
    weights = torch.exp(logs - logs.amax(dim=(1, 2), keepdim=True)) * exists
    return weights / weights.sum(dim=(1, 2), keepdim=True).clamp(min=1e-12)
