"""`mar ask` and `mar plan`: a plan, a conversation and an answer for people, JSON for programs, one line of error."""

import json
from dataclasses import replace
from textwrap import dedent

import numpy as np
import pytest
from typer.testing import CliRunner

from mar import api
from mar.cli.main import app
from mar.cli.shown import paid
from mar.controllers import PlanSpace
from mar.controllers.base import Planned
from mar.controllers.baselines import Constant, single
from mar.controllers.embeddings import HashEncoder, MiniLM, encoder_of
from mar.controllers.masrouter import MasRouter, NetworkSettings, PlanOptions, save_router
from mar.controllers.routers import Examples, RouterController, make_router, save_routed
from mar.errors import CheckpointError, ConfigError
from mar.pool import CachedModel, FileReplies, ModelCard, Pool, ScriptedModel
from mar.pool.scripted import scripted_pool
from mar.pool.simulated import EMPTY_WORLD, simulated_cards, simulated_pool
from mar.runtime.prompts import PromptLibrary
from mar.types import ZERO_USAGE, AgentSpec, Belief, ChatReply, ModeSpec, Move, Option, Plan, Settle, ToolCall, Why
from tests.controllers.encoders import tiny_encoder

MODEL = "gpt-4o-mini"
OTHER = "gpt-4o"
SPELLINGS = ("--cost-rate", "--cost_rate")
MODELS = [card.name for card in simulated_cards()]


