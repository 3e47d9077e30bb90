from collections import deque
from dataclasses import replace

import anyio
import pytest
from pydantic import SecretStr

from mar.errors import (
    BadKey,
    BadReply,
    BadRequest,
    BrokenOff,
    CallError,
    CallTimeout,
    ConfigError,
    ConnectionLost,
    ContextOverflow,
    LimitReached,
    ModelLoading,
    RateLimited,
    Refused,
    ServerFault,
    UnknownModel,
)
from mar.pool import ModelCard, Pool
from mar.pool.dialect import Dialect
from mar.pool.openai_client import OpenAIModel, RetryPolicy
from mar.testing import FAULTS, ChatServer, ServedAnswer, evenly
from mar.types import CallContext, ChatReply, ChatRequest, Message, ToolCall, ToolSpec

pytestmark = pytest.mark.anyio
QUICK = RetryPolicy(first_wait_s=0.001)
ONCE = RetryPolicy(attempts=1)
RETRYABLE = ("rate_limited", "rate_limited_with_wait", "server_error", "garbage", "no_choices", "empty", "truncated")


@pytest.fixture
def anyio_backend():
    return "asyncio"


def ask(text="why", **kwargs):
    return ChatRequest(model="m", messages=(Message(speaker="user", text=text),), **kwargs)


def client(server, retry=QUICK, **card):
    return OpenAIModel([ModelCard(name="m", base_url=server.base_url, **card)], retry=retry)


async def test_a_reply_carries_text_usage_and_latency():
    async with ChatServer(delay_s=0.05) as server, client(server) as model:
        reply = await model.chat(ask("two words"))
    assert reply.text == "answer to two words"
    assert (reply.prompt_tokens, reply.completion_tokens) == (2, 4)
    assert (reply.attempts, reply.cached, reply.ttft_s) == (1, False, None)
    assert reply.latency_s >= 0.05


async def test_a_streamed_reply_is_the_same_and_its_first_token_is_timed():
    heard = []
    async with ChatServer(piece_delay_s=0.02) as server, client(server) as model:
        plain = await model.chat(ask())
        reply = await model.chat(ask(), lambda delta: heard.append(delta.text))
        seen = model.telemetry()["m"]
    assert "".join(heard) == reply.text == plain.text
    assert len(heard) > 1
    assert (reply.prompt_tokens, reply.completion_tokens) == (plain.prompt_tokens, plain.completion_tokens)
    assert reply.ttft_s is not None
    assert reply.ttft_s < reply.latency_s
    assert seen.ttft_s == reply.ttft_s
    # "answer to why" is 3 tokens: 2 after the first
    assert seen.inter_token_s == pytest.approx((reply.latency_s - reply.ttft_s) / 2)


async def test_reasoning_and_log_probabilities_are_read_both_ways():
    answer = ServedAnswer(text="four", reasoning="two and two", finish_reason="length")
    async with ChatServer(answer=lambda _: answer) as server, client(server) as model:
        plain = await model.chat(ask(logprobs=True))
        streamed = await model.chat(ask(), lambda _: None)
    assert (plain.text, plain.reasoning, plain.finish_reason) == ("four", "two and two", "length")
    assert (streamed.text, streamed.reasoning.strip(), streamed.finish_reason) == ("four", "two and two", "length")
    assert plain.mean_logprob == -0.5


async def test_context_and_sample_are_never_sent_and_priority_to_vllm_only():
    context = CallContext(item="secret-item", message_id="secret-message")
    request = ask(sample="secret-sample", context=context, priority=3, stop=("END",), max_tokens=7, temperature=0.2)
    async with ChatServer() as server:
        for tags in ((), ("vllm",)):
            async with client(server, tags=tags, served_name="real", max_output_tokens=99) as model:
                await model.chat(request)
        plain, vllm = (r.body for r in server.requests)
    assert "secret" not in str(server.requests)
    assert (plain["model"], plain["max_tokens"], plain["stop"], plain["temperature"]) == ("real", 7, ["END"], 0.2)
    assert "priority" not in plain
    assert vllm["priority"] == 3


async def test_no_limit_in_the_request_means_the_cards():
    async with ChatServer() as server, client(server, max_output_tokens=99) as model:
        await model.chat(ask())
        assert server.requests[0].body["max_tokens"] == 99


