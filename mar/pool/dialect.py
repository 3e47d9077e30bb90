"""What a model's server takes: a card may state it, and a refusal teaches what no card states (`mar.pool.lessons`)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

LimitName = Literal["max_tokens", "max_completion_tokens"]
Optional = Literal["temperature", "top_p", "stop", "logprobs", "priority", "stream_options", "tools"]
OPTIONAL: tuple[Optional, ...] = ("temperature", "top_p", "stop", "logprobs", "priority", "stream_options", "tools")


class Dialect(BaseModel):
    """How one model's server wants to be asked, and how it answers. The defaults are those of a plain server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    system_role: bool = True  # takes system messages; else their text is the user's, and speakers take turns
    output_limit: LimitName = "max_tokens"  # the name of the limit on what is generated
    leave_out: tuple[Optional, ...] = ()  # what it refuses: never sent, even where asked for
    most_output_tokens: int | None = Field(default=None, gt=0)  # the most it takes as a limit; None: not known
    begins_reasoning: bool = False  # replies begin inside reasoning whose opening tag its template wrote

    def changed(self, **fields: object) -> Dialect:
        """The same but for some fields."""
        return Dialect.model_validate({**self.model_dump(), **fields})
