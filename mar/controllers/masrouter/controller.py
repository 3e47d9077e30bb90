# pyright: basic
"""MasRouter as a controller: texts to embeddings, embeddings through the cascade, indices to plans."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mar.controllers.base import Planned, PlanSpace
from mar.controllers.careful import pool_doubt
from mar.controllers.embeddings import Encoder
from mar.controllers.masrouter.network import Candidates, Cascade, CascadeOutput, Choices, Encoded
from mar.controllers.masrouter.settings import Fixes, NetworkSettings
from mar.errors import CheckpointError, ConfigError
from mar.types import AgentSpec, Decision, Domain, ModeSpec, Plan, Query


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateNames:
    """What the candidates' indices stand for."""

    domains: tuple[Domain, ...]
    modes: tuple[str, ...]
    roles: tuple[tuple[str, ...], ...]  # by domain
    llms: tuple[str, ...]

    def domain(self, name: Domain) -> int:
        """The index of a domain.

        Raises:
            ConfigError: It is none of the candidates.
        """
        if name not in self.domains:
            among = ", ".join(self.domains)
            raise ConfigError(f"no domain {name!r} to choose; there are: {among}; others need roles (--prompts)")
        return self.domains.index(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """How plans are finished, apart from what the network decides."""

    decision: Decision = "final"
    rounds: int | None = None  # None: each mode's own
    domain: Domain | None = None  # fixes the task domain; None: the classifier decides


class MasRouter:
    """The cascaded controller.

    Args:
        settings: Shape and fixes of the network.
        encoder: Where text embeddings come from; its width must be the network's.
        cost_rate: Price of money, in utility per USD. It may be changed between calls: a price-conditioned network
            moves along its curve of accuracy against cost.
        options: How plans are finished.
    """

    name = "MasRouter"

    def __init__(
        self,
        settings: NetworkSettings,
        encoder: Encoder,
        *,
        cost_rate: float,
        options: PlanOptions | None = None,
        seed: int = 0,
    ) -> None:
        if encoder.width != settings.embedding:
            raise ConfigError(
                f"the encoder {encoder.name} makes vectors of width {encoder.width}; the network expects "
                f"{settings.embedding}"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = Cascade(settings)
        self._weights = tuple(self.network.parameters())  # finding them anew would be a fifth of a decision
        self.settings = settings
        self.encoder = encoder
        self.cost_rate = cost_rate
        self.options = options or PlanOptions()
        self.trained: frozenset[str] | None = None  # names of the models that it learned on; None: not known
        self.modes: tuple[str, ...] | None = None  # that it learned to choose from; None: not known
        self.domains: tuple[Domain, ...] = ()  # that it learned to tell apart, as far as is known
        self.sampler: torch.Generator | None = None  # set: plans are drawn instead of the most likely ones
        self._seen: tuple[int, Encoded] | None = None  # version of the weights, candidates as they see them
        self._prepared: tuple[PlanSpace, Candidates, CandidateNames] | None = None

    @property
    def as_published(self) -> bool:
        """Whether any of the published controller's ways is kept."""
        return self.settings.fixes != Fixes()

    def doubts(self, queries: Sequence[Query], space: PlanSpace) -> list[str]:
        """Why the cards should decide in its place: a pool of models that it knows nothing of."""
        doubt = "" if self.trained is None else pool_doubt(space.cards, self.trained, priced=False)
        return [doubt] * len(queries)

    # Candidates -----------------------------------------------------------------------------------------------

    def candidates(self, space: PlanSpace) -> tuple[Candidates, CandidateNames]:
        """Embeddings and names of everything that plans can be made of; kept while the space stays the same."""
        if self._prepared is None or self._prepared[0] is not space:
            self._prepared = (space, *self._prepare(space))
        return self._prepared[1], self._prepared[2]

    def _prepare(self, space: PlanSpace) -> tuple[Candidates, CandidateNames]:
        if space.max_agents != self.settings.max_agents:
            raise ConfigError(
                f"plans may have {space.max_agents} agents, but the network was made for {self.settings.max_agents}"
            )
        domains = space.prompts.known_domains
        if missing := [d for d in self.domains if d not in domains]:
            raise ConfigError(
                f"{self.name} learned to recognise the domain {missing[0]!r}, of which there are no roles; give the "
                f"folder that has them (--prompts); there are: {', '.join(domains)}"
            )
        texts = candidate_texts(space)
        sets = [space.roles(d) for d in domains]
        width = max(len(s) for s in sets)
        roles = torch.zeros(len(domains), width, self.encoder.width)
        mask = torch.zeros(len(domains), width, dtype=torch.bool)
        for i, members in enumerate(sets):
            roles[i, : len(members)] = self.embed([r.profile for r in members])
            mask[i, : len(members)] = True
        candidates = Candidates(
            domains=self.embed([texts[f"domain/{d}"] for d in domains]),
            modes=self.embed([texts[f"mode/{m}"] for m in space.modes]),
            roles=roles,
            role_mask=mask,
            llms=self.embed([texts[f"llm/{c.name}"] for c in space.cards]),
        )
        names = CandidateNames(
            domains=domains,
            modes=space.modes,
            roles=tuple(tuple(r.name for r in s) for s in sets),
            llms=tuple(c.name for c in space.cards),
        )
        return candidates, names

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Embeddings of texts, shape (len(texts), E)."""
        return torch.from_numpy(self.encoder.encode(texts))

    # Planning -------------------------------------------------------------------------------------------------

    def plan(self, queries: Sequence[Query], space: PlanSpace) -> list[Planned]:
        """One plan per query in one pass: the most likely ones, or drawn ones when `sampler` is set.

        The published controller (without the fix `greedy_test`) always draws; equal queries draw equal plans.
        """
        if not queries:
            return []
        if self.cost_rate <= 0 and self.settings.price_conditioned:
            raise ConfigError(f"cost_rate is {self.cost_rate}; a positive utility per USD is expected")
        candidates, names = self.candidates(space)
        with torch.inference_mode():
            output = self.network(
                self.embed([q.text for q in queries]),
                self._encoded(candidates),
                price=torch.full((len(queries),), log_price(self.cost_rate)),
                domain=self._known_domains(queries, names),
                generator=self._generator(queries),
            )
        return self.to_plans(output, names)

    def _encoded(self, candidates: Candidates) -> Encoded:
        """The candidates as the present weights see them, computed once for each state of the weights."""
        version = sum(p._version for p in self._weights)
        if self._seen is None or self._seen[0] != version or self._seen[1].candidates is not candidates:
            self._seen = (version, self.network.encode(candidates))
        return self._seen[1]

    def _generator(self, queries: Sequence[Query]) -> torch.Generator | None:
        if self.sampler is not None or self.settings.fixes.greedy_test:
            return self.sampler
        digest = hashlib.blake2b("\0".join(q.text for q in queries).encode(), digest_size=8).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest, "big"))

    def _known_domains(self, queries: Sequence[Query], names: CandidateNames) -> Tensor | None:
        if self.options.domain is not None:
            return torch.full((len(queries),), names.domain(self.options.domain))
        if self.settings.fixes.predicted_domain:
            return None
        if any(q.domain is None for q in queries):
            raise ConfigError("the published controller is told each query's domain; give --domain")
        return torch.tensor([names.domain(q.domain) for q in queries if q.domain is not None])

    def to_plans(self, output: CascadeOutput, names: CandidateNames) -> list[Planned]:
        """What the network chose, with the probability of the choice."""
        if output.log_prob.isnan().any():
            raise CheckpointError("the weights of this controller give no probabilities: they are far too large")
        plans = self.plans_of(output.choices, names)
        return [
            Planned(plan=plan, log_prob=log_prob, notes={"domain": plan.domain})
            for plan, log_prob in zip(plans, output.log_prob.detach().tolist(), strict=True)
        ]

    def plans_of(self, choices: Choices, names: CandidateNames) -> list[Plan]:
        """Indices to plans."""
        columns = (choices.domain, choices.mode, choices.count, choices.roles, choices.llms)
        rows = zip(*(c.tolist() for c in columns), strict=True)
        return [self._plan(*row, names=names) for row in rows]

    def _plan(
        self, domain: int, mode: int, count: int, roles: list[int], llms: list[int], *, names: CandidateNames
    ) -> Plan:
        agents = tuple(
            AgentSpec(role=names.roles[domain][r], model=names.llms[m])
            for r, m in zip(roles[:count], llms[:count], strict=True)
        )
        return Plan(
            mode=ModeSpec(name=names.modes[mode], rounds=self.options.rounds),
            domain=names.domains[domain],
            agents=agents,
            decision=self.options.decision,
        )

    def choices_of(self, plans: Sequence[Plan], names: CandidateNames) -> Choices:
        """Plans to indices, the inverse of `plans_of`.

        Raises:
            ConfigError: A plan uses something that is no candidate, or too many agents.
        """
        most = self.settings.max_agents
        try:
            domains = [names.domains.index(p.domain) for p in plans]
            roles = [[names.roles[d].index(a.role) for a in p.agents] for d, p in zip(domains, plans, strict=True)]
            llms = [[names.llms.index(a.model or "") for a in p.agents] for p in plans]
            modes = [names.modes.index(p.mode.name) for p in plans]
        except ValueError as error:
            raise ConfigError(f"a plan uses something that the controller cannot choose: {error}") from None
        if any(len(r) > most for r in roles):
            raise ConfigError(f"a plan has more than {most} agents")
        return Choices(
            domain=torch.tensor(domains),
            mode=torch.tensor(modes),
            count=torch.tensor([len(r) for r in roles]),
            roles=torch.tensor([r + [0] * (most - len(r)) for r in roles]),
            llms=torch.tensor([m + [0] * (most - len(m)) for m in llms]),
        )


def log_price(cost_rate: float) -> float:
    """log10 of a price of money; a price of zero counts as a hundredth of utility per USD."""
    return math.log10(max(cost_rate, 1e-2))


def candidate_texts(space: PlanSpace) -> dict[str, str]:
    """The texts of all candidates by kind and name: what a checkpoint remembers and compares."""
    prompts = space.prompts
    domains = prompts.known_domains
    texts = {f"domain/{d}": prompts.domains[d].profile for d in domains}
    texts |= {f"mode/{m}": prompts.mode(m).profile for m in space.modes}
    texts |= {f"role/{d}/{r.name}": r.profile for d in domains for r in space.roles(d)}
    texts |= {f"llm/{c.name}": f"{c.name} : {c.description}" for c in space.cards}
    return texts
