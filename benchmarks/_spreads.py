# pyright: basic
"""How outcomes vary: part 1 of fit_simulator.py.

The item-response model's spreads by marginal maximum likelihood (Bock and Aitkin 1981): the likelihood of each item's
outcomes is integrated over its difficulty, the families' shared residuals and the models' own residuals by
Gauss-Hermite quadrature. GSM8K scores are means of ten attempts, so all variances are identified there; where every
model answered once, the residual's size is taken from GSM8K. Where questions have options, who does not know is right
as often as the mistakes of part 2 say; a share of items may be mislabelled.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from _outcomes import Outcomes, load_mbpp, load_model7

from mar.pool.simulated.assumptions import DEFAULT, Spread

Tensor = torch.Tensor
MMLU_ERRORS = 0.065  # share of MMLU's questions with an error, Gema et al. 2024 (MMLU-Redux)


def nodes(count: int) -> tuple[Tensor, Tensor]:
    """Gauss-Hermite nodes and log-weights for a standard normal."""
    points, weights = np.polynomial.hermite_e.hermegauss(count)
    return torch.tensor(points), torch.log(torch.tensor(weights / weights.sum()))


def luck(options: int, difficulty: Tensor) -> Tensor:
    """How often who does not know is right by chance, by difficulty; nobody is without options."""
    m = DEFAULT.mistakes
    if not options:
        return torch.zeros_like(difficulty)
    e, log_e = nodes(8)
    traps = torch.sigmoid(m.trap + m.trap_by_difficulty * difficulty[:, None] + m.trap_spread * e) @ torch.exp(log_e)
    return (1 - traps) / options


def log_likelihood(free: dict[str, Tensor], data: Outcomes, options: int) -> Tensor:
    """Mean log-likelihood per item (without binomial coefficients), integrated over all latent variables.

    An item that is mislabelled has no right answers but lucky ones.
    """
    (d, log_d), (f, log_f), (r, log_r) = nodes(31), nodes(11), nodes(21)
    y = torch.arange(data.attempts + 1, dtype=torch.float64)[:, None, None, None]
    share, lucky = torch.sigmoid(free["share"]), luck(options, d)[:, None, None]
    successes, families = torch.tensor(data.successes), data.families

    def items(labelled: float) -> Tensor:
        total = torch.zeros(len(successes), len(d), dtype=torch.float64)
        for family in sorted(set(families)):
            inner = torch.zeros(len(successes), len(d), len(f), dtype=torch.float64)
            for m in (m for m, name in enumerate(families) if name == family):
                residual = torch.sqrt(share) * f[:, None] + torch.sqrt(1 - share) * r
                spread = torch.exp(free["sigma_d"]) * d[:, None, None]
                knows = torch.sigmoid(free["theta"][m] - spread + torch.exp(free["sigma_r"]) * residual) * labelled
                right = (knows + (1 - knows) * lucky).clamp(1e-12, 1 - 1e-12)
                chance = y * torch.log(right) + (data.attempts - y) * torch.log1p(-right)
                inner = inner + torch.logsumexp(chance + log_r, -1)[successes[:, m]]
            total = total + torch.logsumexp(inner + log_f, -1)
        return torch.logsumexp(total + log_d, -1)

    wrong = torch.sigmoid(free["mislabelled"])
    return torch.logaddexp(items(1.0) + torch.log1p(-wrong), items(0.0) + torch.log(wrong)).mean()


def fit_spread(
    data: Outcomes, *, options: int = 0, sigma_r: float | None = None, mislabelled: float | None = None
) -> Spread:
    """Maximum-likelihood spreads.

    Args:
        data: The outcomes.
        options: Of every question; 0: answers are free.
        sigma_r: The residual's size, where it is known.
        mislabelled: The share of items that are, where it is known.
    """
    start = {
        "theta": torch.zeros(len(data.models), dtype=torch.float64),
        "sigma_d": torch.tensor(1.2, dtype=torch.float64),
        "sigma_r": torch.log(torch.tensor(sigma_r or 1.5, dtype=torch.float64)),
        "share": torch.tensor(-0.8, dtype=torch.float64),
        "mislabelled": torch.logit(
            torch.tensor(0.05 if mislabelled is None else mislabelled, dtype=torch.float64), 1e-9
        ),
    }
    fixed = {
        name for name, kept in (("sigma_r", sigma_r is not None), ("mislabelled", mislabelled is not None)) if kept
    }
    free = {name: value.requires_grad_(name not in fixed) for name, value in start.items()}
    optimiser = torch.optim.LBFGS(
        [v for v in free.values() if v.requires_grad], max_iter=80, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = -log_likelihood(free, data, options)
        value.backward()
        return value

    optimiser.step(loss)
    return Spread(
        sigma_d=torch.exp(free["sigma_d"]).item(),
        sigma_r=torch.exp(free["sigma_r"]).item(),
        family_share=torch.sigmoid(free["share"]).item(),
        mislabelled=torch.sigmoid(free["mislabelled"]).item() if mislabelled is None else mislabelled,
    )


def show_spreads(data: Path) -> None:
    """Part 1."""
    print("1. Spreads in logits (between items, of a model on an item; share common to a family; share mislabelled)")
    gsm8k = fit_spread(load_model7(data, "gsm8k_test", attempts=10))
    humaneval = load_model7(data, "humaneval_train", "humaneval_test", attempts=10)
    mmlu = load_model7(data, "mmlu_test", attempts=1)
    print_spread("gsm8k, 10 attempts", gsm8k, "gsm8k")
    print_spread("humaneval, 10 attempts, all free (not used)", fit_spread(humaneval), "humaneval")
    print_spread(
        "humaneval, sigma_r of gsm8k", fit_spread(humaneval, mislabelled=0.0, sigma_r=gsm8k.sigma_r), "humaneval"
    )
    print_spread("mbpp, sigma_r of gsm8k", fit_spread(load_mbpp(data), sigma_r=gsm8k.sigma_r), "mbpp")
    print_spread(
        "mmlu, sigma_r of gsm8k", fit_spread(mmlu, options=4, mislabelled=MMLU_ERRORS, sigma_r=gsm8k.sigma_r), "mmlu"
    )


def print_spread(title: str, fitted: Spread, benchmark: str) -> None:
    """One line: fitted and packaged."""
    packaged = DEFAULT.spreads[benchmark]
    print(f"   {title:46} {_numbers(fitted)}   packaged {_numbers(packaged)}")


def _numbers(spread: Spread) -> str:
    return f"{spread.sigma_d:.2f} {spread.sigma_r:.2f} {spread.family_share:.2f} {spread.mislabelled:.3f}"
