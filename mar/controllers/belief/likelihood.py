# pyright: basic
"""How probable what models said is, and what follows from it. The model is that of `beliefs`; sums are quadratures.

Everything is done for many questions at once: a *row* is one hypothesis about one question (which answer is right and
which is the popular mistake; for programs, what its tests are worth), and every row is summed over nodes of what else
is unseen: difficulty and popularity (I), family effect (U), a model's own effect (R).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from mar.controllers.belief.beliefs import BREADTH, SLIP, Beliefs

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

    model: torch.Tensor  # (Q, N)
    answer: torch.Tensor  # (Q, N); ABSENT where there was no call
    strategy: torch.Tensor  # (Q, N)
    surer: torch.Tensor  # (Q, N)
    reads: torch.Tensor  # (Q, N, N): 1 where the first read the second
    options: torch.Tensor  # (Q,): how many answers there are to choose from; 0: open
    skill: torch.Tensor  # (Q, M): what the text tells about each model

    @classmethod
    def of(cls, said: Sequence[Sequence[Said]], options: Sequence[int], skill: torch.Tensor) -> Evidence:
        """Evidence about questions: their calls, their numbers of options, and what their texts tell."""
        q, n = len(said), max(1, max((len(calls) for calls in said), default=0))
        model, answer = np.zeros((q, n), dtype=np.int64), np.full((q, n), ABSENT, dtype=np.int64)
        strategy, surer = np.zeros((q, n), dtype=np.int64), np.zeros((q, n), dtype=np.float32)
        reads = np.zeros((q, n, n), dtype=np.float32)
        for i, calls in enumerate(said):
            for j, call in enumerate(calls):
                model[i, j], answer[i, j], strategy[i, j] = call.model, call.answer, call.strategy
                surer[i, j] = call.surer
                reads[i, j, list(call.read)] = 1
        return cls(
            model=torch.from_numpy(model),
            answer=torch.from_numpy(answer),
            strategy=torch.from_numpy(strategy),
            surer=torch.from_numpy(surer),
            reads=torch.from_numpy(reads),
            options=torch.tensor(list(options), dtype=torch.float32),
            skill=skill,
        )

    def __len__(self) -> int:
        return len(self.options)

    @property
    def given(self) -> int:
        """The largest number of different answers to a question."""
        return max(0, int(self.answer.max()) + 1)


@dataclass(frozen=True, slots=True)
class Rows:
    """Hypotheses."""

    question: torch.Tensor  # (H,)
    right: torch.Tensor  # answer t, or UNSEEN; of programs STRICT, LOOSE or HOPELESS, (H,)
    popular: torch.Tensor  # answer w, or UNSEEN, (H,)
    share: torch.Tensor  # logarithm of the prior, apart from the next, (H,)
    turned: torch.Tensor  # of a question whose gold answer is known: 1 where that is the popular mistake, (H,)
    choices: torch.Tensor  # answers that there are to choose from, (H,)


def hypotheses(beliefs: Beliefs, evidence: Evidence, gold: Sequence[int] | None = None) -> Rows:
    """All hypotheses.

    Args:
        beliefs: What is believed.
        evidence: About the questions.
        gold: The answer that counts as right to each question, UNSEEN where nobody gave it; None: unknown. Of programs
            it is not used.
    """
    count = len(evidence)
    if beliefs.form == "programs":
        each = torch.arange(count).repeat_interleave(3)
        zeros = torch.zeros(3 * count)
        world = torch.tensor([STRICT, LOOSE, HOPELESS]).repeat(count)
        return Rows(each, world, torch.zeros_like(world), zeros, zeros, zeros + 1)
    question: list[int] = []
    right: list[int] = []
    popular: list[int] = []
    share: list[float] = []
    turned: list[int] = []
    choices: list[float] = []
    for i, (answers, options) in enumerate(zip(evidence.answer.tolist(), evidence.options.tolist(), strict=True)):
        seen = sorted({a for a in answers if a >= 0})
        size = max(options, len(seen), 2) if options else max(BREADTH, len(seen) + 2)
        slots = [(a, 1.0) for a in seen] + [(UNSEEN, size - len(seen))] * (size > len(seen))
        for t, t_size in slots:
            for w, w_size in slots:
                left = w_size if t != w else t_size - 1 if t == UNSEEN else 0.0
                kinds = [0] if gold is None else [k for k, a in enumerate((t, w)) if a == gold[i]]
                if left > 0:
                    for kind in kinds:
                        question.append(i)
                        right.append(t)
                        popular.append(w)
                        share.append(t_size / size * left / (size - 1))
                        turned.append(kind)
                        choices.append(size)
    return Rows(
        torch.tensor(question),
        torch.tensor(right),
        torch.tensor(popular),
        torch.log(torch.tensor(share)),
        torch.tensor(turned, dtype=torch.float32),
        torch.tensor(choices),
    )


@dataclass(frozen=True, slots=True)
class Nodes:
    """Quadrature nodes: values and logarithms of weights."""

    z: torch.Tensor  # (I,)
    v: torch.Tensor  # (I,)
    item: torch.Tensor  # weights, (I,)
    u: torch.Tensor  # (U,)
    family: torch.Tensor  # (U,)
    r: torch.Tensor  # (R,)
    own: torch.Tensor  # (R,)


def _hermite(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    x, w = np.polynomial.hermite_e.hermegauss(count)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(np.log(w / w.sum()), dtype=torch.float32)


def _even(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Evenly spaced nodes: difficulty moves log-odds by far more than a Gauss-Hermite rule's few nodes could follow."""
    x = torch.linspace(-WIDEST, WIDEST, count)
    return x, torch.log_softmax(-(x**2) / 2, 0)


