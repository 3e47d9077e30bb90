# pyright: basic
"""What a crowd's answers tell without a grade: the likelihood of whole tables, and who is right by it.

The model is that of `beliefs`, in sums arranged for tables: every model is asked once and reads nobody, so its own
effect is summed out beforehand, and what it says enters a hypothesis as a factor for its family: as if it were wrong in
its own way, times what changes where it is right or makes the popular mistake. Two things are added, without which a
crowd that nobody grades cannot be read:

    habits     who guesses does so by a distribution over the options' positions, each model by its own: a model that
               says A whenever it does not know is not believed when it says A
    repeats    relatives share a draw, made with their mean knowledge and habit; each readable answer is that draw with
               the family's `repeats`, the model's own else. A family of independent members is found to be one.

No grade enters: all numbers are those under which the table is most likely, with the priors of `beliefs` and those
below. What this cannot know: with no model outside a family its level is a matter of the prior, and a crowd whose
majority shares its mistakes for another reason than its families is believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mar.controllers.belief.beliefs import Beliefs, Prior
from mar.controllers.belief.likelihood import chances, family_numbers, nodes
from mar.controllers.belief.table import NOBODY, Table
from mar.numerics import minimise

HABIT = Prior(0.0, 0.5)  # of a model's preferences among options when it guesses, logits
REPEATS = Prior(-1.0, 1.0)  # logit
_TINY = 1e-30
BLOCK = 1000  # questions weighed at once, which bounds the memory


@dataclass(frozen=True, slots=True)
class _Said:
    """Something for every readable answer, and for what it would be if its option were right or popular."""

    other: torch.Tensor
    right: torch.Tensor
    popular: torch.Tensor


@dataclass(kw_only=True)
class Crowd:
    """Beliefs about a pool, and what a table of answers adds to them."""

    beliefs: Beliefs
    habits: torch.Tensor  # logits, (M, O)
    repeats: torch.Tensor  # logit by family, (F,); of families of one it means nothing

    @classmethod
    def vague(cls, models: Sequence[str], families: Sequence[str], options: int) -> Crowd:
        """The prior.

        Args:
            models: Their names.
            families: Of each.
            options: Of a question, at most.
        """
        return cls(
            beliefs=Beliefs.vague(models, families, "options"),
            habits=torch.zeros(len(models), options),
            repeats=torch.full((len(set(families)),), REPEATS.mean),
        )

    @property
    def families(self) -> torch.Tensor:
        """Number of each model's family, (M,)."""
        return family_numbers(self.beliefs)

    @property
    def related(self) -> torch.Tensor:
        """Numbers of the families of two and more."""
        return torch.nonzero(torch.bincount(self.families) > 1).flatten()

    def fit(self, table: Table, *, iterations: int = 30) -> None:
        """Climb the posterior of all numbers, from where they are.

        Args:
            table: Answers, nobody's grade.
            iterations: Of L-BFGS.
        """
        useless = {"mislabelled", "gain", "harm", "copying"}  # of them a table without grades and readers says nothing
        numbers = {name: t for name, t in self.beliefs.learned.items() if name not in useless}

        def loss() -> torch.Tensor:
            return (self._penalty() - self.log_likelihood(table).sum()) / len(table)

        minimise(loss, [*numbers.values(), self.habits, self.repeats], iterations=iterations)

    def _penalty(self) -> torch.Tensor:
        habits = (((self.habits - HABIT.mean) / HABIT.spread) ** 2).sum() / 2
        repeats = (((self.repeats - REPEATS.mean) / REPEATS.spread) ** 2)[self.related].sum() / 2
        return self.beliefs.penalty() + habits + repeats

    def log_likelihood(self, table: Table) -> torch.Tensor:
        """Of every question, (Q,)."""
        return _by_question(self._rows(table), table)

    @torch.no_grad()
    def right(self, table: Table) -> np.ndarray:
        """Probability that each answer is right, 0 where nothing could be read, (Q, M)."""
        rows = self._rows(table)
        share = torch.exp(rows - _by_question(rows, table)[table.about])
        slots = torch.zeros(len(table.question)).index_add(0, table.right, share)
        return torch.where(table.place == NOBODY, 0.0, slots[table.place.clamp(min=0)]).double().numpy()

    def weigh(self, choices: np.ndarray, options: np.ndarray) -> np.ndarray:
        """The same of any number of questions."""
        parts = [slice(i, i + BLOCK) for i in range(0, len(options), BLOCK)]
        found = [self.right(Table.of(choices[p], options[p])) for p in parts]
        return np.concatenate(found) if found else np.zeros(choices.shape)

    # The sums -------------------------------------------------------------------------------------------------

    def _rows(self, table: Table) -> torch.Tensor:
        """Log-probability of every row and its question's answers, (H,)."""
        n, count = nodes(), (len(self.repeats), len(nodes().z), len(nodes().u))
        knows, silent = self._knows(), chances(self.beliefs).silent[:, None, None]
        question, model = table.answers
        said, repeated = self._answers(table, knows[model], silent[model])
        of_family = table.chosen * count[0] + self.families[model]
        base = torch.zeros(len(table) * count[0], *count[1:])
        base = base.index_add(0, question * count[0] + self.families[model], said.other)
        question, model = table.silent
        quiet = torch.log(((1 - knows) * silent).clamp(min=_TINY))[model]
        base = base.index_add(0, question * count[0] + self.families[model], quiet).view(-1, *count)
        slots = torch.zeros(len(table.question) * count[0], *count[1:])
        if_right = slots.index_add(0, of_family, said.right - said.other).view(-1, *count)
        if_popular = slots.index_add(0, of_family, said.popular - said.other).view(-1, *count)
        total = base[table.about] + if_right[table.right] + if_popular[table.popular]
        if len(self.related):
            total = total.index_add(1, self.related, self._repeated(table, knows, said, repeated, of_family))
        families = torch.logsumexp(total + n.family, -1).sum(1)
        return torch.logsumexp(families + n.item, -1) + table.share

    def _knows(self) -> torch.Tensor:
        """Probability that each model knows, its own effect summed out, (M, I, U)."""
        b, n = self.beliefs, nodes()
        z, place = torch.unique(n.z, return_inverse=True)
        known = b.theta[:, None, None] - torch.exp(b.sigma) * z[:, None] + torch.exp(b.tau) * n.u
        return (torch.sigmoid(known[..., None] + torch.exp(b.rho) * n.r) @ torch.exp(n.own))[:, place]

    def _kinds(self, knows: torch.Tensor, silent: torch.Tensor | float, guess: torch.Tensor) -> _Said:
        """Probabilities of an answer: of another kind, right, and popular."""
        popular = chances(self.beliefs).popular[:, None]
        wrong = (1 - knows) * (1 - silent)
        other = wrong * (1 - popular) * guess[..., None, None]
        return _Said(other, knows + other, wrong * popular + other)

    def _answers(self, table: Table, knows: torch.Tensor, silent: torch.Tensor) -> tuple[_Said, torch.Tensor]:
        """Log-probabilities of readable answers as the models' own, and probabilities of repeating one, (C, I, U)."""
        question, model = table.answers
        whole = torch.logcumsumexp(self.habits, 1)[model, table.options[question] - 1]
        guess = torch.exp(self.habits[model, table.choices[question, model]] - whole)
        kinds = self._kinds(knows, silent, guess)
        share = torch.zeros(len(self.repeats)).index_copy(0, self.related, torch.sigmoid(self.repeats[self.related]))
        share = share[self.families[model]][:, None, None]
        own = torch.log1p(-share)
        logs = [torch.log(kind.clamp(min=_TINY)) + own for kind in (kinds.other, kinds.right, kinds.popular)]
        return _Said(*logs), share * (1 - (1 - knows) * silent)

    def _repeated(
        self, table: Table, knows: torch.Tensor, said: _Said, repeated: torch.Tensor, of_family: torch.Tensor
    ) -> torch.Tensor:
        """Logarithm of what a family's common draw adds to its answers' probability, (H, families of several, I, U).

        With its draw s summed out, a family's answers have the probability that they are all the models' own, times 1 +
        sum over s of P(s) (product over those who said s of (1 + repeated / own) - 1): where s lies elsewhere nobody
        repeated it. P(s) differs only where s is right or popular.
        """
        groups, related = self.families, self.related
        several = (torch.bincount(groups) > 1)[groups[table.answers[1]]]
        members = torch.bincount(groups)[related].float()
        shape = (len(self.repeats), *knows.shape[1:])
        mean = torch.zeros(shape).index_add(0, groups, knows)[related] / members[:, None, None]
        habits = torch.zeros(len(self.repeats), self.habits.shape[1]).index_add(0, groups, self.habits)[related]
        habits = habits / members[:, None]
        whole = torch.logcumsumexp(habits, 1)[:, table.options[table.question] - 1]
        draw = self._kinds(mean, 0.0, torch.exp(habits[:, table.option.clamp(min=0)] - whole).T)

        def gained(own: torch.Tensor) -> torch.Tensor:
            each = torch.log1p((repeated * torch.exp(-own.clamp(min=-18)))[several])
            sums = torch.zeros(len(table.question) * shape[0], *shape[1:]).index_add(0, of_family[several], each)
            return torch.expm1(sums.view(-1, *shape)[:, related])

        other = gained(said.other) * draw.other
        if_right = gained(said.right) * draw.right - other
        if_popular = gained(said.popular) * draw.popular - other
        everywhere = torch.zeros(len(table), *other.shape[1:]).index_add(0, table.question, other)
        added = everywhere[table.about] + if_right[table.right] + if_popular[table.popular]
        return torch.log1p(added.clamp(min=-1 + 1e-6))


def _by_question(rows: torch.Tensor, table: Table) -> torch.Tensor:
    """Logarithms of sums over the rows of every question, (H,) to (Q,)."""
    top = torch.full((len(table),), -torch.inf).scatter_reduce(0, table.about, rows.detach(), "amax")
    return top + torch.log(torch.zeros_like(top).index_add(0, table.about, torch.exp(rows - top[table.about])))
