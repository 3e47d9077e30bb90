"""What prompts are made of: the texts that come from files, and what an agent or a decider is asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from mar.runtime.tools import CHECKS, OUR_CHECKS, check_names
from mar.types import Query

FINAL = "Final"  # in the place of a domain: the deciders
ANY = "Any"  # in the place of a domain: can be taken in every one, but controllers do not choose from them
Output = Literal["code", "answer", "text"]
UNCHECKED = (
    "plain",  # messages are shown as they are
    "hints",  # the numbers that they arrive at are shown as hints
)
"""What a role may do with incoming messages beside checking each."""


def _aggregates(name: str) -> str:
    return _one_of(UNCHECKED, name)


def _posts(name: str) -> str:
    return _one_of(("none",), name)


def _one_of(others: Sequence[str], name: str) -> str:
    """A check, or something else that there is. What packages add is only looked for where nothing else has the name:
    it takes tens of milliseconds.
    """
    if name not in (*others, *OUR_CHECKS) and not CHECKS.knows(name):
        names = (*others, *check_names())
        raise PydanticCustomError(
            "unknown_check",
            "there is no check {name}; there are: {names}, and those that you register (--extend)",
            {"name": repr(name), "names": ", ".join(names)},
        )
    return name


DOMAIN_NAME = r"^[A-Za-z][A-Za-z0-9_-]*$"
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
    domain: Annotated[str, Field(pattern=DOMAIN_NAME)]
    description: Text  # one or two sentences on what the role is good at
    aggregate: Annotated[str, AfterValidator(_aggregates)]  # which check is made of incoming messages before the call
    output: Output  # how the role writes
    post: Annotated[str, AfterValidator(_posts)]  # which check is made of its own output
    revise: bool  # whether a second call revises the output with the feedback of `post`
    tools: Annotated[tuple[Text, ...], Field(strict=False)] = ()  # that its model may call: see `mar.runtime.toolkit`
    system: Text  # the system prompt, a jinja2 template

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Role:
        if self.revise and self.post == "none":
            raise _misfit("revise", "true needs feedback to revise with, but post is 'none'")
        if self.post in ("run_code", "run_tests") and self.output != "code":
            raise _misfit("post", f"{self.post!r} needs output 'code', not {self.output!r}")
        if self.domain == FINAL and self.post != "none":
            raise _misfit("post", f"a final role makes one call, so 'none' is expected, not {self.post!r}")
        return self

    @property
    def profile(self) -> str:
        """The text that controllers embed: all fields as JSON, always in the same order; tools where there are any."""
        return json.dumps(self.model_dump(exclude=None if self.tools else {"tools"}), ensure_ascii=False)


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
