# pyright: basic
"""Who is right when models err together: a likelihood of answers with difficulty, popular mistakes and families.

Agreement is not accuracy. Three models of one family that repeat each other outvote a better one that stands alone,
and questions differ: on a hard one all go wrong, often in the same way. Majorities and Dawid-Skene take such agreement
for evidence. Here each question has, unseen,

    its right option t              uniform over the options
    a popular wrong option w        uniform over the others
    a difficulty z                  standard normal (three quadrature nodes)

and a model i chooses on its own

    t               with probability p = logistic(theta_i + offset[region, i] - sigma z)
    nothing         (its answer cannot be read) with (1 - p) a_i: whoever cannot answer would have been wrong
    w               with (1 - p)(1 - a_i) delta
    another option  with (1 - p)(1 - a_i)(1 - delta) / (n - 2) each

Models of one family share a draw, made with the mean skill of its members: each readable answer is that draw with
probability lambda, the model's own else. Lambda is learned per family, so a family whose members turn out to be
independent costs nothing. No gold answer enters: t, w and z are summed out, and skills, offsets, delta, sigma and
lambda are those under which the recorded answers are most likely, with mild priors (below). The answer of a model then
has the posterior probability of being right, which is its score.

What this cannot know: with no model outside a family its level is a matter of the prior, and a pool whose majority
shares its mistakes for another reason than its families is believed. The sums run over options that somebody chose and
"one that nobody chose", which is exact, and makes a question of ten options as small as one of the few chosen.

Rejected: one-coin Dawid-Skene (ranks the wrong model first), rank-one factors of the agreement matrix, and agreement
with the consensus of the other families (docs/design.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mar.controllers.cascal.responses import ABSTAINED, Choices, Floats, Responses

RIGHT, POPULAR, OTHER, NOTHING = range(4)
UNCHOSEN = -2
_RELATIVES = {"mixtral": "mistral", "mathstral": "mistral", "codestral": "mistral", "gemini": "gemma"}
_MAKERS = {"meta", "google", "mistralai", "microsoft", "qwen", "tiger"}


def families_of(models: Sequence[str], known: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The family of each model: as `known` says, else the first word of its name ("Meta-Llama-3-8B": llama)."""
    return tuple((known or {}).get(m) or _family(m) for m in models)


