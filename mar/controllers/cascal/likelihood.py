# pyright: basic
"""Who is right when models err together: a likelihood of answers with difficulty, popular mistakes and families.

Agreement is not accuracy. Three models of one family that repeat each other outvote a better one that stands alone,
and questions differ: on a hard one all go wrong, often in the same way. Majorities and Dawid-Skene take such agreement
for evidence. Here each question has, unseen,

    its right option t              uniform over the options
    a popular wrong option w        uniform over the others
    a difficulty z                  standard normal (three quadrature nodes)
    for every family an effect u    standard normal (three nodes): what relatives know or do not know together

and a model i, on its own,

    knows t                         with probability k = logistic(theta_i + offset[region, i] - sigma z - tau u)
    and if it does not
      says nothing                  (its answer cannot be read) with a_i
      falls for w                   with (1 - a_i) delta
      guesses                       with (1 - a_i) (1 - delta), by its habit: a distribution over the options' positions

so a guess may be right, and a model that says A whenever it does not know is not believed when it says A. Models of one
family share a draw besides, made with their mean knowledge and habit: each readable answer is that draw with
probability lambda, the model's own else. Lambda is learned per family, so a family whose members turn out to be
independent costs nothing. No gold answer enters: t, w, z, u are summed out, and all other numbers are those under which
the recorded answers are most likely, with mild priors (below). The answer of a model then has the posterior probability
of being right, which is its score.

What this cannot know: with no model outside a family its level is a matter of the prior, and a pool whose majority
shares its mistakes for another reason than its families is believed. The sums run over options that somebody chose and
"one that nobody chose", which is exact, and makes a question of ten options as small as one of the few chosen.

Rejected: one-coin Dawid-Skene (ranks the wrong model first), rank-one factors of the agreement matrix, agreement with
the consensus of the other families, and copying along a tree of relatives (docs/design.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mar.controllers.cascal.responses import ABSTAINED, Choices, Floats, Responses

RIGHT, POPULAR, OTHER, NOTHING = range(4)
UNCHOSEN = -2


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilySettings:
    """How the likelihood is fitted."""

    questions: int = 1200  # at most so many, drawn with the seed; all get scores
    iterations: int = 25  # of L-BFGS
    further_iterations: int = 12  # for each division into regions
    nodes: int = 3  # of the difficulty's quadrature
    skill_spread: float = 1.0  # prior standard deviation of skills around their mean, logits
    offset_spread: float = 0.5  # of a region's offsets, logits
    habit_spread: float = 0.5  # of a model's preferences among options when it guesses, logits
    prior_scale: float = 1.0  # what the priors are multiplied by
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyFit:
    """What was learned about models, and what follows for every answer."""

    skills: Floats  # mean probability of knowing the answer by region (of the last division) and model, shape (K, M)
    copying: dict[str, float]  # lambda by family of two or more
    popular: float  # delta
    spread: float  # sigma, logits
    habits: Floats  # share of each option in a model's guesses at questions with the most options, shape (M, O)
    scores: Floats  # posterior probability that an answer is right, 0 for an abstention, shape (Q, M)


@dataclass(frozen=True, slots=True)
class Terms:
    """The sum over (t, w) of every question, one row a term."""

    question: torch.Tensor  # index of the question, (R,)
    right: np.ndarray  # option t, or UNCHOSEN, (R,)
    kind: torch.Tensor  # RIGHT, POPULAR, OTHER or NOTHING of each model, (R, M)
    log_weight: torch.Tensor  # log of the term's prior, (R,)
    choices: torch.Tensor  # (Q, M)
    options: torch.Tensor  # (Q,)
    regions: torch.Tensor  # (Q,)

    @classmethod
    def of(cls, choices: Choices, options: np.ndarray, regions: np.ndarray) -> Terms:
        """The terms of questions: answers (Q, M), numbers of options (Q,) and regions (Q,)."""
        chosen = (choices[:, :, None] == np.arange(int(options.max(initial=1)))).any(axis=1)
        q, option = np.nonzero(chosen)
        rest = options - chosen.sum(axis=1)
        some = np.flatnonzero(rest > 0)
        q, option = np.r_[q, some], np.r_[option, np.full(len(some), UNCHOSEN)]
        size = np.where(option == UNCHOSEN, rest[q], 1)  # options that the slot stands for
        order = np.argsort(q, kind="stable")
        q, option, size = q[order], option[order], size[order]
        slots = np.bincount(q, minlength=len(options))
        first = np.cumsum(slots) - slots
        t = np.repeat(np.arange(len(q)), slots[q])
        w = first[q[t]] + np.arange(len(t)) - np.repeat(np.cumsum(slots[q]) - slots[q], slots[q])
        weight = size[t] * np.where(t == w, np.where(option[t] == UNCHOSEN, size[t] - 1, 0), size[w])
        weight = np.where((options[q[t]] == 1) & (t == w), 1, weight)  # a question of one option has no wrong one
        t, w, weight = t[weight > 0], w[weight > 0], weight[weight > 0]
        of, n = q[t], options[q[t]]
        said = choices[of]
        kind = np.where(said == option[w][:, None], POPULAR, OTHER)
        kind = np.where(said == option[t][:, None], RIGHT, kind)
        kind = np.where(said == ABSTAINED, NOTHING, kind)
        return cls(
            torch.from_numpy(of),
            option[t],
            torch.from_numpy(kind),
            torch.from_numpy(np.log(weight / (n * np.maximum(n - 1, 1)))).float(),
            torch.from_numpy(choices.astype(np.int64)),
            torch.from_numpy(options),
            torch.from_numpy(regions.astype(np.int64)),
        )


class FamilyLikelihood:
    """The likelihood's parameters, and what follows from them.

    Args:
        responses: Of the models; tells how often each says nothing and how many options there are at most.
        families: Family of each model.
        settings: Priors and quadrature.
    """

    def __init__(self, responses: Responses, families: Sequence[str], settings: FamilySettings) -> None:
        self.settings = settings
        choices = responses.choices
        count, width = choices.shape[1], int(responses.options.max(initial=1))
        names = np.asarray(list(families))
        members = {f: np.flatnonzero(names == f) for f in sorted(set(families))}
        self.families = {f: torch.from_numpy(m) for f, m in members.items() if len(m) > 1}
        self.alone = torch.tensor([int(m[0]) for m in members.values() if len(m) == 1], dtype=torch.int64)
        nodes, weights = np.polynomial.hermite_e.hermegauss(settings.nodes)
        self.z = torch.tensor(nodes, dtype=torch.float32)
        self.log_z = torch.tensor(np.log(weights / weights.sum()), dtype=torch.float32)
        silent = (choices == ABSTAINED).mean(axis=0)
        self.theta = torch.zeros(count, requires_grad=True)
        self.offset = torch.zeros(1, count)
        self.tau = torch.tensor(0.9, requires_grad=True)  # log
        self.sigma = torch.tensor(0.4, requires_grad=True)  # log
        self.delta = torch.tensor(-1.0, requires_grad=True)  # logit
        self.silence = torch.tensor(np.log((silent + 0.01) / (1.01 - silent)), dtype=torch.float32, requires_grad=True)
        self.habit = torch.zeros(count, width, requires_grad=True)  # logits
        self.copying = torch.full((len(self.families),), -1.0, requires_grad=True)  # logit

    def divide(self, regions: int) -> None:
        """Let skills differ between so many regions; everything else stays where it is."""
        self.offset = torch.zeros(regions, len(self.theta), requires_grad=regions > 1)

    def fit(self, terms: Terms, iterations: int) -> None:
        """Climb the likelihood of these questions, from where the parameters are."""
        every = (
            self.theta,
            self.offset,
            self.sigma,
            self.tau,
            self.delta,
            self.silence,
            self.habit,
            self.copying,
        )
        free = [p for p in every if p.requires_grad and p.numel()]
        optimiser = torch.optim.LBFGS(free, max_iter=iterations, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            optimiser.zero_grad()
            value = (self._penalty() - self._log_likelihood(terms)[0].sum()) / len(terms.options)
            value.backward()
            return value

        optimiser.step(loss)

    def _penalty(self) -> torch.Tensor:
        s = self.settings
        skills = ((self.theta - self.theta.mean()) ** 2).sum() / (2 * s.skill_spread**2) + self.theta.mean() ** 2 / 10
        offsets = (self.offset**2).sum() / (2 * s.offset_spread**2)
        habits = (self.habit**2).sum() / (2 * s.habit_spread**2)
        shares = ((self.copying + 1) ** 2).sum() / 2 + (self.delta + 1) ** 2 / 2
        spreads = 5 * (self.sigma - 0.4) ** 2 + 5 * (self.tau - 0.9) ** 2
        return s.prior_scale * (skills + offsets + habits + shares + spreads)

    def _knows(self) -> torch.Tensor:
        """Probability of knowing the right option at every pair of nodes (z, u), (K, M, ZU)."""
        harder = torch.exp(self.sigma) * self.z[:, None] + torch.exp(self.tau) * self.z
        return torch.sigmoid((self.theta + self.offset)[:, :, None] - harder.flatten())

    def _chances(
        self, knows: torch.Tensor, silence: torch.Tensor | float, habit: torch.Tensor, said: torch.Tensor, terms: Terms
    ) -> torch.Tensor:
        """Log-probability of each kind of answer, (Q, F, 4, ZU).

        Args:
            knows: (Q, F, ZU).
            silence: (F, 1) or a number.
            habit: Logits of the options in guesses, (F, O).
            said: Options chosen, (Q, F).
            terms: Of the questions.
        """
        columns = torch.arange(len(habit))
        whole = torch.logcumsumexp(habit, dim=1).T[terms.options - 1]
        guess = torch.exp(habit[columns, said.clamp(min=0)] - whole)[:, :, None]
        delta = torch.sigmoid(self.delta)
        wrong = (1 - knows) * (1 - silence)
        other = wrong * (1 - delta) * guess
        kinds = torch.stack([knows + other, wrong * delta + other, other, (1 - knows) * silence], dim=2)
        return torch.log(kinds.clamp(min=1e-30))

    def _log_likelihood(self, terms: Terms) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-likelihood of every question, (Q,), and of every term, (R,)."""
        knows = self._knows()[terms.regions]
        chances = self._chances(knows, torch.sigmoid(self.silence)[:, None], self.habit, terms.choices, terms)
        total = terms.log_weight[:, None] + self.log_z
        if len(self.alone):
            total = total + self._over_families(self._own(chances, terms, self.alone)).sum(dim=1)
        for number, members in enumerate(self.families.values()):
            total = total + self._over_families(self._family(number, members, knows, chances, terms))
        each = torch.logsumexp(total, dim=1)
        count = len(terms.options)
        top = torch.full((count,), -torch.inf).scatter_reduce(0, terms.question, each.detach(), "amax")
        summed = torch.zeros(count).index_add(0, terms.question, torch.exp(each - top[terms.question]))
        return top + torch.log(summed), each

    def _over_families(self, logs: torch.Tensor) -> torch.Tensor:
        """The family's effect u summed out: (..., ZU) to (..., Z)."""
        nodes = len(self.z)
        return torch.logsumexp(logs.reshape(*logs.shape[:-1], nodes, nodes) + self.log_z, dim=-1)

    def _own(self, chances: torch.Tensor, terms: Terms, members: torch.Tensor) -> torch.Tensor:
        """Log-probability of members' answers if each answers on its own, (R, F, ZU)."""
        return _taken(chances, terms.question, members, terms.kind[:, members])

    def _family(
        self, number: int, members: torch.Tensor, knows: torch.Tensor, chances: torch.Tensor, terms: Terms
    ) -> torch.Tensor:
        """Log-probability of a family's answers, its common draw summed out, (R, ZU).

        With lambda = 0 every answer is the model's own. Else the draw s is summed over the family's answers (where it
        lies elsewhere nobody copied): product of own (1 - lambda), times 1 + sum over s of P(s) (product over those who
        said s of (1 + lambda readable / (own (1 - lambda))) - 1). An answer that is readable at all is copied or own.
        """
        share = torch.sigmoid(self.copying[number])
        kind, said = terms.kind[:, members], terms.choices[:, members]
        spoke = kind != NOTHING
        alone = self._own(chances, terms, members) + torch.where(spoke, torch.log1p(-share), 0.0)[..., None]
        readable = (1 - (1 - knows[:, members]) * torch.sigmoid(self.silence)[members, None])[terms.question]
        gain = torch.where(spoke[..., None], torch.log1p(share * readable * torch.exp(-alone.clamp(min=-18))), 0.0)
        common = knows[:, members].mean(dim=1, keepdim=True).expand(-1, len(members), -1)
        habit = self.habit[members].mean(dim=0, keepdim=True).expand(len(members), -1)
        draws = self._chances(common, 0.0, habit, said, terms)
        draw = torch.exp(_taken(draws, terms.question, torch.arange(len(members)), kind))
        same = (said[:, :, None] == said[:, None, :])[terms.question] & spoke[:, :, None] & spoke[:, None, :]
        extra = torch.zeros_like(draw[:, 0])
        for j in range(len(members)):
            counts = (spoke[:, j] & ~same[:, j, :j].any(dim=1))[:, None]
            copied = torch.expm1((gain * same[:, j, :, None]).sum(dim=1))
            extra = extra + torch.where(counts, draw[:, j] * copied, 0.0)
        return alone.sum(dim=1) + torch.log1p(extra)

    @torch.no_grad()
    def posterior(self, terms: Terms) -> Floats:
        """Probability that each answer is right, (Q, M)."""
        choices = terms.choices.numpy()
        whole, each = self._log_likelihood(terms)
        share = torch.exp(each - whole[terms.question]).double().numpy()
        table = np.zeros((len(choices), int(choices.max(initial=0)) + 1))
        named = terms.right != UNCHOSEN
        np.add.at(table, (terms.question.numpy()[named], terms.right[named]), share[named])
        found = np.take_along_axis(table, np.maximum(choices, 0), axis=1)
        return np.where(choices == ABSTAINED, 0.0, found)

    @torch.no_grad()
    def summary(self, scores: Floats) -> FamilyFit:
        """The parameters, beside the scores that followed from them."""
        weight = torch.exp(self.log_z[:, None] + self.log_z).flatten()
        mean = (self._knows() * weight).sum(dim=2)
        shares = torch.sigmoid(self.copying).tolist()
        return FamilyFit(
            skills=mean.double().numpy(),
            copying=dict(zip(self.families, shares, strict=True)),
            popular=float(torch.sigmoid(self.delta)),
            spread=float(torch.exp(self.sigma)),
            habits=torch.softmax(self.habit, dim=1).double().numpy(),
            scores=scores,
        )


def _taken(chances: torch.Tensor, question: torch.Tensor, members: torch.Tensor, kind: torch.Tensor) -> torch.Tensor:
    """Entries of (Q, F, 4, ZU) for each term's question and each member's kind of answer, (R, F, ZU)."""
    flat = (question[:, None] * chances.shape[1] + members) * 4 + kind
    return chances.reshape(-1, chances.shape[-1]).index_select(0, flat.reshape(-1)).reshape(*flat.shape, -1)
