# pyright: basic
"""How probable what models said is, and what follows from it. The model is that of `beliefs`; sums are quadratures.

Everything is done for many questions at once: a *row* is one hypothesis about one question (which answer is right and
which is the popular mistake; for programs, what its tests are worth), and every row is summed over nodes of what else
is unseen: difficulty and popularity (I), family effect (U), a model's own effect (R). Arrays are PyTorch's where
beliefs are learned, over many questions, and NumPy's where one question is decided on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import torch

from mar.controllers.belief.arrays import Array, arrays
from mar.controllers.belief.beliefs import BREADTH, SLIP, Beliefs, follows

SILENT, ABSENT = -1, -2  # instead of an answer's number: nothing that can be read; no call
UNSEEN = -3  # of a hypothesis: an answer that nobody has given
FAILED, PASSED, UNTESTED = 0, 1, 2  # instead of an answer's number: what tests say of a program
STRICT, LOOSE, HOPELESS = 0, 1, 2  # hypotheses of programs
NODES = {"difficulty": 9, "popularity": 2, "family": 2, "own": 3}
WIDEST = 2.4  # standard deviations
_TINY = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One call, as evidence."""

    model: int
    answer: int  # number of the answer among those given so far, or SILENT; of a program FAILED, PASSED or UNTESTED
    strategy: int = 0
    surer: float = 0.0  # log-likelihood ratio of how sure it is: known against not known
    read: tuple[int, ...] = ()  # positions of the calls that it read


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was said to some questions, padded to the same number of calls: Q questions, N calls, M models."""

    model: Array  # (Q, N)
    answer: Array  # (Q, N); ABSENT where there was no call
    strategy: Array  # (Q, N)
    surer: Array  # (Q, N)
    reads: Array | None  # (Q, N, N): 1 where the first read the second; None: nobody read anything
    options: Array  # (Q,): how many answers there are to choose from; 0: open
    skill: Array  # (Q, M): what the text tells about each model

    @classmethod
    def of(cls, said: Sequence[Sequence[Said]], options: Sequence[int], skill: Array) -> Evidence:
        """Evidence about questions: their calls, their numbers of options, and what their texts tell.

        Its arrays are of the kind of `skill`.
        """
        q, n = len(said), max((len(calls) for calls in said), default=0)
        model, answer = np.zeros((q, n), dtype=np.int64), np.full((q, n), ABSENT, dtype=np.int64)
        strategy, surer = np.zeros((q, n), dtype=np.int64), np.zeros((q, n), dtype=np.float32)
        reads = np.zeros((q, n, n), dtype=np.float32) if any(c.read for calls in said for c in calls) else None
        for i, calls in enumerate(said):
            for j, call in enumerate(calls):
                model[i, j], answer[i, j], strategy[i, j] = call.model, call.answer, call.strategy
                surer[i, j] = call.surer
                if reads is not None:
                    reads[i, j, list(call.read)] = 1
        tensor = arrays(skill).tensor
        return cls(
            model=tensor(model),
            answer=tensor(answer),
            strategy=tensor(strategy),
            surer=tensor(surer),
            reads=None if reads is None else tensor(reads),
            options=tensor(np.array(options, dtype=np.float32)),
            skill=skill,
        )

    def __len__(self) -> int:
        return len(self.options)

    @property
    def given(self) -> int:
        """The largest number of different answers to a question."""
        return max(0, int(self.answer.max()) + 1) if self.answer.shape[1] else 0


@dataclass(frozen=True, slots=True)
class Rows:
    """Hypotheses."""

    question: Array  # (H,)
    right: Array  # answer t, or UNSEEN; of programs STRICT, LOOSE or HOPELESS, (H,)
    popular: Array  # answer w, or UNSEEN, (H,)
    share: Array  # logarithm of the prior, apart from the next, (H,)
    turned: Array  # of a question whose gold answer is known: 1 where that is the popular mistake, (H,)
    choices: Array  # answers that there are to choose from, (H,)


def hypotheses(beliefs: Beliefs, evidence: Evidence, gold: Sequence[int] | None = None) -> Rows:
    """All hypotheses.

    Args:
        beliefs: What is believed.
        evidence: About the questions.
        gold: The answer that counts as right to each question, UNSEEN where nobody gave it; None: unknown. Of programs
            it is not used.
    """
    tensor, count = arrays(evidence.skill).tensor, len(evidence)
    if beliefs.form == "programs":
        world = np.tile([STRICT, LOOSE, HOPELESS], count)
        each, zeros = np.repeat(np.arange(count), 3), np.zeros(3 * count, dtype=np.float32)
        found = (each, world, np.zeros_like(world), zeros, zeros, zeros + 1)
    else:
        seen = [sorted({a for a in answers if a >= 0}) for answers in evidence.answer.tolist()]
        options = evidence.options.tolist()
        parts = [
            _hypotheses(tuple(s), o, None if gold is None else gold[i])
            for i, (s, o) in enumerate(zip(seen, options, strict=True))
        ]
        found = (
            np.repeat(np.arange(count), [len(p[0]) for p in parts]),
            *(np.concatenate(columns) for columns in zip(*parts, strict=True)),
        )
    return Rows(*(tensor(column) for column in found))


@lru_cache(maxsize=4096)
def _hypotheses(seen: tuple[int, ...], options: float, gold: int | None) -> tuple[np.ndarray, ...]:
    """Of one question: what Rows has beside the question."""
    size = max(options, len(seen), 2) if options else max(BREADTH, len(seen) + 2)
    slots = [(a, 1.0) for a in seen] + [(UNSEEN, size - len(seen))] * (size > len(seen))
    found = [
        (t, w, t_size / size * left / (size - 1), kind)
        for t, t_size in slots
        for w, w_size in slots
        if (left := w_size if t != w else t_size - 1 if t == UNSEEN else 0.0) > 0
        for kind in ([0] if gold is None else [k for k, a in enumerate((t, w)) if a == gold])
    ]
    right, popular, share, turned = np.array(found, dtype=np.float32).reshape(-1, 4).T
    whole = (right.astype(np.int64), popular.astype(np.int64))
    return *whole, np.log(share), turned, np.full(len(found), size, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Nodes:
    """Quadrature nodes: values and logarithms of weights."""

    z: Array  # (I,)
    v: Array  # (I,)
    item: Array  # weights, (I,)
    u: Array  # (U,)
    family: Array  # (U,)
    r: Array  # (R,)
    own: Array  # (R,)


def _hermite(count: int) -> tuple[np.ndarray, np.ndarray]:
    x, w = np.polynomial.hermite_e.hermegauss(count)
    return x, np.log(w / w.sum())


def _even(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Evenly spaced nodes: difficulty moves log-odds by far more than a Gauss-Hermite rule's few nodes could follow."""
    x = np.linspace(-WIDEST, WIDEST, count)
    w = np.exp(-(x**2) / 2)
    return x, np.log(w / w.sum())


