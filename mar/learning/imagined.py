# pyright: basic
"""Training MasRouter's cascade on imagined episodes, with real ones to correct what is imagined.

1. A part of the training's calls puts training questions to the pool (`mar.learning.sequential`); a belief about the
   models is fitted to the graded answers.
2. The best plans at every price of money are searched for among thousands that the belief plays
   (`mar.learning.imagination`, `mar.learning.search`): that costs no call.
3. The best are really run, by a share of the rest of the calls. Where real and imagined episodes differ by more than
   chance (`mar.learning.correction`), what is imagined is put right, and the search goes on from that.
4. For questions and prices that are drawn anew in every update, the policy is taught the plan that is worth most,

       L = CE(task) - mean log pi(best plan | Q, price) + 0.001 * VAE,

   until its own plans no longer do better in episodes that are held out of all this: other worlds of some questions at
   some prices. Then 2 to 4 begin again: one epoch.

All randomness is derived from (seed, epoch, update); a run that is killed goes on exactly where it was. No question is
held out: no policy is chosen among several, so the validation items are asked as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import count
from typing import Generic

import torch
from torch import Tensor, nn

from mar.controllers.base import PlanSpace
from mar.controllers.masrouter import Choices, MasRouter, log_price
from mar.controllers.sequential import Sequential, Terms, load_sequential, save_sequential
from mar.controllers.sequential.calls import form_of
from mar.learning.correction import Correction, Errors, features, width
from mar.learning.domains import lessons_of
from mar.learning.imagination import Imagination, Questions, Worth
from mar.learning.policy import Policy, generator_of, mean, task_loss
from mar.learning.progress import Progress
from mar.learning.rollouts import Job, Outcome, Rollouts
from mar.learning.rundir import RunDir, SavedParts, TrainingState
from mar.learning.search import Repertoire, Search
from mar.learning.sequential import Gathering, learn_minds
from mar.learning.settings import TrainResult, TrainSettings, check_prices, draw_rates
from mar.numerics import one_thread
from mar.runtime import RunIdentity
from mar.runtime.identity import digest
from mar.tasks.task import ItemT

BELIEF = "belief.safetensors"  # in the run folder: what was learned from graded calls
ASKED = 2 / 3  # share of the calls by which training questions are asked; the others are of plans
CHECKED_EVERY = 25  # updates: how well the policy does is looked at, and everything is saved
UNCHANGED = 2  # such looks in a row that show nothing better end an epoch
BETTER = 0.001  # utility
HELD_OUT = 128  # questions, each at some price, on which it is looked at
LAST_LR = 0.05  # of the learning rate, which falls linearly


class ImaginedTrainer(Generic[ItemT]):
    """Trains a router on a task's items, most of the time without a call."""

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
        self.candidates, self.names = router.candidates(space)
        self.policy = Policy(router.network, self.candidates)
        self.errors = Errors(width(self.candidates))

    async def train(self, items: Sequence[ItemT], validation: Sequence[ItemT]) -> TrainResult:
        """Run all epochs, from the last saved state if there is one."""
        with one_thread():  # the tensors are small: more threads would only wait for each other
            return await self._train([*items, *validation])

    async def _train(self, items: Sequence[ItemT]) -> TrainResult:
        parts = self._parts()
        state = self.run.load_state(parts) or TrainingState(epoch=self.settings.start_epoch)
        if state.stopped or state.epoch >= self.settings.epochs or not items:
            return self._result(state)
        asked = await self._ask(items)
        if self.rollouts.limit_reached:
            return self._result(state, "limit: " + self.rollouts.limit_reached)
        self._look_at(items, asked)
        lessons = lessons_of(self.router, self.settings, self.inputs, self.domains, self.candidates)
        if lessons is not None and not state.step:
            lessons.begin(self.router.network)
        with self.progress.bar("training on imagined episodes", total=self.settings.epochs) as bar:
            bar.advance(state.epoch)
            while state.epoch < self.settings.epochs:
                if state.batch == 0:
                    await self._correct(items, state)
                    if self.rollouts.limit_reached:
                        return self._result(state, "limit: " + self.rollouts.limit_reached)
                self._imagine(state, parts)
                if lessons is not None:
                    lessons.refresh(self.router.network)
                state.epoch, state.batch = state.epoch + 1, 0
                self.run.save_state(state, parts)
                bar.advance()
        state.stopped = "all epochs done"
        self.run.save_state(state, parts)
        return self._result(state)

    def _parts(self) -> SavedParts:
        return SavedParts(
            modules={"network": self.router.network},
            optimizers={"adam": self.optimizer},
            memories={"errors": self.errors},
        )

    def _result(self, state: TrainingState, why: str = "") -> TrainResult:
        self.router.cost_rate = self.settings.cost_rate
        return TrainResult(
            steps=state.step, stopped=why or state.stopped or "all epochs done", kept="of the last update"
        )

    # The belief -----------------------------------------------------------------------------------------------

    async def _ask(self, items: Sequence[ItemT]) -> Sequential:
        """What graded calls teach about the models: as the run folder holds it, else learned now."""
        path, task, settings = self.run.path / BELIEF, self.rollouts.task, self.settings
        encoder = self.router.encoder
        if path.is_file():
            loaded = load_sequential(path, encoder).controller
            loaded.domain = task.domain
            return loaded
        gathering = Gathering(
            rollouts=self.rollouts,
            cards=self.space.cards,
            progress=self.progress,
            seed=settings.seed,
            most_calls=shares(settings.calls)[0],
        )
        asked = await gathering.gather(gathering.affordable(items)) if settings.calls else []
        minds = learn_minds(asked, self.space.cards, task.domain, encoder)
        found = Sequential(minds, encoder, Terms(cost_rate=settings.cost_rate), domain=task.domain)
        if not self.rollouts.limit_reached:
            told = {"task": task.name, "items": str(len(asked)), "calls": str(sum(len(a.calls) for a in asked))}
            save_sequential(path, found, trained_on=told, simulated=self.rollouts.runtime.pool.simulated)
        return found

    def _look_at(self, items: Sequence[ItemT], belief: Sequential) -> None:
        """Sort questions by what has to be imagined about them."""
        task, settings = self.rollouts.task, self.settings
        queries = [task.query(i) for i in items]
        self.inputs = self.router.embed([q.text for q in queries])
        self.domains = torch.tensor([self.names.domain(q.domain or task.domain) for q in queries])
        kinds: dict[tuple[object, ...], list[int]] = {}
        for i, query in enumerate(queries):
            form = query.answer_format
            kind = (query.domain, form_of(query), form.final_role, bool(query.shown_tests.tests))
            kinds.setdefault(kind, []).append(i)
        self.kinds, self.places = torch.zeros(2, len(items), dtype=torch.long)
        self.searches: list[Search] = []
        spread = settings.price_spread if self.router.settings.price_conditioned else 1.0
        for number, members in enumerate(kinds.values()):
            self.kinds[members], self.places[members] = number, torch.arange(len(members))
            query, options = queries[members[0]], self.router.options
            mind, domain = belief.mind(query, self.inputs[members[0]]), query.domain or task.domain
            self.searches.append(
                Search(
                    imagination=Imagination(mind, self.space, self.names, options, query, domain),
                    candidates=self.candidates,
                    domain=self.names.domain(domain),
                    questions=Questions.of([queries[i] for i in members], self.inputs[members]),
                    prices=(settings.cost_rate / spread, settings.cost_rate * spread),
                    generations=settings.generations,
                    seed=digest(settings.seed, "search", number),
                )
            )

    # Imagined episodes ----------------------------------------------------------------------------------------

    def _imagine(self, state: TrainingState, parts: SavedParts) -> None:
        """Find the best plans, and teach them to the policy."""
        correction = self.errors.correction()
        found = [search.repertoire(correction) for search in self.searches]
        if not state.batch:
            state.best_utility, state.best_step = self._foreseen(correction), state.step
        while state.batch < self.settings.updates and state.step - state.best_step < UNCHANGED * CHECKED_EVERY:
            metrics = self._update(state, found, correction)
            state.step, state.batch = state.step + 1, state.batch + 1
            if state.batch % CHECKED_EVERY == 0:
                metrics["foreseen_utility"] = utility = self._foreseen(correction)
                if utility > state.best_utility + BETTER:
                    state.best_utility, state.best_step = utility, state.step
                self.run.save_state(state, parts)
            self.run.log(state.step, metrics)

    @torch.no_grad()
    def _foreseen(self, correction: Correction) -> float:
        """Mean utility of what the policy would do, in worlds that nothing is taught from."""
        key = digest(self.settings.seed, "held out")
        questions, rates = self._questions(HELD_OUT, key)
        network = self.router.network
        price = torch.tensor([log_price(rate) for rate in rates.tolist()])
        known = {"price": price, "domain": self.domains[questions]}
        output = network(self.inputs[questions], network.encode(self.candidates), **known)
        total = 0.0
        for number, search in enumerate(self.searches):
            mine = (self.kinds[questions] == number).nonzero()[:, 0]
            if len(mine):
                choices = output.choices.rows(mine)
                worth = search.play(self.places[questions[mine]], choices, key)
                worth = correction(worth, features(choices, self.candidates))
                total += float((worth.quality[:, 0] - rates[mine] * worth.cost[:, 0]).sum())
        return total / HELD_OUT

    def _update(self, state: TrainingState, found: Sequence[Repertoire], correction: Correction) -> dict[str, float]:
        settings, key = self.settings, digest(self.settings.seed, "imagined", state.epoch, state.batch)
        questions, rates = self._questions(settings.questions, key)
        best, worth = self._taught(questions, rates, found, correction)
        inputs, price = self.inputs[questions], torch.tensor([log_price(rate) for rate in rates.tolist()])
        output, encoded = self.policy(inputs, key, price=price, given=best)
        classified = task_loss(self.router, output, self.domains[questions])
        policy_loss = -output.log_prob.mean()
        vae_loss = self.router.network.vae_loss(output, encoded, inputs)
        loss = classified + policy_loss + settings.vae_weight * vae_loss
        self.optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.router.network.parameters(), settings.gradient_clip)
        for group in self.optimizer.param_groups:
            group["lr"] = settings.lr * max(LAST_LR, 1 - settings.done(state, state.batch / settings.updates))
        self.optimizer.step()
        own = rates == settings.cost_rate  # every other question is at the run's own price
        return {
            "epoch": state.epoch,
            "loss": loss.item(),
            "policy_loss": policy_loss.item(),
            "task_loss": classified.item(),
            "vae_loss": vae_loss.item(),
            "gradient_norm": norm.item(),
            "utility": (worth.quality[:, 0] - settings.cost_rate * worth.cost[:, 0])[own].mean().item(),
            "accuracy": worth.quality[own].mean().item(),
            "cost_usd": worth.cost[own].mean().item(),
            "agents": best.count[own].float().mean().item(),
        }

    def _questions(self, n: int, key: str) -> tuple[Tensor, Tensor]:
        """Questions and prices of money, drawn anew, (n,) each."""
        questions = torch.randint(len(self.inputs), (n,), generator=generator_of(key, "questions"))
        return questions, torch.tensor(draw_rates(self.settings, n, key, spread=self.router.settings.price_conditioned))

    def _taught(
        self, questions: Tensor, rates: Tensor, found: Sequence[Repertoire], correction: Correction
    ) -> tuple[Choices, Worth]:
        """The best plan for each of some questions (B,) at a price (B,), and its worth (B, 1)."""
        order = self.kinds[questions].argsort(stable=True)
        kinds, places, prices = self.kinds[questions][order], self.places[questions][order], rates[order]
        taught = [
            repertoire.best(places[kinds == number], prices[kinds == number], correction)
            for number, repertoire in enumerate(found)
            if bool((kinds == number).any())
        ]
        back = order.argsort()
        worth = Worth(
            quality=torch.cat([w.quality for _, w in taught])[back], cost=torch.cat([w.cost for _, w in taught])[back]
        )
        return Choices.joined([choices for choices, _ in taught]).rows(back), worth

    # Real episodes --------------------------------------------------------------------------------------------

    async def _correct(self, items: Sequence[ItemT], state: TrainingState) -> None:
        """Run the best plans so far on training questions, and remember how far off they were imagined."""
        settings = self.settings
        key, left = digest(settings.seed, "real", state.epoch), shares(settings.calls)[1] // settings.epochs
        correction = self.errors.correction()
        found = [search.repertoire(correction) for search in self.searches]
        everything: list[tuple[Outcome, float]] = []
        for wave in count():
            questions, rates = self._questions(max(1, left), f"{key}/{wave}")
            drawn, _ = self._taught(questions, rates, found, correction)
            plans = self.router.plans_of(drawn, self.names)
            bounds = torch.tensor([self.rollouts.runtime.bound(plan).calls for plan in plans])
            fit = int((bounds.cumsum(0) <= left).sum())
            if not fit:
                break
            outcomes = await self.rollouts.run(
                [
                    Job(
                        item=items[q],
                        how=plan,
                        identity=RunIdentity(seed=settings.seed, epoch=f"train-{state.epoch}-{wave}", rollout=k),
                    )
                    for k, (q, plan) in enumerate(zip(questions.tolist()[:fit], plans, strict=False))
                ]
            )
            if self.rollouts.limit_reached:
                return
            self._remember(questions[:fit], drawn.rows(torch.arange(fit)), outcomes, key)
            everything += zip(outcomes, rates.tolist(), strict=False)
            left -= max(fit, sum(o.calls for o in outcomes))
        if everything:
            self.run.log(state.step, self._real(state, everything))

    def _real(self, state: TrainingState, ran: Sequence[tuple[Outcome, float]]) -> dict[str, float]:
        """Metrics of real episodes; of those at the run's own price, but for the failures."""
        own = [o for o, rate in ran if math.isclose(rate, self.settings.cost_rate, rel_tol=1e-6)]
        return {
            "epoch": state.epoch,
            "real_utility": mean([o.utility(self.settings.cost_rate) for o in own]),
            "real_accuracy": mean([o.score.value for o in own]),
            "real_cost_usd": mean([o.cost_usd or 0.0 for o in own]),
            "real_episodes": len(ran),
            "failed": sum(o.failure is not None for o, _ in ran),
        }

    def _remember(self, questions: Tensor, choices: Choices, outcomes: Sequence[Outcome], key: str) -> None:
        learnable = torch.tensor([o.learnable for o in outcomes])
        quality = torch.tensor([o.score.value for o in outcomes])
        cost = torch.tensor([o.cost_usd or 0.0 for o in outcomes])
        for number, search in enumerate(self.searches):
            mine = ((self.kinds[questions] == number) & learnable).nonzero()[:, 0]
            if len(mine):
                some = choices.rows(mine)
                worth = search.play(self.places[questions[mine]], some, key)
                self.errors.add(features(some, self.candidates), worth, quality[mine], cost[mine])


def shares(calls: int) -> tuple[int, int]:
    """Of a training's calls, those by which questions are asked, and those by which plans are run."""
    asked = round(ASKED * calls)
    return asked, calls - asked
