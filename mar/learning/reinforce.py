# pyright: basic
"""Training MasRouter's cascade by policy gradient on quality minus cost.

For a query with rollouts k = 1..K and utilities u_k = quality_k - rate * cost_k, the gradient is that of

    L = CE(task) - mean_k A_k log pi(S_k | Q) - beta * H + 0.001 * VAE,   A_k = u_k - mean of the other rollouts' u

(REINFORCE with the leave-one-out baseline, Kool et al. 2019). After each batch the policy also takes a few steps on
plans that are drawn but not run, with utilities from a critic that all rollouts have taught (`mar.learning.critic`).
Before the first update the policy imitates the best simple plans of a survey (`mar.learning.survey`), half-heartedly,
so that it goes on exploring around them; a later policy is kept only if it does better on the validation items.
The price of money `rate` is drawn anew for each query around the run's cost_rate, so that one network learns the whole
curve of accuracy against cost; half of the queries are trained at the cost_rate itself. Plans are drawn without
gradients and evaluated again with them, one pass for a whole batch. All randomness is derived from (seed, epoch,
batch): a run that is killed goes on exactly where it was. Where queries are of several domains, the task classifier is
also fitted to all of them, before the first update and after every epoch (`mar.learning.domains`). Deliberately not
done: importance weights (every update is on-policy) and reward normalisation across queries.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from mar.controllers.base import PlanSpace
from mar.controllers.masrouter import Candidates, Cascade, CascadeOutput, Choices, Encoded, MasRouter, log_price
from mar.errors import ConfigError
from mar.learning.critic import Critic, Memory, Remembered
from mar.learning.domains import Lessons
from mar.learning.progress import Progress
from mar.learning.rollouts import Job, Outcome, Rollouts
from mar.learning.rundir import RunDir, SavedParts, TrainingState
from mar.learning.survey import SimplePlans, Survey, Trial, first_round
from mar.learning.survey import survey as survey_plans
from mar.runtime import RunIdentity
from mar.runtime.identity import digest
from mar.tasks.task import ItemT
from mar.types import DOMAINS

CHOICE_FIELDS = ("domain", "mode", "count", "roles", "llms")
VALIDATION_ROLLOUTS = 4
SURVEY_FILE = "survey.json"  # in the run folder: the best simple plan of each domain
IMITATED = 0.3  # probability of the plan to be imitated at which imitation ends
IMITATION_STEPS, IMITATION_BATCH = 300, 64


class TrainSettings(BaseModel):
    """Everything that training depends on besides data, pool and network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(default=10, ge=0)
    start_epoch: int = Field(default=0, ge=0)
    batch_size: int = Field(default=16, gt=0)
    rollouts: int = Field(default=4, gt=0)  # K
    lr: float = Field(default=0.01, gt=0)
    cost_rate: float = Field(ge=0)  # utility per USD
    price_spread: float = Field(default=16.0, ge=1)  # rates are drawn from cost_rate / spread to cost_rate * spread
    entropy_weight: float = Field(default=0.01, ge=0)  # beta at the start
    entropy_until: float = Field(default=0.5, gt=0, le=1)  # share of the training by which beta has fallen to 0
    survey: bool = True  # begin at the best simple plan of a survey
    critic: bool = True  # also learn from plans that are scored by the critic instead of being run
    critic_lr: float = Field(default=0.002, gt=0)
    critic_steps: int = Field(default=8, gt=0)  # updates of the critic per batch
    critic_batch: int = Field(default=256, gt=0)  # remembered rollouts per update
    imagined_steps: int = Field(default=3, gt=0)  # updates of the policy on imagined plans per batch
    imagined_plans: int = Field(default=16, gt=1)  # plans drawn per query and update
    explorers: int = Field(default=1, ge=0)  # of a query's rollouts, plans drawn uniformly while there is entropy bonus
    vae_weight: float = Field(default=0.001, ge=0)
    gradient_clip: float = Field(default=1.0, gt=0)
    patience: int = Field(default=4, gt=0)  # settled epochs without a better validation utility before training stops
    validation_rollouts: int = Field(default=VALIDATION_ROLLOUTS, gt=0)  # episodes per validation item
    seed: int = 0

    @property
    def first_settled(self) -> int:
        """The first epoch after which a policy may be kept: the entropy bonus has ended, or the training has.

        The most likely plan of an undecided policy can do well on a small validation set by luck.
        """
        return math.ceil(self.entropy_until * self.epochs) - 1

    def entropy(self, state: TrainingState, items: int) -> float:
        """beta of the update under way: it falls linearly, so that the policy can settle in the time that is left."""
        done = (state.epoch + state.batch * self.batch_size / items) / max(1, self.epochs)
        return self.entropy_weight * max(0.0, 1 - done / self.entropy_until)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """How training ended."""

    steps: int
    best_epoch: int  # epoch whose controller was kept; -1: the untrained one
    stopped: str  # why it ended
    simple: SimplePlans | None = None  # what the policy began with


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
        # The tensors are small: more threads would only wait for each other, and add up in another order each time.
        torch.set_num_threads(1)
        missing = rollouts.runtime.pool.without_price()
        if settings.cost_rate > 0 and missing:
            raise ConfigError(
                f"no price is known for {', '.join(missing)}; training with a cost term needs every price"
            )
        self.router, self.space, self.rollouts = router, space, rollouts
        self.settings, self.run, self.progress = settings, run, progress
        self.optimizer = torch.optim.Adam(router.network.parameters(), lr=settings.lr)
        self.candidates, self.names = router.candidates(space)
        self.policy = Policy(router.network, self.candidates)
        self.imagination: Imagination | None = None
        self.inputs = torch.zeros(0, router.settings.embedding)  # embeddings of the training items, (n, E)
        self.domains = torch.zeros(0, dtype=torch.long)  # true domains of the training items, (n,)
        self.lessons: Lessons | None = None  # for the task classifier, where there are domains to tell apart

    async def train(self, items: Sequence[ItemT], validation: Sequence[ItemT]) -> TrainResult:
        """Run all epochs, from the last saved state if there is one."""
        settings = self.settings
        queries = [self.rollouts.task.query(i) for i in items]
        self.inputs = inputs = self.router.embed([q.text for q in queries])
        truth = [DOMAINS.index(q.domain or self.rollouts.task.domain) for q in queries]
        self.domains = torch.tensor(truth, dtype=torch.long)
        if settings.critic:
            self.imagination = Imagination(self.router, self.candidates, settings, inputs, self.domains)
        self.lessons = self._lessons()
        parts = self._parts()
        state = self.run.load_state(parts)
        if state is None:
            state = TrainingState(epoch=settings.start_epoch)
            if settings.epochs > state.epoch:
                if self.lessons is not None:
                    self.lessons.begin(self.router.network)
                if settings.survey:
                    await self._begin_at_the_best(items, validation, state)
                if self.rollouts.limit_reached:
                    return self._finish(state, "limit: " + self.rollouts.limit_reached)
                self.run.save_state(state, parts)
        batches = _batches(len(items), settings.batch_size)
        with self.progress.bar("training", total=settings.epochs * len(items)) as bar:
            bar.advance(state.epoch * len(items) + sum(len(b) for b in batches[: state.batch]))
            while state.epoch < settings.epochs:
                since = max(state.best_epoch, settings.first_settled - 1)
                if validation and state.batch == 0 and state.epoch - since > settings.patience:
                    return self._finish(state, f"no better validation utility for {settings.patience} epochs")
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
        return self._finish(state, "all epochs done")

    # Before the first update ------------------------------------------------------------------------------------

    async def _begin_at_the_best(
        self, items: Sequence[ItemT], validation: Sequence[ItemT], state: TrainingState
    ) -> None:
        """Survey simple plans of each domain, imitate the best, and keep that policy until a better one is found."""
        settings, n = self.settings, len(items)
        first = first_round(settings.epochs * n * settings.rollouts)
        order = _permutation(n, settings.seed, -1)
        found: list[Survey] = []
        with self.progress.bar("survey of simple plans", total=len(self.domains.unique())) as bar:
            for domain in sorted(self.domains.unique().tolist()):
                mine = [i for i in order if self.domains[i] == domain]
                survey = await survey_plans(
                    partial(self._survey, items),
                    self.space,
                    DOMAINS[domain],
                    mine,
                    first=first,
                    rate=settings.cost_rate,
                    seed=settings.seed,
                )
                found += [] if survey is None else [survey]
                bar.advance()
        if not found or self.rollouts.limit_reached:
            return
        SimplePlans.of(found, settings.cost_rate).write(self.run.path / SURVEY_FILE)
        self._imitate(found)
        state.epoch = -1
        await self._validate(validation, state, settled=True)
        state.epoch = 0

    async def _survey(self, items: Sequence[ItemT], trials: Sequence[Trial]) -> Sequence[Outcome]:
        """Run plans on training items; the critic remembers them."""
        choices = self.router.choices_of([t.plan for t in trials], self.names)
        plans = self.router.plans_of(choices, self.names)  # as the router finishes them
        jobs = [
            Job(
                item=items[t.item],
                plan=p,
                identity=RunIdentity(seed=self.settings.seed, epoch="survey", rollout=t.draw),
            )
            for t, p in zip(trials, plans, strict=True)
        ]
        outcomes = await self.rollouts.run(jobs)
        if self.rollouts.limit_reached:
            return []
        if self.imagination is not None:
            self._remember(torch.tensor([t.item for t in trials]), choices, outcomes)
        return outcomes

    def _imitate(self, surveys: Sequence[Survey]) -> None:
        """Teach the policy each domain's best plan at each price, until it would draw it now and then."""
        settings, network = self.settings, self.router.network
        by_domain = {DOMAINS.index(s.domain): (s, self.router.choices_of(s.plans, self.names)) for s in surveys}
        there = torch.tensor([i for i, d in enumerate(self.domains.tolist()) if d in by_domain])
        for step in range(IMITATION_STEPS):
            key = digest(settings.seed, "imitate", step)
            picked = there[torch.randint(len(there), (IMITATION_BATCH,), generator=_generator(key, "queries"))]
            rates = draw_rates(settings, len(picked), key, spread=self.router.settings.price_conditioned)
            truth = self.domains[picked]
            given = _best_plans(by_domain, truth, rates)
            price = torch.tensor([log_price(r) for r in rates])
            output, _ = self.policy(self.inputs[picked], key, price=price, given=given)
            if output.log_prob.mean() > math.log(IMITATED):
                return
            task_loss = nn.functional.cross_entropy(output.domain_logits, truth)
            loss = task_loss - output.log_prob.mean()
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_clip)
            self.optimizer.step()

    def _lessons(self) -> Lessons | None:
        if len(self.domains.unique()) < 2 or not self.router.settings.fixes.learned_scale:
            return None
        settings, n = self.settings, len(self.inputs)
        key = digest(settings.seed, "lessons")
        rates = [settings.cost_rate] * n + draw_rates(settings, n, key, spread=self.router.settings.price_conditioned)
        prices = torch.tensor([log_price(rate) for rate in rates])
        known = self.candidates.domains
        return Lessons(queries=self.inputs.repeat(2, 1), prices=prices, truth=self.domains.repeat(2), domains=known)

    # One batch ------------------------------------------------------------------------------------------------

    def _parts(self) -> SavedParts:
        modules: dict[str, nn.Module] = {"network": self.router.network}
        optimizers: dict[str, torch.optim.Optimizer] = {"adam": self.optimizer}
        if self.imagination is None:
            return SavedParts(modules=modules, optimizers=optimizers)
        modules["critic"] = self.imagination.critic
        optimizers["critic_adam"] = self.imagination.optimizer
        return SavedParts(modules=modules, optimizers=optimizers, memories={"memory": self.imagination.memory})

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
            drawn, _ = self.policy(inputs, key, price=price, domain=truth, generator=_generator(key, "plans"))
        choices = drawn.choices
        explores = torch.zeros(len(inputs), dtype=torch.bool)
        if self.imagination is not None and settings.entropy(state, len(self.inputs)) > 0:
            explores = torch.arange(len(inputs)) % k >= k - min(settings.explorers, k - 1)
            choices = choices.where(~explores, self._uniform(truth, _generator(key, "explorers")))
        plans = self.router.plans_of(choices, self.names)
        epoch = f"train-{state.epoch}"
        jobs = [
            Job(item=items[i // k], plan=p, identity=RunIdentity(seed=settings.seed, epoch=epoch, rollout=i % k))
            for i, p in enumerate(plans)
        ]
        outcomes = await self.rollouts.run(jobs)
        if self.rollouts.limit_reached:
            return {}
        drawn_outcomes = [o for o, explored in zip(outcomes, explores.tolist(), strict=True) if not explored]
        utility = torch.tensor([o.utility(rates[i // k]) for i, o in enumerate(outcomes)]).view(-1, k)
        valid = (torch.tensor([o.learnable for o in outcomes]) & ~explores).view(-1, k)
        advantage = _advantage(utility, valid, baseline=fixes.baseline).view(-1)

        output, encoded = self.policy(inputs, key, price=price, given=choices)
        logits = output.domain_logits if fixes.learned_scale else output.domain_logits.softmax(-1)
        task_loss = nn.functional.cross_entropy(logits, truth)
        policy_loss = -(advantage * output.log_prob).sum() / valid.sum().clamp(min=1)
        beta = settings.entropy(state, len(self.inputs)) if fixes.entropy else 0.0
        vae_loss = self.router.network.vae_loss(output, encoded, inputs)
        loss = task_loss + policy_loss - beta * output.entropy.mean() + settings.vae_weight * vae_loss
        self.optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.router.network.parameters(), settings.gradient_clip)
        self.optimizer.step()
        imagined: dict[str, float] = {}
        if self.imagination is not None:
            self._remember(index.repeat_interleave(k), choices, outcomes)
            imagined = self.imagination.improve(self.optimizer, beta, key)
        return {
            "epoch": state.epoch,
            "loss": loss.item(),
            "policy_loss": policy_loss.item(),
            "task_loss": task_loss.item(),
            "vae_loss": vae_loss.item(),
            "entropy": output.entropy.mean().item(),
            "gradient_norm": norm.item(),
            "utility": _mean([o.utility(settings.cost_rate) for o in drawn_outcomes]),
            "accuracy": _mean([o.score.value for o in drawn_outcomes]),
            "cost_usd": _mean([o.cost_usd or 0.0 for o in drawn_outcomes]),
            "calls": _mean([o.calls for o in drawn_outcomes]),
            "agents": _mean([len(o.plan.agents) for o in drawn_outcomes]),
            "failed": sum(o.failure is not None for o in outcomes),
            **imagined,
        }

    def _uniform(self, domains: Tensor, generator: torch.Generator) -> Choices:
        """Plans of which every choice is drawn uniformly, for the given domains (B,)."""
        n, most = len(domains), self.router.settings.max_agents
        there = torch.arange(most) < (count := torch.randint(1, most + 1, (n,), generator=generator)).unsqueeze(1)
        roles = self.candidates.role_mask.sum(1)[domains].unsqueeze(1)  # how many roles there are
        return Choices(
            domain=domains,
            mode=torch.randint(len(self.candidates.modes), (n,), generator=generator),
            count=count,
            roles=(torch.rand(n, most, generator=generator) * roles).long() * there,
            llms=torch.randint(len(self.candidates.llms), (n, most), generator=generator) * there,
        )

    def _remember(self, item: Tensor, choices: Choices, outcomes: Sequence[Outcome]) -> None:
        assert self.imagination is not None
        kept = torch.tensor([o.learnable for o in outcomes])
        columns = {n: getattr(choices, n)[kept] for n in CHOICE_FIELDS}
        quality = torch.tensor([o.score.value for o in outcomes])[kept]
        cost = torch.tensor([o.cost_usd or 0.0 for o in outcomes])[kept]
        self.imagination.memory.add(Remembered(item=item[kept], choices=Choices(**columns), quality=quality, cost=cost))

    # Validation -----------------------------------------------------------------------------------------------

    async def _validate(self, items: Sequence[ItemT], state: TrainingState, *, settled: bool) -> None:
        if self.lessons is not None:
            self.lessons.refresh(self.router.network)
        if not items:
            state.best_epoch = state.epoch
            self.run.save_best(self.router.network)
            return
        self.router.cost_rate = self.settings.cost_rate
        planned = self.router.plan([self.rollouts.task.query(i) for i in items], self.space)
        outcomes = await self.rollouts.run(
            [
                Job(item=i, plan=p.plan, identity=RunIdentity(seed=self.settings.seed, epoch="validation", rollout=k))
                for i, p in zip(items, planned, strict=True)
                for k in range(self.settings.validation_rollouts)
            ]
        )
        if self.rollouts.limit_reached:
            return
        utility = _mean([o.utility(self.settings.cost_rate) for o in outcomes])
        self.run.log(state.step, {"epoch": state.epoch, **_validation_metrics(outcomes, utility)})
        by_item = _by_item([o.utility(self.settings.cost_rate) for o in outcomes], self.settings.validation_rollouts)
        better = settled == state.settled and _clearly_better(by_item, state.best_by_item)
        if better or (settled and not state.settled):
            state.best_utility, state.best_by_item = utility, by_item
            state.best_epoch, state.settled = state.epoch, settled
            self.run.save_best(self.router.network)

    def _finish(self, state: TrainingState, why: str) -> TrainResult:
        self.run.load_best(self.router.network)
        self.router.cost_rate = self.settings.cost_rate
        stored = self.run.path / SURVEY_FILE
        simple = SimplePlans.read(stored) if stored.is_file() else None
        return TrainResult(steps=state.step, best_epoch=state.best_epoch, stopped=why, simple=simple)


def _by_item(utilities: Sequence[float], draws: int) -> list[float]:
    return [_mean(utilities[i : i + draws]) for i in range(0, len(utilities), draws)]


def _clearly_better(new: Sequence[float], best: Sequence[float]) -> bool:
    """Whether utilities of the same items are higher by more than two standard errors of the mean difference.

    Of several policies that are as good as each other one is the luckiest on a small validation set.
    """
    if not best:
        return True
    difference = torch.tensor(new) - torch.tensor(best)
    n = len(difference)
    error = difference.std().item() / math.sqrt(n) if n > 1 else 0.0
    return difference.mean().item() > 2 * error


def _validation_metrics(outcomes: Sequence[Outcome], utility: float) -> dict[str, float]:
    return {
        "validation_utility": utility,
        "validation_accuracy": _mean([o.score.value for o in outcomes]),
        "validation_cost_usd": _mean([o.cost_usd or 0.0 for o in outcomes]),
    }


def _advantage(utility: Tensor, valid: Tensor, *, baseline: bool) -> Tensor:
    """Utilities (B, K) to advantages; rows that are not valid count for nothing, neither do queries with one row."""
    weight = valid.float()
    if not baseline or utility.shape[1] == 1:
        return utility * weight
    total, n = (utility * weight).sum(1, keepdim=True), weight.sum(1, keepdim=True)
    others = (total - utility * weight) / (n - 1).clamp(min=1)
    return (utility - others) * weight * (n > 1)


@dataclass(frozen=True, slots=True)
class Policy:
    """A pass of the network in training: its latents are noisy, with the same noise whenever the key is the same."""

    network: Cascade
    candidates: Candidates

    def __call__(self, inputs: Tensor, key: str, **how: Any) -> tuple[CascadeOutput, Encoded]:
        """Plans of a batch, drawn or evaluated as `Cascade.forward` says, and the candidates as they were seen."""
        noise = _generator(key, "latents")
        encoded = self.network.encode(self.candidates, noise)
        return self.network(inputs, encoded, noise=noise, **how), encoded


class Imagination:
    """Improves a policy on plans that are drawn but not run."""

    def __init__(
        self, router: MasRouter, candidates: Candidates, settings: TrainSettings, inputs: Tensor, domains: Tensor
    ) -> None:
        self.router, self.candidates, self.settings = router, candidates, settings
        self.policy = Policy(router.network, candidates)
        self.inputs, self.domains = inputs, domains  # of the training items: (n, E), (n,)
        shape = router.settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.critic = Critic(shape.embedding, shape.hidden, shape.max_agents, len(inputs))
        self.optimizer = torch.optim.AdamW(self.critic.parameters(), lr=settings.critic_lr, weight_decay=1e-3)
        self.memory = Memory()

    def improve(self, optimizer: torch.optim.Optimizer, beta: float, key: str) -> dict[str, float]:
        """Teach the critic on remembered rollouts, then let the policy take steps on the critic's word."""
        if not len(self.memory):
            return {}
        random_rows = _generator(key, "critic")
        losses: list[float] = []
        for _ in range(self.settings.critic_steps):
            rows = torch.randint(len(self.memory), (self.settings.critic_batch,), generator=random_rows)
            loss = self.critic.loss(self.memory, rows, self.inputs, self.candidates)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        expected = [self._policy_step(optimizer, beta, f"{key}/{i}") for i in range(self.settings.imagined_steps)]
        return {"critic_loss": _mean(losses), "imagined_utility": _mean(expected)}

    def _policy_step(self, optimizer: torch.optim.Optimizer, beta: float, key: str) -> float:
        settings, network, m = self.settings, self.router.network, self.settings.imagined_plans
        picked = torch.randint(len(self.inputs), (settings.batch_size,), generator=_generator(key, "queries"))
        rates = draw_rates(settings, len(picked), key, spread=self.router.settings.price_conditioned)
        inputs = self.inputs[picked].repeat_interleave(m, 0)
        price = torch.tensor([log_price(r) for r in rates]).repeat_interleave(m)
        truth = self.domains[picked].repeat_interleave(m)
        with torch.no_grad():
            drawn, _ = self.policy(inputs, key, price=price, domain=truth, generator=_generator(key, "plans"))
            item = picked.repeat_interleave(m)
            estimate = self.critic(item, inputs, drawn.choices, self.candidates)
            utility = estimate.utility(torch.tensor(rates).repeat_interleave(m))
        everything = torch.ones(len(picked), m, dtype=torch.bool)
        advantage = _advantage(utility.view(-1, m), everything, baseline=True).view(-1)
        output, _ = self.policy(inputs, key, price=price, given=drawn.choices)
        loss = -(advantage * output.log_prob).mean() - beta * output.entropy.mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_clip)
        optimizer.step()
        return utility.mean().item()


def _best_plans(surveys: Mapping[int, tuple[Survey, Choices]], domains: Tensor, rates: Sequence[float]) -> Choices:
    """The best surveyed plan of each domain (B,) at each price (B,)."""
    prices = np.array(rates)
    rows: list[Choices] = []
    best = {d: survey.best(prices) for d, (survey, _) in surveys.items()}
    for i, domain in enumerate(domains.tolist()):
        choices, at = surveys[domain][1], best[domain][i]
        rows.append(Choices(**{n: getattr(choices, n)[at] for n in CHOICE_FIELDS}))
    return Choices(**{n: torch.stack([getattr(r, n) for r in rows]) for n in CHOICE_FIELDS})


def draw_rates(settings: TrainSettings, n: int, key: str, *, spread: bool) -> list[float]:
    """The price of money of each of n queries: the run's for every other query, else drawn around it, log-uniformly."""
    base = settings.cost_rate
    if not spread:
        return [base] * n
    rng = random.Random(f"{key}/rates")
    return [base if i % 2 == 0 else base * settings.price_spread ** rng.uniform(-1, 1) for i in range(n)]


def _batches(n: int, size: int) -> list[range]:
    return [range(i, min(n, i + size)) for i in range(0, n, size)]


def _permutation(n: int, seed: int, epoch: int) -> list[int]:
    order = list(range(n))
    random.Random(f"{seed}/order/{epoch}").shuffle(order)
    return order


def _generator(*key: str) -> torch.Generator:
    return torch.Generator().manual_seed(int(digest(*key, size=7), 16))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