SYSTEM = Message(speaker="system", text="be brief")


def no_system(served):
    return "System role not supported" if served.body["messages"][0]["role"] == "system" else None


def reasoning_model(served):
    """Refuses what hosted reasoning models refuse, one at a time."""
    if "max_tokens" in served.body:
        return (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        )
    for name in ("temperature", "top_p", "stop", "logprobs"):
        if name in served.body:
            return f"Unsupported parameter: '{name}' is not supported with this model."
    return None


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_refused_role_is_learned_once_and_said_once(stream):
    on_delta = (lambda _: None) if stream else None
    request = ChatRequest(model="m", messages=(SYSTEM, *ask().messages))
    async with ChatServer(refuse=no_system) as server, client(server, ONCE) as model:
        first = await model.chat(request, on_delta)
        second = await model.chat(request, on_delta)
    assert first.text == second.text == "answer to be brief\n\nwhy"
    assert (first.attempts, len(server.requests)) == (1, 3)  # the refusal, the answer, and the second call's answer
    assert len(first.learned) == 1
    assert second.learned == ()


async def test_everything_that_a_reasoning_model_refuses_is_learned_within_one_try():
    request = ask(temperature=0.5, top_p=0.5, stop=("x",), logprobs=True)
    async with ChatServer(refuse=reasoning_model) as server, client(server, ONCE) as model:
        reply = await model.chat(request)
        await model.chat(request)
    assert len(reply.learned) == 5
    assert len(server.requests) == 7
    assert set(server.requests[-1].body) == {"model", "messages", "max_completion_tokens"}


async def test_what_a_card_states_needs_no_refusal():
    dialect = Dialect(system_role=False, output_limit="max_completion_tokens", leave_out=("temperature",))
    request = ChatRequest(model="m", messages=(SYSTEM, *ask().messages), temperature=0.5)
    async with ChatServer() as server, client(server, ONCE, dialect=dialect) as model:
        assert (await model.chat(request)).learned == ()
    (served,) = server.requests
    assert [m["role"] for m in served.body["messages"]] == ["user"]
    assert set(served.body) == {"model", "messages", "max_completion_tokens"}


async def test_calls_at_once_learn_one_lesson_together():
    request = ChatRequest(model="m", messages=(SYSTEM, *ask().messages))
    replies = []

    async def one(model):
        replies.append(await model.chat(request))

    server = ChatServer(refuse=no_system, delay_s=0.02)
    async with server, client(server, ONCE) as model, anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(one, model)
    assert sum(len(r.learned) for r in replies) == 1


async def test_a_prompt_that_fits_is_asked_again_with_the_room_that_is_left():
    def full(served):
        sent = served.body["max_tokens"]
        words = (
            "This model's maximum context length is 4096 tokens, and you requested {} tokens (3608 in the messages)."
        )
        return words.format(3608 + sent) if 3608 + sent > 4096 else None

    async with ChatServer(refuse=full) as server, client(server, ONCE, max_output_tokens=1500) as model:
        reply = await model.chat(ask())
        await model.chat(ask(max_tokens=100))
    assert [r.body["max_tokens"] for r in server.requests] == [1500, 488, 100]  # 4096 - 3608; it holds for that call
    assert len(reply.learned) == 1


@pytest.mark.parametrize("words", ["'temperature' is not supported", "'max_tokens' is not supported", "no"])
async def test_a_server_that_refuses_everything_is_not_asked_for_ever(words):
    async with ChatServer(refuse=lambda _: words) as server, client(server, ONCE) as model:
        with pytest.raises(BadRequest):
            await model.chat(ask(temperature=0.5))
    assert len(server.requests) <= 10


async def test_reasoning_that_nothing_opened_is_corrected_at_first_and_held_back_from_then_on():
    first, second = [], []
    answer = ServedAnswer(text="6 * 7 = 42\n</think>\n\nIt is 42")
    async with ChatServer(answer=lambda _: answer) as server, client(server, ONCE) as model:
        replies = [await model.chat(ask(), heard.append) for heard in (first, second)]
    assert [(r.text, r.reasoning) for r in replies] == [("It is 42", "6 * 7 = 42")] * 2
    assert "".join(d.text for d in first) == answer.text  # nobody could know
    assert "".join(d.text for d in second) == "It is 42"
    assert (len(replies[0].learned), replies[1].learned) == (1, ())


