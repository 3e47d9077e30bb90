import multiprocessing
import sqlite3
from dataclasses import replace

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mar import clock
from mar.cachefile import open_private
from mar.errors import BrokenOff, CallError, ConfigError, ServerFault
from mar.pool import CachedModel, FileReplies, Pool, ResponseStore, ScriptedModel, cache_key
from mar.pool.cards import ModelCard
from mar.types import CallContext, ChatReply, ChatRequest, Delta, Message, ToolCall, ToolSpec

HELLO = ChatRequest(model="m", messages=(Message(speaker="user", text="hello"),), sample="s1")


def cached(tmp_path, fn=lambda _: "hi", **kwargs):
    return CachedModel(ScriptedModel(fn, **kwargs), FileReplies(tmp_path / "c.sqlite"))


def run(main, *, virtual=False):
    return clock.run(main, virtual=virtual)


@pytest.mark.parametrize("virtual", [False, True], ids=["wall clock", "virtual time"])
def test_a_second_ask_is_answered_from_disk_as_the_first_was(tmp_path, virtual):
    async def ask_twice():
        async with cached(tmp_path, latency_s=0.01) as model:
            first = await model.chat(HELLO)
            second = await model.chat(HELLO)
        async with cached(tmp_path) as again:
            third = await again.chat(HELLO)
            return first, second, third, model.model.calls + again.model.calls

    first, second, third, calls = run(ask_twice, virtual=virtual)
    assert calls == 1
    assert not first.cached
    assert second == third == replace(first, cached=True)
    assert second.latency_s == 0.01


def test_a_cached_reply_is_streamed_as_one_piece(tmp_path):
    async def main():
        heard = []
        async with cached(tmp_path, lambda _: "a whole text") as model:
            await model.chat(HELLO)
            await model.chat(HELLO, lambda delta: heard.append(delta.text))
        return heard

    assert run(main) == ["a whole text"]


def test_identical_requests_at_once_call_once(tmp_path):
    async def main():
        replies = []
        async with cached(tmp_path, latency_s=5) as model:

            async def one():
                replies.append(await model.chat(HELLO))

            async with anyio.create_task_group() as tasks:
                for _ in range(10):
                    tasks.start_soon(one)
            return model.model.calls, [r.cached for r in replies].count(False)

    assert run(main, virtual=True) == (1, 1)


def test_failures_are_not_kept(tmp_path):
    def fail_once(request):
        if model.model.calls == 1:
            raise ServerFault("down")
        return "up"

    model = cached(tmp_path, fail_once)

    async def main():
        async with model:
            with pytest.raises(ServerFault):
                await model.chat(HELLO)
            return await model.chat(HELLO)

    assert run(main).text == "up"


def test_who_waits_for_a_failing_call_fails_too(tmp_path):
    def fail(request):
        raise ServerFault("down")

    async def main():
        failures = []
        async with cached(tmp_path, fail, latency_s=1) as model:

            async def one():
                try:
                    await model.chat(HELLO)
                except ServerFault as error:
                    failures.append(error)

            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(one)
            return model.model.calls, failures

    calls, failures = run(main, virtual=True)
    assert calls == 1
    assert len({id(f) for f in failures}) == 3


def test_who_waits_for_a_stream_that_breaks_off_hears_why_since_nothing_was_shown_to_them(tmp_path):
    class Breaks:
        async def chat(self, request, on_delta=None):
            on_delta(Delta(text="half an"))
            await anyio.sleep(1)
            raise ServerFault("the engine has died")

    async def main():
        found = []
        async with cached(tmp_path, lambda _: "") as model:
            model.model = Breaks()

            async def one():
                try:
                    await model.chat(HELLO, lambda _: None)
                except CallError as error:
                    found.append(type(error))

            async with anyio.create_task_group() as tasks:
                for _ in range(2):
                    tasks.start_soon(one)
        return found

    assert sorted(run(main, virtual=True), key=str) == [BrokenOff, ServerFault]


