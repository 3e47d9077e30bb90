"""The packaged texts themselves."""

from __future__ import annotations

import pytest

from mar.runtime.modes import MODES
from mar.runtime.prompts import PromptLibrary, Role
from mar.types import DOMAINS, PlainText

LIBRARY = PromptLibrary.load()
ROLES = [role for roles in LIBRARY.roles.values() for role in roles.values()]


def test_the_role_sets_are_complete() -> None:
    assert {domain: " ".join(roles) for domain, roles in LIBRARY.roles.items()} == {
        "Any": "Assistant",
        "Code": "AlgorithmDesigner BugFixer PlanSolver ProgrammingExpert ProjectManager ReflectProgrammer TestAnalyst",
        "Commonsense": "Critic Economist Historian KnowledgeExpert Reflector Scientist WikiSearcher",
        "Final": "GSM8K HumanEval MATH MBPP MMLU MMLU-Pro Plain",
        "Math": "AlgorithmEngineer CertifiedAccountant Economist Engineer Inspector MathAnalyst MathSolver MathTeacher "
        "Mathematician ProgrammingExpert Scientist SoftwareDeveloper",
    }


def test_every_mode_has_a_text_and_its_round_instructions() -> None:
    assert set(LIBRARY.modes) == set(MODES)
    assert {name for mode in MODES.values() for name in (mode.first, mode.later)} <= set(LIBRARY.rounds)


def test_every_domain_has_a_text() -> None:
    assert set(LIBRARY.domains) == set(DOMAINS)
    assert LIBRARY.domains["Math"].profile == f"Math : {LIBRARY.domains['Math'].description}"


def test_strategies_are_ordered_by_length() -> None:
    assert list(LIBRARY.strategies) == ["Concise", "DeepThink", "Flash"]
    flash, concise, deep = (LIBRARY.strategies[name].max_tokens for name in ("Flash", "Concise", "DeepThink"))
    assert flash is not None
    assert concise is not None
    assert flash < concise
    assert deep is None


@pytest.mark.parametrize("role", ROLES, ids=lambda role: f"{role.domain}-{role.name}")
def test_system_prompts_are_compact_and_descriptions_short(role: Role) -> None:
    assert 60 <= len(role.system.split()) <= 160
    assert 8 <= len(role.description.split()) <= 45


def test_a_role_that_searches_states_how_and_no_other_does() -> None:
    searchers = {role.name for role in ROLES if "\nSearch: " in role.system}
    assert searchers == {role.name for role in ROLES if role.post == "lookup"} == {"WikiSearcher"}


def test_every_set_of_roles_has_one_whose_reply_can_be_the_answer() -> None:
    for domain in DOMAINS:
        wanted = "code" if domain == "Code" else "answer"
        assert any(role.output == wanted for role in LIBRARY.roles[domain].values())


def test_the_default_answer_format_has_its_decider() -> None:
    assert LIBRARY.decider(PlainText().final_role).output == "text"