@pytest.fixture(autouse=True)
def nothing_configured(tmp_path, monkeypatch):
    """An empty folder, no live pool, no encoder to load, a wide terminal."""
    for name in ("URL", "KEY", "MODEL_BASE_URLS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "180")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(api, "_encoder", lambda *, on_disk: HashEncoder())


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A router that was never trained, saved as one that was trained on the simulated pool."""
    path = tmp_path_factory.mktemp("checkpoint") / "router.safetensors"
    router = MasRouter(NetworkSettings(), HashEncoder(), cost_rate=20.0, options=PlanOptions())
    space = PlanSpace.of(simulated_pool(EMPTY_WORLD), PromptLibrary.load())
    save_router(path, router, space, trained_on={"task": "none"}, simulated=True)
    return path


@pytest.fixture
def constant(monkeypatch):
    """`--router` means one agent on one model, whatever its name."""
    monkeypatch.setattr(api, "load_controller", lambda name, **_: single(MODEL, "Code"))


def mar(*argv, answer=None):
    return CliRunner().invoke(app, list(argv), input=answer)


def live(monkeypatch, fn, **options):
    """Let `--pool auto` find a pool that answers from a function."""
    pool = scripted_pool(fn, (MODEL, OTHER), **options)
    monkeypatch.setattr("mar.pool.choose.configured_pool", lambda choice, **_: pool)
    return pool


# mar plan --------------------------------------------------------------------------------------------------------


def test_a_plan_is_shown_with_mode_agents_bounds_and_pool(checkpoint):
    ended = mar("plan", "Write a function that doubles a number.", "--router", str(checkpoint))
    assert ended.exit_code == 0, ended.output
    assert "at most" in ended.output
    assert "round 1" in ended.output
    assert any(f" on {model}" in ended.output for model in MODELS)
    assert "simulated pool" in ended.output


def test_a_plan_as_json_is_a_plan(checkpoint):
    ended = mar("plan", "Write a function.", "--router", str(checkpoint), "--json")
    plan = Plan.from_json(json.loads(ended.output))
    assert {a.model for a in plan.agents} <= set(MODELS)


def test_only_allowed_models_are_used(checkpoint):
    ended = mar("plan", "Write it.", "--router", str(checkpoint), "--json", "--allow", MODEL, "--allow", OTHER)
    assert {a["model"] for a in json.loads(ended.output)["agents"]} <= {MODEL, OTHER}


def test_denied_models_are_not_used(checkpoint):
    denied = [part for model in MODELS if model != OTHER for part in ("--deny", model)]
    ended = mar("plan", "Write it.", "--router", str(checkpoint), "--json", *denied)
    assert {a["model"] for a in json.loads(ended.output)["agents"]} == {OTHER}


def test_both_spellings_of_an_option_are_one_option():
    actions = {json.loads(mar("plan", "hi", spelling, "1e6", "--json").output)["action"] for spelling in SPELLINGS}
    assert len(actions) == 1
    assert actions != {json.loads(mar("plan", "hi", "--json").output)["action"]}


def test_who_reads_whom_is_shown(monkeypatch):
    agents = tuple(AgentSpec(role="ProgrammingExpert", model=MODEL) for _ in range(2))
    plan = Plan(mode=ModeSpec(name="Chain"), domain="Code", agents=agents)
    monkeypatch.setattr(api, "load_controller", lambda name, **_: Constant(plan, name="chain"))
    ended = mar("plan", "Write it.")
    assert f"2 ProgrammingExpert on {MODEL}  <- reads 1" in ended.output
    assert "answer: a final call" in ended.output


def test_who_asks_counts_where_a_controller_knows_of_users(monkeypatch):
    refused = mar("plan", "hi", "--user", "ann")
    assert isinstance(refused.exception, ConfigError)
    assert "--user has no meaning for the controller cards" in str(refused.exception)
    seen = []
    liking = single(MODEL, "Code")
    plan = liking.plan
    liking.likes = None
    liking.plan = lambda queries, space: seen.extend(q.user_id for q in queries) or plan(queries, space)
    monkeypatch.setattr(api, "load_controller", lambda name, **_: liking)
    assert mar("plan", "hi", "--user", " ann ").exit_code == 0
    assert seen == ["ann"]
    assert liking.likes is not None


# mar ask ---------------------------------------------------------------------------------------------------------


def test_an_answer_is_shown_with_its_conversation_and_cost(constant, monkeypatch):
    live(monkeypatch, lambda request: "```python\ndef f():\n    return 42\n```")
    ended = mar("ask", "Write f.")
    assert ended.exit_code == 0, ended.output
    assert "return 42" in ended.output
    assert f"on {MODEL}, round 1" in ended.output
    assert "USD" in ended.output
    assert "imulated" not in ended.output


def test_answers_are_kept_only_where_that_is_asked_for_and_shown_as_cached(constant, monkeypatch, tmp_path):
    model = ScriptedModel(lambda request: "42")
    card = ModelCard(name=MODEL, price_in=1.0, price_out=1.0)
    asked = []

    def found(choice, *, cache=False, **_):
        asked.append(cache)
        return Pool([card], CachedModel(model, FileReplies(tmp_path / "c.sqlite")) if cache else model, kind="scripted")

    monkeypatch.setattr("mar.pool.choose.configured_pool", found)
    ended = [mar("ask", "What?", *how).output for how in ((), ("--cache",), ("--cache",))]
    assert asked == [False, True, True]
    assert ["2 of 2 answers: their cost and time are those of the first time" in out for out in ended] == [
        False,
        False,
        True,
    ]


class Looker:
    """A controller that makes no plan: its policy asks one model and settles, and says why."""

    name = "looker"

    def plan(self, queries, space):
        return [Planned(policy=Looking) for _ in queries]


class Looking:
    plan, name = None, "looking"

    async def next(self, view):
        options = (Option(action="ask", right=0.5, usd=0.001, seconds=2.0, utility=0.4), Option(action="settle"))
        if not view.said:
            agent = AgentSpec(role="ProgrammingExpert", model=MODEL)
            return [Move(agent=agent, domain="Code", index=0, why=Why(because="nothing is known", options=options))]
        why = Why(beliefs=(Belief(answer="f[x]", probability=0.875),))
        return Settle(how="chosen", messages=(view.said[0].id,), why=why)


def test_an_answer_found_step_by_step_is_shown_with_what_was_believed(monkeypatch):
    monkeypatch.setattr(api, "load_controller", lambda name, **_: Looker())
    live(monkeypatch, lambda request: "f[x]")
    ended = mar("ask", "Write f.")
    assert ended.exit_code == 0, ended.output
    lines = [" ".join(line.split()) for line in ended.output.splitlines()]
    assert "decided step by step by looking" in lines
    assert "before 1 ProgrammingExpert: nothing is known" in lines
    assert "ask 50% 0.001000 2.0 0.4000" in lines
    assert "settle - - - -" in lines
    assert "before settling: believed: f[x] 88%" in lines
    assert json.loads(mar("ask", "Write f.", "--json").output)["plan"] is None


def test_what_is_decided_step_by_step_has_no_plan_to_show(monkeypatch):
    monkeypatch.setattr(api, "load_controller", lambda name, **_: Looker())
    assert "decided step by step by looker" in mar("plan", "Write f.").output
    assert json.loads(mar("plan", "Write f.", "--json").output) == {"policy": "looker", "notes": {}}


class Doubter(Looker):
    as_published = False

    def doubts(self, queries, space):
        return ["it knows nothing" for _ in queries]


def test_a_controller_that_does_not_decide_is_not_said_to_decide(monkeypatch):
    monkeypatch.setattr(api, "load_controller", lambda name, **_: Doubter())
    shown = mar("plan", "Write f.").output
    assert "looker does not decide: it knows nothing" in shown
    assert "decided step by step by cards" in shown
    assert json.loads(mar("plan", "Write f.", "--json").output)["policy"] == "cards"


def test_an_answer_that_the_output_limit_cut_off_is_shown_as_cut(constant, monkeypatch):
    pool = live(monkeypatch, lambda request: "def f(): return 4")
    chat = pool.model.chat

    async def cut(request, on_delta=None):
        return replace(await chat(request, on_delta), finish_reason="length")

    assert "cut at the output limit" not in mar("ask", "Write f.").output
    monkeypatch.setattr(pool.model, "chat", cut)
    assert "cut at the output limit" in mar("ask", "Write f.").output


def test_what_nobody_stated_of_a_cost_is_said():
    assert paid(replace(ZERO_USAGE, cost_usd=0.5)) == "0.500000 USD"
    stated = paid(replace(ZERO_USAGE, cost_usd=0.5, uncertain_usd=0.2))
    assert stated == "0.500000 USD, of which 0.200000 is the most that failed tries can have cost"
    assert paid(replace(ZERO_USAGE, cost_usd=None)) == "unknown"


def test_a_question_from_a_pipe_that_is_no_text_is_one_line(constant, monkeypatch):
    ended = mar("ask", "-", answer=b"what is \xff?")
    assert isinstance(ended.exception, ConfigError)
    assert "standard input" in str(ended.exception)
    assert len(str(ended.exception).splitlines()) == 1


def test_an_unknown_cost_is_called_unknown(constant, monkeypatch):
    live(monkeypatch, lambda request: "def f(): pass", price_in=None, price_out=None)
    ended = mar("ask", "Write f.")
    assert "cost unknown" in ended.output
    assert "0.000000 USD" not in ended.output


def test_a_simulated_pool_says_so_and_the_unknown_item_is_a_failure(constant):
    ended = mar("ask", "Write a function that doubles a number.")
    assert ended.exit_code == 0, ended.output
    assert "Simulated pool: nobody was asked" in ended.output
    assert "failure" in ended.output
    assert "simulated:" in ended.output
    assert "(simulated)" in ended.output


def test_an_episode_as_json_records_the_failure(constant):
    ended = mar("ask", "Write a function.", "--json")
    episode = json.loads(ended.output)
    failures = [e["failure"] for e in episode["events"] if "failure" in e] + [episode["failure"]]
    assert "simulated" in {f["kind"] for f in failures if f}
    assert episode["plan"]["agents"][0]["model"] == MODEL


def test_the_question_can_come_from_standard_input(constant, monkeypatch):
    pool = live(monkeypatch, lambda request: "def f(): pass")
    assert mar("ask", "-", answer="Write the function from the pipe.").exit_code == 0
    assert "from the pipe" in pool.model.requests[0].messages[-1].text


def test_text_of_models_is_shown_as_it_is_and_not_as_markup(constant, monkeypatch):
    live(monkeypatch, lambda request: "x[0] and [bold]y[/bold] and [/red]")
    ended = mar("ask", "Write f.")
    assert ended.exit_code == 0, ended.output
    assert "x[0] and [bold]y[/bold] and [/red]" in ended.output


# What is asked wrongly -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["ask", "plan"])
@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("",), "the query is empty"),
        (("  \n",), "the query is empty"),
        (("q", "--pool", "nosuch.toml"), "--pool is 'nosuch.toml'"),
        (("q", "--allow", "gpt-99"), "unknown model 'gpt-99'; the pool has: "),
        (("q", "--deny", "gpt-99"), "unknown model 'gpt-99'"),
        (("q", "--allow", MODEL, "--deny", MODEL), "the pool has no models"),
        (("q", "--cost-rate", "3"), "--cost-rate has no meaning for the controller"),
    ],
)
def test_what_cannot_be_used_is_a_user_error_of_one_line(constant, command, argv, says):
    error = mar(command, *argv).exception
    assert isinstance(error, ConfigError)
    assert says in str(error)
    assert "\n" not in str(error)


def test_an_unknown_router_is_refused_with_what_there_is():
    error = mar("plan", "q", "--router", "nosuch").exception
    assert isinstance(error, CheckpointError)
    assert "no controller 'nosuch'; expected a checkpoint file" in str(error)


def test_a_file_that_is_no_checkpoint_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    error = mar("plan", "q", "--router", "notes.txt").exception
    assert isinstance(error, CheckpointError)
    assert "notes.txt is no checkpoint of a MasRouter" in str(error)


def test_a_price_of_money_of_zero_is_refused_by_a_router_that_needs_one(checkpoint):
    error = mar("plan", "q", "--router", str(checkpoint), "--cost-rate", "0").exception
    assert isinstance(error, ConfigError)
    assert "a positive utility per USD is expected" in str(error)


@pytest.fixture
def routed(tmp_path):
    """Fits a router of some kind on embeddings of a tiny encoder in ./tiny: apples to one LLM, pears to another."""
    encoder = encoder_of(str(tiny_encoder(tmp_path / "tiny")))
    texts = tuple(f"{'apple' if i % 2 else 'pear'} {i}" for i in range(60))
    scores = np.array([[i % 2, 1 - i % 2] for i in range(60)], dtype=np.float32)
    train = Examples(vectors=encoder.encode(texts), texts=texts, scores=scores)

    def fit(kind):
        router = make_router(kind)
        router.fit(train, train)
        controller = RouterController(router=router, models=(MODEL, OTHER), ties=scores.mean(axis=0), encoder=encoder)
        save_routed(tmp_path / "routed.safetensors", controller, trained_on={})
        return "routed.safetensors"

    return fit


def model_of(ended):
    assert ended.exception is None, ended.exception
    return json.loads(ended.stdout)["agents"][0]["model"]


def test_a_router_reads_queries_with_the_encoder_that_its_checkpoint_names(routed, tmp_path):
    words = ["--router", routed("knn"), "--json"]
    assert model_of(mar("plan", "apple 3", *words)) == MODEL
    assert model_of(mar("plan", "pear 3", *words)) == OTHER
    (tmp_path / "tiny").rename(tmp_path / "moved")
    error = mar("plan", "pear 3", *words).exception
    assert isinstance(error, CheckpointError)
    assert "was fitted on embeddings of tiny@" in str(error)
    assert "name it (--embedding NAME or FOLDER)" in str(error)
    assert model_of(mar("plan", "pear 3", *words, "--embedding", "moved")) == OTHER
    assert "this encoder is all-MiniLM-L6-v2" in str(mar("plan", "q", *words, "--embedding", MiniLM.name).exception)


def test_a_router_of_a_class_of_ones_own_is_used_when_the_user_names_it(routed, tmp_path):
    code = """
        from dataclasses import dataclass
        from mar.controllers.routers.neighbours import Knn

        @dataclass(kw_only=True)
        class Mine(Knn):
            pass
    """
    (tmp_path / "own_routers.py").write_text(dedent(code))
    words = ["--router", routed("own_routers:Mine"), "--json"]
    error = mar("plan", "pear 3", *words).exception
    assert isinstance(error, CheckpointError)
    assert "'own_routers:Mine', which is not registered" in str(error)
    assert model_of(mar("plan", "pear 3", *words, "--router-class", "own_routers:Mine")) == OTHER
    assert "has no 'Other'" in str(mar("plan", "q", *words, "--router-class", "own_routers:Other").exception)


def test_a_router_class_has_no_meaning_for_other_controllers():
    error = mar("plan", "q", "--router-class", "own_routers:Mine").exception
    assert isinstance(error, ConfigError)
    assert "cards is no fitted router" in str(error)


# Tools -----------------------------------------------------------------------------------------------------------

TOOLS = """
[functions.double]
function = "mine:double"

[roles]
Assistant = ["double"]
"""
MINE = '''
def double(number: float) -> float:
    """Twice a number."""
    return 2 * number
'''


def calls_a_tool(request):
    found = [m.text for m in request.messages if m.speaker == "tool"]
    if found or not request.tools:
        return f"it is {found[0]}" if found else "who knows"
    call = ToolCall(id="1", name="double", arguments='{"number": 21}')
    return ChatReply(text="", model=request.model, calls=(call,))


@pytest.fixture
def tools_file(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "tools.toml").write_text(TOOLS)
    return "tools.toml"


def test_calls_of_tools_and_what_they_found_are_shown(monkeypatch, tools_file):
    live(monkeypatch, calls_a_tool)
    ended = mar("ask", "21?", "--tools", tools_file)
    assert ended.exit_code == 0, ended.output
    assert 'calls double: {"number": 21}' in ended.output
    assert "double in 0.0" in ended.output
    assert "it is 42.0" in ended.output
    assert "who knows" in mar("ask", "21?").output  # a role that was given no tools calls none


def test_calls_of_tools_are_in_the_json(monkeypatch, tools_file):
    live(monkeypatch, calls_a_tool)
    events = json.loads(mar("ask", "21?", "--tools", tools_file, "--json").output)["events"]
    (called,) = [e for e in events if e["event"] == "ToolCalled"]
    assert (called["tool"], called["arguments"], called["result"], called["ok"]) == (
        "double",
        '{"number": 21}',
        "42.0",
        True,
    )


def test_a_plan_says_who_may_call_what_and_counts_the_calls(monkeypatch, tools_file):
    live(monkeypatch, calls_a_tool)
    plan = Plan(mode=ModeSpec(name="IO"), domain="Code", agents=(AgentSpec(role="Assistant", model=MODEL),))
    monkeypatch.setattr(api, "load_controller", lambda name, **_: Constant(plan, name="one"))
    ended = mar("plan", "21?", "--tools", tools_file)
    assert f"Assistant on {MODEL}, may call double" in ended.output
    assert "at most 9 calls" in ended.output  # eight for as many calls of tools, and the answer


@pytest.mark.parametrize("command", ["ask", "plan"])
def test_a_file_of_tools_that_cannot_be_used_is_one_line(command, tmp_path):
    (tmp_path / "tools.toml").write_text("[functions.f]\nfunction = 'nowhere:f'\n")
    ended = mar(command, "21?", "--tools", "tools.toml")
    assert isinstance(ended.exception, ConfigError)
    assert "tools.toml: functions.f: nowhere cannot be imported" in str(ended.exception)
