"""Virtual keys: who may ask a gateway, for what, and how much of it.

A key's secret is 32 random bytes that are shown once, when it is made; what is kept is its SHA-256. Slow hashes with
salt (scrypt, Argon2) protect passwords, which can be guessed; 256 random bits cannot, so they would only make every
request dear. A secret is found by its hash: how long that takes says something about the hash alone, which nobody can
choose to their liking, and nothing about the secret.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mar.errors import ConfigError
from mar.serving.limits.base import MOST
from mar.serving.money import NANO
from mar.traffic.records import Keep

PREFIX = "sk-mar-"  # by which scanners for secrets, and people, know one
SECRET_BYTES = 32
MOST_NAME = 200  # characters

Role = Literal[
    "use",  # may ask
    "observe",  # may ask, and see what all ask and what it costs
    "admin",  # may change that, too
]
Usd = Annotated[float, Field(ge=0, le=MOST / NANO, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0, le=MOST)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
_SECRET = re.compile(re.escape(PREFIX) + r"[\w-]{8,}")


class Terms(BaseModel):
    """What a key allows. None: no limit, or all."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    models: tuple[Name, ...] | None = None
    controllers: tuple[Name, ...] | None = None  # "mar", "mar/NAME"
    usd_day: Usd | None = None  # of UTC
    usd_month: Usd | None = None  # the calendar's, of UTC
    usd_total: Usd | None = None
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    at_once: Count | None = None  # requests under way
    role: Role = "use"
    log: Keep = "nothing"  # what is kept of its requests, beyond what they cost and how they ended
    explore: bool = True  # whether its requests may be answered otherwise for what that teaches

    @property
    def budgets(self) -> dict[Literal["day", "month", "total"], float]:
        """Limits in USD by period."""
        found = {"day": self.usd_day, "month": self.usd_month, "total": self.usd_total}
        return {period: usd for period, usd in found.items() if usd is not None}  # pyright: ignore[reportReturnType]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A virtual key, without its secret."""

    id: str  # what counters, logs and people call it
    name: str  # what it is for
    terms: Terms
    created: float  # seconds since 1970
    revoked: float | None  # seconds since 1970; None: it is good


def named(name: str) -> str:
    """A name for a key, as somebody wrote it.

    Raises:
        ConfigError: It is empty or cannot be printed.
    """
    if not name.strip() or not name.isprintable() or len(name) > MOST_NAME:
        raise ConfigError(
            f"the key's name is empty, longer than {MOST_NAME} characters, or holds what cannot be printed; expected "
            "a word or a few"
        )
    return name.strip()


def new_id() -> str:
    """A name for a key that no other has."""
    return f"key-{secrets.token_hex(6)}"


def new_secret() -> str:
    """A secret that nobody can guess."""
    return PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def hash_of(secret: str) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


def without_secrets(text: str) -> str:
    """A text in which no virtual key can be read."""
    return _SECRET.sub(PREFIX + "…", text)
