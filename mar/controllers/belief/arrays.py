# pyright: basic
"""What PyTorch and NumPy do not share by name.

The likelihood is written once: PyTorch climbs it, with gradients, over many questions; NumPy decides by it about one
question, where PyTorch would spend most of a millisecond on starting operations.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import torch

FEW = 8
Array = Any
"""A tensor or an ndarray."""


class NumPy:
    """NumPy under PyTorch's names. Of float64, whose range needs no scaling for a hundred calls."""

    exp, log, log1p, where, stack, unique, clip = np.exp, np.log, np.log1p, np.where, np.stack, np.unique, np.clip
    tensor, cat, take_along_dim = np.asarray, np.concatenate, np.take_along_axis

    @staticmethod
    def sigmoid(x: Array) -> Array:
        """1 / (1 + exp(-x)); where exp overflows that is 0, as it should be."""
        return 1.0 / (1.0 + np.exp(-x))

    @staticmethod
    def logsumexp(x: Array, axis: int) -> Array:
        """Logarithm of the sum of exponentials along an axis from the end."""
        return np.log(total(np.exp(x), axis))


def shares(x: np.ndarray, axis: int) -> np.ndarray:
    """Exponentials as shares of their sum along an axis from the end, of a few elements."""
    y = np.exp(x)
    y /= np.expand_dims(total(y, axis), axis)
    return y


def total(x: np.ndarray, axis: int) -> np.ndarray:
    """The sum along an axis from the end, of a few elements: NumPy's own would begin a loop for every sum."""
    if x.shape[axis] >= FEW:
        return x.sum(axis)
    behind = (slice(None),) * (-1 - axis)
    return reduce(np.add, [x[(..., i, *behind)] for i in range(x.shape[axis])])


def arrays(x: Array) -> Any:
    """The functions for an array: PyTorch's, or NumPy's under the same names."""
    return torch if isinstance(x, torch.Tensor) else NumPy
