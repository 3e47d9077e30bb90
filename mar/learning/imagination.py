# pyright: basic
"""Policy gradient on plans that are drawn but not run, scored by a critic that all rollouts have taught."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mar.controllers.masrouter import Candidates, MasRouter, log_price
from mar.learning.critic import Critic, Memory
from mar.learning.policy import Policy, advantages, generator_of, mean
from mar.learning.settings import TrainSettings, draw_rates


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
        random_rows = generator_of(key, "critic")
        losses: list[float] = []
        for _ in range(self.settings.critic_steps):
            rows = torch.randint(len(self.memory), (self.settings.critic_batch,), generator=random_rows)
            loss = self.critic.loss(self.memory, rows, self.inputs, self.candidates)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        expected = [self._policy_step(optimizer, beta, f"{key}/{i}") for i in range(self.settings.imagined_steps)]
        return {"critic_loss": mean(losses), "imagined_utility": mean(expected)}

    def _policy_step(self, optimizer: torch.optim.Optimizer, beta: float, key: str) -> float:
        settings, network, m = self.settings, self.router.network, self.settings.imagined_plans
        picked = torch.randint(len(self.inputs), (settings.batch_size,), generator=generator_of(key, "queries"))
        rates = draw_rates(settings, len(picked), key, spread=self.router.settings.price_conditioned)
        inputs = self.inputs[picked].repeat_interleave(m, 0)
        price = torch.tensor([log_price(r) for r in rates]).repeat_interleave(m)
        truth = self.domains[picked].repeat_interleave(m)
        with torch.no_grad():
            drawn, _ = self.policy(inputs, key, price=price, domain=truth, generator=generator_of(key, "plans"))
            item = picked.repeat_interleave(m)
            estimate = self.critic(item, inputs, drawn.choices, self.candidates)
            utility = estimate.utility(torch.tensor(rates).repeat_interleave(m))
        everything = torch.ones(len(picked), m, dtype=torch.bool)
        advantage = advantages(utility.view(-1, m), everything, baseline=True).view(-1)
        output, _ = self.policy(inputs, key, price=price, given=drawn.choices)
        loss = -(advantage * output.log_prob).mean() - beta * output.entropy.mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_clip)
        optimizer.step()
        return utility.mean().item()