async def test_a_server_that_does_not_stream_is_heard_all_the_same():
    heard = []
    async with ChatServer(streams=False) as server, client(server, ONCE) as model:
        reply = await model.chat(ask(), lambda delta: heard.append(delta.text))
    assert "".join(heard) == reply.text == "answer to why"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("rate_limited", RateLimited),
        ("rate_limited_with_wait", RateLimited),
        ("server_error", ServerFault),
        ("garbage", BadReply),
        ("no_choices", BadReply),
        ("empty", BadReply),
        ("truncated", ConnectionLost),
        ("closed", ConnectionLost),
        ("hang", CallTimeout),
        ("bad_key", BadKey),
        ("unknown_model", UnknownModel),
        ("overflow", ContextOverflow),
        ("filtered", Refused),
    ],
)
async def test_every_fault_becomes_its_error(fault, expected, stream):
    timeout_s = 0.2 if fault == "hang" else 10
    async with ChatServer(next_faults=deque([fault])) as server, client(server, ONCE, timeout_s=timeout_s) as model:
        with pytest.raises(CallError) as caught:
            await model.chat(ask(), (lambda _: None) if stream else None)
    shown = stream and fault == "truncated"  # of the others no piece came
    assert isinstance(caught.value, BrokenOff) is shown
    assert type(caught.value.__cause__ if shown else caught.value) is expected
    assert len(server.requests) == 1


def test_every_fault_is_covered_above():
    cases = test_every_fault_becomes_its_error.pytestmark
    tried = {
        case[0] for mark in cases if mark.name == "parametrize" and "fault" in mark.args[0] for case in mark.args[1]
    }
    assert tried == set(FAULTS)


async def test_passing_faults_are_retried_and_tries_counted():
    async with ChatServer(next_faults=deque(["server_error", "garbage", "closed"])) as server, client(server) as model:
        reply = await model.chat(ask())
    assert (reply.attempts, len(server.requests)) == (4, 4)


async def test_final_errors_are_not_retried():
    async with ChatServer(next_faults=deque(["overflow"])) as server, client(server) as model:
        with pytest.raises(ContextOverflow):
            await model.chat(ask())
    assert len(server.requests) == 1


async def test_retries_end_after_the_configured_attempts():
    policy = RetryPolicy(attempts=3, first_wait_s=0.001)
    async with ChatServer(faults={"server_error": 1.0}) as server, client(server, policy) as model:
        with pytest.raises(ServerFault):
            await model.chat(ask())
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("faults", "tries"),
    [
        (["empty"] * 5, 2),  # both are charged for
        (["server_error", "rate_limited", "empty", "server_error", "empty"], 5),  # two of the five are
        (["garbage"] * 5, 5),  # nobody knows
        (["server_error", "server_error", "bad_key"], 3),  # the last is final
    ],
)
async def test_what_is_charged_and_of_no_use_is_bought_twice_and_the_error_says_how_often_was_tried(faults, tries):
    async with ChatServer(next_faults=deque(faults)) as server, client(server) as model:
        with pytest.raises(CallError) as caught:
            await model.chat(ask())
    assert (len(server.requests), caught.value.attempts) == (tries, tries)


async def test_a_rate_limit_is_given_twice_as_many_pauses_as_a_fault():
    policy = RetryPolicy(attempts=3, first_wait_s=0.001)
    async with ChatServer(faults={"rate_limited": 1.0}) as server, client(server, policy) as model:
        with pytest.raises(RateLimited):
            await model.chat(ask())
    assert len(server.requests) == 5  # 4 pauses instead of 2


@pytest.mark.parametrize("error", [RateLimited("no"), ModelLoading("no")], ids=["rate limit", "loading"])
async def test_a_rate_limit_that_states_no_wait_is_outlasted_for_more_than_a_minute(error):
    policy, waited, tries = RetryPolicy(), 0.0, 1
    while not policy.stop(error, tries):
        pauses = [policy.pause(error, tries) for _ in range(20)]
        waited, tries = waited + min(pauses), tries + 1
        assert max(pauses) <= 30
    assert (waited > 75, tries) == (True, 9)  # at the least 1 + 2 + 4 + 8 + 15 + 15 + 15 + 15 s


