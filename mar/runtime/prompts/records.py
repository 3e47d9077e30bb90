"""What prompts are made of: the texts that come from files, and what an agent or a decider is asked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from mar.types import Query

RoleDomain = Literal[
    "Code",
    "Commonsense",
    "Math",
    "Final",  # the deciders
    "Any",  # can be taken in every domain, but is not among those that controllers choose from
]
Aggregate = Literal[
    "plain",  # messages are shown as they are
    "run_code",  # code in them is run and the result is shown with them
    "run_tests",  # code in them is run against the shown tests and the result is shown with them
    "hints",  # the numbers that they arrive at are shown as hints
]
Output = Literal["code", "answer", "text"]
PostProcess = Literal["none", "run_code", "run_tests", "lookup"]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _FileText(BaseModel):
    """A record with a name that controllers embed; the name is the file's."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Text
    description: Text

    @property
    def profile(self) -> str:
        """The text that controllers embed."""
        return f"{self.name} : {self.description}"


class Strategy(_FileText):
    """How much an agent thinks before it answers."""

    instruction: Text  # goes into the agent's prompt
    max_tokens: Annotated[int, Field(gt=0)] | None = None  # limit on the reply; None: the model's


class ModeText(_FileText):
    """A collaboration mode in words."""


class DomainText(_FileText):
    """A task domain in words."""


class Role(BaseModel):
    """A role that an agent can take; the file's name and folder give `name` and `domain`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    # `system` comes last: encoders cut long profiles, and every other field tells more about the role per word.
    name: Text
    domain: RoleDomain
    description: Text  # one or two sentences on what the role is good at
    aggregate: Aggregate  # what is done with incoming messages before the call
    output: Output  # how the role writes
    post: PostProcess  # what is done with its own output
    revise: bool  # whether a second call revises the output with the feedback of `post`
    system: Text  # the system prompt, a jinja2 template

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Role:
        if self.revise and self.post == "none":
            raise _misfit("revise", "true needs feedback to revise with, but post is 'none'")
        if self.post in ("run_code", "run_tests") and self.output != "code":
            raise _misfit("post", f"{self.post!r} needs output 'code', not {self.output!r}")
        if self.domain == "Final" and self.post != "none":
            raise _misfit("post", f"a final role makes one call, so 'none' is expected, not {self.post!r}")
        return self

    @property
    def profile(self) -> str:
        """The text that controllers embed: all fields as JSON, always in the same order."""
        return json.dumps(self.model_dump(), ensure_ascii=False)


def _misfit(field: str, message: str) -> PydanticCustomError:
    return PydanticCustomError("misfit", "field '{field}': {message}", {"field": field, "message": message})


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What another agent said."""

    label: str  # who, as shown to the reader: "Agent 2 (BugFixer)"
    text: str
    report: str = ""  # what tools found about it


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentAsk:
    """What one agent is asked in one round."""

    role: Role
    query: Query
    round_instruction: str  # name of a file under `rounds`
    strategy: str | None = None  # name of a file under `strategies`
    peers: tuple[Peer, ...] = ()
    own: str | None = None  # what the agent itself said in the previous round
    hints: str = ""  # numbers that other agents arrived at
    sole: bool = False  # its reply is taken as a final answer, so it must be in the task's own format


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideAsk:
    """What the decider is asked."""

    role: Role
    query: Query
    peers: tuple[Peer, ...] = ()
