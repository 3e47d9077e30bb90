# pyright: basic
"""A cascade by agreement (arXiv 2407.02348): a team answers; where enough of it agree, that is the answer.

Tiers are teams of one to three models that are asked at once. The first tier of which enough members agree settles the
answer; the last tier's most frequent answer is taken in any case. Programs agree if they pass the shown tests. Up to
three tiers, their members and how many must agree are those of the highest utility on the training items, among tiers
none of which has a model of another.

Other than as published: the published tiers are given, of models alike in size, from small to large, and each threshold
is set so that what settles is rarely wrong; here tiers and thresholds are searched together for quality less price. The
search is exhaustive for two tiers; a third is tried before the best of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import numpy.typing as npt

from mar.controllers.cascades.logistic import Floats
from mar.controllers.cascades.steps import Ask, Heard, Take
from mar.controllers.cascades.table import NOTHING, Table, numbers
from mar.types import Why

LARGEST = 3  # members of a tier
TIERS = 3
KEPT = 64  # pairs of tiers before which a third is tried


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """A team: models by number, the best alone first, and how many must agree to settle."""

    models: tuple[int, ...]
    needed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiers:
    """A cascade of teams."""

    tiers: tuple[Tier, ...]  # how many the last one needs says nothing
    utility: float  # mean on the training items


@dataclass(frozen=True, slots=True, kw_only=True)
class _Teams:
    """All teams on all training items."""

    members: list[tuple[int, ...]]
    agree: npt.NDArray[np.int64]  # how many agree, (teams, n)
    quality: Floats  # of what most say, (teams, n)
    price: Floats  # (teams, n)
    disjoint: npt.NDArray[np.bool_]  # (teams, teams)

    @classmethod
    def of(cls, table: Table, models: Sequence[int], largest: int) -> _Teams:
        members = [team for size in range(1, largest + 1) for team in combinations(models, size)]
        found = [agreement(table.answer[:, team], table.heard[:, team]) for team in members]
        rows = np.arange(len(table))
        sets = np.array([[m in team for m in range(len(table.models))] for team in members])
        return cls(
            members=members,
            agree=np.stack([agree for agree, _ in found]),
            quality=np.stack([table.quality[rows, np.array(t)[w]] for t, (_, w) in zip(members, found, strict=True)]),
            price=np.stack([table.price[:, team].sum(1) for team in members]),
            disjoint=~(sets.astype(int) @ sets.T.astype(int)).astype(bool),
        )


def agreement(answer: npt.NDArray[np.int64], heard: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], np.ndarray]:
    """How many members of a team agree, and who says so: of equally many the first; of none the first to speak.

    Args:
        answer: Numbers of their answers, (n, k).
        heard: Whether they spoke, (n, k).
    """
    same = (answer[:, :, None] == answer[:, None, :]) & (answer != NOTHING)[:, :, None]
    votes = same.sum(2)
    who = np.where(votes.max(1) > 0, votes.argmax(1), heard.argmax(1))
    return votes.max(1), who


def best_tiers(table: Table, models: Sequence[int], most: int) -> Tiers:
    """The best cascade of tiers that asks at most `most` of some models. Of equals the one with the fewest tiers."""
    teams = _Teams.of(table, models, min(LARGEST, most, len(models)))
    sizes = np.array([len(t) for t in teams.members])
    alone = (teams.quality - teams.price).mean(1)
    first = int(alone.argmax())
    best = Tiers(tiers=(Tier(models=teams.members[first], needed=1),), utility=float(alone[first]))
    heads = [(i, needed) for i, team in enumerate(teams.members) for needed in range(1, len(team) + 1)]
    which = np.array([i for i, _ in heads])
    settled = np.stack([teams.agree[i] >= needed for i, needed in heads]).astype(np.float64)
    gain = settled * teams.quality[which] - teams.price[which]
    tails = [((i,), ()) for i in range(len(teams.members))]  # teams, and how many each but the last needs
    worth, free, asked = teams.quality - teams.price, teams.disjoint, sizes
    for _ in range(TIERS - 1):
        value = gain.mean(1)[:, None] + (1 - settled) @ worth.T / len(table)
        value[~free[which] | (sizes[which][:, None] + asked[None] > most)] = -np.inf
        order = np.argsort(-value, axis=None, kind="stable")[:KEPT]
        pairs = [(int(h), int(k)) for h, k in zip(*np.unravel_index(order, value.shape), strict=True)]
        pairs = [(h, k) for h, k in pairs if np.isfinite(value[h, k])]
        if not pairs:
            break
        h, k = pairs[0]
        longer = [((heads[h][0], *tails[k][0]), (heads[h][1], *tails[k][1])) for h, k in pairs]
        if value[h, k] > best.utility + 1e-12:
            needed = (*longer[0][1], 1)
            found = [Tier(models=teams.members[i], needed=n) for i, n in zip(longer[0][0], needed, strict=True)]
            best = Tiers(tiers=tuple(found), utility=float(value[h, k]))
        worth = np.stack([gain[h] + (1 - settled[h]) * worth[k] for h, k in pairs])
        free = np.stack([teams.disjoint[:, list(ids)].all(1) for ids, _ in longer], axis=1)
        asked = np.array([sizes[list(ids)].sum() for ids, _ in longer])
        tails = longer
    return best


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementRule:
    """Plays tiers."""

    tiers: tuple[Tier, ...]

    def ask(self, heard: Heard) -> Ask | None:
        """The next tier while no earlier one agrees."""
        because = "the first tier"
        for tier in self.tiers:
            left = tuple(m for m in tier.models if m not in heard.order)
            if left:
                return Ask(models=left, why=Why(because=because))
            agree, _ = self._agreement(tier, heard)
            if agree >= tier.needed:
                return None
            because = f"{agree} of {len(tier.models)} agree, {tier.needed} are needed"
        return None

    def take(self, heard: Heard) -> Take:
        """What most say in the last tier in which an answer counts; else whatever was said last."""
        for tier in reversed(self.tiers):
            agree, who = self._agreement(tier, heard)
            if agree:
                return Take(model=who, why=Why(because=f"{agree} of {len(tier.models)} agree"))
        spoke = next(m for tier in reversed(self.tiers) for m in (*tier.models, *heard.models) if m in heard.models)
        return Take(model=spoke, why=Why(because="nobody's answer can be agreed with"))

    def _agreement(self, tier: Tier, heard: Heard) -> tuple[int, int]:
        """How many agree, and who says so."""
        said = dict(zip(heard.models, numbers(heard.asked), strict=True))
        answer = np.array([[said.get(m, NOTHING) for m in tier.models]])
        agree, who = agreement(answer, np.array([[m in said for m in tier.models]]))
        return int(agree[0]), tier.models[int(who[0])]


@dataclass(slots=True, kw_only=True)
class Agreement:
    """The cascade by agreement as a method."""

    table: Table
    name: str = "agreement cascade"
    _tiers: dict[tuple[tuple[int, ...], int], Tiers] = field(default_factory=dict)

    def at(self, cost_rate: float) -> Agreement:
        """Tiers chosen anew."""
        return Agreement(table=self.table.at(cost_rate), name=self.name)

    def tiers(self, models: tuple[int, ...], most: int) -> Tiers:
        """The best tiers of some models."""
        if (models, most) not in self._tiers:
            self._tiers[models, most] = best_tiers(self.table, models, most)
        return self._tiers[models, most]

    def rules(self, models: tuple[int, ...], most: int, texts: Floats) -> Sequence[AgreementRule]:
        """The same tiers for every query."""
        return [AgreementRule(tiers=self.tiers(models, most).tiers)] * len(texts)
