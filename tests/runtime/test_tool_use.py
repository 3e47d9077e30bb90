"""An agent that calls tools: what it is offered, what is carried out, what it is told, and when it has to answer."""

from __future__ import annotations

import json
from dataclasses import replace

import anyio
import pytest

from mar.errors import ConfigError, ContextOverflow, LookupUnavailable
from mar.evaluation.report.conversation import converse
from mar.pool import ModelCard, Pool, Recording, RecordingKey, ScriptedModel, replay_pool
from mar.pool.simulated import SimItem, World, simulated_cards, simulated_pool
from mar.runtime import Ledger, Runtime, Tools
from mar.runtime.prompts import Role
from mar.runtime.tool_use import ENOUGH, LEAST_CHARS
from mar.runtime.toolkit import ToolError, Toolkit, ToolLimits
from mar.runtime.trace import episode_from_json, episode_to_json
from mar.types import (
    TOOL_FAILED,
    Budget,
    CallAnswered,
    CallFailed,
    ChatReply,
    Query,
    StepFinished,
    ToolCall,
    ToolCalled,
)
from tests.runtime.episodes import ASK, PROMPTS, JudgeByWord, events, plan_of, run

USER = "Handy"  # a role with tools
FIELDS = {"domain": "Math", "description": "-", "aggregate": "plain", "system": "-"}


def prompts(*tools, **fields):
    role = {"output": "answer", "post": "none", "revise": False} | FIELDS | fields
    return PROMPTS.with_role(Role(name=USER, tools=tools, **role))


def call(name="double", id="c1", **arguments):
    return ToolCall(id=id, name=name, arguments=json.dumps(arguments))


def double(number: float) -> float:
    """Twice a number."""
    return 2 * number


class Caller:
    """A scripted model: makes the calls of each list in turn, as far as it is offered tools, then answers."""

    def __init__(self, *steps, answer="42", tokens=10):
        self.steps, self.answer, self.tokens = list(steps), answer, tokens

    def __call__(self, request):
        usage = {"model": request.model, "prompt_tokens": 0, "completion_tokens": self.tokens}
        if request.tools and self.steps:
            calls = tuple(self.steps.pop(0))
            return ChatReply(text="", finish_reason="tool_calls", calls=calls, **usage)
        return ChatReply(text=self.answer, **usage)


def scripted(fn, *, latency_s=0.0, **card):
    model = ScriptedModel(fn, latency_s=latency_s)
    return Pool([ModelCard(name="a", price_in=0.0, price_out=1e6, **card)], model, kind="scripted", virtual_time=True)


def use(fn, *, kit=None, names=("double",), query=ASK, plan=None, pool=None, means=None, **options):
    kit = Toolkit([double]) if kit is None else kit
    tools = Tools(kit=kit, **(means or {}))
    pool = scripted(fn) if pool is None else pool
    runtime = {"tools": tools, "prompts": prompts(*names)} | options.pop("runtime", {})
    episode = run(plan or plan_of("IO", [USER]), pool, query, runtime=runtime, **options)
    return episode, pool.model.requests


def told(request):
    return [m.text for m in request.messages if m.speaker == "tool"]


# What happens -------------------------------------------------------------------------------------------------


def test_a_model_is_offered_the_roles_tools_and_answers_with_what_they_found():
    episode, requests = use(Caller([call(number=3)]))
    first, second = requests
    assert [t.name for t in first.tools] == ["double"]
    assert second.messages[:-2] == first.messages
    assert (second.messages[-2].calls, told(second)) == ((call(number=3),), ["6.0"])
    assert second.messages[-1].call_id == "c1"
    assert episode.answer == "42"
    (done,) = events(episode, ToolCalled)
    assert (done.tool, done.arguments, done.result, done.ok) == ("double", '{"number": 3}', "6.0", True)


def test_both_calls_are_one_message_of_one_draw_and_both_are_paid():
    episode, requests = use(Caller([call(number=3)]))
    answered = events(episode, CallAnswered)
    assert [e.calls for e in answered] == [(call(number=3),), ()]
    assert {e.message_id for e in answered} == {e.message_id for e in events(episode, StepFinished)}
    assert len({r.sample for r in requests}) == 1
    assert episode.cost_usd == 20  # two calls of ten tokens, a dollar a token


def test_a_role_without_tools_is_asked_as_ever():
    _, requests = use(Caller([call(number=3)]), names=())
    assert [r.tools for r in requests] == [()]


