# pyright: basic
"""The cascade: task, mode, number of agents, roles, LLMs, each stage given the ones before (MasRouter, section 4).

Everything is a similarity between a context and the embedding of a candidate, so modes, roles and LLMs enter only
through their texts: a new one needs no new weight. With hidden width h = 64, batch B, candidates n:

    task   softmax(s_t q . t_i)              q = norm(W_q e_Q), t_i = norm(W_t e_i)
    mode   softmax(s_m norm(z_Q) . norm(z_m))   z: latents of variational autoencoders
    count  1 + Binomial(max_agents - 1, d)      d = sigmoid(w . [z'_Q, z_mode])
    role j softmax(s_r c . norm(z_role) + a n)  c = norm(W [q, z_mode, h_j]), h_{j+1} = LayerNorm(h_j + z_role_j)
    LLM j  softmax(s_l c . norm(z_llm) + a n)   c = norm(W [q, z_mode, r_j]), r_j: what precedes agent j and its role

n counts how often a candidate has been taken by the agents before, and a = w . context is learned: a team may want
different members (different models make different mistakes) or the same again, and a product of similarities alone
can hardly say so. (Part of the fix `llm_per_agent`; the published draws are independent.)

One function draws a plan and, given a plan, evaluates its log-probability: `Cascade.forward`. The price of money
(USD to utility) enters q and the mode and count latents through a small network of log10(price).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from mar.controllers.masrouter.settings import NetworkSettings
from mar.controllers.masrouter.vae import Latent, TextVAE

# Published temperatures: 0.5 (task), 0.8 (mode), 0.5 (role), 1.0 (LLM). Learned scales start from them.
TEMPERATURES = {"task": 0.5, "mode": 0.8, "role": 0.5, "llm": 1.0}
PRICE_FEATURES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Embeddings of what can be chosen. Roles of all domains stand in one table, padded to the largest set."""

    domains: Tensor  # (D, E)
    modes: Tensor  # (M, E)
    roles: Tensor  # (D, R, E)
    role_mask: Tensor  # (D, R), true where there is a role
    llms: Tensor  # (L, E)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """Plans of a batch as indices into the candidates."""

    domain: Tensor  # (B,)
    mode: Tensor  # (B,)
    count: Tensor  # (B,), 1 to max_agents
    roles: Tensor  # (B, max_agents); entries from `count` on are 0 and mean nothing
    llms: Tensor  # (B, max_agents); likewise

    def rows(self, index: Tensor) -> Choices:
        """Some of the plans."""
        columns = (self.domain, self.mode, self.count, self.roles, self.llms)
        domain, mode, count, roles, llms = (column[index] for column in columns)
        return Choices(domain=domain, mode=mode, count=count, roles=roles, llms=llms)

    @classmethod
    def joined(cls, parts: Sequence[Choices]) -> Choices:
        """Batches of plans as one."""
        columns = ([getattr(part, f.name) for part in parts] for f in fields(cls))
        domain, mode, count, roles, llms = (torch.cat(column) for column in columns)
        return cls(domain=domain, mode=mode, count=count, roles=roles, llms=llms)


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeOutput:
    """What the cascade made of a batch."""

    choices: Choices
    log_prob: Tensor  # (B,): mode, count, roles and LLMs; the domain is supervised, not part of the policy
    entropy: (
        Tensor  # (B,): entropy of mode and count plus the mean over agents of that of role and LLM, on the drawn path
    )
    domain_logits: Tensor  # (B, D)
    query_latents: tuple[Latent, Latent]  # of the query, for the mode and for the count


def normalize(x: Tensor) -> Tensor:
    """Vectors (..., h) at unit length."""
    return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min(1e-12)