def _family(name: str) -> str:
    words = [w for w in re.split(r"[^a-z]+", name.lower().rsplit("/", 1)[-1]) if w]
    named = [w for w in words if w not in _MAKERS or len(words) == 1] or words or [name]
    return _RELATIVES.get(named[0], named[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilySettings:
    """How the likelihood is fitted."""

    questions: int = 2000  # at most so many, drawn with the seed; all get scores
    iterations: int = 25  # of L-BFGS
    further_iterations: int = 12  # for each division into regions
    nodes: int = 3  # of the difficulty's quadrature
    skill_spread: float = 1.0  # prior standard deviation of skills around their mean, logits
    offset_spread: float = 0.5  # of a region's offsets, logits
    prior_scale: float = 1.0  # what the priors are multiplied by
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyFit:
    """What was learned about models, and what follows for every answer."""

    skills: Floats  # mean probability of being right by region (of the last division) and model, shape (K, M)
    copying: dict[str, float]  # lambda by family of two or more
    popular: float  # delta
    spread: float  # sigma, logits
    scores: Floats  # posterior probability that an answer is right, 0 for an abstention, shape (Q, M)


def family_scores(
    responses: Responses,
    families: Sequence[str],
    divisions: Sequence[np.ndarray] = (),
    settings: FamilySettings | None = None,
) -> FamilyFit:
    """Fit the likelihood and score every answer.

    The likelihood is fitted without regions, then once more with those of each division, from where the fit before
    ended. Scores are the mean over these fits.

    Args:
        responses: Answers, Q x M.
        families: Family of each model.
        divisions: Each gives every question a region from 0 (a cluster, say), within which skills may differ.
        settings: Default: the settings of every figure in docs/results.md.
    """
    settings = settings or FamilySettings()
    whole = np.zeros(len(responses.questions), dtype=np.int64)
    rows = np.flatnonzero(responses.options >= 3)
    if len(rows) > settings.questions:
        rows = np.sort(np.random.default_rng(settings.seed).choice(rows, settings.questions, replace=False))
    model = _Model(responses.choices, families, settings)
    scores: list[Floats] = []
    for number, regions in enumerate((whole, *divisions)):
        model.divide(int(regions.max(initial=0)) + 1)
        terms = _Terms.of(responses.choices[rows], responses.options[rows], regions[rows])
        model.fit(terms, settings.iterations if number == 0 else settings.further_iterations)
        scores.append(_posteriors(model, responses, regions))
    return model.summary(np.mean(scores, axis=0))


def _posteriors(model: _Model, responses: Responses, regions: np.ndarray, block: int = 4000) -> Floats:
    """Scores of all answers, in blocks that bound the memory."""
    found: list[Floats] = []
    for start in range(0, len(regions), block):
        part = slice(start, start + block)
        choices = responses.choices[part]
        found.append(model.posterior(_Terms.of(choices, responses.options[part], regions[part]), choices))
    return np.concatenate(found)


@dataclass(frozen=True, slots=True)
class _Terms:
    """The sum over (t, w) of every question, one row a term."""

    question: torch.Tensor  # index of the question, (R,)
    region: torch.Tensor  # (R,)
    right: np.ndarray  # option t, or UNCHOSEN, (R,)
    kind: torch.Tensor  # RIGHT, POPULAR, OTHER or NOTHING of each model, (R, M)
    choices: torch.Tensor  # (R, M)
    log_weight: torch.Tensor  # log of the term's prior, (R,)
    log_other: torch.Tensor  # log of 1 / (n - 2), (R,)
    count: int  # questions

    @classmethod
    def of(cls, choices: Choices, options: np.ndarray, regions: np.ndarray) -> _Terms:
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
            torch.from_numpy(regions[of].astype(np.int64)),
            option[t],
            torch.from_numpy(kind),
            torch.from_numpy(said.astype(np.int64)),
            torch.from_numpy(np.log(weight / (n * np.maximum(n - 1, 1)))).float(),
            torch.from_numpy(-np.log(np.maximum(n - 2, 1))).float(),
            len(options),
        )


class _Model:
    def __init__(self, choices: Choices, families: Sequence[str], settings: FamilySettings) -> None:
        self.settings = settings
        count = choices.shape[1]
        names = np.asarray(families)
        members = {f: np.flatnonzero(names == f) for f in sorted(set(families))}
        self.families = {f: torch.from_numpy(m) for f, m in members.items() if len(m) > 1}
        self.alone = torch.tensor([int(m[0]) for m in members.values() if len(m) == 1], dtype=torch.int64)
        nodes, weights = np.polynomial.hermite_e.hermegauss(settings.nodes)
        self.z = torch.tensor(nodes, dtype=torch.float32)
        self.log_z = torch.tensor(np.log(weights / weights.sum()), dtype=torch.float32)
        silent = (choices == ABSTAINED).mean(axis=0)
        self.theta = torch.zeros(count, requires_grad=True)
        self.offset = torch.zeros(1, count)
        self.sigma = torch.tensor(0.4, requires_grad=True)  # log
        self.delta = torch.tensor(-1.0, requires_grad=True)  # logit
        self.silence = torch.tensor(np.log((silent + 0.01) / (1.01 - silent)), dtype=torch.float32, requires_grad=True)
        self.copying = torch.full((len(self.families),), -1.0, requires_grad=True)  # logit

    def divide(self, regions: int) -> None:
        """Let skills differ between so many regions; everything else stays where it is."""
        self.offset = torch.zeros(regions, len(self.theta), requires_grad=regions > 1)

    def fit(self, terms: _Terms, iterations: int) -> None:
        every = (self.theta, self.offset, self.sigma, self.delta, self.silence, self.copying)
        free = [p for p in every if p.requires_grad and p.numel()]
        optimiser = torch.optim.LBFGS(free, max_iter=iterations, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            optimiser.zero_grad()
            value = (self._penalty() - self._log_likelihood(terms)[0].sum()) / terms.count
            value.backward()
            return value

        optimiser.step(loss)

    def _penalty(self) -> torch.Tensor:
        s = self.settings
        skills = ((self.theta - self.theta.mean()) ** 2).sum() / (2 * s.skill_spread**2) + self.theta.mean() ** 2 / 10
        offsets = (self.offset**2).sum() / (2 * s.offset_spread**2)
        rest = ((self.copying + 1) ** 2).sum() / 2 + (self.delta + 1) ** 2 / 2 + 5 * (self.sigma - 0.4) ** 2
        return s.prior_scale * (skills + offsets + rest)

    def _right(self) -> torch.Tensor:
        """Probability of being right, (K, M, Z)."""
        skill = self.theta + self.offset
        return torch.sigmoid(skill[:, :, None] - torch.exp(self.sigma) * self.z)

    def _table(self, right: torch.Tensor, silence: torch.Tensor) -> torch.Tensor:
        """Log-probability of each kind of answer, (K, M, 4, Z); OTHER is still to be shared by n - 2 options."""
        wrong = torch.log1p(-right) + torch.log1p(-silence)[:, None]
        delta = torch.sigmoid(self.delta)
        nothing = torch.log1p(-right) + torch.log(silence)[:, None]
        return torch.stack([torch.log(right), wrong + torch.log(delta), wrong + torch.log1p(-delta), nothing], dim=2)

    def _log_likelihood(self, terms: _Terms) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-likelihood of every question, (Q,), and of every term, (R,)."""
        right = self._right()
        table = self._table(right, torch.sigmoid(self.silence))
        total = terms.log_weight[:, None] + self.log_z
        if len(self.alone):
            total = total + self._own(table, terms, self.alone).sum(dim=1)
        for number, members in enumerate(self.families.values()):
            total = total + self._family(number, members, right, table, terms)
        each = torch.logsumexp(total, dim=1)
        top = torch.full((terms.count,), -torch.inf).scatter_reduce(0, terms.question, each.detach(), "amax")
        summed = torch.zeros(terms.count).index_add(0, terms.question, torch.exp(each - top[terms.question]))
        return top + torch.log(summed), each

    def _own(self, table: torch.Tensor, terms: _Terms, members: torch.Tensor) -> torch.Tensor:
        """Log-probability of members' answers if each answers on its own, (R, F, Z)."""
        kind = terms.kind[:, members]
        other = torch.where(kind == OTHER, terms.log_other[:, None], 0.0)
        flat = (terms.region[:, None] * table.shape[1] + members) * 4 + kind
        return (
            table.reshape(-1, len(self.z)).index_select(0, flat.reshape(-1)).reshape(*flat.shape, -1) + other[..., None]
        )

    def _family(
        self, number: int, members: torch.Tensor, right: torch.Tensor, table: torch.Tensor, terms: _Terms
    ) -> torch.Tensor:
        """Log-probability of a family's answers, its common draw summed out, (R, Z).

        With lambda = 0 every answer is the model's own. Else the draw s is summed over the family's answers (where it
        lies elsewhere nobody copied): product of own (1 - lambda), times 1 + sum over s of P(s) (product over those who
        said s of (1 + lambda / own) - 1).
        """
        share = torch.sigmoid(self.copying[number])
        kind, said = terms.kind[:, members], terms.choices[:, members]
        spoke = kind != NOTHING
        alone = self._own(table, terms, members) + torch.where(spoke, torch.log1p(-share), 0.0)[..., None]
        gain = torch.where(spoke[..., None], torch.log1p(share * torch.exp(-alone.clamp(min=-30))), 0.0)
        delta = torch.sigmoid(self.delta)
        p = right[:, members].mean(dim=1)[terms.region]  # the draw's own chance, (R, Z)
        extra = torch.zeros_like(p)
        for j in range(len(members)):
            same = (said == said[:, j : j + 1]) & spoke
            earlier = same[:, :j].any(dim=1)
            other = (1 - delta) * torch.exp(terms.log_other)
            wrong = torch.where(kind[:, j] == POPULAR, delta, other)[:, None] * (1 - p)
            draw = torch.where((kind[:, j] == RIGHT)[:, None], p, wrong)
            copied = torch.expm1((gain * same[..., None]).sum(dim=1))
            counts = (spoke[:, j] & ~earlier)[:, None]
            extra = extra + torch.where(counts, draw * copied, 0.0)
        return alone.sum(dim=1) + torch.log1p(extra)

    @torch.no_grad()
    def posterior(self, terms: _Terms, choices: Choices) -> Floats:
        """Probability that each answer is right, (Q, M)."""
        whole, each = self._log_likelihood(terms)
        share = torch.exp(each - whole[terms.question]).double().numpy()
        table = np.zeros((terms.count, int(choices.max(initial=0)) + 1))
        named = terms.right != UNCHOSEN
        np.add.at(table, (terms.question.numpy()[named], terms.right[named]), share[named])
        found = np.take_along_axis(table, np.maximum(choices, 0).astype(np.int64), axis=1)
        return np.where(choices == ABSTAINED, 0.0, found)

    @torch.no_grad()
    def summary(self, scores: Floats) -> FamilyFit:
        mean = (self._right() * torch.exp(self.log_z)).sum(dim=2)
        shares = torch.sigmoid(self.copying).tolist()
        return FamilyFit(
            skills=mean.double().numpy(),
            copying=dict(zip(self.families, shares, strict=True)),
            popular=float(torch.sigmoid(self.delta)),
            spread=float(torch.exp(self.sigma)),
            scores=scores,
        )
