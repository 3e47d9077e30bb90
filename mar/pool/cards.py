"""Model cards: what is known about each model of a pool."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mar.pool.dialect import Dialect

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ModelCard(BaseModel):
    """One model: what it is, what it costs, how to reach it. Unknown prices are None, never 0."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    name: str = Field(min_length=1)  # how plans and tables call it
    description: str = ""  # what controllers read: strengths, price, benchmark scores in words
    price_in: NonNegative | None = None  # USD per million prompt tokens
    price_out: NonNegative | None = None  # USD per million completion tokens
    price_gpu_second: NonNegative | None = None  # USD per second of a call, for self-hosted models priced by time
    context_tokens: int = Field(default=8192, gt=0)  # prompt and completion together
    max_output_tokens: int = Field(default=1024, gt=0)
    base_url: str | None = None  # of an OpenAI-compatible server
    served_name: str | None = None  # the server's name for it; None: `name`
    revision: str | None = None  # of the weights behind address and name: change it, and no earlier answer is reused
    key_env: str | None = None  # name of the environment variable that holds the key
    concurrency: int = Field(default=16, gt=0)  # calls under way at once
    requests_per_minute: Positive | None = None
    timeout_s: Positive = 120.0  # of one try
    tags: tuple[str, ...] = ()
    dialect: Dialect = Dialect()  # what its server takes, as far as that is known beforehand

    @model_validator(mode="after")
    def _one_way_to_price(self) -> ModelCard:
        if (self.price_in is None) != (self.price_out is None):
            raise ValueError("price_in and price_out are given together or not at all")
        if self.price_in is not None and self.price_gpu_second is not None:
            raise ValueError("either prices per million tokens or a price per GPU-second, not both")
        return self

    @model_validator(mode="after")
    def _room_for_a_prompt(self) -> ModelCard:
        if self.max_output_tokens >= self.context_tokens:
            raise ValueError(
                f"max_output_tokens is {self.max_output_tokens}; expected less than context_tokens, "
                f"{self.context_tokens}, so that a prompt fits"
            )
        return self

    @property
    def has_price(self) -> bool:
        """Whether a call's cost can be known."""
        return self.price_in is not None or self.price_gpu_second is not None

    def cost_usd(self, *, prompt_tokens: int | None, completion_tokens: int | None, seconds: float) -> float | None:
        """USD for one call, or None when the price or the usage that it needs is unknown."""
        if self.price_gpu_second is not None:
            return self.price_gpu_second * seconds
        if self.price_in is None or self.price_out is None or prompt_tokens is None or completion_tokens is None:
            return None
        return (self.price_in * prompt_tokens + self.price_out * completion_tokens) / 1e6
