"""Model cards: what is known about each model of a pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mar.pool.dialect import Dialect

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


KEY_HEADERS = frozenset({"authorization", "api-key", "x-api-key"})
OUR_FIELDS = ("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature")


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
    hedge_s: Positive | None = None  # a call that takes longer is made a second time; None: never
    embeddings: bool = False  # it makes vectors of texts, and no answers: no plan gets it
    tags: tuple[str, ...] = ()
    dialect: Dialect = Dialect()  # what its server takes, as far as that is known beforehand
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None  # of every call, whatever is asked for
    reasoning_effort: str | None = Field(default=None, min_length=1)  # low, medium, high, ...: as the server names it
    api_version: str | None = Field(default=None, min_length=1)  # sent as Azure wants it, and the key as `api-key`
    headers: Mapping[str, str] = Field(default_factory=dict)  # sent with every request; no keys: these go by `key_env`
    extra_body: Mapping[str, Any] = Field(default_factory=dict)  # further fields of every request's body

    @field_validator("headers")
    @classmethod
    def _no_keys(cls, headers: Mapping[str, str]) -> Mapping[str, str]:
        for name, value in headers.items():
            if name.lower() in KEY_HEADERS:
                raise ValueError(f"{name} holds a key; expected key_env, the name of the variable that holds it")
            if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum() or not value.isprintable():
                raise ValueError(f"{name!r} cannot be sent as a header; expected a name of letters and one line")
        return headers

    @field_validator("extra_body")
    @classmethod
    def _not_ours(cls, body: Mapping[str, Any]) -> Mapping[str, Any]:
        ours = [name for name in OUR_FIELDS if name in body]
        if ours:
            raise ValueError(f"{ours[0]} is set by every request itself; expected other fields")
        return body

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