async def test_latency_leaves_out_failed_tries_and_pauses():
    faults = deque(["rate_limited_with_wait"])
    async with ChatServer(next_faults=faults, retry_after_s=0.3) as server, client(server) as model:
        began = anyio.current_time()
        reply = await model.chat(ask())
        took = anyio.current_time() - began
    assert took >= 0.3
    assert reply.latency_s < 0.3


async def test_retry_after_is_capped():
    policy = RetryPolicy(first_wait_s=0.001, longest_retry_after_s=0.05)
    faults = deque(["rate_limited_with_wait"])
    async with ChatServer(next_faults=faults, retry_after_s=3600) as server, client(server, policy) as model:
        with anyio.fail_after(5):
            assert (await model.chat(ask())).attempts == 2


async def test_a_pause_between_tries_can_be_cancelled():
    async with ChatServer(faults={"rate_limited_with_wait": 1.0}, retry_after_s=50) as server, client(server) as model:
        with anyio.move_on_after(0.2) as scope:
            await model.chat(ask())
    assert scope.cancelled_caught


async def test_the_requests_time_limit_goes_before_the_cards():
    async with ChatServer(delay_s=5) as server, client(server, ONCE, timeout_s=60) as model:
        with pytest.raises(CallTimeout, match=r"0\.1 s"):
            await model.chat(ask(timeout_s=0.1))


async def test_two_hundred_calls_at_thirty_percent_faults_each_end_as_what_they_are():
    outcomes = []
    server = ChatServer(faults=evenly(0.3, [f for f in FAULTS if f != "hang"]), seed=4, delay_s=0.005)

    async def one(model, number):
        try:
            outcomes.append(await model.chat(ask(f"q{number}"), (lambda _: None) if number % 2 else None))
        except CallError as error:
            outcomes.append(error)

    async with server, client(server, concurrency=20) as model:
        async with anyio.create_task_group() as tasks:
            for number in range(200):
                tasks.start_soon(one, model, number)
        assert model.limits["m"].most_running == 20
    assert len(outcomes) == 200
    failures = [o for o in outcomes if isinstance(o, CallError)]
    final = [f for f in server.injected if f in ("bad_key", "unknown_model", "overflow", "filtered")]
    broken = [f for f in failures if isinstance(f, BrokenOff)]
    assert {type(f.__cause__) for f in broken} == {ConnectionLost}
    assert {type(f) for f in failures if not f.retryable} == {BadKey, UnknownModel, ContextOverflow, Refused, BrokenOff}
    assert len([f for f in failures if not f.retryable]) == len(final) + len(broken)
    answers = [o.text for o in outcomes if not isinstance(o, CallError)]
    assert len(set(answers)) == len(answers)  # everybody got the answer to their own question
    assert sum(o.attempts for o in outcomes if not isinstance(o, CallError)) <= len(server.requests)
    assert server.most_running <= 20


async def test_every_call_is_answered_when_every_fault_can_pass():
    server = ChatServer(faults=evenly(0.3, RETRYABLE), seed=1)
    patient = RetryPolicy(attempts=20, bought=20, first_wait_s=0.001)
    async with server, client(server, patient) as model, anyio.create_task_group() as tasks:
        for number in range(60):
            tasks.start_soon(model.chat, ask(f"q{number}"))
    assert len(server.injected) > 5
    assert len(server.requests) == 60 + len(server.injected)


async def test_calls_overlap_to_the_limit():
    async with ChatServer(delay_s=0.1) as server, client(server, concurrency=50) as model:
        await model.chat(ask())
        began = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(model.chat, ask())
        took = anyio.current_time() - began
    assert server.most_running == 50
    assert took < 2.0  # one after the other: 5 s


async def test_load_is_visible_while_calls_are_under_way():
    server = ChatServer(faults={"hang": 1.0})
    async with server, client(server, concurrency=2) as model:
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(model.chat, ask())
            while server.running < 2:  # noqa: ASYNC110  # the server counts and has no event to give
                await anyio.sleep(0.001)
            seen = model.telemetry()["m"]
            tasks.cancel_scope.cancel()
        assert (seen.running, seen.waiting) == (2, 3)
        assert model.telemetry()["m"].running == 0