@cache
def nodes() -> Nodes:
    """The nodes that all sums are made with."""
    z, of_z = _even(NODES["difficulty"])
    v, of_v = _hermite(NODES["popularity"])
    return Nodes(
        z.repeat_interleave(len(v)),
        v.repeat(len(z)),
        (of_z[:, None] + of_v).flatten(),
        *_hermite(NODES["family"]),
        *_hermite(NODES["own"]),
    )


def scattered(beliefs: Beliefs) -> torch.Tensor:
    """What the unseen adds to a model's log-odds of knowing, (I, U, R)."""
    n = nodes()
    z, u, r = -torch.exp(beliefs.sigma) * n.z, torch.exp(beliefs.tau) * n.u, torch.exp(beliefs.rho) * n.r
    return z[:, None, None] + u[:, None] + r


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """Probabilities of a call's outcome apart from knowing."""

    popular: torch.Tensor  # of the popular mistake where it does not know, (I,)
    silent: torch.Tensor  # (M,)
    mislabelled: torch.Tensor  # ()
    passing: torch.Tensor  # of a wrong program, by hypothesis, (3,)

    @classmethod
    def of(cls, beliefs: Beliefs) -> Chances:
        """As believed."""
        n = nodes()
        logit = beliefs.popular + beliefs.by_difficulty * n.z + torch.exp(beliefs.spread) * n.v
        slip = torch.tensor(SLIP)
        return cls(
            popular=torch.sigmoid(logit),
            silent=torch.sigmoid(beliefs.silence),
            mislabelled=torch.sigmoid(beliefs.mislabelled),
            passing=torch.stack([slip, torch.sigmoid(beliefs.alike), slip]),
        )


def prior(beliefs: Beliefs, rows: Rows, *, gold: bool = False) -> torch.Tensor:
    """Logarithm of the rows' prior probabilities, (H,)."""
    wrong = torch.sigmoid(beliefs.mislabelled)
    if beliefs.form == "programs":
        loose = torch.sigmoid(beliefs.loose)
        shares = torch.stack([(1 - wrong) * (1 - loose), (1 - wrong) * loose, wrong])
        return torch.log(shares)[rows.right]
    if not gold:
        return rows.share
    return rows.share + torch.where(rows.turned > 0, torch.log(wrong), torch.log(1 - wrong))


