"""Who asks, what they may have, and what they pay from: the seam behind which keys and budgets are kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from mar.runtime import Purse
from mar.serving.keys.key import Key, Role
from mar.traffic.records import Keep
from mar.types import ZERO_USAGE, Usage


@dataclass(slots=True, kw_only=True)
class Visit:
    """One request of somebody who was let in."""

    guest: str = ""  # who asks, as logs call them: never a key; "": nobody in particular
    models: frozenset[str] | None = None  # that they may have; None: all
    controllers: frozenset[str] | None = None  # that they may have, as "mar" or "mar/NAME"; None: all
    purse: Purse | None = None  # what tries are paid from; it holds the money of each before it is made
    role: Role = "use"  # what they may see and change beside asking
    keep: Keep | None = None  # of the request; None: as the settings say
    explore: bool = True  # whether it may be answered otherwise for what that teaches
    usage: Usage = ZERO_USAGE  # what the request used, set before the visit ends


Shown = str | bytes | None
"""A key as a client shows it, without "Bearer", or what is kept of one, its hash; None: nothing was shown."""


class Admission(Protocol):
    """Lets requests in, or does not."""

    @property
    def open(self) -> bool:
        """Whether anybody is let in who can connect."""
        ...

    def holder(self, key: Shown) -> Key | None:
        """Whose key it is, nothing being asked; None: nobody needs one.

        Raises:
            Refusal: 401: there is no such key.
        """
        ...

    def visit(self, key: Shown, *, tokens: int) -> AbstractAsyncContextManager[Visit]:
        """One request; the visit lasts until its answer has ended, however it does.

        Args:
            key: What the client showed.
            tokens: At least how many tokens the request has, by an estimate, for limits of tokens per minute.

        Raises:
            Refusal: 401: there is no such key; 429: too many requests or tokens; 402: its budget is spent.
        """
        ...


class Anybody:
    """Lets everybody in: for a gateway that only this machine can connect to."""

    open = True

    def holder(self, key: Shown) -> Key | None:
        """See `Admission`."""
        return None

    @asynccontextmanager
    async def visit(self, key: Shown, *, tokens: int) -> AsyncGenerator[Visit]:
        """See `Admission`."""
        yield Visit()
