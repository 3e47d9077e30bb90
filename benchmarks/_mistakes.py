# pyright: basic
"""How models err together on questions with options: part 2 of fit_simulator.py.

The likelihood of recorded answers under `mar.pool.simulated.mistakes`: each question has a difficulty z, a trap
strength e, a popular mistake w and perhaps a wrong gold answer; each family knows or does not know together. All of
them are summed out (Gauss-Hermite nodes for z, e and the families' residual; w over the options that somebody chose
and one that nobody chose, which is exact). A model's own residual is summed out by the usual approximation, the
logistic function at its argument over sqrt(1 + pi/8 variance). With single attempts the residual's size cannot be told
from the scale of everything else, so it is GSM8K's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from _outcomes import Choices, load_choices

from mar.pool.simulated.assumptions import DEFAULT

RIGHT, POPULAR, OTHER, NOTHING = range(4)
SWAPPED = torch.tensor([POPULAR, RIGHT, OTHER, NOTHING])  # what the kinds are where the gold answer is wrong
STRONGEST = 14  # models that are fitted: weaker ones mostly guess, by habits that hosted models do not have


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What was found, in the words of `mar.pool.simulated.assumptions`."""

    sigma_d: float
    family_share: float
    mislabelled: float
    trap: float
    trap_by_difficulty: float
    trap_spread: float
    silence: dict[str, float]  # by model
    log_likelihood: float  # nats a question


@dataclass(frozen=True, slots=True)
class Terms:
    """The sum over popular mistakes, one row a term."""

    question: torch.Tensor  # (R,)
    kind: torch.Tensor  # of each model's answer, (R, M)
    log_weight: torch.Tensor  # (R,)
    options: torch.Tensor  # of the question, (R,)
    count: int  # of questions

    @classmethod
    def of(cls, data: Choices) -> Terms:
        """All terms."""
        question, kinds, weights = [], [], []
        for i, (said, gold, options) in enumerate(zip(data.answers, data.gold, data.options, strict=True)):
            base = np.where(said < 0, NOTHING, np.where(said == gold, RIGHT, OTHER))
            chosen = sorted(set(said.tolist()) - {-1, int(gold)})
            for option in chosen:
                question.append(i)
                kinds.append(np.where(said == option, POPULAR, base))
                weights.append(-np.log(options - 1))
            if rest := options - 1 - len(chosen):
                question.append(i)
                kinds.append(base)
                weights.append(np.log(rest / (options - 1)))
        of = torch.tensor(question)
        return cls(
            of,
            torch.tensor(np.array(kinds)),
            torch.tensor(weights, dtype=torch.float32),
            torch.tensor(data.options)[of],
            len(data.gold),
        )