def test_threads_and_loops_share_a_pool_and_each_loop_has_its_own_connections():
    def loop(model, number):
        async def main():
            async with model, model:  # entered twice, as by a pool and its restricted copy
                return (await model.chat(ask(f"q{number}"))).text

        return [anyio.run(main) for _ in range(2)]

    async def serve():
        async with ChatServer() as server:
            model = client(server)
            found = {}

            async def one(number):
                found[number] = await anyio.to_thread.run_sync(loop, model, number)

            with anyio.fail_after(20):
                async with anyio.create_task_group() as tasks:
                    for number in range(6):
                        tasks.start_soon(one, number)
            assert model.limits == {}  # nothing is left open
            return found

    found = anyio.run(serve)
    assert all(len(set(texts)) == 1 and f"q{n}" in texts[0] for n, texts in found.items())


async def test_what_the_environment_holds_for_one_vendor_goes_to_no_other(monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-canary")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-canary")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Secret: canary")
    async with ChatServer() as server, client(server) as model:
        await model.chat(ask())
    assert "canary" not in repr(server.requests)


async def test_a_request_s_meter_is_asked_before_each_try():
    tries = []

    class Meter:
        async def __call__(self, request, attempt):
            tries.append(len(server.requests))
            if len(tries) == 3:
                raise LimitReached("enough")
            return await attempt()

    async with ChatServer(faults={"server_fault": 1.0}) as server, client(server) as model:
        with pytest.raises(LimitReached):
            await model.chat(ask(meter=Meter()))
    assert tries == [0, 1, 2]


async def test_a_right_key_is_let_in_and_a_wrong_one_refused():
    async with ChatServer(key="sk-right") as server:
        card = ModelCard(name="m", base_url=server.base_url)
        async with OpenAIModel([card], {"m": SecretStr("sk-right")}) as model:
            assert (await model.chat(ask())).text
        async with OpenAIModel([card], {"m": SecretStr("sk-wrong")}) as model:
            with pytest.raises(BadKey, match="refused the key"):
                await model.chat(ask())


async def test_a_server_that_is_not_there_is_a_lost_connection():
    async with ChatServer() as server:
        url = server.base_url
    async with OpenAIModel([ModelCard(name="m", base_url=url)], retry=ONCE) as model:
        with pytest.raises(ConnectionLost):
            await model.chat(ask())


async def test_a_pool_and_its_restricted_copy_share_one_client():
    async with ChatServer() as server:
        cards = [ModelCard(name=n, base_url=server.base_url) for n in ("m", "n")]
        async with Pool(cards, OpenAIModel(cards), kind="live") as pool:
            async with pool.restricted(allow=["m"]) as part:
                await part.chat(ask())
            assert (await pool.chat(ask())).text


async def test_misuse_is_said_in_words():
    with pytest.raises(ConfigError, match="no base_url"):
        OpenAIModel([ModelCard(name="m")])
    model = OpenAIModel([ModelCard(name="m", base_url="http://127.0.0.1:9/v1")])
    with pytest.raises(ConfigError, match="async with"):
        await model.chat(ask())


@pytest.mark.parametrize(("asked_s", "said"), [(0.5, ""), (20.0, "m at host: wait; asked again in 20 s (try 2)")])
async def test_a_long_pause_is_said_and_a_short_one_is_not(caplog, monkeypatch, asked_s, said):
    async def at_once(seconds):
        assert seconds == asked_s

    async def attempt():
        if errors:
            raise errors.pop()
        return ChatReply(text="x", model="m")

    errors = [RateLimited("m at host: wait", retry_after_s=asked_s)]
    monkeypatch.setattr("mar.pool.retry.anyio.sleep", at_once)
    reply = await RetryPolicy(stretch=0.0).tried(attempt)
    assert reply.attempts == 2
    assert said in caplog.text if said else not caplog.text


