"""A benchmark on recorded answers: which items count, and whose grading."""

from functools import partial

import pytest

from mar import clock
from mar.errors import DataError
from mar.evaluation.recorded_task import RecordedTask
from mar.pool.recording_table import RecordedAnswer, RecordingTable
from mar.runtime import Runtime
from mar.tasks.mmlu_pro import MmluPro
from mar.tasks.options import OptionItem
from mar.types import AgentSpec, ModeSpec, Plan

OPTIONS = ("one", "two", "three")
ITEMS = tuple(
    OptionItem(id=str(n), split=split, question="q", options=OPTIONS, gold="B", category="c")
    for n, split in enumerate(("train", "train", "test", "test"))
)
TASK = MmluPro(all_items=ITEMS, source="s", protocol="p")


def table(answers, **fields):
    found = {f"mmlu_pro/{n}": {m: RecordedAnswer(**a) for m, a in row.items()} for n, row in answers.items()}
    return RecordingTable(name="t", models={"a": "", "b": "", "c": ""}, answers=found, **fields)


def letters(a, b, c):
    return {"a": {"answer": a}, "b": {"answer": b}, "c": {"answer": c}}


def vote(task, item, models="abc"):
    """The score of a vote on an item."""
    agents = tuple(AgentSpec(role="KnowledgeExpert", model=m) for m in models)
    plan = Plan(mode=ModeSpec(name="Vote"), domain="Commonsense", agents=agents)
    pool = task.table.pool()

    async def main():
        async with pool:
            episode = await Runtime(pool).run(task.query(item), plan)
            return await task.score(item, episode.answer, None)

    return clock.run(main, virtual=True)


def test_only_items_that_all_models_answered_count_and_the_others_are_named():
    answers = {n: letters("B", "C", "B") for n in range(4)}
    del answers[1]["b"], answers[3]
    task = RecordedTask(TASK, table(answers, form="choice", notes={"source": "somewhere"}))
    assert [[i.id for i in task.items(s)] for s in ("train", "validation", "test")] == [["0"], [], ["2"]]
    assert task.notes["source"] == "somewhere"
    assert task.notes["recorded answers"] == (
        "table t, 2 items, graded as the task grades; 2 items left out: mmlu_pro/1 has no answer of b, and b has none "
        "to 2 items"
    )


def test_a_table_of_other_items_is_refused():
    with pytest.raises(DataError, match=r"no train item of mmlu_pro .* items like 'mmlu_pro/9'"):
        RecordedTask(TASK, table({9: letters("B", "C", "B")}, form="choice"))


def test_the_task_grades_a_vote_of_recorded_letters():
    task = RecordedTask(TASK, table({0: letters("B", "", "B"), 2: letters("C", "C", "B")}, form="choice"))
    assert [vote(task, ITEMS[n]).value for n in (0, 2)] == [1.0, 0.0]
    assert vote(task, ITEMS[2], "cba").value == 0.0
    assert vote(task, ITEMS[2], "c").value == 1.0


def test_the_publishers_score_is_that_of_the_reply_that_won():
    replies = {  # a and b agree on C, in other words; the publisher took C for right
        "a": {"answer": "It is C: the answer is (C).", "score": 0.9},
        "b": {"answer": "The answer is (C).", "score": 0.7},
        "c": {"answer": "The answer is (B).", "score": 0.2},
    }
    task = RecordedTask(TASK, table({0: replies, 2: replies}, graded_by="publisher"))
    assert [vote(task, ITEMS[0], models).value for models in ("abc", "cba", "b", "c")] == [0.9, 0.7, 0.7, 0.2]
    assert vote(task, ITEMS[0]).solved
    assert not vote(task, ITEMS[0], "c").solved
    assert "graded by its publisher's scores" in task.notes["recorded answers"]


def test_equal_replies_with_different_scores_count_their_mean():
    same = {m: {"answer": "The answer is (C).", "score": s} for m, s in (("a", 1.0), ("b", 0.0), ("c", 0.5))}
    task = RecordedTask(TASK, table({0: same, 2: same}, graded_by="publisher"))
    assert vote(task, ITEMS[0], "a").value == 0.5


def test_scores_alone_are_those_of_the_model_that_was_asked():
    scores = {m: {"score": s} for m, s in (("a", 0.6), ("b", 0.0), ("c", 1.0))}
    task = RecordedTask(TASK, table({0: scores, 2: scores}, graded_by="publisher"))
    assert [vote(task, ITEMS[0], m).value for m in "abc"] == [0.6, 0.0, 1.0]


def test_nothing_else_of_the_benchmark_changes():
    task = RecordedTask(TASK, table({n: letters("B", "C", "B") for n in range(4)}, form="choice"))
    assert (task.name, task.domain) == ("mmlu_pro", "Commonsense")
    assert task.query(ITEMS[0]) == TASK.query(ITEMS[0])
    score = clock.run(partial(task.score, ITEMS[0], None, None), virtual=True)
    assert (score.value, score.feedback) == (0.0, "no option in the answer")
