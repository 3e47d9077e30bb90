"""What agents, revisers and deciders are sent."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mar.errors import ConfigError
from mar.runtime.prompts import AgentAsk, DecideAsk, Peer, PromptLibrary, Role
from mar.types import Message, Query, ShownTests, Turn

LIBRARY = PromptLibrary.load()
ROLES = [role for domain, roles in LIBRARY.roles.items() if domain != "Final" for role in roles.values()]
DECIDERS = list(LIBRARY.roles["Final"].values())
JINJA = "{{ 7 * 7 }} {% raw %} {# gone? #} {{ undefined }} {% endraw %} {%- for"
FORMAT = "Finish with 'ANSWER = ' and the number."
PEERS = (
    Peer(label="Agent 1 (Critic)", text="I claim 41.", report="41 was printed"),
    Peer(label="Agent 2 (Historian)", text="I claim 42."),
)


@dataclass(frozen=True)
class NumberFormat:
    final_role: str = "GSM8K"
    instruction: str = FORMAT
    choices: int = 0

    def extract(self, text: str) -> str | None:
        return text or None

    def equivalent(self, a: str, b: str) -> bool:
        return a == b


QUERY = Query(text="How many?", answer_format=NumberFormat())


def ask(role: Role, **fields: object) -> AgentAsk:
    return replace(AgentAsk(role=role, query=QUERY, round_instruction="alone"), **fields)


def user(messages: tuple[Message, ...]) -> str:
    assert [m.speaker for m in messages] == ["system", "user"]
    return messages[1].text


@pytest.mark.parametrize("role", ROLES, ids=lambda role: f"{role.domain}-{role.name}")
def test_every_role_renders_alone_and_as_reader_in_every_round_and_strategy(role: Role) -> None:
    for instruction in LIBRARY.rounds:
        for strategy in (None, *LIBRARY.strategies):
            alone = ask(role, round_instruction=instruction, strategy=strategy)
            reader = replace(alone, peers=PEERS, own="I said 40.", hints="41, 42")
            for one in (alone, reader, replace(reader, sole=True)):
                system, text = LIBRARY.agent_messages(one)
                assert system.text == role.system
                assert LIBRARY.rounds[instruction] in text.text
                assert all(peer.text in text.text and peer.label in text.text for peer in one.peers)


@pytest.mark.parametrize("role", DECIDERS, ids=lambda role: role.name)
def test_every_decider_renders_with_and_without_agents_and_states_the_format(role: Role) -> None:
    for peers in ((), PEERS):
        text = user(LIBRARY.decide_messages(DecideAsk(role=role, query=QUERY, peers=peers)))
        assert FORMAT in text
        assert all(peer.text in text and peer.report in text for peer in peers)
        assert "\n\n\n" not in text


@pytest.mark.parametrize("role", [r for r in ROLES if r.revise], ids=lambda role: f"{role.domain}-{role.name}")
def test_a_revision_continues_the_first_call_with_draft_and_report(role: Role) -> None:
    messages = LIBRARY.revise_messages(ask(role), "the draft", "the report")
    assert [m.speaker for m in messages] == ["system", "user", "assistant", "user"]
    assert messages[:2] == LIBRARY.agent_messages(ask(role))
    assert "\n\n\n" not in messages[1].text + messages[3].text
    assert messages[2].text == "the draft"
    assert "the report" in messages[3].text


def test_user_message_shows_history_question_reports_hints_and_own_reply_in_this_order() -> None:
    query = replace(QUERY, history=(Turn(query="first question", answer="first answer"),))
    full = ask(LIBRARY.role("Math", "MathSolver"), query=query, peers=PEERS, own="I said 40.", hints="7, 8")
    text = user(LIBRARY.agent_messages(full))
    parts = ("first question", "first answer", "How many?", "I claim 41.", "41 was printed", "7, 8", "I said 40.")
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_what_is_not_given_leaves_no_trace() -> None:
    text = user(LIBRARY.agent_messages(ask(LIBRARY.role("Code", "ProgrammingExpert"))))
    assert not any(
        tag in text for tag in ("<user>", "<tests>", "<message", "<tool_report", "<hints>", "<previous_reply>")
    )
    assert "\n\n\n" not in text


def test_only_tests_that_the_question_does_not_show_are_added() -> None:
    tests = ShownTests(setup="import math", tests=("assert f(1) == 2", "assert f(2) == 3"))
    query = Query(text="Write f.\nassert f(1) == 2", shown_tests=tests)
    text = user(LIBRARY.agent_messages(ask(LIBRARY.role("Code", "BugFixer"), query=query)))
    assert text.count("assert f(1) == 2") == 1
    assert text.count("assert f(2) == 3") == 1
    assert text.count("import math") == 1


def test_strategies_and_round_instructions_reach_the_prompt_by_name() -> None:
    role = LIBRARY.role("Math", "Engineer")
    text = user(LIBRARY.agent_messages(ask(role, round_instruction="debate", strategy="DeepThink")))
    assert LIBRARY.rounds["debate"] in text
    assert LIBRARY.strategies["DeepThink"].instruction in text


@pytest.mark.parametrize("field", ["round_instruction", "strategy"])
def test_an_unknown_name_is_refused_with_the_names_there_are(field: str) -> None:
    with pytest.raises(ConfigError, match=r"'Fast'; there are: \w+, \w+"):
        LIBRARY.agent_messages(ask(ROLES[0], **{field: "Fast"}))


@pytest.mark.parametrize("role", ROLES, ids=lambda role: f"{role.domain}-{role.name}")
def test_the_task_format_is_stated_where_the_reply_has_to_follow_it(role: Role) -> None:
    in_team = user(LIBRARY.agent_messages(ask(role, peers=PEERS)))
    assert (FORMAT in in_team) == (role.output == "answer")
    assert LIBRARY.outputs[role.output] in in_team
    sole = LIBRARY.revise_messages(ask(role, sole=True), "draft", "report")
    assert FORMAT in sole[1].text
    assert FORMAT in sole[3].text


def test_a_sole_text_role_is_not_told_that_no_answer_is_needed() -> None:
    sole = ask(LIBRARY.role("Code", "ProjectManager"), sole=True)
    first, last = LIBRARY.revise_messages(sole, "draft", "report")[1::2]
    assert LIBRARY.outputs["text"] not in first.text + last.text


def everything_with(data: str) -> tuple[str, ...]:
    """Each kind of user message, with the same data wherever data goes."""
    query = Query(text=data, history=(Turn(query=data, answer=data),), answer_format=NumberFormat())
    peers = (Peer(label="Agent 1 (X)", text=data, report=data),)
    one = ask(LIBRARY.role("Commonsense", "WikiSearcher"), query=query, peers=peers, own=data, hints=data)
    decision = LIBRARY.decide_messages(DecideAsk(role=LIBRARY.decider("Plain"), query=query, peers=peers))
    _, first, draft, last = LIBRARY.revise_messages(one, data, data)
    assert draft.text == data
    return first.text, last.text, decision[1].text


def test_jinja_syntax_in_data_comes_through_verbatim() -> None:
    first, last, decision = everything_with(JINJA)
    # History twice, question, peer, its report, hints, own reply; the report; the first without hints and own reply.
    assert (first.count(JINJA), last.count(JINJA), decision.count(JINJA)) == (7, 1, 5)


@given(st.text(min_size=1))
@settings(max_examples=150)
def test_any_text_comes_through_verbatim(data: str) -> None:
    assert all(data in message for message in everything_with(data))


@pytest.mark.parametrize("data", ["Größe ≤ ∞ 数 🧮 \u202e", "x" * 100_000, " \n  lines\r\n\tand <tags> & 'quotes' \n "])
def test_unusual_and_long_texts_come_through_verbatim(data: str) -> None:
    assert all(data in message for message in everything_with(data))


def test_rendering_is_repeatable() -> None:
    one = ask(LIBRARY.role("Code", "BugFixer"), peers=PEERS, strategy="Flash")
    assert LIBRARY.agent_messages(one) == LIBRARY.agent_messages(one)
