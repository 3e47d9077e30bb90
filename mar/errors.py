"""Every error mar raises, drawn as a tree of whose fault it is.

    MarError
    ├── UserError            the caller's: one clear line, exit status 2, nothing half-written
    │   ├── ConfigError      a pool file, .env, option or plan that does not make sense
    │   ├── DataError        a data file or row that cannot be used
    │   └── CheckpointError  a checkpoint that does not fit what it is loaded into
    ├── OutsideError         the outside world's
    │   ├── CallError        a model call that failed; `retryable` says whether it can pass, `charge` what it may cost
    │   │   ├── RateLimited, ServerFault (ModelLoading), CallTimeout, ConnectionLost, BadReply      (retryable)
    │   │   └── BadKey, UnknownModel, ContextOverflow, BadRequest, Refused, NoRecording, BrokenOff,
    │   │       ServerDown                                                                        (final)
    │   ├── PoolDown           a model that a run needs answers no more
    │   ├── LookupUnavailable  a look-up service that gave no answer
    │   ├── StoreUnavailable   a gateway's database that gave no answer
    │   ├── ServerNotStarted   a model server that was to be started ended or did not become healthy
    │   └── SandboxUnavailable the sandbox could not be started on this machine
    ├── LimitReached         a budget the user set (USD, tokens, seconds) is spent
    └── InternalError        ours: a broken invariant; please report it

What servers say is mapped onto this tree in one place (`mar.pool.faults`), and failures on the way to them in another
(`mar.pool.transport`). A call that fails inside an episode does not surface as an exception: the runtime records it as
a `mar.types.Failure` and goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal


class MarError(Exception):
    """Base of everything raised on purpose by mar."""


class UserError(MarError):
    """Something the caller gave cannot be used. The message says what, where and what was expected, in one line."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))  # names in a file may hold line breaks


class ConfigError(UserError):
    """A pool file, environment file, option, plan or name is wrong."""


class DataError(UserError):
    """A data file or one of its rows is wrong."""


class CheckpointError(UserError):
    """A checkpoint is damaged or was made for something else."""


class OutsideError(MarError):
    """The outside world failed."""


Charged = Literal[
    "no",  # nothing was generated: never connected, an error before any output, a rate limit
    "yes",  # an answer was generated, if one of no use: empty, filtered, broken off by the server's own account
    "unknown",  # nobody can know: a time-out, a broken stream, a body that cannot be read
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What a provider takes for one failed try."""

    charged: Charged
    prompt_tokens: int | None = None  # as counted by the server; None: it did not say
    completion_tokens: int | None = None  # as counted by the server; None: it did not say


class CallError(OutsideError):
    """A model call failed.

    Args:
        message: What happened, without any key or header.
        retry_after_s: Seconds the server asked us to wait, when it did.
        charge: What this try may have cost. None: what is usual for this kind of failure, tokens unknown.
    """

    kind: ClassVar[str] = "call"
    retryable: ClassVar[bool] = False
    patient: ClassVar[bool] = False  # whether nothing but time helps, so that more of it is given
    usually_charged: ClassVar[Charged] = "no"

    def __init__(self, message: str, *, retry_after_s: float | None = None, charge: Charge | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.attempts = 1  # tries of the call so far, this one included; whoever tries again keeps count
        self.charge = charge or Charge(charged=self.usually_charged)


class RateLimited(CallError):
    """The server said too many requests (429)."""

    kind = "rate_limited"
    retryable = True
    patient = True


class ServerFault(CallError):
    """The server failed (5xx)."""

    kind = "server_fault"
    retryable = True


class ModelLoading(ServerFault):
    """The server is there and still loads the model."""

    patient = True


class ServerDown(ServerFault):
    """A server that has failed again and again and is not asked for a while."""

    retryable = False


class CallTimeout(CallError):
    """No (complete) answer within the time limit."""

    kind = "timeout"
    retryable = True
    usually_charged = "unknown"


class ConnectionLost(CallError):
    """The connection could not be made or broke, also in the middle of a stream."""

    kind = "connection"
    retryable = True
    usually_charged = "unknown"


class BadReply(CallError):
    """The server answered with something that is no answer: garbage, no choice, an empty text."""

    kind = "bad_reply"
    retryable = True
    usually_charged = "unknown"


class BadKey(CallError):
    """The key is missing, wrong or not allowed (401, 403)."""

    kind = "bad_key"


class UnknownModel(CallError):
    """The server does not know the model (404)."""

    kind = "unknown_model"


class ContextOverflow(CallError):
    """The prompt does not fit the model's context."""

    kind = "context_overflow"


class BadRequest(CallError):
    """The server refuses the request as malformed (400, 422)."""

    kind = "bad_request"


class Refused(CallError):
    """The server's content filter refused to answer."""

    kind = "refused"


class NoRecording(CallError):
    """A replay pool holds no answer for this item, model and kind of call."""

    kind = "no_recording"


class BrokenOff(CallError):
    """An answer that is shown while it is written broke off: it must not begin anew before a reader's eyes."""

    kind = "broken_off"


class PoolDown(OutsideError):
    """A model that a run needs answers no more, however often it is asked."""


class LookupUnavailable(OutsideError):
    """A look-up service gave no answer."""


class StoreUnavailable(OutsideError):
    """A gateway's database gave no answer."""


class ServerNotStarted(OutsideError):
    """A model server that was to be started ended, or was not healthy in time."""


class SandboxUnavailable(OutsideError):
    """The sandbox cannot run on this machine."""


class LimitReached(MarError):
    """A limit that the user set is spent. The message states the limit and the value that broke it."""


class InternalError(MarError):
    """A broken invariant in mar itself."""