@pytest.mark.parametrize("stream", [False, True])
async def test_what_a_card_says_of_headers_and_version_is_sent_to_its_server_alone(stream):
    async with ChatServer() as server:
        cards = [
            ModelCard(name="m", base_url=server.base_url, headers={"X-Team": "blue"}, api_version="2026-01-01"),
            ModelCard(name="n", base_url=server.base_url),
        ]
        async with OpenAIModel(cards, {"m": SecretStr("secret"), "n": SecretStr("other")}, retry=QUICK) as model:
            for name in ("m", "n"):
                await model.chat(
                    ask() if name == "m" else replace(ask(), model="n"), (lambda _: None) if stream else None
                )
    with_both, plain = server.heard
    assert (with_both.headers["x-team"], with_both.headers["api-key"]) == ("blue", "secret")
    assert with_both.path.endswith("?api-version=2026-01-01")
    assert not {"x-team", "api-key"} & set(plain.headers)
    assert "?" not in plain.path


ADD = ToolSpec(name="add", description="Adds.", parameters={"type": "object", "properties": {"a": {"type": "number"}}})
CALLS = (
    ToolCall(id="c1", name="add", arguments='{"a": 1, "b": 2}'),
    ToolCall(id="c2", name="add", arguments='{"a": 3, "b": 4}'),
)


@pytest.mark.parametrize("stream", [False, True])
async def test_calls_of_tools_come_through_whole_and_streamed_and_their_results_are_heard(stream):
    def answer(served):
        results = [m["content"] for m in served.body["messages"] if m["role"] == "tool"]
        return f"sums: {', '.join(results)}" if results else ServedAnswer(text="", calls=CALLS)

    on_delta = (lambda _: None) if stream else None
    async with ChatServer(answer=answer) as server, client(server) as model:
        reply = await model.chat(ask(tools=(ADD,)), on_delta)
        results = [Message(speaker="tool", text=t, call_id=c.id) for t, c in zip("37", reply.calls, strict=True)]
        said = Message(speaker="assistant", text=reply.text, calls=reply.calls)
        asked = ask(tools=(ADD,))
        last = await model.chat(replace(asked, messages=(*asked.messages, said, *results)), on_delta)
    assert (reply.calls, reply.finish_reason, reply.text) == (CALLS, "tool_calls", "")
    assert (last.text, last.calls, last.finish_reason) == ("sums: 3, 7", (), "stop")


async def test_a_server_that_refuses_tools_is_asked_without_from_then_on_and_that_is_said_once():
    def refuse(served):
        return "this model does not support tools" if "tools" in served.body else None

    async with ChatServer(refuse=refuse) as server, client(server) as model:
        first, second = await model.chat(ask(tools=(ADD,))), await model.chat(ask(tools=(ADD,)))
        assert ["tools" in served.body for served in server.requests] == [True, False, False]
    assert (first.text, first.learned) == ("answer to why", ("no `tools`: it is left out",))
    assert (second.text, second.learned) == ("answer to why", ())


async def test_a_call_of_a_tool_that_was_not_offered_is_a_bad_reply():
    async with ChatServer(answer=lambda _: ServedAnswer(text="", calls=CALLS)) as server, client(server, ONCE) as model:
        with pytest.raises(BadReply, match="called a tool"):
            await model.chat(ask())


@pytest.mark.parametrize(
    ("fault", "retry_after_s", "longest_wait_s", "tries"),
    [
        ("rate_limited_with_wait", 30, 1.0, 1),  # the caller has others to ask
        ("rate_limited_with_wait", 0.01, 1.0, 2),
        ("rate_limited", 0, 0.0001, 1),  # our own pause would be longer
        ("server_error", 0, 1.0, 2),
        ("rate_limited_with_wait", 0.01, None, 2),
    ],
)
async def test_a_call_that_would_be_put_off_for_too_long_fails_at_once(fault, retry_after_s, longest_wait_s, tries):
    server = ChatServer(next_faults=deque([fault]), retry_after_s=retry_after_s)
    async with server, client(server) as model:
        with anyio.fail_after(5):
            if tries == 1:
                with pytest.raises(RateLimited) as caught:
                    await model.chat(ask(longest_wait_s=longest_wait_s))
                assert caught.value.attempts == 1
            else:
                assert (await model.chat(ask(longest_wait_s=longest_wait_s))).attempts == tries
    assert len(server.requests) == tries
