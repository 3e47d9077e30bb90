"""Files of requests: what is answered, what is asked again, and what is refused before anything is paid."""

from __future__ import annotations

import json

import anyio
import pytest

from mar.controllers.cards import Cards
from mar.errors import DataError, RateLimited
from mar.pool import scripted_pool
from mar.serving.batch import read_requests, run_batch


def line(id, text="hi", **fields):
    body = {"model": "mar", "messages": [{"role": "user", "content": text}]}
    return {"custom_id": id, "method": "POST", "url": "/v1/chat/completions", "body": body, **fields}


def file_of(path, *lines):
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    return path


def answered(path, fn=lambda request: "x", **options):
    """Run a file; gives the tally, the answers by id, and how many calls were made."""
    pool, out = scripted_pool(fn), path.with_suffix(".out")
    lines = read_requests(path)
    tally = anyio.run(lambda: run_batch(lines, out, pool, {"mar": Cards()}, **options))
    answers = [json.loads(one) for one in out.read_text().splitlines()]
    return tally, {a["custom_id"]: a["response"] for a in answers}, pool.model.calls


def test_each_request_is_answered_in_its_own_protocol(tmp_path):
    message = {"model": "a", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    file = file_of(tmp_path / "f.jsonl", line("1"), line("2", url="/v1/messages", body=message))
    tally, answers, _ = answered(file)
    assert answers["1"]["body"]["choices"][0]["message"]["content"] == "x"
    assert answers["2"]["body"]["content"] == [{"type": "text", "text": "x"}]
    assert (tally.answered, tally.failed) == (2, 0)
    assert tally.usd == pytest.approx(2 * (1 + 2) / 1e6)  # a word at 1 USD per million, and one at 2


def test_a_second_run_asks_only_what_has_no_answer_or_failed_for_a_while(tmp_path):
    def fails_once(request):
        if request.messages[-1].text == "later":
            raise RateLimited("too many")
        return "x"

    file = file_of(tmp_path / "f.jsonl", line("1"), line("2", "later"), line("3", body={"model": "mar"}))
    _, answers, _ = answered(file, fails_once)
    assert [answers[i]["status_code"] for i in "123"] == [200, 429, 400]
    with file.with_suffix(".out").open("a") as out:
        out.write('{"custom_id": "half')  # what a kill leaves
    second, answers, calls = answered(file)
    assert [answers[i]["status_code"] for i in "123"] == [200, 200, 400]
    assert (second.kept, second.answered, calls) == (2, 1, 1)


def test_a_limit_in_money_leaves_the_rest_for_the_next_run(tmp_path):
    file = file_of(tmp_path / "f.jsonl", *(line(str(n)) for n in range(10)))
    # A call costs 500 words x 2 USD per million = 0.001, and 1,024 x 2 = 0.0021 at the most: the fourth does not fit.
    tally, _, _ = answered(file, lambda request: "w " * 500, limit_usd=0.005, at_once=1)
    assert (tally.answered, tally.failed) == (3, 7)
    assert tally.usd <= 0.005
    done, _, calls = answered(file)
    assert (done.kept, done.failed, calls) == (3, 0, 7)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([line("1"), line("1")], "line 2: custom_id '1' is that of"),
        ([line("1", url="/v1/other")], "line 1: url:"),
        ([line("1") | {"body": 5}], "line 1: body:"),
        ([], "holds no request"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_before_anything_is_asked(tmp_path, lines, said):
    with pytest.raises(DataError, match=said):
        read_requests(file_of(tmp_path / "f.jsonl", *lines))