def test_who_waits_for_a_cancelled_call_makes_it_anew(tmp_path):
    async def main():
        async with cached(tmp_path, latency_s=10) as model:
            texts = []

            async def impatient():
                with anyio.move_on_after(1):
                    await model.chat(HELLO)

            async def patient():
                texts.append((await model.chat(HELLO)).text)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(impatient)
                await anyio.wait_all_tasks_blocked()
                tasks.start_soon(patient)
            return model.model.calls, texts

    assert run(main, virtual=True) == (2, ["hi"])


OTHER_VALUES = {
    "model": "n",
    "messages": (Message(speaker="system", text="hello"),),
    "max_tokens": 5,
    "temperature": 0.1,
    "top_p": 0.5,
    "stop": ("x",),
    "logprobs": True,
    "sample": "s2",
    "tools": (ToolSpec(name="f", description="", parameters={}),),
}
TOOL = ToolSpec(name="f", description="d", parameters={"type": "object"})
CALL = ToolCall(id="1", name="f", arguments="{}")


@pytest.mark.parametrize("name", OTHER_VALUES)
def test_the_key_depends_on_all_that_determines_the_answer(name):
    assert cache_key(replace(HELLO, **{name: OTHER_VALUES[name]})) != cache_key(HELLO)


def test_the_key_depends_on_all_of_a_tool_and_of_its_calls():
    asked = replace(HELLO, tools=(TOOL,), messages=(Message(speaker="assistant", text="", calls=(CALL,)),))
    others = [replace(asked, tools=(replace(TOOL, **{n: v}),)) for n, v in
              (("name", "g"), ("description", "e"), ("parameters", {}))]  # fmt: skip
    others += [replace(asked, messages=(Message(speaker="assistant", text="", calls=(replace(CALL, **{n: "2"}),)),))
               for n in ("id", "name", "arguments")]  # fmt: skip
    others += [replace(asked, messages=(Message(speaker="tool", text="", call_id=id),)) for id in ("1", "2")]
    assert len({cache_key(request) for request in (asked, *others)}) == 1 + len(others)


def test_a_reply_that_calls_tools_is_kept_with_its_calls(tmp_path):
    async def main():
        reply = ChatReply(text="", model="m", finish_reason="tool_calls", calls=(CALL,))
        async with cached(tmp_path, lambda _: reply) as model:
            await model.chat(HELLO)
            return await model.chat(HELLO)

    again = run(main)
    assert (again.calls, again.finish_reason, again.cached) == ((CALL,), "tool_calls", True)


def test_the_key_depends_on_nothing_else():
    context = CallContext(item="i", message_id="m")
    assert cache_key(replace(HELLO, priority=5, timeout_s=1.0, context=context)) == cache_key(HELLO)
    assert cache_key(replace(HELLO, temperature=1)) == cache_key(replace(HELLO, temperature=1.0))


requests = st.builds(
    ChatRequest,
    model=st.text(max_size=3),
    messages=st.lists(
        st.builds(
            Message,
            speaker=st.sampled_from(["system", "user"]),
            text=st.text(max_size=4),
            call_id=st.sampled_from(["", "1"]),
            calls=st.sampled_from([(), (CALL,)]),
        ),
        max_size=3,
    ).map(tuple),
    tools=st.sampled_from([(), (TOOL,)]),
    max_tokens=st.none() | st.integers(1, 3),
    temperature=st.sampled_from([0.0, 0.5]),
    top_p=st.sampled_from([0.5, 1.0]),
    stop=st.lists(st.text(max_size=2), max_size=2).map(tuple),
    logprobs=st.booleans(),
    sample=st.text(max_size=3),
)


@settings(max_examples=40)
@given(requests, requests)
def test_two_requests_share_a_key_only_when_they_are_equal(a, b):
    assert (cache_key(a) == cache_key(b)) == (a == b)


def write_many(path, start, writer):
    store = ResponseStore(path)
    start.wait()
    for number in range(100):
        store.put(str(number).encode(), ChatReply(text=f"{writer}", model="m", prompt_tokens=1, completion_tokens=2))
    store.close()