def test_calls_of_one_reply_run_at_once_and_are_told_in_their_order():
    began = []

    async def slow(seconds: float) -> str:
        began.append(seconds)
        await anyio.sleep(seconds)
        return f"slept {seconds}"

    calls = [call("slow", "c1", seconds=0.2), call("slow", "c2", seconds=0.1)]
    episode, requests = use(Caller(calls), kit=Toolkit([slow]), names=["slow"], virtual=False)
    assert told(requests[-1]) == ["slept 0.2", "slept 0.1"]
    assert [e.result for e in events(episode, ToolCalled)] == ["slept 0.1", "slept 0.2"]  # as they came back
    assert sum(e.seconds for e in events(episode, ToolCalled)) > max(e.t for e in events(episode, ToolCalled))


def test_the_trace_holds_everything_and_is_read_back():
    episode, _ = use(Caller([call(number=3), call("nothing", "c2")]))
    assert episode_from_json(json.loads(json.dumps(episode_to_json(episode)))) == episode
    texts = [getattr(entry, "text", "") for entry in converse(episode).entries]
    assert any('double({"number": 3})' in text and "6.0" in text for text in texts)


def test_a_decider_and_a_revision_may_call_tools_too():
    def answer(request):
        return "42" if told(request) or not request.tools else ChatReply(text="", model="a", calls=(call(number=1),))

    library = prompts("double", revise=True, post="lookup", output="text")
    final = library.decider("Plain").model_copy(update={"tools": ("double",)})
    plan = plan_of("Debate", [USER, USER], decision="final", decider="a")
    _, requests = use(answer, plan=plan, runtime={"prompts": library.with_role(final)})
    assert {r.context.kind for r in requests if told(r)} == {"agent", "revise", "decider"}


# What is wrong with a call is told to the model ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (ToolCall(id="c", name="treble", arguments="{}"), "no tool is called 'treble'; there are: double"),
        (ToolCall(id="c", name="double", arguments="3"), "expected a JSON object"),
        (ToolCall(id="c", name="double", arguments='{"number": 3'), "malformed JSON"),
        (ToolCall(id="c", name="double", arguments="{}"), "number: Field required"),
        (ToolCall(id="c", name="double", arguments='{"number": "x"}'), "number: Input should be a valid number"),
        (ToolCall(id="c", name="double", arguments='{"number": 1, "more": 2}'), "more: Extra inputs"),
        (ToolCall(id="c", name="double", arguments="[" * 100_000), "nested too deeply"),
    ],
)
def test_a_wrong_call_is_told_and_the_agent_goes_on(wrong, says):
    episode, requests = use(Caller([wrong]))
    (text,) = told(requests[-1])
    assert text.startswith(TOOL_FAILED)
    assert says in text
    assert (episode.answer, episode.failures) == ("42", ())  # a wrong call is no failure of anything
    assert [e.ok for e in events(episode, ToolCalled)] == [False]


def test_a_tool_that_fails_is_a_failure_and_the_agent_goes_on():
    def breaks() -> str:
        raise OSError("the disk is gone")

    def declines() -> str:
        raise ToolError("not on Sundays")

    calls = [call("breaks", "c1"), call("declines", "c2")]
    episode, requests = use(Caller(calls), kit=Toolkit([breaks, declines]), names=["breaks", "declines"])
    assert told(requests[-1]) == ["error: OSError: the disk is gone", "error: not on Sundays"]
    assert [(f.kind, f.reason) for f in episode.failures] == [("tool", "OSError: the disk is gone")]
    assert episode.answer == "42"


def test_what_tools_find_is_bounded_and_cleaned_and_never_interpreted():
    hostile = "{{ 7*7 }} [red]<script> \ud800 \0 " + "x" * 10_000

    def read() -> str:
        return hostile

    kit = Toolkit([read], limits=ToolLimits(chars=500))
    episode, requests = use(Caller([call("read")]), kit=kit, names=["read"])
    (text,) = told(requests[-1])
    assert text.startswith("{{ 7*7 }} [red]<script> ? \ufffd xxx")
    assert len(text) == 500
    assert text.endswith("(cut)")
    assert events(episode, ToolCalled)[0].result == text


# Limits -------------------------------------------------------------------------------------------------------


def test_after_so_many_calls_the_answer_is_asked_for_without_tools():
    kit = Toolkit([double], limits=ToolLimits(calls=2))
    steps = [[call(number=1, id="c1")], [call(number=2, id="c2"), call(number=3, id="c3")], [call(number=4)]]
    episode, requests = use(Caller(*steps), kit=kit)
    assert [bool(r.tools) for r in requests] == [True, True, False]
    assert told(requests[-1]) == ["2.0", "4.0", "error: no more tools can be called"]
    assert requests[-1].messages[-1].text == ENOUGH
    assert episode.answer == "42"


