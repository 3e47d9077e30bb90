"""What a tool is and gives, and what limits the calls of one message."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mar.types import TOOL_FAILED, Failure, Feedback, ToolSpec

NAME = r"^[A-Za-z0-9_-]{1,64}$"  # what APIs take as the name of a tool


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolReport:
    """What a tool found out."""

    text: str  # for the prompt
    ok: bool = True
    feedback: Feedback = ""
    failure: Failure | None = None  # why the tool itself could not do its work

    @property
    def summary(self) -> str:
        """The first line, for the trace."""
        return self.text.partition("\n")[0][:200]

    @classmethod
    def wrong(cls, why: str) -> ToolReport:
        """A call that cannot be carried out as it is: the model is told why."""
        return cls(text=TOOL_FAILED + why, ok=False)

    @classmethod
    def failed(cls, why: str) -> ToolReport:
        """A tool that did not do its work."""
        return cls(text=TOOL_FAILED + why, ok=False, failure=Failure(kind="tool", reason=why))


class ToolError(Exception):
    """What a tool's function raises to tell the model why there is no result."""


@runtime_checkable
class Tool(Protocol):
    """Something that a model may have called."""

    @property
    def spec(self) -> ToolSpec:
        """What models are told of it."""
        ...

    @property
    def timeout_s(self) -> float:
        """Seconds of the wall clock after which a call is given up."""
        ...

    @property
    def charge_s(self) -> float:
        """Seconds that a call takes on virtual time."""
        ...

    async def call(self, arguments: dict[str, Any]) -> ToolReport:
        """Do it. Arguments are what a model wrote: a JSON object of whatever form."""
        ...


class ToolLimits(BaseModel):
    """What limits the calls of tools that one message is made with; once one is reached, the model has to answer."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    calls: int = Field(default=8, ge=0)  # of tools
    seconds: float = Field(default=60.0, gt=0)  # that the tools take together
    usd: float | None = Field(default=None, ge=0)  # that the model's calls cost; the last, without tools, not counted
    chars: int = Field(default=4000, gt=0)  # of each result


class McpServer(BaseModel):
    """An MCP server of the user's: a command that speaks over its standard streams, or an address."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    command: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)  # beside PATH, HOME and the like, which is all that it sees
    pass_env: tuple[str, ...] = ()  # names of variables that it sees besides: where keys belong
    folder: Path | None = None  # that the command runs in
    url: str | None = None  # of streamable HTTP
    headers: dict[str, str] = Field(default_factory=dict)
    key_env: str | None = None  # name of the variable that holds the key for an `Authorization: Bearer` header
    tools: tuple[str, ...] | None = None  # those that may be used; None: all
    timeout_s: Annotated[float, Field(gt=0)] = 30.0  # of each call, and of the start

    @model_validator(mode="after")
    def _one_way(self) -> McpServer:
        if (self.command is None) == (self.url is None):
            raise ValueError("expected either command or url")
        return self
