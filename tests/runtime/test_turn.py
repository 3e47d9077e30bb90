"""One agent's turn: what it hears, passes on, is sent, revises and leaves out."""

from __future__ import annotations

from contextlib import suppress

import pytest

from mar import clock
from mar.errors import BadReply, ContextOverflow, LookupUnavailable
from mar.evaluation.report.conversation import converse
from mar.pool import ModelCard, Pool, ScriptedModel, scripted_pool
from mar.runtime import Runtime, Tools
from mar.runtime.ledger import estimate_tokens
from mar.runtime.prompts import Role
from mar.runtime.sandbox import Sandbox
from mar.runtime.trace import episode_from_json, episode_to_json
from mar.types import (
    CallAnswered,
    CallFailed,
    ChatReply,
    Decided,
    ModeSpec,
    PassedThrough,
    PromptTrimmed,
    Query,
    ServerAdapted,
    ShownTests,
    StepFailed,
    StepFinished,
    ToolRan,
)
from tests.runtime.episodes import (
    ASK,
    FREE_TOOLS,
    ONCE,
    PROMPTS,
    TWICE,
    JudgeByWord,
    context_of,
    events,
    plan_of,
    run,
    script,
)

GOOD, BAD = "```python\ngood = 1\n```", "```python\nbad = 1\n```"
SHOWN = Query(text="Set good.", id="q/1", shown_tests=ShownTests(tests=("assert good",)))
CODERS = ["PlanSolver", "PlanSolver"]  # output code, no revise call


def tools(judge=None, **fields):
    return {"tools": Tools(sandbox=judge or JudgeByWord(), sandbox_charge_s=0.0, lookup_charge_s=0.0, **fields)}


def run_code(plan, answer, query=SHOWN, **fields):
    pool = scripted_pool(answer, latency_s=1.0)
    return run(plan, pool, query, runtime=tools(**fields)), pool


def code_plan(mode="Chain", roles=CODERS, **fields):
    return plan_of(mode, roles, domain="Code", **({"decision": "last"} | fields))


# Passing through -----------------------------------------------------------------------------------------------


def test_code_that_passes_the_shown_tests_is_passed_on_without_a_call():
    episode, pool = run_code(code_plan(roles=CODERS * 2), lambda _: GOOD)
    assert pool.model.calls == 1
    assert episode.latency_s == 1
    passed = events(episode, PassedThrough)
    assert [(e.index, e.text) for e in passed] == [(1, GOOD), (2, GOOD), (3, GOOD)]
    finished = {e.index: e.message_id for e in events(episode, StepFinished)}
    assert [e.source for e in passed] == [finished[0], finished[1], finished[2]]
    assert (episode.text, episode.failure) == (GOOD, None)


def test_code_that_fails_is_not_passed_on_and_its_reader_is_told():
    episode, pool = run_code(code_plan(), lambda _: BAD)
    assert pool.model.calls == 2
    assert not events(episode, PassedThrough)
    assert context_of(pool.model.requests[1]).feedback == "failed"
    assert "assert good" in pool.model.requests[1].messages[-1].text


def test_the_latest_passing_message_is_passed_on():
    def answer(request):
        return {0: GOOD, 1: BAD, 2: GOOD + "\n"}[context_of(request).index]

    star = code_plan("Star", ["PlanSolver"] * 4)
    episode, _ = run_code(star, answer)
    (passed,) = events(episode, PassedThrough)
    assert passed.text == GOOD + "\n"


def test_an_agents_own_passing_code_passes_its_next_round():
    episode, pool = run_code(code_plan("Reflection", roles=["PlanSolver"]), lambda _: GOOD)
    assert pool.model.calls == 1
    assert [e.round for e in events(episode, PassedThrough)] == [1]


@pytest.mark.parametrize("role", ["TestAnalyst", "AlgorithmDesigner"])
def test_roles_that_write_no_code_do_their_own_work_on_passing_code(role):
    episode, pool = run_code(code_plan(roles=["PlanSolver", role]), lambda _: GOOD)
    assert pool.model.calls == 2
    assert not events(episode, PassedThrough)


def test_the_decider_decides_even_when_code_was_passed_through():
    episode, pool = run_code(code_plan(decision="final"), lambda _: GOOD)
    assert pool.model.calls == 2  # the first agent and the decider
    assert events(episode, Decided)[0].how == "final"
    # what was passed on is read under the id it was written under, and its report is that it passes
    assert set(context_of(pool.model.requests[-1]).read) == {events(episode, CallAnswered)[0].message_id}


