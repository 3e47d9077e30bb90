# pyright: basic
"""Training MasRouter's cascade by policy gradient on real episodes alone, as published.

For a query with rollouts k = 1..K and utilities u_k = quality_k - rate * cost_k, the gradient is that of

    L = CE(task) - mean_k A_k log pi(S_k | Q) - beta * H + 0.001 * VAE,   A_k = u_k - mean of the other rollouts' u

(REINFORCE with the leave-one-out baseline, Kool et al. 2019). A policy is kept only if it does better on the validation
items than those before, or if it is the last and does better on all items there are. Tens of thousands of calls are
needed; `mar.learning.imagined` needs few.
The price of money `rate` is drawn anew for each query around the run's cost_rate, so that one network learns the whole
curve of accuracy against cost; half of the queries are trained at the cost_rate itself. Plans are drawn without
gradients and evaluated again with them, one pass for a whole batch. All randomness is derived from (seed, epoch,
batch): a run that is killed goes on exactly where it was. Where queries are of several domains, the task classifier is
also fitted to all of them, before the first update and after every epoch (`mar.learning.domains`). Deliberately not
done: importance weights (every update is on-policy) and reward normalisation across queries.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Sequence
from typing import Generic

import torch
from torch import Tensor, nn

from mar.controllers.base import PlanSpace
from mar.controllers.masrouter import MasRouter, log_price
from mar.learning.domains import Lessons, lessons_of
from mar.learning.policy import Policy, advantages, generator_of, mean, task_loss
from mar.learning.progress import Progress
from mar.learning.rollouts import Job, Outcome, Rollouts
from mar.learning.rundir import RunDir, SavedParts, TrainingState
from mar.learning.settings import TrainResult, TrainSettings, check_prices, draw_rates
from mar.numerics import one_thread
from mar.runtime import RunIdentity
from mar.runtime.identity import digest
from mar.tasks.task import ItemT
from mar.types import Plan


class Trainer(Generic[ItemT]):
    """Trains a router on a task's items; the router holds the best weights afterwards."""

    def __init__(
        self,
        router: MasRouter,
        space: PlanSpace,
        rollouts: Rollouts[ItemT],
        settings: TrainSettings,
        run: RunDir,
        progress: Progress,
    ) -> None:
        check_prices(rollouts.runtime.pool, settings.cost_rate)
        self.router, self.space, self.rollouts = router, space, rollouts
        self.settings, self.run, self.progress = settings, run, progress
        self.optimizer = torch.optim.Adam(router.network.parameters(), lr=settings.lr)
        self.best = copy.deepcopy(router.network)  # the weights kept so far
        self.candidates, self.names = router.candidates(space)
        self.policy = Policy(router.network, self.candidates)
        self.inputs = torch.zeros(0, router.settings.embedding)  # embeddings of the training items, (n, E)
        self.domains = torch.zeros(0, dtype=torch.long)  # true domains of the training items, (n,)
        self.lessons: Lessons | None = None  # for the task classifier, where there are domains to tell apart

    async def train(self, items: Sequence[ItemT], validation: Sequence[ItemT]) -> TrainResult:
        """Run all epochs, from the last saved state if there is one."""
        with one_thread():  # the tensors are small: more threads would only wait for each other
            return await self._train(items, validation)

    async def _train(self, items: Sequence[ItemT], validation: Sequence[ItemT]) -> TrainResult:
        settings = self.settings
        queries = [self.rollouts.task.query(i) for i in items]
        self.inputs = inputs = self.router.embed([q.text for q in queries])
        truth = [self.names.domain(q.domain or self.rollouts.task.domain) for q in queries]
        self.domains = torch.tensor(truth, dtype=torch.long)
        self.lessons = lessons_of(self.router, settings, inputs, self.domains, self.candidates)
        parts = self._parts()
        state = self.run.load_state(parts)
        if state is None:
            state = TrainingState(epoch=settings.start_epoch)
            if settings.epochs > state.epoch:
                if self.lessons is not None:
                    self.lessons.begin(self.router.network)
                self.run.save_state(state, parts)
        if state.stopped:
            return self._finish(state, state.stopped)
        batches = _batches(len(items), settings.batch_size)
        with self.progress.bar("training", total=settings.epochs * len(items)) as bar:
            bar.advance(state.epoch * len(items) + sum(len(b) for b in batches[: state.batch]))
            while state.epoch < settings.epochs:
                since = max(state.best_epoch, settings.first_settled - 1)
                if validation and state.batch == 0 and state.epoch - since > settings.patience:
                    why = f"no better validation utility for {settings.patience} epochs"
                    return await self._decide(items, validation, state, parts, why)
                order = _permutation(len(items), settings.seed, state.epoch)
                while state.batch < len(batches):
                    index = [order[i] for i in batches[state.batch]]
                    chosen = [items[i] for i in index]
                    metrics = await self._step(chosen, torch.tensor(index), inputs[index], state)
                    if self.rollouts.limit_reached:
                        return self._finish(state, "limit: " + self.rollouts.limit_reached)
                    state.step += 1
                    state.batch += 1
                    self.run.log(state.step, metrics)
                    self.run.save_state(state, parts)
                    bar.advance(len(chosen), note=f"utility {metrics['utility']:.3f}")
                await self._validate(validation, state, settled=state.epoch >= settings.first_settled)
                if self.rollouts.limit_reached:
                    return self._finish(state, "limit: " + self.rollouts.limit_reached)
                state.epoch, state.batch = state.epoch + 1, 0
                self.run.save_state(state, parts)
        return await self._decide(items, validation, state, parts, "all epochs done")

    # One batch ------------------------------------------------------------------------------------------------

    def _parts(self) -> SavedParts:
        modules: dict[str, nn.Module] = {"network": self.router.network, "best": self.best}
        return SavedParts(modules=modules, optimizers={"adam": self.optimizer})

    async def _step(
        self, items: Sequence[ItemT], index: Tensor, embedded: Tensor, state: TrainingState
    ) -> dict[str, float]:
        settings, fixes = self.settings, self.router.settings.fixes
        key = digest(settings.seed, "batch", state.epoch, state.batch)
        rates = draw_rates(settings, len(items), key, spread=self.router.settings.price_conditioned)
        k = settings.rollouts
        inputs = embedded.repeat_interleave(k, 0)
        price = torch.tensor([log_price(r) for r in rates]).repeat_interleave(k)
        truth = self.domains[index].repeat_interleave(k)

        with torch.no_grad():
            drawn, _ = self.policy(inputs, key, price=price, domain=truth, generator=generator_of(key, "plans"))
        choices = drawn.choices
        plans = self.router.plans_of(choices, self.names)
        epoch = f"train-{state.epoch}"
        jobs = [
            Job(item=items[i // k], how=p, identity=RunIdentity(seed=settings.seed, epoch=epoch, rollout=i % k))
            for i, p in enumerate(plans)
        ]
        outcomes = await self.rollouts.run(jobs)
        if self.rollouts.limit_reached:
            return {}
        utility = torch.tensor([o.utility(rates[i // k]) for i, o in enumerate(outcomes)]).view(-1, k)
        valid = torch.tensor([o.learnable for o in outcomes]).view(-1, k)
        advantage = advantages(utility, valid, baseline=fixes.baseline).view(-1)

        output, encoded = self.policy(inputs, key, price=price, given=choices)
        classified = task_loss(self.router, output, truth)
        policy_loss = -(advantage * output.log_prob).sum() / valid.sum().clamp(min=1)
        beta = settings.entropy(state, state.batch * settings.batch_size / len(self.inputs)) if fixes.entropy else 0.0
        vae_loss = self.router.network.vae_loss(output, encoded, inputs)
        loss = classified + policy_loss - beta * output.entropy.mean() + settings.vae_weight * vae_loss
        self.optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.router.network.parameters(), settings.gradient_clip)
        self.optimizer.step()
        return {
            "epoch": state.epoch,
            "loss": loss.item(),
            "policy_loss": policy_loss.item(),
            "task_loss": classified.item(),
            "vae_loss": vae_loss.item(),
            "entropy": output.entropy.mean().item(),
            "gradient_norm": norm.item(),
            "utility": mean([o.utility(settings.cost_rate) for o in outcomes]),
            "accuracy": mean([o.score.value for o in outcomes]),
            "cost_usd": mean([o.cost_usd or 0.0 for o in outcomes]),
            "calls": mean([o.calls for o in outcomes]),
            "agents": mean([len(o.plan.agents) for o in outcomes]),
            "failed": sum(o.failure is not None for o in outcomes),
        }

    # Validation -----------------------------------------------------------------------------------------------

    async def _validate(self, items: Sequence[ItemT], state: TrainingState, *, settled: bool) -> None:
        if self.lessons is not None:
            self.lessons.refresh(self.router.network)
        if not items:
            state.best_epoch = state.epoch
            self._keep(state)
            return
        self.router.cost_rate = self.settings.cost_rate
        outcomes = await self._run_greedily(items, self._plans(items), epoch="validation")
        if self.rollouts.limit_reached:
            return
        utility = mean([o.utility(self.settings.cost_rate) for o in outcomes])
        self.run.log(state.step, {"epoch": state.epoch, **_validation_metrics(outcomes, utility)})
        by_item = _by_item([o.utility(self.settings.cost_rate) for o in outcomes], self.settings.validation_rollouts)
        # Two errors: of several policies that are as good as each other one is the luckiest on a small validation set.
        known = state.best_by_item
        better = settled == state.settled and (not known or _better(by_item, known, errors=2.0))
        if better or (settled and not state.settled):
            state.best_utility, state.best_by_item = utility, by_item
            state.best_epoch, state.settled = state.epoch, settled
            self._keep(state)

    def _keep(self, state: TrainingState) -> None:
        """Keep the present weights as the best."""
        self.best.load_state_dict(self.router.network.state_dict())
        state.kept = True

    def _plans(self, items: Sequence[ItemT]) -> list[Plan]:
        return [p.intent for p in self.router.plan([self.rollouts.task.query(i) for i in items], self.space)]

    async def _run_greedily(self, items: Sequence[ItemT], plans: Sequence[Plan], *, epoch: str) -> list[Outcome]:
        """The most likely plan of each item, several times."""
        return await self.rollouts.run(
            [
                Job(item=i, how=p, identity=RunIdentity(seed=self.settings.seed, epoch=epoch, rollout=k))
                for i, p in zip(items, plans, strict=True)
                for k in range(self.settings.validation_rollouts)
            ]
        )

    async def _decide(
        self,
        items: Sequence[ItemT],
        validation: Sequence[ItemT],
        state: TrainingState,
        parts: SavedParts,
        why: str,
    ) -> TrainResult:
        """Finish with the policy kept so far, or with the last one where that is better on all items there are.

        A few validation items seldom tell what a training was worth, and a policy that reads its plans off texts hardly
        learns single training items by heart. Where both have the same plan nothing is run.
        """
        last = state.epoch - 1
        if not validation or state.best_epoch == last:
            return self._end(state, parts, why)
        everything, draws = [*items, *validation], self.settings.validation_rollouts
        self.router.cost_rate = self.settings.cost_rate
        newest = {name: value.clone() for name, value in self.router.network.state_dict().items()}
        plans = [self._plans(everything)]
        self.router.network.load_state_dict(self.best.state_dict())
        plans.append(self._plans(everything))
        differ = [i for i, (new, old) in enumerate(zip(*plans, strict=True)) if new != old]
        by_item: list[list[float]] = []
        with self.progress.bar("the last policy against the best so far", total=2) as bar:
            for some in plans:
                there = [everything[i] for i in differ]
                outcomes = await self._run_greedily(there, [some[i] for i in differ], epoch="final")
                if self.rollouts.limit_reached:
                    return self._finish(state, "limit: " + self.rollouts.limit_reached)
                utilities = _by_item([o.utility(self.settings.cost_rate) for o in outcomes], draws)
                by_item.append([*utilities, *[0.0] * (len(everything) - len(differ))])
                bar.advance()
        if _better(*by_item, errors=1.0):
            self.router.network.load_state_dict(newest)
            state.best_epoch = last
            self._keep(state)
        return self._end(state, parts, why)

    def _end(self, state: TrainingState, parts: SavedParts, why: str) -> TrainResult:
        """Training is over for good, and what was kept is known from the same moment on."""
        state.stopped = why
        self.run.save_state(state, parts)
        return self._finish(state, why)

    def _finish(self, state: TrainingState, why: str) -> TrainResult:
        if state.kept:
            self.router.network.load_state_dict(self.best.state_dict())
        self.router.cost_rate = self.settings.cost_rate
        kept = f"after epoch {state.best_epoch + 1}" if state.best_epoch >= 0 else "that training began with"
        return TrainResult(steps=state.step, stopped=why, kept=kept)


def _by_item(utilities: Sequence[float], draws: int) -> list[float]:
    return [mean(utilities[i : i + draws]) for i in range(0, len(utilities), draws)]


def _better(new: Sequence[float], old: Sequence[float], *, errors: float) -> bool:
    """Whether utilities of the same items are higher by more than so many standard errors of the mean difference."""
    difference = torch.tensor(new) - torch.tensor(old)
    n = len(difference)
    error = difference.std().item() / math.sqrt(n) if n > 1 else 0.0
    return difference.mean().item() > errors * error


def _validation_metrics(outcomes: Sequence[Outcome], utility: float) -> dict[str, float]:
    return {
        "validation_utility": utility,
        "validation_accuracy": mean([o.score.value for o in outcomes]),
        "validation_cost_usd": mean([o.cost_usd or 0.0 for o in outcomes]),
    }


def _batches(n: int, size: int) -> list[range]:
    return [range(i, min(n, i + size)) for i in range(0, n, size)]


def _permutation(n: int, seed: int, epoch: int) -> list[int]:
    order = list(range(n))
    random.Random(f"{seed}/order/{epoch}").shuffle(order)
    return order