@cache
def nodes(*, tensors: bool = True) -> Nodes:
    """The nodes that all sums are made with, as tensors of float32 or as arrays of float64."""
    z, of_z = _even(NODES["difficulty"])
    v, of_v = _hermite(NODES["popularity"])
    found = (
        np.tile(z, len(v)),
        v.repeat(len(z)),
        (of_v[:, None] + of_z).flatten(),
        *_hermite(NODES["family"]),
        *_hermite(NODES["own"]),
    )
    return Nodes(*(torch.tensor(x, dtype=torch.float32) if tensors else x for x in found))


def _nodes(beliefs: Beliefs) -> Nodes:
    return nodes(tensors=isinstance(beliefs.theta, torch.Tensor))


@follows
def scattered(beliefs: Beliefs) -> Array:
    """What the unseen adds to a model's log-odds of knowing, (U, R, I)."""
    n, exp = _nodes(beliefs), arrays(beliefs.theta).exp
    z, u, r = -exp(beliefs.sigma) * n.z, exp(beliefs.tau) * n.u, exp(beliefs.rho) * n.r
    return z + u[:, None, None] + r[:, None]


@follows
def _odds_against(beliefs: Beliefs) -> Array:
    return np.exp(-scattered(beliefs))


def knows(beliefs: Beliefs, level: Array, count: int | None = None) -> Array:
    """Probability that a model of such log-odds (...) knows, (..., U, R, I), or at the first nodes of I alone."""
    level = level[..., None, None, None]
    if isinstance(level, torch.Tensor):
        return torch.sigmoid(level + scattered(beliefs)[..., :count])
    found = np.exp(-level) * _odds_against(beliefs)[..., :count]  # an exponential of a sum is dearer than a product
    found += 1.0
    return np.divide(1.0, found, out=found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """Probabilities of a call's outcome apart from knowing."""

    popular: Array  # of the popular mistake where it does not know, (I,)
    silent: Array  # (M,)
    mislabelled: Array  # ()
    passing: Array  # of a wrong program, by hypothesis, (3,)
    copying: Array  # ()


@follows
def chances(beliefs: Beliefs) -> Chances:
    """As believed."""
    n, xp = _nodes(beliefs), arrays(beliefs.theta)
    logit = beliefs.popular + beliefs.by_difficulty * n.z + xp.exp(beliefs.spread) * n.v
    slip = beliefs.alike * 0 + SLIP
    return Chances(
        popular=xp.sigmoid(logit),
        silent=xp.sigmoid(beliefs.silence),
        mislabelled=xp.sigmoid(beliefs.mislabelled),
        passing=xp.stack([slip, xp.sigmoid(beliefs.alike), slip]),
        copying=xp.sigmoid(beliefs.copying),
    )


def prior(beliefs: Beliefs, rows: Rows, *, gold: bool = False) -> Array:
    """Logarithm of the rows' prior probabilities, (H,)."""
    xp, wrong = arrays(beliefs.theta), chances(beliefs).mislabelled
    if beliefs.form == "programs":
        loose = xp.sigmoid(beliefs.loose)
        shares = xp.stack([(1 - wrong) * (1 - loose), (1 - wrong) * loose, wrong])
        return xp.log(shares)[rows.right]
    if not gold:
        return rows.share
    return rows.share + xp.where(rows.turned > 0, xp.log(wrong), xp.log(1 - wrong))


def outcomes(beliefs: Beliefs, evidence: Evidence, rows: Rows, solved: Array | None = None) -> Array:
    """Log-probability of what every call said, (H, N, U, R, I); 0 where there was none.

    Args:
        beliefs: What is believed.
        evidence: What was said.
        rows: Hypotheses.
        solved: Of programs that were graded: 1 right, 0 wrong, (Q, N).
    """
    xp = arrays(beliefs.theta)
    said = evidence.answer[rows.question]
    if beliefs.form == "programs":
        known, unknown, heard = _of_programs(beliefs, evidence, rows, said, solved)
    else:
        known, unknown, heard = _of_answers(beliefs, evidence, rows, said)
    own = xp.take_along_dim(beliefs.theta + evidence.skill, evidence.model, 1) + beliefs.effects[evidence.strategy]
    # Of who read nothing, whether it knew is the same in every row of a question.
    knew = knows(beliefs, own)[rows.question] if heard is None else knows(beliefs, own[rows.question] + heard)
    unknown, more = unknown[:, :, None, None], (known[:, :, None] - unknown)[:, :, None, None]
    logs = xp.log(xp.clip(knew * more + unknown, _TINY, None))
    return logs if bool((said != ABSENT).all()) else logs * (said != ABSENT)[:, :, None, None, None]


def heard_by(beliefs: Beliefs, right: Array, wrong: Array) -> Array:
    """What reading so many right and wrong messages adds to the log-odds of knowing."""
    log1p = arrays(beliefs.theta).log1p
    return beliefs.gain * log1p(right) - beliefs.harm * log1p(wrong)


def _of_programs(
    beliefs: Beliefs, evidence: Evidence, rows: Rows, said: Array, solved: Array | None
) -> tuple[Array, Array, Array | None]:
    """Probability of what every call said where it knew, (H, N), and where not, (H, N, 1), and what it had heard.

    Where nobody solves a question, knowing is of no use.
    """
    xp = arrays(beliefs.theta)
    good, bad = said == PASSED, said == FAILED
    heard = None
    if evidence.reads is not None:
        reads = evidence.reads[rows.question]
        heard = heard_by(beliefs, (reads * good[:, None]).sum(2), (reads * bad[:, None]).sum(2))
    passing = chances(beliefs).passing[rows.right][:, None]
    wrong = xp.where(good, passing, xp.where(bad, 1 - passing, passing * 0 + 1))
    hopeless = (rows.right == HOPELESS)[:, None]
    if solved is None:
        known = (good | (said == UNTESTED)) * xp.exp(evidence.surer)[rows.question]
        return xp.where(hopeless, wrong, known), wrong[..., None], heard
    right = solved[rows.question] > 0
    unknown = wrong * ~right
    return xp.where(hopeless, unknown, right * 1.0), unknown[..., None], heard


def _of_answers(beliefs: Beliefs, evidence: Evidence, rows: Rows, said: Array) -> tuple[Array, Array, Array | None]:
    """Probability of what every call said where it knew, (H, N), and where not, (H, N, I), and what it had heard."""
    xp, chance = arrays(beliefs.theta), chances(beliefs)
    readable, right, popular = said >= 0, said == rows.right[:, None], said == rows.popular[:, None]
    silent = chance.silent[evidence.model][rows.question]
    guess = readable * (1 - silent) / rows.choices[:, None]
    if beliefs.form != "options":  # nobody guesses what is right
        guess = guess * ~right
    trapped, nothing = (popular & ~right) * (1 - silent), ~readable * silent
    mistake = chance.popular
    unknown = guess[..., None] * (1 - mistake) + trapped[..., None] * mistake + nothing[..., None]
    known = right * xp.exp(evidence.surer)[rows.question]
    if evidence.reads is None:
        return known, unknown, None
    reads = evidence.reads[rows.question]
    heard_right = (reads * right[:, None]).sum(2)
    heard_wrong = (reads * readable[:, None]).sum(2) - heard_right
    same = (reads * (said[:, :, None] == said[:, None, :])).sum(2)
    copies = (heard_wrong > 0) * chance.copying
    copied = ~right * copies * same / xp.clip(heard_wrong, 1, None)
    return known, copied[..., None] + (1 - copies)[..., None] * unknown, heard_by(beliefs, heard_right, heard_wrong)


@dataclass(frozen=True, slots=True)
class Posterior:
    """What follows from the evidence."""

    beliefs: Beliefs
    evidence: Evidence
    rows: Rows
    joint: Array  # log-probability of row, node and evidence, (H, I)
    used: Array  # models that were asked, (A,)
    kin: Array  # families that were asked, (F,)
    of_model: Array  # log-probability of their calls and of the nodes of their own effects, (H, A, U, R, I)
    of_family: Array  # the same of families' calls and effects, (H, F, U, I)

    @classmethod
    def of(
        cls, beliefs: Beliefs, evidence: Evidence, rows: Rows, *, gold: bool = False, solved: Array | None = None
    ) -> Posterior:
        """Sum what is unseen, model by model and family by family."""
        n, xp = _nodes(beliefs), arrays(beliefs.theta)
        likely = outcomes(beliefs, evidence, rows, solved)
        used = xp.unique(evidence.model[evidence.answer != ABSENT])
        which = (evidence.model[:, None] == used[:, None]) & (evidence.answer != ABSENT)[:, None]  # (Q, A, N)
        of_model = _added(which, likely, rows) + n.own[:, None]
        groups = family_numbers(beliefs)[used]
        kin = xp.unique(groups)
        members = (groups == kin[:, None])[None]  # (1, F, A)
        of_family = _added(members, xp.logsumexp(of_model, -2), rows) + n.family[:, None]
        joint = xp.logsumexp(of_family, -2).sum(1) + n.item + prior(beliefs, rows, gold=gold)[:, None]
        return cls(beliefs, evidence, rows, joint, used, kin, of_model, of_family)

    def log_likelihood(self) -> Array:
        """Of every question, (Q,)."""
        count, question = len(self.evidence), self.rows.question
        each = arrays(self.joint).logsumexp(self.joint, -1)
        if isinstance(each, np.ndarray):
            return np.log(np.bincount(question, np.exp(each), count))
        top = torch.full((count,), -torch.inf).scatter_reduce(0, question, each.detach(), "amax")
        return top + torch.log(torch.zeros_like(top).index_add(0, question, torch.exp(each - top[question])))

    def weights(self) -> Array:
        """Probability of every row and node given its question's evidence, (H, I)."""
        return arrays(self.joint).exp(self.joint - self.log_likelihood()[self.rows.question][:, None])


def _added(which: Array, values: Array, rows: Rows) -> Array:
    """Sums of values (H, N, ...) over the columns that `which` (Q or 1, A, N) names, (H, A, ...)."""
    which = which * 1.0 if len(which) == 1 else which[rows.question] * 1.0
    flat = values.reshape(*values.shape[:2], math.prod(values.shape[2:]))
    return (which @ flat).reshape(len(values), which.shape[1], *values.shape[2:])


@cache
def _family_numbers(families: tuple[str, ...], tensors: bool) -> Array:
    names = sorted(set(families))
    found = np.array([names.index(f) for f in families])
    return torch.tensor(found) if tensors else found


def family_numbers(beliefs: Beliefs) -> Array:
    """A number for each family, for each model that of its family."""
    return _family_numbers(beliefs.families, isinstance(beliefs.theta, torch.Tensor))
