"""A server that dies ends a run; nothing is learned from its silence, and the same command goes on."""

import pytest

from mar import clock
from mar.errors import BadKey, ConfigError, ConnectionLost, PoolDown
from mar.learning.generated.asking import Call, ask_all
from mar.learning.generated.records import Journal, Written
from mar.learning.outage import IN_A_ROW, Outage
from mar.learning.progress import Progress
from mar.learning.rundir import RunDir
from mar.pool.pool import Pool
from mar.pool.scripted import ScriptedModel
from mar.types import ChatRequest, Message
from tests.learning import toy


def test_failures_in_a_row_are_counted_for_each_model_and_an_answer_begins_anew():
    outage = Outage()
    for _ in range(3):
        for _ in range(IN_A_ROW - 1):
            outage.failed("a", "connection", "refused")
            outage.failed("b", "refused", "of this query")  # says nothing about the server
            outage.failed("b", "limit", "of ours")
        outage.answered("a")
    for _ in range(IN_A_ROW - 1):
        outage.failed("a", "server_fault", "500")
    with pytest.raises(
        PoolDown, match=rf"^model a failed {IN_A_ROW} times in a row.*with: 502; .*the same command goes on"
    ):
        outage.failed("a", "server_fault", "502")


@pytest.mark.parametrize("kind", ["bad_key", "unknown_model"])
def test_what_will_not_mend_itself_ends_the_run_at_once(kind):
    with pytest.raises(ConfigError, match=r"^model a: no; put it right"):
        Outage().failed("a", kind, "no")


def live(answer):
    """The toy's pool with answers of one's own, as if it were a live one."""
    return Pool(toy.toy_pool().cards.values(), ScriptedModel(answer), kind="live", virtual_time=True)


@pytest.mark.parametrize("updates", [0, 2, 4])
def test_a_server_that_dies_in_training_ends_it_and_the_next_run_goes_on_as_if_it_had_not(tmp_path, updates):
    whole = toy.train(tmp_path / "whole", epochs=2, pool=live(toy.answer))[1]
    made = []

    def answer(request):
        if updates == 0 or updates in made:  # dies in the first update, or right after one
            raise ConnectionLost("connection refused")
        return toy.answer(request)

    with pytest.raises(PoolDown, match="connection refused; when it answers again, the same command goes on"):
        toy.train(tmp_path / "cut", epochs=2, pool=live(answer), on_step=made.append)
    assert max((int(m["step"]) for m in RunDir(tmp_path / "cut").metrics()), default=0) == updates
    resumed = toy.train(tmp_path / "cut", epochs=2, pool=live(toy.answer))[1]
    assert resumed == whole
    for name in ("state.safetensors", "metrics.jsonl"):  # nothing was learned from what failed
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_wrong_key_ends_a_training_with_one_line(tmp_path):
    def answer(request):
        raise BadKey("the server says 401")

    with pytest.raises(ConfigError, match=r"the server says 401; put it right"):
        toy.train(tmp_path, epochs=2, pool=live(answer))
    assert RunDir(tmp_path).metrics() == []


def test_a_dead_server_is_not_asked_every_question(tmp_path):
    asked = []

    def answer(request):
        asked.append(request)
        raise ConnectionLost("connection refused")

    def record(call, reply):
        return Written(call=call.key, category="c", failure=reply.kind)

    calls = [
        Call(key=str(k), request=ChatRequest(model="good", messages=(Message(speaker="user", text=str(k)),)))
        for k in range(10 * IN_A_ROW)
    ]
    journal, quiet = Journal(tmp_path / "j.jsonl"), Progress(quiet=True)
    with pytest.raises(PoolDown):
        clock.run(
            lambda: ask_all(live(answer), calls, journal, set(), record, concurrency=4, progress=quiet, what="asking"),
            virtual=True,
        )
    assert len(asked) <= IN_A_ROW + 4


def test_a_journal_is_the_same_in_whatever_order_answers_came(tmp_path):
    first, second = Journal(tmp_path / "a.jsonl"), Journal(tmp_path / "b.jsonl")
    one, two = (Written(call=c, category="c", text=c) for c in "xy")
    for record in (one, two):
        first.append(record)
    for record in (two, Written(call="x", category="c", failure="timeout"), one):  # failed, and asked again
        second.append(record)
    assert first.settled(Written, lambda w: w.call) == second.settled(Written, lambda w: w.call) == [one, two]
    assert first.path.read_bytes() == second.path.read_bytes()