def _knows(beliefs: Beliefs, evidence: Evidence, rows: Rows, heard: torch.Tensor) -> torch.Tensor:
    """Probability that each call knew, (H, N, I, U, R)."""
    own = torch.gather(beliefs.theta + evidence.skill, 1, evidence.model) + beliefs.effects[evidence.strategy]
    knows = torch.sigmoid((own[rows.question] + heard)[:, :, None, None, None] + scattered(beliefs))
    if beliefs.form == "programs":
        knows = torch.where((rows.right == HOPELESS)[:, None, None, None, None], 0.0, knows)
    return knows


def _heard(beliefs: Beliefs, right: torch.Tensor, wrong: torch.Tensor) -> torch.Tensor:
    return beliefs.gain * torch.log1p(right) - beliefs.harm * torch.log1p(wrong)


def outcomes(beliefs: Beliefs, evidence: Evidence, rows: Rows, solved: torch.Tensor | None = None) -> torch.Tensor:
    """Log-probability of what every call said, (H, N, I, U, R); 0 where there was none.

    Args:
        beliefs: What is believed.
        evidence: What was said.
        rows: Hypotheses.
        solved: Of programs that were graded: 1 right, 0 wrong, (Q, N).
    """
    chance = Chances.of(beliefs)
    said = evidence.answer[rows.question]
    spread = (slice(None), slice(None), None, None, None)
    surer = torch.exp(evidence.surer)[rows.question][spread]
    if beliefs.form == "programs":
        likely = _of_programs(beliefs, evidence, rows, chance, said, surer, solved)
    else:
        likely = _of_answers(beliefs, evidence, rows, chance, said, surer)
    return torch.log(likely.clamp(min=_TINY)) * (said != ABSENT)[spread]


def _of_programs(
    beliefs: Beliefs,
    evidence: Evidence,
    rows: Rows,
    chance: Chances,
    said: torch.Tensor,
    surer: torch.Tensor,
    solved: torch.Tensor | None,
) -> torch.Tensor:
    spread = (slice(None), slice(None), None, None, None)
    reads = evidence.reads[rows.question]
    good, bad = (said == PASSED).float(), (said == FAILED).float()
    heard = _heard(beliefs, (reads * good[:, None]).sum(2), (reads * bad[:, None]).sum(2))
    knows = _knows(beliefs, evidence, rows, heard)
    passing = chance.passing[rows.right][:, None, None, None, None]
    wrong = torch.where((said == PASSED)[spread], passing, torch.where((said == FAILED)[spread], 1 - passing, 1.0))
    if solved is not None:
        return torch.where(solved[rows.question][spread] > 0, knows, (1 - knows) * wrong)
    known = torch.where(((said == PASSED) | (said == UNTESTED))[spread], knows * surer, 0.0)
    return known + (1 - knows) * wrong


def _of_answers(
    beliefs: Beliefs, evidence: Evidence, rows: Rows, chance: Chances, said: torch.Tensor, surer: torch.Tensor
) -> torch.Tensor:
    spread = (slice(None), slice(None), None, None, None)
    readable = said >= 0
    right, popular = said == rows.right[:, None], said == rows.popular[:, None]
    reads = evidence.reads[rows.question]
    heard = copied = copies = torch.zeros_like(surer[..., 0, 0, 0])
    if bool(reads.any()):
        heard_right = (reads * right.float()[:, None]).sum(2)
        heard_wrong = (reads * readable.float()[:, None]).sum(2) - heard_right
        heard = _heard(beliefs, heard_right, heard_wrong)
        same = (reads * (said[:, :, None] == said[:, None, :]).float()).sum(2)
        copies = torch.where(heard_wrong > 0, torch.sigmoid(beliefs.copying), torch.zeros_like(heard))
        copied = torch.where(right, torch.zeros_like(heard), copies * same / heard_wrong.clamp(min=1))
    knows = _knows(beliefs, evidence, rows, heard)
    silent = chance.silent[evidence.model][rows.question][spread]
    mistake = chance.popular[:, None, None]
    guess = (1 - silent) * (1 - mistake) / rows.choices[:, None, None, None, None]
    lucky = guess if beliefs.form == "options" else torch.zeros_like(guess)
    own = torch.where(right[spread], lucky, torch.where(popular[spread], (1 - silent) * mistake + guess, guess))
    own = torch.where(readable[spread], own, silent)
    wrong = copied[spread] + (1 - copies[spread]) * own
    return torch.where((right & readable)[spread], knows * surer, 0.0) + (1 - knows) * wrong


