# pyright: basic
"""Who would know, asked now: sums over what is unseen, for some questions of one shape at once, in NumPy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

from mar.controllers.belief.arrays import NumPy, shares
from mar.controllers.belief.likelihood import HOPELESS, NODES, Posterior, family_numbers, nodes, scattered

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Knowing:
    """Weighs who knows at every node, Z of difficulty. Q questions of H rows each; K sets of weights."""

    posterior: Posterior
    by_kin: Floats  # weights by families that were asked, and last of all others, (Q H, K (F + 1), Z U)
    by_model: Floats  # weights by models that were asked, (Q H, K A, Z U R)
    kin: npt.NDArray[np.int64]  # row of by_kin of every model, (M,)

    @classmethod
    def of(cls, posterior: Posterior, weights: Floats) -> Knowing:
        """By weights of rows and nodes, (Q H, K, I)."""
        beliefs, n = posterior.beliefs, nodes(tensors=False)
        family = shares(posterior.of_family)  # (Q H, F, I, U)
        groups = family_numbers(beliefs)
        place = np.full(groups.max() + 1, len(posterior.kin))
        place[posterior.kin] = np.arange(len(posterior.kin))
        kin = place[groups]
        others = np.empty((len(weights), 1, *family.shape[2:]))
        others[:] = np.exp(n.family)
        every = np.concatenate([family, others], 1)[:, None]
        own = shares(posterior.of_model) * family[:, kin[posterior.used], :, :, None]  # (Q H, A, I, U, R)
        by_kin = _over_popularity(weights[:, :, None, :, None] * every)
        by_model = _over_popularity(weights[:, :, None, :, None, None] * own[:, None])
        return cls(posterior, by_kin, by_model, kin)

    def __call__(self, heard: Floats | None = None) -> Floats:
        """Weighted probability that each model knows, asked now with each strategy, (M, Q H, K, S).

        Args:
            heard: What it would read is worth to it by row, (Q H,).
        """
        beliefs, evidence, used = self.posterior.beliefs, self.posterior.evidence, self.posterior.used
        level = (beliefs.theta + evidence.skill)[:, None] + beliefs.effects[:, None]  # (Q, S, M)
        place = None
        if heard is not None:  # what is worth the same to them is found once
            pairs = self.posterior.rows.question + 1j * heard
            different, place = np.unique(pairs, return_inverse=True)
            level = level[np.real(different).astype(np.int64)] + np.imag(different)[:, None, None]
        each = scattered(beliefs)[:: NODES["popularity"]]  # (Z, U, R)
        knows = NumPy.sigmoid(level[..., None, None, None] + each)  # (D, S, M, Z, U, R)
        found = _against(self.by_kin, knows @ np.exp(nodes(tensors=False).own), place)  # (Q H, K (F + 1), S, M)
        found = found.reshape(len(found), -1, len(self.posterior.kin) + 1, *found.shape[2:])
        result = found[:, :, self.kin, :, np.arange(len(self.kin))]  # (M, Q H, K, S)
        if len(used):
            again = _against(self.by_model, knows[:, :, used], place)  # (Q H, K A, S, A)
            again = again.reshape(len(again), -1, len(used), *again.shape[2:])
            which = np.arange(len(used))
            result[used] = again[:, :, which, :, which]
        if beliefs.form == "programs":
            result[:, self.posterior.rows.right == HOPELESS] = 0.0
        return result


def _over_popularity(values: Floats) -> Floats:
    """Sums (H, K, G, I, ...) over nodes of popularity, (H, K G, Z ...)."""
    h, k, g, i, *rest = values.shape
    z, size = i // NODES["popularity"], math.prod(rest)
    values = values.reshape(h, k * g, z, NODES["popularity"], size)
    return reduce(np.add, [values[:, :, :, v] for v in range(NODES["popularity"])]).reshape(h, k * g, z * size)


def _against(weights: Floats, knows: Floats, place: npt.NDArray[np.int64] | None) -> Floats:
    """Sums over nodes of weights (Q H, G, nodes) and of what every model knows there (D, S, M, ...), (Q H, G, S, M).

    Args:
        weights: Of rows.
        knows: Of questions, or of what `place` names.
        place: Which of them belongs to each row.
    """
    rows, groups, size = weights.shape
    table = knows.reshape(len(knows), -1, size).swapaxes(1, 2)  # (D, nodes, S M)
    found = weights.reshape(len(table), -1, size) @ table if place is None else weights @ table[place]
    return found.reshape(rows, groups, *knows.shape[1:3])