class Stage(nn.Module):
    """A choice among candidates by scaled cosine similarity."""

    def __init__(self, temperature: float, *, learned: bool) -> None:
        super().__init__()
        scale = torch.tensor(-math.log(temperature))
        self.log_scale = nn.Parameter(scale) if learned else None
        self.fixed = 1.0 / temperature

    def keys(self, candidates: Tensor) -> Tensor:
        """Candidates (..., h) of any length as scaled unit vectors."""
        scale = self.fixed if self.log_scale is None else self.log_scale.exp().clamp(max=100.0)
        return scale * normalize(candidates)

    def forward(self, context: Tensor, keys: Tensor) -> Tensor:
        """Logits (B, n) of contexts (B, h) against keys (n, h) or (B, n, h)."""
        unit = normalize(context)
        return unit @ keys.T if keys.dim() == 2 else (keys @ unit.unsqueeze(-1)).squeeze(-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """Candidates as the network sees them; without noise they change only with the weights."""

    candidates: Candidates
    modes: Latent  # (M, h)
    roles: Latent  # (D, R, h)
    llms: Latent  # (L, h)
    domain_keys: Tensor  # (D, h); keys are what the stages compare contexts with
    mode_keys: Tensor  # (M, h)
    role_keys: Tensor  # (D, R, h)
    llm_keys: Tensor  # (L, h)


class Cascade(nn.Module):
    """The controller network (0.4 million weights; the sentence encoder is not part of it)."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        h, e, fixes = settings.hidden, settings.embedding, settings.fixes
        self.query_projection = nn.Linear(e, h)
        self.domain_projection = nn.Linear(e, h)
        self.query_mode_vae = TextVAE(e, h, prior_sampling=fixes.vae_prior)
        self.mode_vae = TextVAE(e, h, prior_sampling=fixes.vae_prior)
        self.count_vae = TextVAE(e, h, prior_sampling=fixes.vae_prior)
        self.role_vae = TextVAE(e, h, prior_sampling=fixes.vae_prior)
        self.llm_vae = TextVAE(e, h, prior_sampling=fixes.vae_prior)
        self.count_head = nn.Linear(2 * h if fixes.count_distribution else h, 1)
        self.role_context = nn.Linear(3 * h, h)
        self.llm_context = nn.Linear(3 * h, h)
        self.history_norm = nn.LayerNorm(h)
        log_choose = torch.tensor([math.log(math.comb(settings.max_agents - 1, k)) for k in range(settings.max_agents)])
        self.log_choose: Tensor
        self.register_buffer("log_choose", log_choose, persistent=False)  # log binomial coefficients
        if fixes.llm_per_agent:
            self.role_repeat, self.llm_repeat = nn.Linear(3 * h, 1), nn.Linear(3 * h, 1)
            for head in (self.role_repeat, self.llm_repeat):
                nn.init.zeros_(head.weight)
                nn.init.zeros_(head.bias)
        start = torch.randn(h) * 0.1
        if fixes.trained_history:
            self.history_start = nn.Parameter(start)
        else:  # published: a constant outside the parameter list
            self.register_buffer("history_start", start, persistent=False)
        if settings.price_conditioned:
            self.price = nn.Sequential(nn.Linear(PRICE_FEATURES, h), nn.Tanh(), nn.Linear(h, 3 * h))
        self.task_stage = Stage(TEMPERATURES["task"], learned=fixes.learned_scale)
        self.mode_stage = Stage(TEMPERATURES["mode"], learned=fixes.learned_scale)
        self.role_stage = Stage(TEMPERATURES["role"], learned=fixes.learned_scale)
        self.llm_stage = Stage(TEMPERATURES["llm"], learned=fixes.learned_scale)

    def encode(self, candidates: Candidates, noise: torch.Generator | None = None) -> Encoded:
        """Everything about the candidates that no query changes. With `noise` their latents are sampled."""
        modes, roles = self.mode_vae(candidates.modes, noise), self.role_vae(candidates.roles, noise)
        llms = self.llm_vae(candidates.llms, noise)
        return Encoded(
            candidates=candidates,
            modes=modes,
            roles=roles,
            llms=llms,
            domain_keys=self.task_stage.keys(self.domain_projection(candidates.domains)),
            mode_keys=self.mode_stage.keys(modes.value),
            role_keys=self.role_stage.keys(roles.value),
            llm_keys=self.llm_stage.keys(llms.value),
        )

    def forward(
        self,
        queries: Tensor,
        encoded: Encoded,
        *,
        price: Tensor,
        domain: Tensor | None = None,
        given: Choices | None = None,
        generator: torch.Generator | None = None,
        noise: torch.Generator | None = None,
        open_llms: bool = False,
    ) -> CascadeOutput:
        """Draw plans, take the most likely ones, or evaluate given ones.

        Args:
            queries: Query embeddings, shape (B, E).
            encoded: What can be chosen.
            price: log10 of utility per USD, shape (B,).
            domain: Domain indices (B,) where they are known; else the classifier's most likely domain is taken.
            given: Plans to evaluate instead of choosing.
            generator: Source of the draws. None: the most likely choice at every stage.
            noise: Source of the query latents' noise. None: latents are their means.
            open_llms: Leave the LLMs open: their indices are 0 and no part of the log-probability.
        """
        draw = _Draw(given, generator)
        q, mode_shift, count_shift = self._query_context(queries, price)
        domain_logits = self.task_stage(q, encoded.domain_keys)
        chosen = given.domain if given is not None else domain
        domains = domain_logits.argmax(-1) if chosen is None else chosen
        for_mode, for_count = self.query_mode_vae(queries, noise), self.count_vae(queries, noise)
        mode = draw.categorical(
            self.mode_stage(for_mode.value + mode_shift, encoded.mode_keys), None if given is None else given.mode
        )
        context = torch.cat([q, encoded.modes.value[mode]], dim=-1)
        count = self._count(for_count.value + count_shift, encoded.modes.value[mode], draw)
        roles = self._roles(context, encoded, domains, count, draw)
        llms = torch.zeros_like(roles.index) if open_llms else self._llms(context, roles, encoded, count, draw)
        return CascadeOutput(
            choices=Choices(domain=domains, mode=mode, count=count, roles=roles.index, llms=llms),
            log_prob=draw.log_prob,
            entropy=draw.entropy,
            domain_logits=domain_logits,
            query_latents=(for_mode, for_count),
        )

    def query_context(self, queries: Tensor, price: Tensor) -> Tensor:
        """What the task classifier and the later stages know of queries (B, E) at log10 prices (B,): (B, h)."""
        return self._query_context(queries, price)[0]

    def domain_logits(self, context: Tensor, domains: Tensor) -> Tensor:
        """The task classifier: logits (B, D) of query contexts (B, h) over domains by their embeddings (D, E)."""
        return self.task_stage(context, self.task_stage.keys(self.domain_projection(domains)))

    def vae_loss(self, output: CascadeOutput, encoded: Encoded, queries: Tensor) -> Tensor:
        """Sum of the five autoencoders' losses."""
        known, (for_mode, for_count) = encoded.candidates, output.query_latents
        return (
            self.query_mode_vae.loss(for_mode, queries)
            + self.count_vae.loss(for_count, queries)
            + self.mode_vae.loss(encoded.modes, known.modes)
            + self.role_vae.loss(encoded.roles, known.roles)
            + self.llm_vae.loss(encoded.llms, known.llms)
        )

    def _query_context(self, queries: Tensor, price: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q = normalize(self.query_projection(queries))
        if not self.settings.price_conditioned:
            zero = torch.zeros_like(q)
            return q, zero, zero
        # log10 of published prices of money lies between 1 and 4; centred and scaled so that features are near 1.
        x = (price - 2.5).unsqueeze(-1) / 1.5
        shift = self.price(torch.cat([x, x**2, torch.ones_like(x)], dim=-1))
        to_query, to_mode, to_count = shift.chunk(3, dim=-1)
        return q + to_query, to_mode, to_count

    def _count(self, latent: Tensor, mode_context: Tensor, draw: _Draw) -> Tensor:
        most = self.settings.max_agents
        if not self.settings.fixes.count_distribution:
            share = torch.sigmoid(self.count_head(latent).squeeze(-1))
            rounded = (share * most).round().clamp(1, most).long()
            return rounded if draw.given is None else draw.given.count
        logit = self.count_head(torch.cat([latent, mode_context], dim=-1)).squeeze(-1)
        k = torch.arange(most)
        logs = self.log_choose + k * nn.functional.logsigmoid(logit).unsqueeze(-1)
        logs = logs + (most - 1 - k) * nn.functional.logsigmoid(-logit).unsqueeze(-1)
        return 1 + draw.categorical(logs, None if draw.given is None else draw.given.count - 1)

    def _roles(self, context: Tensor, encoded: Encoded, domains: Tensor, count: Tensor, draw: _Draw) -> _Roles:
        table, keys = encoded.roles.value[domains], encoded.role_keys[domains]  # (B, R, h)
        forbidden = ~encoded.candidates.role_mask[domains]  # (B, R)
        rows = torch.arange(len(context))
        history = self.history_start.expand(len(context), -1)
        last = torch.zeros_like(history)
        taken, each = torch.zeros(forbidden.shape), torch.eye(forbidden.shape[1])
        heads = (self.role_context, self.role_repeat) if self.settings.fixes.llm_per_agent else (self.role_context,)
        project, h = _Projection(context, *heads), self.settings.hidden
        picked: list[Tensor] = []
        before: list[Tensor] = []
        chosen: list[Tensor] = []
        for j in range(int(count.max())):
            if not self.settings.fixes.trained_history:  # published: updated before the role is drawn
                history = self.history_norm(history + last)
            here = project(history)
            logits = self.role_stage(here[:, :h], keys)
            if self.settings.fixes.llm_per_agent:
                logits = logits + here[:, h:] * taken
            given = None if draw.given is None else draw.given.roles[:, j]
            index = draw.member(logits.masked_fill(forbidden, -1e9), given)
            last = table[rows, index]
            taken = taken + each[index]
            before.append(history)
            if self.settings.fixes.trained_history:
                history = self.history_norm(history + last)
            picked.append(index)
            chosen.append(last)
        draw.team(count)
        return _Roles(self._padded(picked, count), torch.stack(before, 1), torch.stack(chosen, 1))

    def _llms(self, context: Tensor, roles: _Roles, encoded: Encoded, count: Tensor, draw: _Draw) -> Tensor:
        fixed = not self.settings.fixes.llm_per_agent
        end = roles.before[torch.arange(len(context)), count - 1]  # published: one role context per query
        line = torch.zeros_like(end)  # what the agents before run on
        each = torch.eye(len(encoded.llm_keys))
        taken = torch.zeros(len(end), len(each))
        heads = (self.llm_context,) if fixed else (self.llm_context, self.llm_repeat)
        project, h = _Projection(context, *heads), self.settings.hidden
        picked: list[Tensor] = []
        for j in range(int(count.max())):
            place = end if fixed else roles.before[:, j] + roles.latent[:, j] + line
            here = project(place)
            logits = self.llm_stage(here[:, :h], encoded.llm_keys)
            if not fixed:
                logits = logits + here[:, h:] * taken
            given = None if draw.given is None else draw.given.llms[:, j]
            index = draw.member(logits, given)
            line = self.history_norm(line + encoded.llms.value[index])
            taken = taken + each[index]
            picked.append(index)
        draw.team(count)
        llms = self._padded(picked, count)
        if fixed:  # published: the multinomial's coefficient is part of the log-probability
            draw.add(_multinomial_coefficient(llms, count, len(encoded.llm_keys)))
        return llms

    def _padded(self, picked: list[Tensor], count: Tensor) -> Tensor:
        """Choices of all agents, (B, max_agents); what was picked for agents that a plan does not have is dropped."""
        there = torch.arange(len(picked)) < count.unsqueeze(-1)
        return nn.functional.pad(torch.stack(picked, 1) * there, (0, self.settings.max_agents - len(picked)))


@dataclass(frozen=True, slots=True)
class _Roles:
    index: Tensor  # (B, max_agents)
    before: Tensor  # (B, n, h): history before each role, n the largest count of the batch
    latent: Tensor  # (B, n, h): the chosen roles


class _Projection:
    """Linear layers on [context, place], side by side, where only the place changes from agent to agent."""

    def __init__(self, context: Tensor, *layers: nn.Linear) -> None:
        weight = torch.cat([layer.weight for layer in layers])
        width = context.shape[-1]
        self._fixed = nn.functional.linear(context, weight[:, :width], torch.cat([layer.bias for layer in layers]))
        self._weight = weight[:, width:]

    def __call__(self, place: Tensor) -> Tensor:
        """Outputs of all layers, one after the other, shape (B, sum of widths)."""
        return self._fixed + nn.functional.linear(place, self._weight)


class _Draw:
    """Makes or looks up the choices of one pass and adds up their log-probabilities and entropies."""

    def __init__(self, given: Choices | None, generator: torch.Generator | None) -> None:
        self.given = given
        self._generator = generator
        self._learning = torch.is_grad_enabled()  # entropies are only wanted where gradients are
        self.log_prob: Tensor = torch.zeros(())
        self.entropy: Tensor = torch.zeros(())
        self._members: list[tuple[Tensor, Tensor]] = []  # logits and choices of the agents so far

    def categorical(self, logits: Tensor, given: Tensor | None) -> Tensor:
        """One choice per row of unnormalised log-probabilities (B, n)."""
        index = self._choose(logits, given)
        logs = logits.log_softmax(-1)
        self.log_prob = self.log_prob + logs.gather(-1, index.unsqueeze(-1)).squeeze(-1)
        if self._learning:
            self.entropy = self.entropy - (logs.exp() * logs).sum(-1)
        return index

    def member(self, logits: Tensor, given: Tensor | None) -> Tensor:
        """One choice per row for the next agent; `team` counts the choices of all agents at once."""
        index = self._choose(logits, given)
        self._members.append((logits, index))
        return index

    def team(self, count: Tensor) -> None:
        """Count the choices made for agents since the last call.

        A choice for agent j of `count` counts for nothing where there is no such agent, and its entropy by one part
        in `count`: the plain sum would reward plans for having many agents.
        """
        logs = torch.stack([logits for logits, _ in self._members], 1).log_softmax(-1)  # (B, agents, n)
        index = torch.stack([index for _, index in self._members], 1)  # (B, agents)
        there = (torch.arange(index.shape[1]) < count.unsqueeze(-1)).float()
        self.log_prob = self.log_prob + (there * logs.gather(-1, index.unsqueeze(-1)).squeeze(-1)).sum(-1)
        if self._learning:
            entropy = -(logs.exp() * logs).sum(-1)
            self.entropy = self.entropy + (there * entropy).sum(-1) / count
        self._members.clear()

    def _choose(self, logits: Tensor, given: Tensor | None) -> Tensor:
        if given is not None:
            return given
        if self._generator is None:
            return logits.argmax(-1)
        return torch.multinomial(logits.detach().softmax(-1), 1, generator=self._generator).squeeze(-1)

    def add(self, log_prob: Tensor) -> None:
        """Count a further term into the log-probability."""
        self.log_prob = self.log_prob + log_prob


def _multinomial_coefficient(llms: Tensor, count: Tensor, n: int) -> Tensor:
    active = torch.arange(llms.shape[1]) < count.unsqueeze(-1)
    hits = torch.zeros(len(llms), n).scatter_add_(1, llms, active.float())
    return torch.lgamma(count + 1.0) - torch.lgamma(hits + 1.0).sum(-1)
