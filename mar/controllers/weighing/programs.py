# pyright: basic
"""Programs of which some tests are shown: whom to ask for another one, and which to hand in.

A model i writes a right program with probability k_i(z) = logistic(theta_i - s z), given how difficult the task is,
z (standard normal). A right program passes the shown tests. A wrong one hardly ever does, but on a share of the tasks
(`loose`), where it does with `alike`: the belief's model of tests. So wrong programs pass together, what passes where
others failed is probably right, and every program that fails shows that the task is hard. All numbers maximise the
likelihood of training tasks whose programs are graded.

Another program is worth what it is expected to add to the probability that the best one is right, one step ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch.nn.functional import logsigmoid

from mar.controllers.belief.beliefs import PRIORS, SLIP
from mar.controllers.weighing.options import Flags, Floats, Ints
from mar.numerics import one_thread

_NODES = 9
_SKILLS = 1.5  # prior standard deviation of skills around their mean, logits


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedIn:
    """What was decided on n tasks with m models."""

    asked: Flags  # (n, m)
    chosen: Ints  # model whose program is handed in, (n,)
    sure: Floats  # probability that it is right, (n,)


@dataclass(kw_only=True)
class Programs:
    """The model. Learned attributes end in an underscore."""

    @one_thread()
    def fit(self, passed: Flags, right: Flags) -> Self:
        """Learn from graded programs: whether each passed the shown tests, and all tests, (n, m)."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
        z, log_z = torch.tensor(nodes).float(), torch.tensor(np.log(weights / weights.sum())).float()
        solved, shown = torch.tensor(right).float(), torch.tensor(passed).float()
        theta, spread = torch.zeros(solved.shape[1], requires_grad=True), torch.tensor(0.7, requires_grad=True)
        loose, alike = (torch.tensor(PRIORS[name].mean, requires_grad=True) for name in ("loose", "alike"))
        optimiser = torch.optim.LBFGS([theta, spread, loose, alike], max_iter=60, line_search_fn="strong_wolfe")

        def tests() -> tuple[torch.Tensor, torch.Tensor]:
            """By kind of task: log-probability of the kind, and probability that a wrong program passes."""
            share = torch.stack([logsigmoid(-loose), logsigmoid(loose)])
            return share, torch.stack([alike * 0 + SLIP, torch.sigmoid(alike)])

        def loss() -> torch.Tensor:
            optimiser.zero_grad()
            x = theta[:, None] - torch.exp(spread) * z
            share, wrong = tests()
            each = solved @ logsigmoid(x) + (1 - solved) @ logsigmoid(-x)  # (n, z)
            fooled, failed = (shown - solved).clamp(min=0).sum(1), (1 - shown).sum(1)
            of_tests = fooled[:, None] * torch.log(wrong) + failed[:, None] * torch.log(1 - wrong) + share  # (n, 2)
            skills = ((theta - theta.mean()) ** 2).sum() / (2 * _SKILLS**2)
            priors = skills + (spread - 0.7) ** 2
            for name, number in (("loose", loose), ("alike", alike)):
                priors = priors + ((number - PRIORS[name].mean) / PRIORS[name].spread) ** 2 / 2
            likely = torch.logsumexp(each + log_z, dim=1) + torch.logsumexp(of_tests, dim=1)
            value = (priors - likely.sum()) / len(solved)
            value.backward()
            return value

        optimiser.step(loss)
        with torch.no_grad():
            share, wrong = tests()
            knows = torch.sigmoid(theta[:, None] - torch.exp(spread) * z).double()
        self.knows_ = knows.repeat(1, 2).numpy()  # by state of a task: its kind and difficulty, (m, s)
        self.fooled_ = wrong.double().repeat_interleave(_NODES).numpy()  # that a wrong program passes, (s,)
        self.log_states_ = (share[:, None] + log_z).double().flatten().numpy()  # (s,)
        return self

    def run(self, passed: Flags, prices: Floats, *, patience: float = 1.0) -> HandedIn:
        """Decide task by task whom to ask, and what to hand in; at least one model is asked.

        Args:
            passed: Whether each model's program passes the shown tests, (n, m); looked at only after it was asked.
            prices: Utility that a call of each model costs, (m,).
            patience: What prices are divided by, since one step of look-ahead undervalues a sequence of calls.
        """
        n, m = passed.shape
        asked, found = np.zeros((n, m), dtype=np.bool_), np.zeros((n, m), dtype=np.bool_)
        logs, active = np.tile(self.log_states_, (n, 1)), np.arange(n)
        for step in range(m):
            gain = self.gains(logs[active], found[active]) - prices / patience
            net = np.where(asked[active], -np.inf, gain)
            best = net.argmax(axis=1)
            goes_on = (net[np.arange(len(active)), best] > 0) | (step == 0)
            active, best = active[goes_on], best[goes_on]
            if not len(active):
                break
            asked[active, best] = True
            found[active, best] = passed[active, best]
            passes, fails = self._says()
            logs[active] += np.where(passed[active, best][:, None], passes[best], fails[best])
        chances = self.chances(logs, found)
        untested = np.where(asked, _normal(logs) @ self.knows_.T, -1.0)  # the likeliest of those that fail
        chosen = np.where(found.any(axis=1), chances.argmax(axis=1), untested.argmax(axis=1))
        return HandedIn(asked=asked, chosen=chosen, sure=chances.max(axis=1))

    def chances(self, logs: Floats, found: Flags) -> Floats:
        """Probability that each program is right, (n, m); 0 where none passes. `logs` are of tasks' states, (n, s)."""
        right = self.knows_ / (self.knows_ + (1 - self.knows_) * self.fooled_)
        return np.where(found, _normal(logs) @ right.T, 0.0)

    def gains(self, logs: Floats, found: Flags) -> Floats:
        """Expected gain in the probability of the best program by one of each model, (n, m)."""
        passes, fails = self._says()
        weights, now = _normal(logs), self.chances(logs, found).max(axis=1)
        gains = np.zeros(found.shape)
        for j in range(found.shape[1]):
            chance = weights @ np.exp(passes[j])
            with_it = found.copy()
            with_it[:, j] = True
            then = self.chances(logs + passes[j], with_it).max(axis=1)
            gains[:, j] = chance * then + (1 - chance) * self.chances(logs + fails[j], found).max(axis=1) - now
        return gains

    def _says(self) -> tuple[Floats, Floats]:
        """Log-probability that a program of each model passes and fails the shown tests, (m, s)."""
        passes = self.knows_ + (1 - self.knows_) * self.fooled_
        return np.log(passes), np.log1p(-passes)


def _normal(logs: Floats) -> Floats:
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)
