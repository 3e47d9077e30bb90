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
        """Logarithm of the sum of exponentials along the last axis."""
        assert axis in {-1, x.ndim - 1}
        return np.log(total(np.exp(x)))


def shares(x: np.ndarray) -> np.ndarray:
    """Exponentials along the last axis, of a few elements, as shares of their sum."""
    y = np.exp(x)
    y /= total(y)[..., None]
    return y


def total(x: np.ndarray) -> np.ndarray:
    """The sum along the last axis, of a few elements: NumPy's own would begin a loop for every sum."""
    return reduce(np.add, [x[..., i] for i in range(x.shape[-1])]) if x.shape[-1] < FEW else x.sum(-1)


def arrays(x: Array) -> Any:
    """The functions for an array: PyTorch's, or NumPy's under the same names."""
    return torch if isinstance(x, torch.Tensor) else NumPy
