# pyright: basic
"""Which option is right, given who said what: a latent model of answers, fitted to questions with known answers.

Of a question with n options some model i knows the right one, t, with probability k_i, given how difficult it is, z
(standard normal); who does not falls for a popular mistake w with probability d_i, says nothing, or guesses. With
x_i(z) = theta_i - s_i z the logit of k_i, an answer of i multiplies the odds of t, w and z as follows:

    by 1 - k_i                       whatever it said: one that is silent or wrong tells of difficulty
    by 1 + n exp(x_i) / (1 - d_i)    where it said t
    by 1 + n d_i / (1 - d_i)         where it said w

The last does not depend on z, so w sums out in closed form and the posterior of t costs O(answers x nodes + options).
Any set of models may have answered: an answer that is missing is a factor that is missing. What such a model leaves
out, that errors agree for more reasons than one difficulty and one mistake, is one number for everybody and one for
relatives: each answer counts 1 / (1 + rho (other answers) + rho' (answers of relatives)) of an opinion.

The skill on this question, theta_i = level_i + slope_i skill_i + weights_i . marks_i, follows from what the question's
text tells about i (`skills`) and from what shows on the answer (`options`): it is known better once the answer is seen.
What to expect of an answer that has not been seen is fitted apart, to how often each model is right.
The prior of t follows from the options' places and, where that is given, wording.

All is fitted together to the conditional likelihood of t, each question seen with all answers and with random sets of
them, so that probabilities are calibrated whoever answered. Rejected (docs/design.md): sums of weights without latent
difficulty, the joint likelihood of t and the answers, boosted trees over the same marks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional

from mar.controllers.weighing.options import Answers, Floats, Ints
from mar.numerics import one_thread

LOOKS = ((-(3**0.5), 1 / 6), (0.0, 2 / 3), (3**0.5, 1 / 6))  # how reliable an answer looks: nodes and weights
FAR = -1e9  # the logit of what cannot be


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregatorSettings:
    """How the model is fitted."""

    nodes: int = 5  # of the difficulty's quadrature
    iterations: int = 50  # of L-BFGS
    subsets: int = 2  # random sets of answers in which each question is seen, beside all of them
    pull: float = 10.0  # precision of a model's weights around the pool's, for each model in the pool
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """Answers as tensors."""

    said: torch.Tensor  # (n, o, m): 1 where the model chose the option
    skills: torch.Tensor  # (n, m)
    marks: torch.Tensor  # (n, m, f)
    backing: torch.Tensor  # (n, m, o, b)
    wording: torch.Tensor  # (n, o, p)
    exists: torch.Tensor  # (n, o)
    options: torch.Tensor  # (n,)

    @classmethod
    def of(cls, answers: Answers) -> Case:
        """The same answers."""
        places = np.arange(answers.wording.shape[1])
        return cls(
            torch.from_numpy((answers.choices[:, None, :] == places[:, None]).astype(np.float32)),
            torch.from_numpy(answers.skills.astype(np.float32)),
            torch.from_numpy(answers.marks.astype(np.float32)),
            torch.from_numpy(answers.backing.astype(np.float32)),
            torch.from_numpy(answers.wording.astype(np.float32)),
            torch.from_numpy(places < answers.options[:, None]),
            torch.from_numpy(answers.options.astype(np.float32)),
        )

    def rows(self, at: torch.Tensor) -> Case:
        """Some of the questions, in this order."""
        parts = (self.said, self.skills, self.marks, self.backing, self.wording, self.exists, self.options)
        return Case(*(part[at] for part in parts))


@dataclass(frozen=True, slots=True)
class Factors:
    """Logarithms of what answers multiply the odds by."""

    right: torch.Tensor  # of the option they name as the right one, (n, m, z)
    mistake: torch.Tensor  # of the option they name as the popular mistake, (n, m)
    anyway: torch.Tensor  # of the difficulty, whatever they say, (n, m, z)
    backed: torch.Tensor  # of every option as the right one, by what their texts show, (n, m, o)

    def rows(self, at: torch.Tensor) -> Factors:
        """Of some questions, in this order."""
        return Factors(self.right[at], self.mistake[at], self.anyway[at], self.backed[at])


@dataclass(frozen=True, slots=True)
class Own:
    """The same of one answer a row."""

    right: torch.Tensor  # (r, z)
    mistake: torch.Tensor  # (r,)
    anyway: torch.Tensor  # (r, z)


@dataclass(kw_only=True)
class Aggregator:
    """The model. A checkpoint holds the attributes that end in an underscore."""

    families: Sequence[str]  # of each model
    settings: AggregatorSettings = field(default_factory=AggregatorSettings)

    @one_thread()
    def fit(self, answers: Answers, right: Ints) -> Aggregator:
        """Fit to questions whose right options are known, shape (n,)."""
        n, m = answers.choices.shape
        case, gold = Case.of(answers), torch.from_numpy(right.astype(np.int64))
        self._start(m, case)
        masks = [torch.ones(n, m), *(torch.from_numpy(some) for some in self._subsets(n, m))]
        optimiser = torch.optim.LBFGS(self._free(), max_iter=self.settings.iterations, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            optimiser.zero_grad()
            factors = self.factors(case)
            each = [functional.nll_loss(self.of_options(case, factors, mask), gold, reduction="sum") for mask in masks]
            value = (sum(each, torch.zeros(())) / len(masks) + self._penalty(m)) / n
            value.backward()
            return value

        optimiser.step(loss)
        self._measure(case, answers, torch.from_numpy((answers.choices == right[:, None]).astype(np.float32)))
        return self

    def posterior(self, answers: Answers, asked: np.ndarray) -> Floats:
        """How probably each option is right, given the answers of those asked (n, m); shape (n, o)."""
        with torch.no_grad():
            case = Case.of(answers)
            mask = torch.from_numpy(asked.astype(np.float32))
            return torch.exp(self.of_options(case, self.factors(case), mask)).numpy()

    def theta(self, case: Case) -> torch.Tensor:
        """Logit of knowing at mean difficulty, of answers that have been seen, (n, m)."""
        known = self.level_ + (self.slope_ + self.slopes_) * case.skills
        return known + (case.marks * (self.weight_ + self.weights_)).sum(dim=2)

    def expected(self, case: Case) -> torch.Tensor:
        """The same of answers that have not: their marks scatter with `unsure_` about what the text lets one expect."""
        return self.offset_ + self.rise_ * case.skills

    def chance(self, case: Case) -> torch.Tensor:
        """How probably each model is right by the question's text alone, (n, m)."""
        found = torch.zeros_like(case.skills)
        for look, weight in LOOKS:
            factors = self.factors_of(case, self.expected(case) + look * self.unsure_)
            ignorant = torch.exp(factors.anyway + self.log_z).sum(dim=2)
            misled = torch.sigmoid(self.popular_ + self.populars_)
            guess = (1 - self.silence_) * (1 - misled) / case.options[:, None]
            found = found + weight * (1 - ignorant + ignorant * guess)
        return found

    def factors(self, case: Case) -> Factors:
        """The factors of every answer."""
        return self.factors_of(case, self.theta(case))

    def factors_of(self, case: Case, theta: torch.Tensor) -> Factors:
        """The same at given skills, (n, m)."""
        spread, popular = torch.exp(self.spread_ + self.spreads_), self.popular_ + self.populars_
        own = _factors(theta, spread, popular, case.options[:, None], self.z)
        return Factors(own.right, own.mistake, own.anyway, case.backing @ self.backing_)

    def factors_of_one(self, j: torch.Tensor, theta: torch.Tensor, options: torch.Tensor) -> Own:
        """The same of a model in each row, (r,), without what texts show."""
        return _factors(
            theta, torch.exp(self.spread_ + self.spreads_[j]), self.popular_ + self.populars_[j], options, self.z
        )

    def opinions(self, asked: torch.Tensor) -> torch.Tensor:
        """How much of an opinion each answer counts, (n, m)."""
        everybody, relatives = torch.exp(self.sharing_)
        beside = asked.sum(dim=1, keepdim=True) - asked
        return asked / (1 + everybody * beside + relatives * (asked @ self.kin))

    def of_options(self, case: Case, factors: Factors, asked: torch.Tensor) -> torch.Tensor:
        """Log-posterior of the options, (n, o)."""
        right, mistake = self.joint(case, factors, asked)
        whole = torch.logsumexp(right, dim=2) + others(mistake, case.exists)
        return torch.log_softmax(whole.masked_fill(~case.exists, FAR), dim=1)

    def joint(self, case: Case, factors: Factors, asked: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-weight of each option as the right one at each difficulty, (n, o, z), and as the mistake, (n, o)."""
        return self.weighed(case, factors, self.opinions(asked))

    def weighed(self, case: Case, factors: Factors, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same where answers count that many opinions, (n, m)."""
        said = case.said * counts[:, None, :]
        backed = (factors.backed * counts[:, :, None]).sum(dim=1)
        prior = torch.log_softmax((self.prior(case) + backed).masked_fill(~case.exists, FAR), dim=1)
        base = (factors.anyway * counts[:, :, None]).sum(dim=1) + self.log_z
        mistake = (said * factors.mistake[:, None, :]).sum(dim=2)
        return prior[:, :, None] + said @ factors.right + base[:, None, :], mistake

    def prior(self, case: Case) -> torch.Tensor:
        """Logits of the options before anybody answers, (n, o)."""
        return self.place_ + case.wording @ self.wording_

    def _free(self) -> list[torch.Tensor]:
        return [v for v in vars(self).values() if isinstance(v, torch.Tensor) and v.requires_grad and v.numel()]

    def _start(self, models: int, case: Case) -> None:
        def zeros(*shape: int) -> torch.Tensor:
            return torch.zeros(*shape, requires_grad=True)

        nodes, weights = np.polynomial.hermite_e.hermegauss(self.settings.nodes)
        self.z = torch.tensor(nodes, dtype=torch.float32)
        self.log_z = torch.tensor(np.log(weights / weights.sum()), dtype=torch.float32)
        names = np.asarray(self.families)
        self.kin = torch.from_numpy(((names[:, None] == names) & ~np.eye(models, dtype=bool)).astype(np.float32))
        self.level_, self.slope_, self.slopes_ = zeros(models), zeros(1), zeros(models)
        self.weight_, self.weights_ = zeros(case.marks.shape[2]), zeros(models, case.marks.shape[2])
        self.spread_, self.spreads_ = zeros(1), zeros(models)  # logarithm of s
        self.popular_, self.populars_ = zeros(1), zeros(models)  # logit of d
        self.sharing_ = torch.tensor([-2.0, -1.5], requires_grad=True)  # logarithms of rho and rho'
        self.place_, self.wording_ = zeros(case.wording.shape[1]), zeros(case.wording.shape[2])
        self.backing_ = zeros(case.backing.shape[3])

    def _penalty(self, models: int) -> torch.Tensor:
        pull = self.settings.pull * models
        own = pull * ((self.weights_**2).sum() + (self.slopes_**2).sum()) + (self.level_**2).sum()
        shared = 0.1 * ((self.weight_**2).sum() + (self.slope_**2).sum())
        shape = 10 * (self.spread_ - 0.4) ** 2 + 40 * (self.spreads_**2).sum()
        mistakes = self.popular_**2 + 20 * (self.populars_**2).sum() + 2 * ((self.sharing_ + 1.75) ** 2).sum()
        options = 2 * (self.place_**2).sum() + 0.6 * ((self.wording_**2).sum() + (self.backing_**2).sum())
        return (own + shared + shape.sum() + mistakes.sum() + options) / 2

    def _subsets(self, questions: int, models: int) -> list[np.ndarray]:
        rng = np.random.default_rng(self.settings.seed)
        found: list[np.ndarray] = []
        for _ in range(self.settings.subsets):
            sizes = rng.integers(1, models + 1, questions)
            ranks = rng.random((questions, models)).argsort(axis=1).argsort(axis=1)
            found.append((ranks < sizes[:, None]).astype(np.float32))
        return found

    def _measure(self, case: Case, answers: Answers, right: torch.Tensor) -> None:
        """What predicts answers that are not there yet: what the text tells, and how much marks will move that."""
        with torch.no_grad():
            self.unsure_ = (case.marks * (self.weight_ + self.weights_)).sum(dim=2).std(dim=0)
            ignorant = torch.exp(self.factors(case).anyway + self.log_z).sum(dim=2).mean(dim=0)
            silent = torch.from_numpy(answers.silent.mean(axis=0).astype(np.float32))
            self.silence_ = (silent / ignorant).clamp(max=0.95)  # of those who do not know
        fixed = [value.requires_grad_(False) for value in self._free()]
        self.offset_ = self.level_.clone().requires_grad_()
        self.rise_ = (self.slope_ + self.slopes_).clone().requires_grad_()
        optimiser = torch.optim.LBFGS([self.offset_, self.rise_], max_iter=20, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            optimiser.zero_grad()
            value = functional.binary_cross_entropy(self.chance(case).clamp(1e-6, 1 - 1e-6), right)
            value.backward()
            return value

        optimiser.step(loss)
        for value in (self.offset_, self.rise_, *fixed):
            value.requires_grad_(False)


def _factors(
    theta: torch.Tensor, spread: torch.Tensor, popular: torch.Tensor, options: torch.Tensor, z: torch.Tensor
) -> Own:
    """Log-factors of answers with these logits of k (at mean difficulty), s, and logits of d."""
    x = theta[..., None] - spread[..., None] * z
    size = torch.log(options)
    return Own(
        functional.softplus(x + (size + functional.softplus(popular))[..., None]),
        functional.softplus(size + popular),
        -functional.softplus(x),
    )


def others(mistake: torch.Tensor, exists: torch.Tensor) -> torch.Tensor:
    """Log of the mean weight of all other options as the mistake, (n, o)."""
    weights = torch.exp(mistake) * exists
    rest = weights.sum(dim=1, keepdim=True) - weights
    return torch.log((rest / (exists.sum(dim=1, keepdim=True) - 1).clamp(min=1)).clamp(min=1e-9))
