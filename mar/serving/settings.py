"""What a gateway is told in its one file, serve.toml; every field has a default, so that none is needed."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mar.controllers.cards import Cards
from mar.errors import ConfigError
from mar.pool.breaker import BreakerPolicy
from mar.reading import read_toml, validated
from mar.traffic.records import Keep
from mar.traffic.redaction import Known
from mar.traffic.rollout import Rules

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
DEFAULT_PORT = 8130
MOST_EVENLY = 0.5  # share of requests that explore evenly


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ControllerSettings(_Section):
    """A controller that clients ask for as mar/NAME."""

    name: Name
    router: str = Field(default=Cards.name, min_length=1)  # cards, a packaged controller, or a checkpoint file
    cost_rate: NonNegative | None = None  # utility per USD; None: the controller's own


class Limits(_Section):
    """What one client may take of a worker."""

    body_bytes: Count = 16 * 2**20  # of a request
    head_bytes: Count = 64 * 2**10  # of a request's line and headers
    head_seconds: Positive = 10.0  # from the connection, or the end of the request before, to the last header
    body_seconds: Positive = 30.0  # for the whole body
    answer_seconds: Positive = 600.0  # from the whole request to the end of the answer
    wait_seconds: Positive = 2.0  # that a call may be put off before another model is asked
    write_seconds: Positive = 30.0  # that a client may take nothing of what is sent
    at_once: Count = 2000  # requests under way
    ratings_per_minute: Count = 120  # of one key


class RuleSettings(_Section):
    """Something that is blotted out of texts."""

    name: Name  # stands in its place, in brackets
    pattern: str = Field(min_length=1)  # a regular expression


class EpisodeSettings(_Section):
    """What is kept of requests, for /v1/episodes, /v1/feedback and whoever looks at them later."""

    days: Positive = 90.0  # that a request is kept
    rows: Count = 1_000_000  # requests that are kept; the oldest go first
    keep: Keep = "text"  # of requests without a key, which says so for its own
    text_days: Positive | None = None  # that texts are kept; then features are
    feature_days: Positive | None = None  # that features are; then no more than what a request cost
    redact: tuple[Known | RuleSettings, ...] = ()  # what is blotted out of texts that are kept
    encoder: str | None = None  # of questions that are kept as features: a name, or module:Class; None: MiniLM


class CacheSettings(_Section):
    """Answers that are given again to who asks the same."""

    seconds: NonNegative = 0.0  # for how long; 0: never
    shared: bool = False  # whether one key's answers are given to others, too


class ExploreSettings(_Section):
    """How much is answered otherwise than a controller would, to learn from."""

    share: Annotated[float, Field(ge=0, le=1)] = 0.0  # of requests that are logged; drawn evenly, half at most
    by: Literal["evenly", "belief"] = "evenly"  # belief: as probably as each model is the best, by all ratings so far
    max_usd: NonNegative | None = None  # that a model in the plan's place is expected to cost; None: any cost
    max_loss: Annotated[float, Field(ge=0, le=1)] = 0.2  # by which it is expected to be right less often
    others_usd_day: NonNegative = 0.0  # that asking the other models rated questions may cost in all; 0: none is

    @model_validator(mode="after")
    def _half_evenly(self) -> ExploreSettings:
        if self.by == "evenly" and self.share > MOST_EVENLY:
            raise ValueError(f"explore: share is {self.share:g}; expected {MOST_EVENLY:g} at most where by is evenly")
        return self


class OutcomeSettings(_Section):
    """Who says what answers were worth, beside users."""

    grader: str | None = None  # module:function or file.py:function of a question and an answer, which gives 0 to 1
    judge: str | None = None  # a model of the pool
    judge_share: Annotated[float, Field(gt=0, le=1)] = 0.05  # of answers that it grades
    judge_usd: NonNegative = 1.0  # that a worker may spend on it in all


class OtelSettings(_Section):
    """Spans for OpenTelemetry; where they go, its own environment variables say."""

    on: bool = False
    content: bool = False  # whether spans hold what was asked and said


class Settings(_Section):
    """A gateway."""

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=DEFAULT_PORT, ge=0, lt=65536)  # 0: any that is free
    workers: int = Field(default=1, ge=1, le=256)  # processes
    insecure: bool = False  # whether others than this machine may ask without a key
    pool: str = Field(default="auto", min_length=1)  # as mar ask takes it: what is configured, else simulated
    router: str = Field(default=Cards.name, min_length=1)  # the controller that is asked for as mar
    cost_rate: NonNegative | None = None  # of that one
    controllers: tuple[ControllerSettings, ...] = ()
    prompts: Path | None = None  # folder of roles and prompts beside, or in the place of, those of mar
    tools: Path | None = None  # file of tools that roles may call
    extend: tuple[str, ...] = ()  # Python files or modules that are imported, for what they register
    metrics_open: bool = False  # whether /metrics needs no key where keys are needed
    cache: CacheSettings = CacheSettings()
    sticky_seconds: NonNegative = 0.0  # that a conversation stays with who answered it last; 0: controllers choose anew
    breaker: BreakerPolicy = BreakerPolicy()  # when a server that is ill is left alone for a while
    max_usd: NonNegative | None = None  # that a worker may spend in all; None: no limit
    request_usd: NonNegative | None = None  # that one request may cost, unless it asks for less
    store: str | None = None  # of keys and requests: a file, or postgresql://...; None: a file in the cache folder
    keys: str | None = None  # of keys alone, likewise; None: in the store
    limits_store: str | None = None  # of what keys have spent: a file, postgresql:// or redis://; None: with the store
    limits: Limits = Limits()
    episodes: EpisodeSettings = EpisodeSettings()
    explore: ExploreSettings = ExploreSettings()
    outcomes: OutcomeSettings = OutcomeSettings()
    otel: OtelSettings = OtelSettings()
    rollout: Rules = Rules()  # how careful new versions of controllers are brought in

    @model_validator(mode="after")
    def _each_name_once(self) -> Settings:
        names = [controller.name for controller in self.controllers]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"controllers: {name!r} is named twice; names must differ")
        return self

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False


def read_settings(path: Path | None, **given: object) -> Settings:
    """The settings of a file, or the defaults, with what the command line says in place of theirs.

    Args:
        path: The file; None: none.
        given: Values by field; None: not given.

    Raises:
        ConfigError: The file cannot be read, or a field is unknown or has a value that cannot be.
    """
    where = "the command line" if path is None else str(path)
    data = {} if path is None else read_toml(path, expected="a gateway's settings", error=ConfigError)
    data |= {name: value for name, value in given.items() if value is not None}
    return validated(Settings, data, where, error=ConfigError)