def test_without_shown_tests_nothing_is_announced_as_solved():
    query = Query(text="Set good.", id="q/1")
    judge = JudgeByWord()
    episode, pool = run_code(code_plan("Debate", roles=CODERS * 2), lambda _: GOOD, query, judge=judge)
    assert pool.model.calls == 8
    assert judge.jobs == []
    assert not events(episode, PassedThrough)
    prompts = [m.text for r in pool.model.requests for m in r.messages]
    assert not any("passes the shown tests" in p for p in prompts)
    assert {context_of(r).feedback for r in pool.model.requests} == {""}


def run_in_the_sandbox(plan, answer, query):
    pool = scripted_pool(answer)

    async def main():
        async with Sandbox(workers=1) as sandbox, pool:
            return await Runtime(pool, tools=Tools(sandbox=sandbox)).run(query, plan)

    return clock.run(main, virtual=True), pool


def test_in_the_real_sandbox_right_code_is_passed_on_and_wrong_code_reported():
    query = Query(text="Double a number.", id="q/2", shown_tests=ShownTests(tests=("assert double(2) == 4",)))
    right, wrong = ("```python\ndef double(x):\n    return x * 2\n```", "```python\ndef double(x):\n    return x\n```")

    def answer(request):
        return wrong if context_of(request).index == 0 else right

    episode, pool = run_in_the_sandbox(code_plan(roles=["PlanSolver"] * 3), answer, query)
    assert pool.model.calls == 2  # wrong, right, passed on
    assert [e.text for e in events(episode, PassedThrough)] == [right]
    assert "def double(x):\n    return x * 2" in episode.answer
    assert {(e.index, e.ok) for e in events(episode, ToolRan)} == {(0, False), (1, False), (1, True), (2, True)}


# Revising ------------------------------------------------------------------------------------------------------


def test_a_draft_that_fails_is_revised_with_the_report():
    def answer(request):
        return BAD if context_of(request).kind == "agent" else GOOD

    episode, pool = run_code(code_plan("IO", ["ProgrammingExpert"]), answer)
    first, second = pool.model.requests
    assert [context_of(r).kind for r in (first, second)] == ["agent", "revise"]
    assert [m.speaker for m in second.messages] == ["system", "user", "assistant", "user"]
    assert second.messages[2].text == BAD
    assert "fails shown tests" in second.messages[3].text
    assert context_of(second).feedback == "failed"
    assert context_of(second).read == (context_of(first).message_id,)
    assert (episode.text, episode.failure) == (GOOD, None)


def test_a_draft_that_passes_is_not_revised():
    _, pool = run_code(code_plan("IO", ["ProgrammingExpert"]), lambda _: GOOD)
    assert pool.model.calls == 1


def test_a_draft_without_code_is_told_so():
    _, pool = run_code(code_plan("IO", ["ProgrammingExpert"]), lambda _: "I would rather not.")
    assert "No code could be found" in pool.model.requests[1].messages[-1].text


def test_when_a_revision_fails_the_draft_stands():
    def answer(request):
        if context_of(request).kind == "revise":
            raise ContextOverflow("too long")
        return BAD

    episode, _ = run_code(code_plan("IO", ["ProgrammingExpert"]), answer)
    assert episode.text == BAD
    assert episode.failure is None
    assert [f.kind for f in episode.failures] == ["context_overflow"]


def test_reflection_replaces_the_revise_calls_of_roles():
    _, pool = run_code(code_plan("Reflection", ["ProgrammingExpert"]), lambda _: BAD)
    assert [context_of(r).kind for r in pool.model.requests] == ["agent", "agent"]


def test_a_revision_still_shows_what_the_draft_was_built_on():
    pool = scripted_pool(script({0: "alpha", 1: "beta"}))
    run(plan_of("Chain", [ONCE, TWICE]), pool)
    first, draft, revision, _ = (context_of(r) for r in pool.model.requests)
    assert revision.read == (first.message_id, draft.message_id)
    assert "alpha" in pool.model.requests[2].messages[1].text


# Hearing -------------------------------------------------------------------------------------------------------


def test_agents_hear_the_others_in_order_and_their_own_last_word_apart():
    pool = scripted_pool(lambda r: f"word-{context_of(r).index}-{context_of(r).round}")
    run(plan_of("Debate", 3), pool)
    second = next(r for r in pool.model.requests if (context_of(r).index, context_of(r).round) == (1, 1))
    text = second.messages[-1].text
    assert text.index("Agent 1 (Once)") < text.index("word-0-0") < text.index("Agent 3 (Once)") < text.index("word-2-0")
    assert "Agent 2 (Once)" not in text
    assert "word-1-0" in text.partition("<previous_reply>")[2]
    assert len(context_of(second).read) == 3