def test_with_no_calls_allowed_nothing_is_offered():
    _, requests = use(Caller([call(number=1)]), kit=Toolkit([double], limits=ToolLimits(calls=0)))
    assert [(r.tools, r.messages[-1].speaker) for r in requests] == [((), "user")]
    assert requests[0].messages[-1].text != ENOUGH


def test_a_tool_has_so_many_seconds_on_either_clock():
    async def hangs() -> str:
        await anyio.sleep_forever()
        return ""

    for virtual in (False, True):
        kit = Toolkit([hangs], limits=ToolLimits(seconds=0.05))
        episode, requests = use(Caller([call("hangs")]), kit=kit, names=["hangs"], virtual=virtual)
        assert told(requests[-1]) == ["error: hangs has not come back within 0.05 s"]
        assert [f.kind for f in episode.failures] == ["tool"]


def test_the_seconds_of_a_message_are_for_all_its_tools_together():
    # Half a second of virtual time is charged for each step.
    kit = Toolkit([double], limits=ToolLimits(seconds=1.0))
    episode, requests = use(Caller(*[[call(number=1)]] * 5), kit=kit)
    assert [bool(r.tools) for r in requests] == [True, True, False]
    assert episode.latency_s == 1.0


def test_tools_leave_an_episode_the_time_to_answer():
    # Calls of the model take 1 s, tools half a second. Two calls of the model still fit at 1.5 s; at 3 s only one does.
    caller = Caller(*[[call(number=1)]] * 9)
    pool = scripted(lambda request: replace(caller(request), latency_s=1.0), latency_s=1.0)
    episode, requests = use(None, pool=pool, budget=Budget(seconds=4.2))
    assert [bool(r.tools) for r in requests] == [True, True, False]
    assert (episode.answer, episode.latency_s) == ("42", 4.0)


def test_a_deadline_leaves_tools_no_more_than_half_of_what_it_leaves():
    episode, requests = use(Caller([call(number=1)]), deadline_s=0.8)  # the tool takes half a second
    assert told(requests[-1]) == ["error: double has not come back within 0.4 s"]
    assert episode.answer == "42"


def test_once_the_message_has_cost_so_much_it_has_to_be_answered():
    kit = Toolkit([double], limits=ToolLimits(usd=20))
    episode, requests = use(Caller(*[[call(number=1)]] * 5), kit=kit)  # ten dollars a call
    assert [bool(r.tools) for r in requests] == [True, True, False]
    assert episode.cost_usd == 30


@pytest.mark.parametrize(("limit", "offered"), [(19.0, [False]), (25.0, [True, False]), (35.0, [True, True, False])])
def test_tools_are_offered_only_while_the_budget_has_room_for_the_answer_after(limit, offered):
    # A call costs ten dollars and ten at the most.
    pool = scripted(Caller(*[[call(number=1)]] * 5), max_output_tokens=10)
    episode, requests = use(None, pool=pool, budget=Budget(usd=limit))
    assert [bool(r.tools) for r in requests] == offered
    assert episode.answer == "42"
    assert episode.cost_usd <= limit


def test_the_limit_of_a_run_counts_as_an_episodes_own():
    pool = scripted(Caller([call(number=1)]), max_output_tokens=10)
    _, requests = use(None, pool=pool, runtime={"ledger": Ledger(19.0)})
    assert [r.tools for r in requests] == [()]


def test_a_spent_budget_of_tokens_allows_no_further_call():
    episode, requests = use(Caller([call(number=1)]), budget=Budget(tokens=5))
    assert len(requests) == 1
    assert (episode.answer, episode.failure.kind) == (None, "limit")
    assert "tokens" in episode.failure.reason


def test_no_more_of_a_result_is_told_than_the_context_has_room_for():
    def read() -> str:
        return "x" * 4000

    pool = scripted(Caller([call("read")] * 2, [call("read")] * 2), context_tokens=2000, max_output_tokens=500)
    _, requests = use(None, pool=pool, kit=Toolkit([read]), names=["read"])
    first, second = (sum(map(len, told(r))) for r in requests[1:3])
    assert 2 * LEAST_CHARS < first < 4000
    assert second - first < first  # half of what is left, each time


def test_a_server_that_has_no_room_for_the_results_is_sent_less_of_them():
    def answer(request):
        if request.prompt_chars > 3000:
            raise ContextOverflow("too long")
        return "42" if told(request) else ChatReply(text="", model="a", calls=(call("read"),))

    def read() -> str:
        return "x" * 4000

    episode, requests = use(answer, kit=Toolkit([read]), names=["read"])
    assert [len(told(r)[0]) for r in requests[1:]] == [4000, LEAST_CHARS]
    assert (requests[-1].tools, requests[-1].messages[-1].text) == ((), ENOUGH)
    assert (episode.answer, events(episode, CallFailed)) == ("42", [])


