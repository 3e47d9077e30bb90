# pyright: basic
"""Who would know, asked now: sums over what is unseen, for some questions of one shape at once, in NumPy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

from mar.controllers.belief.arrays import shares
from mar.controllers.belief.likelihood import HOPELESS, NODES, Posterior, family_numbers, knows, nodes

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Knowing:
    """Weighs who knows at every node, Z of difficulty. Q questions of H rows each; K sets of weights."""

    posterior: Posterior
    by_kin: Floats  # weights by families that were asked, and last of all others, (Q H, K (F + 1), U Z)
    by_model: Floats  # weights by models that were asked, (Q H, K A, U R Z)
    kin: npt.NDArray[np.int64]  # row of by_kin of every model, (M,)

    @classmethod
    def of(cls, posterior: Posterior, weights: Floats) -> Knowing:
        """By weights of rows and nodes, (Q H, K, I)."""
        beliefs, n = posterior.beliefs, nodes(tensors=False)
        family = shares(posterior.of_family, -2)  # (Q H, F, U, I)
        groups = family_numbers(beliefs)
        place = np.full(groups.max() + 1, len(posterior.kin))
        place[posterior.kin] = np.arange(len(posterior.kin))
        kin = place[groups]
        others = np.empty((len(weights), 1, *family.shape[2:]))
        others[:] = np.exp(n.family)[:, None]
        own = shares(posterior.of_model, -2)  # (Q H, A, U, R, I)
        own *= family[:, kin[posterior.used], :, None]
        by_kin = _over_popularity(weights, np.concatenate([family, others], 1))
        return cls(posterior, by_kin, _over_popularity(weights, own), kin)

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
        known = knows(beliefs, level, NODES["difficulty"])  # (D, S, M, U, R, Z)
        shares_of_own = np.exp(nodes(tensors=False).own)
        untried = reduce(np.add, [known[..., i, :] * share for i, share in enumerate(shares_of_own)])
        found = _against(self.by_kin, untried, place)  # (Q H, K (F + 1), S, M)
        found = found.reshape(len(found), -1, len(self.posterior.kin) + 1, *found.shape[2:])
        result = found[:, :, self.kin, :, np.arange(len(self.kin))]  # (M, Q H, K, S)
        if len(used):
            again = _against(self.by_model, known[:, :, used], place)  # (Q H, K A, S, A)
            again = again.reshape(len(again), -1, len(used), *again.shape[2:])
            which = np.arange(len(used))
            result[used] = again[:, :, which, :, which]
        if beliefs.form == "programs":
            result[:, self.posterior.rows.right == HOPELESS] = 0.0
        return result


def _over_popularity(weights: Floats, values: Floats) -> Floats:
    """Products of weights (H, K, I) and values (H, G, ..., I), summed over nodes of popularity, (H, K G, ... Z)."""
    h, k, g, size = *weights.shape[:2], values.shape[1], math.prod(values.shape[2:-1])
    nodes_of = (NODES["popularity"], NODES["difficulty"])
    weights, values = weights.reshape(h, k, 1, 1, *nodes_of), values.reshape(h, 1, g, size, *nodes_of)
    found = weights[..., 0, :] * values[..., 0, :]
    for i in range(1, NODES["popularity"]):
        found += weights[..., i, :] * values[..., i, :]
    return found.reshape(h, k * g, size * NODES["difficulty"])


def _against(weights: Floats, known: Floats, place: npt.NDArray[np.int64] | None) -> Floats:
    """Sums over nodes of weights (Q H, G, nodes) and of what every model knows there (D, S, M, ...), (Q H, G, S, M).

    Args:
        weights: Of rows.
        known: Of questions, or of what `place` names.
        place: Which of them belongs to each row.
    """
    rows, groups, size = weights.shape
    table = known.reshape(len(known), -1, size).swapaxes(1, 2)  # (D, nodes, S M)
    found = weights.reshape(len(table), -1, size) @ table if place is None else weights @ table[place]
    return found.reshape(rows, groups, *known.shape[1:3])