def _nodes(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    points, weights = np.polynomial.hermite_e.hermegauss(count)
    return torch.tensor(points, dtype=torch.float32), torch.tensor(np.log(weights / weights.sum()), dtype=torch.float32)


class Likelihood:
    """The parameters and what they make of answers."""

    def __init__(self, data: Choices, sigma_r: float) -> None:
        families = np.array(data.families)
        self.members = [np.flatnonzero(families == f) for f in sorted(set(families))]
        self.sigma_r = sigma_r
        wrong = (data.answers != data.gold[:, None]).mean(axis=0)
        silent = ((data.answers < 0).mean(axis=0) + 0.002) / (wrong + 0.004)
        start = {"theta": [0.0] * len(families), "silence": np.log(silent / (1 - silent)).tolist()}
        scalars = {"sigma_d": 1.4, "share": -0.5, "mislabelled": -2.2, "trap": -0.3, "by": -0.2, "spread": -0.1}
        self.free = {k: torch.tensor(v, requires_grad=True) for k, v in (start | scalars).items()}
        self.z, self.log_z = _nodes(15)
        self.e, self.log_e = _nodes(3)
        self.f, self.log_f = _nodes(3)

    def __call__(self, terms: Terms) -> torch.Tensor:
        """Log-likelihood of each question."""
        share = torch.sigmoid(self.free["mislabelled"])
        as_labelled = self._questions(terms, terms.kind) + torch.log1p(-share)
        return torch.logaddexp(as_labelled, self._questions(terms, SWAPPED[terms.kind]) + torch.log(share))

    def _questions(self, terms: Terms, kind: torch.Tensor) -> torch.Tensor:
        sizes = torch.unique(terms.options)
        place = torch.searchsorted(sizes, terms.options)
        traps = torch.sigmoid(
            self.free["trap"] + self.free["by"] * self.z[:, None] + torch.exp(self.free["spread"]) * self.e
        )
        total = terms.log_weight[:, None] + (self.log_z[:, None] + self.log_e).reshape(-1)
        for members in self.members:
            tables = [self._table(int(m), len(members) > 1, traps, 1 / sizes) for m in members]
            said = [table[place * 4 + kind[:, int(m)]] for table, m in zip(tables, members, strict=True)]
            family = torch.stack(said).sum(dim=0)
            weights = self.log_f if len(members) > 1 else torch.zeros(1)
            total = total + torch.logsumexp(family.reshape(len(kind), total.shape[1], -1) + weights, dim=-1)
        each = torch.logsumexp(total, dim=1)
        top = torch.full((terms.count,), -torch.inf).scatter_reduce(0, terms.question, each.detach(), "amax")
        return top + torch.log(
            torch.zeros(terms.count).index_add(0, terms.question, torch.exp(each - top[terms.question]))
        )

    def _table(self, model: int, related: bool, traps: torch.Tensor, luck: torch.Tensor) -> torch.Tensor:
        """Log-probability of each kind by number of options, flattened: (V * 4, Z * E * F)."""
        share = torch.sigmoid(self.free["share"])
        common = torch.sqrt(share) * self.sigma_r * self.f if related else torch.zeros(1)
        left = self.sigma_r**2 * ((1 - share) if related else torch.ones(()))
        own = torch.sqrt(1 + torch.pi / 8 * left)
        eta = self.free["theta"][model] - torch.exp(self.free["sigma_d"]) * self.z[:, None] + common
        knows = torch.sigmoid(eta / own)[:, None, :].expand(-1, len(self.e), -1)
        silence = torch.sigmoid(self.free["silence"][model])
        spoke = (1 - knows) * (1 - silence)
        guess = spoke * (1 - traps[:, :, None]) * luck[:, None, None, None]
        popular = spoke * traps[:, :, None] + guess
        nothing = ((1 - knows) * silence).expand_as(guess)
        kinds = torch.stack([knows + guess, popular, guess, nothing], dim=1)
        return torch.log(kinds.clamp_min(1e-12)).flatten(0, 1).flatten(1)


def fit(data: Choices, sigma_r: float, *, iterations: int = 50) -> Fitted:
    """Maximum likelihood."""
    terms, likelihood = Terms.of(data), Likelihood(data, sigma_r)
    optimiser = torch.optim.LBFGS(list(likelihood.free.values()), max_iter=iterations, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = -likelihood(terms).mean() + 1e-5 * (likelihood.free["silence"] ** 2).sum()
        value.backward()
        return value

    optimiser.step(loss)
    found = {k: v.detach() for k, v in likelihood.free.items()}
    with torch.no_grad():
        value = likelihood(terms).mean().item()
    return Fitted(
        sigma_d=torch.exp(found["sigma_d"]).item(),
        family_share=torch.sigmoid(found["share"]).item(),
        mislabelled=torch.sigmoid(found["mislabelled"]).item(),
        trap=found["trap"].item(),
        trap_by_difficulty=found["by"].item(),
        trap_spread=torch.exp(found["spread"]).item(),
        silence=dict(zip(data.models, torch.sigmoid(found["silence"]).tolist(), strict=True)),
        log_likelihood=value,
    )


def show_mistakes(data: Path) -> None:
    """Part 2."""
    recorded = load_choices(data)
    half = recorded.only(np.arange(0, len(recorded.gold), 2))
    chosen = half.strongest(STRONGEST)
    found = fit(half.only(np.arange(len(half.gold)), chosen), DEFAULT.spreads["mmlu_pro"].sigma_r)
    spread, mistakes = DEFAULT.spreads["mmlu_pro"], DEFAULT.mistakes
    print(f"2. Mistakes: {len(half.gold)} MMLU-Pro questions, {STRONGEST} models; {found.log_likelihood:.3f} nats each")
    for name, value, packaged in (
        ("sigma_d", found.sigma_d, spread.sigma_d),
        ("family share", found.family_share, spread.family_share),
        ("mislabelled", found.mislabelled, spread.mislabelled),
        ("trap, log-odds", found.trap, mistakes.trap),
        ("trap by difficulty", found.trap_by_difficulty, mistakes.trap_by_difficulty),
        ("trap's spread", found.trap_spread, mistakes.trap_spread),
    ):
        print(f"   {name:46} {value:.2f}   packaged {packaged}")
    print("   silence " + ", ".join(f"{m} {s:.2f}" for m, s in found.silence.items()))
