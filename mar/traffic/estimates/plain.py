"""Estimators of textbooks with normal intervals, to compare with. All are right in the limit of many requests.

Inverse propensity (Horvitz and Thompson 1952), self-normalised (Hajek 1971; Swaminathan and Joachims 2015), doubly
robust (Dudik, Langford and Li 2011).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from mar.evaluation.statistics import UNDEFINED, Z95, Interval
from mar.traffic.estimates.expected import Column
from mar.traffic.estimates.table import Floats, Table

Estimator = Callable[[Table, Floats, Column], Interval]


def inverse_propensity(table: Table, does: Floats, column: Column) -> Interval:
    """Mean of weighted observations."""
    return _normal(weights(table, does, column) * np.nan_to_num(column.value))


def self_normalised(table: Table, does: Floats, column: Column) -> Interval:
    """The same divided by the weights' sum; of a single policy, no difference."""
    weight = weights(table, does, column)
    if (sure := float(weight.sum())) <= 0:
        return UNDEFINED
    value = np.nan_to_num(column.value)
    mean = float((weight * value).sum()) / sure
    half = Z95 * float(np.sqrt((weight**2 * (value - mean) ** 2).sum())) / sure
    return Interval(mean=mean, low=mean - half, high=mean + half)


def doubly_robust(table: Table, does: Floats, column: Column) -> Interval:
    """What is expected, corrected by weighted errors."""
    error = np.nan_to_num(column.value - column.expected[np.arange(len(table)), table.drawn])
    return _normal((does * column.expected).sum(axis=1) + weights(table, does, column) * error)


def weights(table: Table, does: Floats, column: Column) -> Floats:
    """Of every request; 0 where nothing was observed."""
    rows = np.arange(len(table))
    ratio = does[rows, table.drawn] / table.probability[rows, table.drawn] / column.chance
    return np.where(np.isnan(column.value), 0.0, ratio)


def _normal(values: Floats) -> Interval:
    if len(values) < 2:
        return UNDEFINED
    mean, half = float(values.mean()), Z95 * float(values.std(ddof=1) / np.sqrt(len(values)))
    return Interval(mean=mean, low=mean - half, high=mean + half)


ESTIMATORS: Mapping[str, Estimator] = {
    "inverse propensity": inverse_propensity,
    "self-normalised": self_normalised,
    "doubly robust": doubly_robust,
}