def test_several_processes_write_at_once_and_the_first_answer_stays(tmp_path):
    path = tmp_path / "c.sqlite"
    spawn = multiprocessing.get_context("fork")
    start = spawn.Barrier(4)
    writers = [spawn.Process(target=write_many, args=(path, start, n)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    assert [w.exitcode for w in writers] == [0] * 4
    stats = ResponseStore(path).stats()
    assert (stats.entries, stats.models[0].prompt_tokens, stats.models[0].completion_tokens) == (100, 100, 200)


def test_the_cost_of_a_cached_reply_is_what_was_once_paid(tmp_path):
    card = ModelCard(name="m", price_in=1e6, price_out=1e6)

    async def main():
        async with Pool([card], cached(tmp_path, lambda _: "one two"), kind="live") as pool:
            await pool.chat(HELLO)
            return pool.usage(await pool.chat(HELLO)).cost_usd

    assert run(main) == 3.0  # 1 prompt word and 2 answer words, 1 USD each


@pytest.mark.parametrize("damage", ["no database", "a folder", "another version", "no folder"])
def test_a_cache_that_cannot_be_used_is_said_once_and_gone_on_without(tmp_path, caplog, damage):
    path = tmp_path / "c.sqlite"
    if damage == "no database":
        path.write_bytes(b"this is no database, but long enough to look at" * 30)
    elif damage == "a folder":
        path.mkdir()
    elif damage == "another version":
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version=99")
    else:
        (tmp_path / "file").touch()
        path = tmp_path / "file" / "c.sqlite"

    async def main():
        async with CachedModel(ScriptedModel(lambda _: "hi"), FileReplies(path)) as model:
            return [(await model.chat(HELLO)).text for _ in range(2)]

    assert run(main) == ["hi", "hi"]
    assert len(caplog.records) == 1
    assert "c.sqlite" in caplog.text


@pytest.mark.parametrize("reply", [{"text": "half \ud83d"}, {"prompt_tokens": 2**63}, {"reasoning": "\udfff"}])
def test_a_reply_that_cannot_be_kept_is_an_answer_all_the_same(tmp_path, caplog, reply):
    async def main():
        answer = ChatReply(**({"text": "hi", "model": "m"} | reply))
        async with CachedModel(ScriptedModel(lambda _: answer), FileReplies(tmp_path / "c.sqlite")) as model:
            return [await model.chat(HELLO) for _ in range(2)]

    first, again = run(main)
    assert first == again
    assert not again.cached
    assert "could not be written" in caplog.text


def test_where_the_disk_is_full_answers_are_given_and_one_line_says_what_they_will_cost(tmp_path, monkeypatch, caplog):
    def small(path):
        db = open_private(path)
        db.execute("PRAGMA max_page_count=8")  # pages of 4 KiB, beyond which SQLite says what it says of a full disk
        return db

    async def main():
        asked = [replace(HELLO, sample=f"s{i}") for i in range(3)]
        async with cached(tmp_path, lambda r: "a" if r.sample == "s0" else "long " * 10_000) as model:
            first = [(await model.chat(r)).text[:5] for r in asked]
            return first, [(await model.chat(r)).cached for r in asked]

    monkeypatch.setattr("mar.pool.cache_store.open_private", small)
    assert run(main) == (["a", "long ", "long "], [True, False, False])
    (line,) = caplog.messages
    assert "could not be written: database or disk is full; answers that are not kept have to be paid again" in line


def test_only_the_owner_may_read_what_is_kept(tmp_path):
    ResponseStore(tmp_path / "new" / "c.sqlite").close()
    assert (tmp_path / "new" / "c.sqlite").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def aged(path, days):
    """Make all that a cache holds older."""
    with sqlite3.connect(path) as db:
        db.execute("UPDATE replies SET created = created - ?", (days * 86_400,))


def test_an_answer_that_is_too_old_is_asked_for_again_and_replaced(tmp_path):
    texts = iter(["old", "new"])
    model = CachedModel(ScriptedModel(lambda _: next(texts)), FileReplies(tmp_path / "c.sqlite", days=2))

    async def main():
        async with model:
            first = await model.chat(HELLO)
            aged(model.replies.path, 1.9)
            again = await model.chat(HELLO)
            aged(model.replies.path, 0.2)
            return first, again, await model.chat(HELLO), await model.chat(HELLO)

    assert [(r.text, r.cached) for r in run(main)] == [("old", False), ("old", True), ("new", False), ("new", True)]


def test_what_is_too_old_is_dropped_when_the_cache_is_opened(tmp_path):
    path = tmp_path / "c.sqlite"
    store = ResponseStore(path)
    for key in (b"a", b"b"):
        store.put(key, ChatReply(text="hi", model="m"))
    store.close()
    aged(path, 40)
    assert ResponseStore(path, days=None).stats().entries == 2
    assert ResponseStore(path, days=30).stats().entries == 0


CARD = ModelCard(name="m", base_url="https://Host.org:443/v1/", max_output_tokens=100)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"name": "another name", "served_name": "m"}, True),  # what the card is called is no matter
        ({"base_url": "https://host.org/v1"}, True),  # the same address in another spelling
        ({"price_in": 1.0, "price_out": 1.0, "concurrency": 3, "description": "x"}, True),
        ({"base_url": "https://host.org:8443/v1"}, False),
        ({"base_url": "http://host.org:443/v1"}, False),
        ({"served_name": "m2"}, False),
        ({"revision": "2"}, False),
        ({"temperature": 0.0}, False),
        ({"reasoning_effort": "low"}, False),
        ({"api_version": "2025-01-01"}, False),
        ({"headers": {"X-Route": "b"}}, False),
        ({"extra_body": {"top_k": 1}}, False),
        ({"max_output_tokens": 99}, False),  # it is what is sent when a request states no limit
    ],
)
def test_a_cached_answer_is_one_of_the_same_server_s_same_model(change, same):
    other = CARD.model_copy(update=change)
    assert (cache_key(HELLO, other) == cache_key(HELLO, CARD)) is same


