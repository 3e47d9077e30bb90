# pyright: basic
"""Teaching the cascade's task classifier on every training query, to convergence.

The classifier compares a query's context with the domains' texts. Its own weights, the domains' projection and the
scale, serve nothing else: they are fitted anew, exactly and in a second, whenever a controller may be kept, and no plan
changes but through another domain. The query's projection it shares with the policy; that is fitted too, once, before
the first update, so that the policy learns on contexts that tell the domains apart. Left to the updates alone, the
classifier has seen a few batches when the best policy is kept, and the policy's gradient moves the contexts under it.

Domains count the same however many queries they have: in the union of the benchmarks nine tenths are of one, and where
queries will come from is not known. Contexts hold the price of money, so every query is taught at the run's own price
and at one drawn around it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mar.controllers.masrouter import Candidates, Cascade, MasRouter, log_price
from mar.learning.settings import TrainSettings, draw_rates
from mar.runtime.identity import digest

ITERATIONS = 100  # of L-BFGS, at the most
STAY = 1e-2  # weight of the squared way from the present weights; best of 3e-4 to 3e-2 in cross-validation
STAY_AGAIN = 10 * STAY  # when it is fitted anew: it only has to follow the contexts, and fits of fits drift


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """What the classifier is taught on."""

    queries: Tensor  # embeddings of all training queries, once for each price, (n, E)
    prices: Tensor  # log10 of utility per USD, (n,)
    truth: Tensor  # index of each query's domain, (n,)
    domains: Tensor  # embeddings of the domains, (D, E)

    def begin(self, network: Cascade) -> float:
        """Fit the classifier and the query's projection; returns the cross-entropy reached."""
        weights = [*network.query_projection.parameters(), *_own(network)]
        return self._fit(network, weights, STAY, lambda: network.query_context(self.queries, self.prices))

    def refresh(self, network: Cascade) -> float:
        """Fit what only the classifier uses, for the contexts as they are now; returns the cross-entropy reached."""
        with torch.no_grad():
            contexts = network.query_context(self.queries, self.prices)
        return self._fit(network, _own(network), STAY_AGAIN, lambda: contexts)

    def _fit(
        self, network: Cascade, weights: Sequence[nn.Parameter], stay: float, contexts: Callable[[], Tensor]
    ) -> float:
        weight = self._weight()
        start = [w.detach().clone() for w in weights]
        optimizer = torch.optim.LBFGS(weights, max_iter=ITERATIONS, line_search_fn="strong_wolfe")

        def cross_entropy() -> Tensor:
            return nn.functional.cross_entropy(network.domain_logits(contexts(), self.domains), self.truth, weight)

        def loss() -> Tensor:
            way = sum(((w - before) ** 2).sum() for w, before in zip(weights, start, strict=True))
            value = cross_entropy() + stay * way
            for weight, gradient in zip(weights, torch.autograd.grad(value, weights), strict=True):
                weight.grad = gradient
            return value

        optimizer.step(loss)
        with torch.no_grad():
            return cross_entropy().item()

    def _weight(self) -> Tensor:
        """What a query of each domain counts for (D,): all domains together the same."""
        n = torch.bincount(self.truth, minlength=len(self.domains))
        return (n.sum() / n.clamp(min=1) / (n > 0).sum()) * (n > 0)


def _own(network: Cascade) -> list[nn.Parameter]:
    """The weights that only the classifier uses."""
    return [*network.domain_projection.parameters(), *network.task_stage.parameters()]


def lessons_of(
    router: MasRouter, settings: TrainSettings, queries: Tensor, domains: Tensor, candidates: Candidates
) -> Lessons | None:
    """What a router's classifier is taught on queries (n, E) of domains (n,); None: there is nothing to tell apart."""
    if len(domains.unique()) < 2 or not router.settings.fixes.learned_scale:
        return None
    key, n = digest(settings.seed, "lessons"), len(queries)
    rates = [settings.cost_rate] * n + draw_rates(settings, n, key, spread=router.settings.price_conditioned)
    prices = torch.tensor([log_price(rate) for rate in rates])
    return Lessons(queries=queries.repeat(2, 1), prices=prices, truth=domains.repeat(2), domains=candidates.domains)