def test_the_bound_of_a_plan_counts_a_call_for_every_tool():
    kit = Toolkit([double], limits=ToolLimits(calls=3))
    runtime = Runtime(scripted(Caller()), tools=Tools(kit=kit), prompts=prompts("double"))
    plan = plan_of("IO", [USER])
    assert runtime.bound(plan).calls == 4
    assert runtime.cost_bound(plan) == pytest.approx(4 * Runtime(runtime.pool, prompts=prompts()).cost_bound(plan))


# Which tools there are ----------------------------------------------------------------------------------------


def test_a_role_that_names_a_tool_that_there_is_not_is_refused_before_anything_runs():
    with pytest.raises(ConfigError, match=r"role Math/Handy: no tool is called 'treble'; there are: .*double"):
        use(Caller(), names=["treble"])


def test_python_runs_in_the_sandbox_and_look_ups_only_where_they_are_on():
    class Book:
        async def search(self, words):
            if words == "x":
                raise LookupUnavailable("nothing on x")
            return f"all about {words}"

    calls = [call("python", code="print(42)"), call("lookup", "c2", words="cats"), call("lookup", "c3", words="x")]
    names = ["python", "lookup", "calculator"]
    episode, requests = use(Caller(calls), names=names, means={"sandbox": JudgeByWord(), "lookup": Book()})
    assert [t.name for t in requests[0].tools] == names
    assert told(requests[-1]) == ["42", "all about cats", "error: nothing could be looked up"]
    assert [f.kind for f in episode.failures] == ["lookup"]
    _, requests = use(Caller([call("lookup", words="cats")]), names=names)
    assert [t.name for t in requests[0].tools] == ["calculator"]
    assert told(requests[-1]) == ["error: no tool is called 'lookup'; there are: calculator"]


def test_recordings_and_a_client_s_own_request_are_asked_without_tools():
    recorded = replay_pool({RecordingKey(item="q/1", model="a"): Recording(text="41", cost_usd=0.0)})
    library = {"prompts": prompts("double"), "tools": Tools(kit=Toolkit([double]))}
    assert run(plan_of("IO", [USER]), recorded, runtime=library).answer == "41"
    _, requests = use(Caller([call(number=1)]), query=replace(ASK, verbatim={"messages": []}))
    assert [r.tools for r in requests] == [()]


def test_a_model_that_calls_what_it_was_not_offered_has_said_what_it_said():
    episode, _ = use(lambda _: ChatReply(text="42", model="a", calls=(call(),)), names=())
    assert (episode.answer, events(episode, ToolCalled)) == ("42", [])


def test_the_profile_that_controllers_read_tells_tools_only_where_there_are_any():
    plain = prompts().role("Math", USER)
    assert "tools" not in plain.profile
    assert '"tools": ["double"]' in prompts("double").role("Math", USER).profile


def test_tools_are_given_to_roles_by_name():
    library = PROMPTS.with_tools({"Math/Scientist": ["calculator"], "Economist": ["lookup", "lookup"]})
    assert library.role("Math", "Scientist").tools == ("calculator",)
    assert library.role("Commonsense", "Scientist").tools == ()
    assert library.role("Math", "Economist").tools == library.role("Commonsense", "Economist").tools == ("lookup",)
    assert library.hash != PROMPTS.hash
    with pytest.raises(ConfigError, match="no role is called 'Nobody'"):
        PROMPTS.with_tools({"Nobody": ["calculator"]})


def test_simulated_agents_call_tools_for_real_and_answer_rightly_more_often():
    def item(k):
        return SimItem(
            domain="Math", benchmark="gsm8k", difficulty=k / 10 - 2, right=("42",), wrong=("41", "40"), form="number"
        )

    world = World.of((f"q/{k}", item(k)) for k in range(40))
    cards = [card for card in simulated_cards() if card.name == "gpt-4o-mini"]
    plan = plan_of("IO", [USER], models=["gpt-4o-mini"])

    def answers(*names):
        means = {"tools": Tools(sandbox=JudgeByWord()), "prompts": prompts(*names)}
        asked = [Query(text="?", id=f"q/{k}") for k in range(40)]
        return [run(plan, simulated_pool(world, cards=cards), q, runtime=means) for q in asked]

    alone, helped = answers(), answers("python", "calculator")
    assert {e.tool for episode in helped for e in events(episode, ToolCalled)} == {"python"}
    assert all(e.ok for episode in helped for e in events(episode, ToolCalled))
    right = [["answer is 42" in episode.text for episode in some] for some in (alone, helped)]
    assert all(after or not before for before, after in zip(*right, strict=True))
    assert sum(right[1]) > sum(right[0])
    assert sum(e.cost_usd for e in helped) > sum(e.cost_usd for e in alone)