def test_a_cache_of_another_version_is_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / "c.sqlite") as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(ConfigError, match="schema version 99, expected 1"):
        ResponseStore(tmp_path / "c.sqlite")


def test_a_cache_that_breaks_midway_costs_no_answer(tmp_path, caplog):
    async def main():
        async with cached(tmp_path) as model:
            with sqlite3.connect(tmp_path / "c.sqlite") as db:
                db.execute("DROP TABLE replies")
            return await model.chat(HELLO)

    assert run(main).text == "hi"
    assert "could not be read" in caplog.text


def test_two_that_enter_at_once_open_the_cache_once(tmp_path):
    entered = []

    class Inner(ScriptedModel):
        async def __aenter__(self):
            entered.append(1)
            await anyio.sleep(0.01)
            return self

        async def __aexit__(self, *error):
            entered.append(-1)

    async def main():
        model = CachedModel(Inner(lambda request: "x"), FileReplies(tmp_path / "c.sqlite"))

        async def use():
            async with model:
                await anyio.sleep(0.05)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(use)
            tasks.start_soon(use)

    anyio.run(main)
    assert entered == [1, -1]


@pytest.mark.parametrize(
    ("column", "value"), [("model", b"\xff"), ("model", 7), ("prompt_tokens", "many"), ("completion_tokens", 2**62)]
)
def test_what_a_damaged_cache_holds_is_said_or_refused_in_one_line(tmp_path, column, value):
    store = ResponseStore(tmp_path / "c.sqlite")
    for key in (b"1", b"2"):
        store.put(key, ChatReply(text="x", model="m", prompt_tokens=1, completion_tokens=1))
    with sqlite3.connect(tmp_path / "c.sqlite") as db:
        db.execute(f"UPDATE replies SET {column} = ?", (value,))
    if value == b"\xff":  # no text
        with pytest.raises(ConfigError, match=r"^response cache [^\n]*expected a writable SQLite file[^\n]*$"):
            store.stats()
    else:
        (model,) = store.stats().models
        assert (type(model.model), type(model.prompt_tokens), type(model.completion_tokens)) == (str, int, int)
    store.close()
