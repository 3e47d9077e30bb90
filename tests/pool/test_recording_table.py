"""Tables of recorded answers: written and read back, replayed in the task's words, refused in one line when wrong."""

import gzip
import json

import anyio
import pytest

from mar import clock
from mar.errors import ConfigError, DataError
from mar.pool.choose import configured_pool, recorded_table
from mar.pool.recording_table import RecordedAnswer, RecordingTable, load_table, write_table
from mar.types import CallContext, ChatRequest, Message

HEAD = {"table": "t", "form": "choice", "graded_by": "task", "models": {"a": "a small one", "b": ""}}
ITEM = {"item": "x/1", "answers": {"a": {"answer": "C", "chars": 812, "cost_usd": 0.5}, "b": {"answer": ""}}}


def file(tmp_path, *rows):
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def reply(pool, model, item="x/1"):
    context = CallContext(item=item, message_id="m")

    async def main():
        async with pool:
            return await pool.chat(
                ChatRequest(model=model, messages=(Message(speaker="user", text="q"),), context=context)
            )

    return clock.run(main, virtual=True)


def test_a_table_is_read_as_it_was_written_gzipped_or_not(tmp_path):
    table = load_table(file(tmp_path, HEAD, ITEM))
    assert table.models == {"a": "a small one", "b": ""}
    assert table.answers["x/1"]["a"] == RecordedAnswer(answer="C", chars=812, cost_usd=0.5)
    for name in ("u.jsonl", "u.jsonl.gz"):
        write_table(tmp_path / name, table)
        assert load_table(tmp_path / name) == table
    assert gzip.decompress((tmp_path / "u.jsonl.gz").read_bytes()) == (tmp_path / "u.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("form", "answer", "text"),
    [
        ("choice", "C", "The answer is (C)"),
        ("number", "-3.5", "The answer is -3.5"),
        ("boxed", r"\frac12", r"The answer is \boxed{\frac12}"),
        ("text", "I think it is C.", "I think it is C."),
        ("choice", "", ""),
    ],
)
def test_an_answer_is_replayed_as_the_task_reads_it(tmp_path, form, answer, text):
    item = {"item": "x/1", "answers": {"a": {"answer": answer, "prompt_tokens": 7, "latency_s": 2.0}}}
    pool = load_table(file(tmp_path, HEAD | {"form": form}, item)).pool()
    said = reply(pool, "a")
    assert (said.text, said.prompt_tokens, said.latency_s) == (text, 7, 2.0)
    assert (pool.kind, pool.reach, pool.timed, pool.free) == ("replay", "alone", True, True)
    assert pool.card("a").description == "a small one"


def test_scores_alone_are_replayed_by_placeholders_that_a_single_agent_gives(tmp_path):
    item = {"item": "x/1", "answers": {"a": {"score": 0.4}, "b": {"score": 1.0}}}
    pool = load_table(file(tmp_path, HEAD | {"graded_by": "publisher"}, item)).pool()
    assert (pool.reach, pool.timed) == ("single", False)
    assert reply(pool, "a").text != reply(pool, "b").text
    assert pool.without_price() == ("a", "b")


def test_models_without_an_answer_to_an_item_are_known(tmp_path):
    table = load_table(file(tmp_path, HEAD, {"item": "x/1", "answers": {"b": {"answer": "A"}}}))
    assert (table.missing("x/1"), table.missing("x/2")) == (("a",), ("a", "b"))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ((), ("is empty",)),
        ((HEAD,), ("no item",)),
        ((ITEM, ITEM), ("line 1",)),
        (({**HEAD, "models": {}}, ITEM), ("line 1", "models")),
        (({**HEAD, "form": "letter"}, ITEM), ("line 1", "form")),
        ((HEAD, ITEM, ITEM), ("line 3", "'x/1' a second time")),
        ((HEAD, {"item": "x/1", "answers": {"a": {"answr": "C"}}}), ("line 2", "answr")),
        ((HEAD, {"item": "x/1", "answers": {"c": {"answer": "C"}}}), ("'x/1'", "'c'")),
        ((HEAD, {"item": "x/1", "answers": {"a": {"score": 1.0}}}), ("'x/1'", "no answer of 'a'")),
        (({**HEAD, "graded_by": "publisher"}, ITEM), ("'x/1'", "no score of 'a'")),
        ((HEAD, {"item": "x/1", "answers": {"a": {"answer": "C", "score": 1.5}}}), ("line 2", "score")),
        ((HEAD, {"item": "x/1", "answers": {"a": {"answer": "C", "cost_usd": -1}}}), ("line 2", "cost_usd")),
        (
            (
                {**HEAD, "graded_by": "publisher"},
                {"item": "x/1", "answers": {"a": {"answer": "C", "score": 1.0}, "b": {"score": 1.0}}},
            ),
            ("some replies and some scores alone",),
        ),
    ],
)
def test_a_wrong_table_is_one_line_that_says_where(tmp_path, rows, says):
    path = file(tmp_path, *rows)
    with pytest.raises(DataError) as caught:
        load_table(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    assert all(part in message for part in says), message


def test_a_table_is_chosen_by_replay_and_its_file(tmp_path):
    path = file(tmp_path, HEAD, ITEM)
    assert recorded_table(f"replay:{path}") == load_table(path)
    assert recorded_table("simulated") is None
    with pytest.raises(DataError, match=r"none\.jsonl"):
        recorded_table("replay:none.jsonl")
    with pytest.raises(ConfigError, match="a pool that can be asked anything"):
        configured_pool(f"replay:{path}")


def test_an_answer_takes_the_time_that_it_took(tmp_path):
    pool = load_table(
        file(tmp_path, HEAD, {"item": "x/1", "answers": {"a": {"answer": "C", "latency_s": 50.0}}})
    ).pool()

    async def main():
        began = anyio.current_time()
        await pool.chat(
            ChatRequest(
                model="a",
                messages=(Message(speaker="user", text="q"),),
                context=CallContext(item="x/1", message_id="m"),
            )
        )
        return anyio.current_time() - began

    assert clock.run(main, virtual=True) == 50.0


def test_what_is_written_names_only_what_was_recorded(tmp_path):
    table = RecordingTable(
        name="t", models={"a": ""}, answers={"x/1": {"a": RecordedAnswer(score=1.0)}}, graded_by="publisher"
    )
    write_table(tmp_path / "t.jsonl", table)
    assert json.loads((tmp_path / "t.jsonl").read_text().splitlines()[1]) == {
        "item": "x/1",
        "answers": {"a": {"score": 1.0}},
    }
