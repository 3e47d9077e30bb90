"""What is asked: a query carries what the runtime needs and nothing that it may not see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Domain = str
"""Name of a task domain: one of DOMAINS, or a folder of roles of one's own (docs/extending.md)."""
DOMAINS: tuple[Domain, ...] = ("Math", "Commonsense", "Code")  # those that come with mar


class AnswerFormat(Protocol):
    """How answers of a task look: supplied by the task, known to the runtime, free of gold.

    Implementations are stateless; two instances of one class mean the same format.
    """

    @property
    def final_role(self) -> str:
        """Name of the final role (a file under `mar/runtime/prompts/roles/Final`) that decides in this format."""
        ...

    @property
    def instruction(self) -> str:
        """One or two sentences that tell a model how to write the answer."""
        ...

    @property
    def choices(self) -> int | None:
        """How answers compare: how many there are to choose from; 0: any, of which those that are right say the same;
        None: any, of which many may be right (programs, free text).
        """
        ...

    def extract(self, text: str) -> str | None:
        """The answer in a model's text, or None when none can be read."""
        ...

    def equivalent(self, a: str, b: str) -> bool:
        """Whether two extracted answers say the same."""
        ...


@dataclass(frozen=True, slots=True)
class PlainText:
    """The default answer format: the whole text is the answer."""

    final_role: str = "Plain"
    instruction: str = "Answer the question directly and completely."
    choices: None = None

    def extract(self, text: str) -> str | None:
        """The text without surrounding white space; None when nothing is left."""
        return text.strip() or None

    def equivalent(self, a: str, b: str) -> bool:
        """Equal up to case and white space."""
        return a.casefold().split() == b.casefold().split()


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One earlier exchange of a conversation."""

    query: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTests:
    """Tests that the query itself shows, so that agents may run them."""

    setup: str = ""  # code that the tests need
    tests: tuple[str, ...] = ()  # one assertion each
    setup_after_code: bool = False  # run `setup` after the candidate's code instead of before


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One question to a multi-agent system."""

    text: str  # what every agent reads
    id: str = ""  # identity of the item, opaque; part of sample identities and never shown to a model
    instructions: str = ""  # of whoever runs the application, which every agent follows: a system message
    history: tuple[Turn, ...] = ()  # earlier turns of the conversation, oldest first
    user_id: str | None = None  # who asks, for personal controllers
    conversation_id: str | None = None  # which conversation this belongs to
    domain: Domain | None = None  # the task domain where it is known; a controller may have to find out itself
    shown_tests: ShownTests = field(default_factory=ShownTests)
    answer_format: AnswerFormat = field(default_factory=PlainText)
    verbatim: Mapping[str, Any] | None = None  # the client's own request, which an agent that reads nobody sends on
