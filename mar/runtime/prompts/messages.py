"""The user messages: what an agent, a reviser and a decider read beside the role's system prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Template

from mar.errors import ConfigError
from mar.runtime.prompts.records import AgentAsk, DecideAsk, Peer, Role
from mar.runtime.prompts.templates import compile_template, render
from mar.types import Query, ShownTests, Turn

_QUESTION = frozenset({"instructions", "history", "question", "tests", "peers", "answer_format"})
_AGENT = _QUESTION | {"hints", "own", "instruction", "strategy", "output", "sole"}
_REVISION = frozenset({"report", "post", "output", "answer_format", "sole"})


@dataclass(frozen=True, slots=True, kw_only=True)
class UserTemplates:
    """The templates of the three user messages, compiled."""

    user: Template
    revise: Template
    decide: Template

    @classmethod
    def compile(cls, texts: Mapping[str, str]) -> UserTemplates:
        """Compile the templates and try each with everything given and with as little as possible.

        Args:
            texts: The templates named user, revise and decide.

        Raises:
            ConfigError: One is missing or wrong.
        """
        templates = cls(
            user=_compile(texts, "user", _AGENT),
            revise=_compile(texts, "revise", _REVISION),
            decide=_compile(texts, "decide", _QUESTION),
        )
        for ask in (_FULL, _BARE):
            templates.agent(ask, instruction="-", strategy="-", output="-")
            templates.revision(ask, report="-", output="-")
            templates.decision(DecideAsk(role=ask.role, query=ask.query, peers=ask.peers))
        return templates

    def agent(self, ask: AgentAsk, *, instruction: str, strategy: str, output: str) -> str:
        """The user message of an agent, with the texts of its round, strategy and output format."""
        values = _question(ask.query, ask.peers) | {
            "answer_format": _answer_format(ask),
            "hints": ask.hints,
            "own": ask.own,
            "instruction": instruction,
            "strategy": strategy,
            "output": output,
            "sole": ask.sole,
        }
        return render(self.user, "user.md.j2", values)

    def revision(self, ask: AgentAsk, *, report: str, output: str) -> str:
        """The second user message of an agent that revises its reply."""
        values = {
            "report": report,
            "post": ask.role.post,
            "output": output,
            "answer_format": _answer_format(ask),
            "sole": ask.sole,
        }
        return render(self.revise, "revise.md.j2", values)

    def decision(self, ask: DecideAsk) -> str:
        """The user message of a decider."""
        values = _question(ask.query, ask.peers) | {"answer_format": ask.query.answer_format.instruction}
        return render(self.decide, "decide.md.j2", values)


def _compile(texts: Mapping[str, str], name: str, variables: frozenset[str]) -> Template:
    path = f"{name}.md.j2"
    if name not in texts:
        raise ConfigError(f"{path}: the file is missing")
    return compile_template(texts[name], variables, path)


def _question(query: Query, peers: tuple[Peer, ...]) -> dict[str, Any]:
    return {
        "instructions": query.instructions,
        "history": query.history,
        "question": query.text,
        "tests": _unseen_tests(query),
        "peers": peers,
    }


def _unseen_tests(query: Query) -> tuple[str, ...]:
    # Most tasks show their tests inside the question; only what it does not already say is worth its tokens.
    shown = query.shown_tests
    return tuple(code for code in (shown.setup, *shown.tests) if code.strip() and code.strip() not in query.text)


def _answer_format(ask: AgentAsk) -> str:
    return ask.query.answer_format.instruction if ask.sole or ask.role.output == "answer" else ""


def _probe_role(**fields: Any) -> Role:
    return Role(name="Probe", domain="Code", description="-", aggregate="plain", system="-", **fields)


_BARE = AgentAsk(
    role=_probe_role(output="text", post="none", revise=False), query=Query(text="-"), round_instruction="alone"
)
_FULL = AgentAsk(
    role=_probe_role(output="text", post="lookup", revise=True),
    query=Query(
        text="-",
        instructions="-",
        history=(Turn(query="-", answer="-"),),
        shown_tests=ShownTests(setup="a = 1", tests=("assert a",)),
    ),
    round_instruction="alone",
    peers=(Peer(label="Agent 1 (Probe)", text="-", report="-"), Peer(label="Agent 2 (Probe)", text="-")),
    own="-",
    hints="-",
    sole=True,
)
