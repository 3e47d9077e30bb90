"""What of MasRouter's published design is kept and what is put right. Every fix can be switched off on its own."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Fixes(BaseModel):
    """The corrections to the published controller, all on. `Fixes.none()` is the published behaviour."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trained_history: bool = True  # the role history's start is a parameter, and the last role is part of the context
    count_distribution: bool = True  # agents ~ 1 + Binomial(max - 1, d), in log pi; published: a rounded sigmoid
    llm_per_agent: bool = True  # each agent's LLM depends on its role and place; published: one multinomial per query
    baseline: bool = True  # leave-one-out baseline over a query's rollouts; published: none
    entropy: bool = True  # entropy bonus
    learned_scale: bool = True  # learned similarity scales and a task loss on logits; published: fixed temperatures
    vae_prior: bool = True  # latents are sampled with the deviation that the KL term assumes; published: a tenth of it
    greedy_test: bool = True  # plans at test time are the most likely ones; published: sampled
    predicted_domain: bool = True  # the classifier decides the domain at test time; published: the true label

    @classmethod
    def none(cls) -> Fixes:
        """The published controller, mistakes included."""
        return cls(**dict.fromkeys(cls.model_fields, False))


class NetworkSettings(BaseModel):
    """Shape of the network (the paper's section 4 and its published settings)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    embedding: int = Field(default=384, gt=0, le=16_384)  # width of a text embedding
    hidden: int = Field(default=64, gt=0, le=4_096)
    max_agents: int = Field(default=6, gt=0, le=64)
    price_conditioned: bool = True  # the policy knows the price of money, so one network serves many budgets
    fixes: Fixes = Fixes()