def test_hints_are_the_others_answers_without_repetition():
    fields = {"domain": "Math", "description": "-", "system": "-", "post": "none", "revise": False, "output": "answer"}
    prompts = PROMPTS.with_role(Role(name="Hinted", aggregate="hints", **fields))
    pool = scripted_pool(script({0: "7", 1: "8", 2: "7", 3: "9"}))
    run(plan_of("Star", [ONCE, ONCE, ONCE, "Hinted"]), pool, runtime={"prompts": prompts})
    asked = next(r for r in pool.model.requests if context_of(r).index == 3)
    assert "<hints>\n7, 8\n</hints>" in asked.messages[-1].text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I wonder.\nSearch: otters of Asia", "otters of Asia"),
        ("SEARCH: otters\nthat is all", "otters"),
        ("Search: old\nSearch: new", "new"),
        ("otters", "otters"),
        ("", ""),
    ],
)
def test_look_up_roles_search_for_what_they_ask_for(text, words):
    asked = []

    class Reference:
        async def search(self, words):
            asked.append(words)
            return "Otters swim."

    pool = scripted_pool(lambda r: text if context_of(r).kind == "agent" else "done")
    episode = run(plan_of("IO", [TWICE]), pool, runtime=tools(lookup=Reference()))
    assert asked == [words]
    assert "Otters swim." in pool.model.requests[1].messages[-1].text
    assert episode.answer == "done"


def test_a_look_up_that_fails_is_recorded_and_the_agent_goes_on():
    class Down:
        async def search(self, words):
            raise LookupUnavailable("no network")

    episode = run(plan_of("IO", [TWICE]), runtime=tools(lookup=Down()))
    (tool,) = events(episode, ToolRan)
    assert (tool.tool, tool.ok, tool.failure.kind, tool.failure.reason) == ("lookup", False, "lookup", "no network")
    assert episode.answer == "42"


def test_code_is_never_run_without_a_sandbox_and_that_is_recorded():
    pool = scripted_pool(lambda _: GOOD)
    episode = run(code_plan("IO", ["PlanSolver"]), pool, SHOWN, runtime={"tools": FREE_TOOLS})
    assert [e.failure.kind for e in events(episode, ToolRan)] == ["sandbox"]
    assert episode.failure is None


def test_a_lone_agent_and_a_voter_are_told_that_their_reply_is_the_answer():
    def told(plan):
        pool = scripted_pool(script())
        run(plan, pool)
        return [("taken as a final answer" in r.messages[-1].text) for r in pool.model.requests]

    assert told(plan_of("IO", 1)) == [True]
    assert told(plan_of("Vote", 2)) == [True, True]
    assert told(plan_of("IO", 2)) == [False, False, False]
    assert told(plan_of("Chain", 2, decision="last")) == [False, True]


# Trimming ------------------------------------------------------------------------------------------------------


def small_pool(context, answer, reserve=100):
    card = ModelCard(name="a", context_tokens=context, max_output_tokens=reserve, price_in=1.0, price_out=1.0)
    return Pool([card], ScriptedModel(answer), kind="scripted")


def long_answer(request):
    return f"{'word ' * 300}said-by-{context_of(request).index}-{context_of(request).kind}"


def test_a_prompt_that_would_overflow_leaves_out_peer_messages_the_oldest_first():
    # A message of 1500 characters counts about 500 tokens; beside the rest of the prompt there is room for two.
    pool = small_pool(1500, long_answer)
    episode = run(plan_of("FullConnected", 4, decision="last"), pool)
    ids = tuple(e.message_id for e in events(episode, StepFinished))
    (trimmed,) = events(episode, PromptTrimmed)
    assert (trimmed.index, trimmed.dropped, trimmed.limit_tokens) == (3, ids[:1], 1400)
    last = pool.model.requests[-1]
    assert estimate_tokens(last.messages) <= 1400
    assert context_of(last).read == events(episode, CallAnswered)[-1].read == ids[1:3]
    assert "said-by-0" not in last.messages[-1].text
    assert "said-by-2" in last.messages[-1].text


def test_a_decider_is_trimmed_in_the_same_way():
    pool = small_pool(1500, long_answer)
    episode = run(plan_of("IO", 4), pool)
    ids = tuple(e.message_id for e in events(episode, StepFinished))
    (trimmed,) = events(episode, PromptTrimmed)
    read = context_of(pool.model.requests[-1]).read
    assert (trimmed.index, trimmed.dropped + read) == (4, ids)
    assert read
    assert estimate_tokens(pool.model.requests[-1].messages) <= 1400


def test_a_revision_is_trimmed_further_to_make_room_for_the_draft():
    pool = small_pool(1900, long_answer)
    episode = run(plan_of("FullConnected", [ONCE, ONCE, TWICE], decision="last"), pool)
    one, two, draft, _ = (e.message_id for e in events(episode, CallAnswered))
    written, revised = pool.model.requests[-2:]
    assert context_of(written).read == (one, two)
    assert [e.dropped for e in events(episode, PromptTrimmed)] == [(one,)]
    assert context_of(revised).read == (two, draft)
    assert estimate_tokens(revised.messages) <= 1800
    assert "said-by-0" not in revised.messages[1].text
    assert "said-by-1" in revised.messages[1].text