@dataclass(frozen=True, slots=True)
class Posterior:
    """What follows from the evidence."""

    beliefs: Beliefs
    evidence: Evidence
    rows: Rows
    joint: torch.Tensor  # log-probability of row, node and evidence, (H, I)
    used: torch.Tensor  # models that were asked, (A,)
    own: torch.Tensor  # weights of the nodes of their own effects, (H, A, I, U, R)
    family: torch.Tensor  # weights of the nodes of every family's effect, (H, F, I, U)

    @classmethod
    def of(
        cls, beliefs: Beliefs, evidence: Evidence, rows: Rows, *, gold: bool = False, solved: torch.Tensor | None = None
    ) -> Posterior:
        """Sum what is unseen, model by model and family by family."""
        n = nodes()
        likely = outcomes(beliefs, evidence, rows, solved)
        asked = evidence.answer != ABSENT
        used = torch.unique(evidence.model[asked])
        which = ((evidence.model[:, :, None] == used) & asked[:, :, None]).float()[rows.question]  # (H, N, A)
        of_model = torch.einsum("hniur,hna->haiur", likely, which) + n.own
        summed = torch.logsumexp(of_model, -1)
        groups = family_numbers(beliefs.families)
        members = torch.nn.functional.one_hot(groups[used], int(groups.max()) + 1).float()
        of_family = torch.einsum("haiu,af->hfiu", summed, members) + n.family
        joint = torch.logsumexp(of_family, -1).sum(1) + n.item + prior(beliefs, rows, gold=gold)[:, None]
        own, family = torch.softmax(of_model, -1), torch.softmax(of_family, -1)
        return cls(beliefs, evidence, rows, joint, used, own, family)

    def log_likelihood(self) -> torch.Tensor:
        """Of every question, (Q,)."""
        each = torch.logsumexp(self.joint, 1)
        top = torch.full((len(self.evidence),), -torch.inf)
        top = top.scatter_reduce(0, self.rows.question, each.detach(), "amax")
        weights = torch.exp(each - top[self.rows.question])
        return top + torch.log(torch.zeros_like(top).index_add(0, self.rows.question, weights))

    def weights(self) -> torch.Tensor:
        """Probability of every row and node given its question's evidence, (H, I)."""
        return torch.exp(self.joint - self.log_likelihood()[self.rows.question][:, None])

    def knowing(self, heard: torch.Tensor | None = None) -> torch.Tensor:
        """Probability that each model would know, asked now with each strategy, by row and node, (H, S, M, I).

        Args:
            heard: What it would read is worth to it by row, (H,).
        """
        beliefs, rows, n = self.beliefs, self.rows, nodes()
        groups, scatter = family_numbers(beliefs.families), scattered(beliefs)
        level = (beliefs.theta + self.evidence.skill)[:, None] + beliefs.effects[:, None]  # (Q, S, M)
        spread = (..., None, None, None)
        if heard is None:  # what does not depend on the hypothesis is found once for each question
            alone, place = level, rows.question
        else:  # nor more often than it differs
            pairs = torch.stack([rows.question.float(), heard], dim=1)
            different, place = torch.unique(pairs, dim=0, return_inverse=True)
            alone = level[different[:, 0].long()] + different[:, 1, None, None]
        of_model = torch.sigmoid(alone[spread] + scatter) @ torch.exp(n.own)
        knows = (of_model[place] * self.family[:, None, groups]).sum(-1)
        if len(self.used):
            again = alone[:, :, self.used][place]
            weights = self.own * self.family[:, groups[self.used], :, :, None]
            knows[:, :, self.used] = (torch.sigmoid(again[spread] + scatter) * weights[:, None]).sum((-1, -2))
        if beliefs.form == "programs":
            knows = torch.where((rows.right == HOPELESS)[:, None, None, None], 0.0, knows)
        return knows


@cache
def family_numbers(families: tuple[str, ...]) -> torch.Tensor:
    """A number for each family, for each model that of its family."""
    names = sorted(set(families))
    return torch.tensor([names.index(f) for f in families])
