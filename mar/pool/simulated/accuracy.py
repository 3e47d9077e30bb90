"""What share of a benchmark's items a model of a skill is right on, and the skill that a published accuracy tells.

Apart from the rest of the simulator, which needs no NumPy: whoever has a pool of models that answer loads none.
"""

from __future__ import annotations

import numpy as np

from mar.pool.simulated.assumptions import Assumptions, Spread

_WIDE, _WIDE_WEIGHTS = np.polynomial.hermite_e.hermegauss(48)
_NARROW, _NARROW_WEIGHTS = np.polynomial.hermite_e.hermegauss(8)


def mean_accuracy(theta: float, spread: Spread, rules: Assumptions, *, silence: float, options: int) -> float:
    """Share of answers that are right by the gold answers, over items and residuals, by Gauss-Hermite quadrature.

    Args:
        theta: Skill, logits.
        spread: Of the benchmark.
        rules: What is done by those who do not know.
        silence: Share of the model's unknown answers that it does not give.
        options: Of a question, for those who guess; 0: no guess is right.
    """
    m = rules.mistakes
    knows = 1 / (1 + np.exp(-(theta - spread.sigma_d * _WIDE[:, None] + spread.sigma_r * _WIDE)))
    known = knows @ _WIDE_WEIGHTS / _WIDE_WEIGHTS.sum()  # by difficulty
    traps = 1 / (1 + np.exp(-(m.trap + m.trap_by_difficulty * _WIDE[:, None] + m.trap_spread * _NARROW)))
    trapped = traps @ _NARROW_WEIGHTS / _NARROW_WEIGHTS.sum()
    answers = (1 - known) * (1 - silence)
    lucky = answers * (1 - trapped) / options if options else 0.0
    turned = answers * trapped + lucky if options else 0.0
    right = (1 - spread.mislabelled) * (known + lucky) + spread.mislabelled * turned
    return float(right @ _WIDE_WEIGHTS / _WIDE_WEIGHTS.sum())


def solve_theta(accuracy: float, spread: Spread, rules: Assumptions, *, silence: float, options: int) -> float:
    """The theta whose mean accuracy is this one, by bisection; accuracies are held within what skill can reach."""
    low, high = -40.0, 40.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        if mean_accuracy(middle, spread, rules, silence=silence, options=options) < accuracy:
            low = middle
        else:
            high = middle
    return min(max((low + high) / 2, -12.0), 12.0)