def test_an_agents_own_words_and_the_question_are_never_left_out():
    pool = small_pool(700, long_answer, reserve=650)
    episode = run(plan_of("Debate", 2), pool)
    reread = [r for r in pool.model.requests if context_of(r).round == 1 and context_of(r).kind == "agent"]
    for request in reread:
        assert ASK.text in request.messages[-1].text
        assert f"said-by-{context_of(request).index}" in request.messages[-1].text
        assert len(context_of(request).read) == 1
    assert len(events(episode, PromptTrimmed)) == 3  # both agents in round 2, and the decider


def small_server(fits, *, learned=()):
    """Answers at length prompts of as many characters as fit, whatever its card says of its context."""

    def answer(request):
        if request.prompt_chars > fits:
            raise ContextOverflow("the prompt does not fit the model's context (400)")
        return ChatReply(text=long_answer(request), model="a", finish_reason="length", learned=learned)

    return small_pool(100_000, answer)


def test_a_prompt_that_the_server_finds_too_long_is_trimmed_and_asked_again():
    pool = small_server(4000)  # characters: room for the peers' messages of 1500 each, but not for all three
    episode = run(plan_of("FullConnected", 4, decision="last"), pool)
    ids = tuple(e.message_id for e in events(episode, StepFinished))
    assert len(ids) == 4
    assert not episode.failures  # nothing was lost
    trimmed = events(episode, PromptTrimmed)
    assert {e.index for e in trimmed} == {3}
    read = context_of(pool.model.requests[-1]).read
    assert read
    assert sum((e.dropped for e in trimmed), ()) + read == ids[:3]


def test_a_decider_whose_prompt_is_found_too_long_is_asked_again():
    episode = run(plan_of("IO", 4), small_server(4000))
    assert episode.text is not None
    assert not episode.failures


def test_a_prompt_that_never_fits_is_asked_a_few_times_and_then_a_failure():
    def answer(request):
        if context_of(request).index == 3:
            raise ContextOverflow("the prompt does not fit the model's context (400)")
        return long_answer(request)

    pool = small_pool(100_000, answer)
    episode = run(plan_of("FullConnected", 4, decision="last"), pool)
    tries = [r for r in pool.model.requests if context_of(r).index == 3]
    assert 2 <= len(tries) <= 4
    assert context_of(tries[-1]).read == ()  # the last of them showed no peers
    assert [f.kind for f in episode.failures] == ["context_overflow"]


@pytest.mark.parametrize("made", [0, 2])  # 0: a server that is left alone is not asked
def test_the_trace_says_how_many_tries_of_a_call_were_made(made):
    class Tries:
        books_tries = True

        async def chat(self, request, on_delta=None):
            async def attempt():
                raise BadReply("the answer is empty")

            for _ in range(made):
                with suppress(BadReply):
                    await request.meter(request, attempt)
            raise BadReply("the answer is empty")

    pool = small_pool(10_000, long_answer)
    pool.model = Tries()
    episode = run(plan_of("IO", 1), pool)
    assert [e.failure.attempts for e in events(episode, (CallFailed, StepFailed))] == [made, made]


def test_the_trace_says_how_an_answer_ended_and_what_was_learned_of_a_server():
    episode = run(plan_of("IO", 1), small_server(10_000, learned=("no `top_p`: it is left out",)))
    assert [e.finish_reason for e in events(episode, CallAnswered)] == ["length"]
    (adapted,) = events(episode, ServerAdapted)
    assert (adapted.model, adapted.learned) == ("a", ("no `top_p`: it is left out",))
    spoken, *_ = converse(episode).utterances
    assert "cut at the output limit" in spoken.note
    assert any("no `top_p`" in e.text for e in converse(episode).entries if e.form == "line")
    assert episode_from_json(episode_to_json(episode)) == episode


def test_prompts_are_kept_only_on_request():
    kept = run(plan_of("IO", 2), runtime={"keep_prompts": True})
    left = run(plan_of("IO", 2), runtime={"keep_prompts": False})
    assert all(e.prompt for e in events(kept, CallAnswered))
    assert not any(e.prompt for e in events(left, CallAnswered))


def test_rounds_and_strategies_reach_the_prompt():
    pool = scripted_pool(script())
    run(plan_of(ModeSpec(name="Debate"), 2, strategy="DeepThink"), pool)
    texts = {context_of(r).round: r.messages[-1].text for r in pool.model.requests if context_of(r).kind == "agent"}
    assert PROMPTS.rounds["alone"] in texts[0]
    assert PROMPTS.rounds["debate"] in texts[1]
    assert all(PROMPTS.strategies["DeepThink"].instruction in t for t in texts.values())
