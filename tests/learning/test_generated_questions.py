"""Generated data: blocks, journals, formatters, filters, generation and answers, on scripted pools."""

import json

import anyio
import numpy as np
import pytest

from mar.controllers.cascal import ABSTAINED
from mar.errors import BadRequest, ConfigError, DataError
from mar.learning.generated.blocks import block, generation_prompt, read_blocks
from mar.learning.generated.filtering import FilterSettings, consistent_questions, separating_questions
from mar.learning.generated.generate import GenerateSettings, generate, generation_calls
from mar.learning.generated.prepare import prepare, split_questions
from mar.learning.generated.published import published_questions, published_responses, published_vectors
from mar.learning.generated.records import Answered, Journal, Question, read_records, write_records
from mar.learning.generated.respond import RespondSettings, read_choice, respond, to_responses
from mar.learning.generated.simulated import SimulatedGenerator, question_world
from mar.learning.generated.subjects import TASKS, subject_descriptions, task_name
from mar.learning.progress import Progress
from mar.pool.scripted import scripted_pool
from mar.types import ChatReply

QUIET = Progress(quiet=True)
GOOD = block("What is 1 + 1?", ("1", "2", "3", "4"), "B")


def question(name="q", *, answer="B", category="math", options=("1", "2", "3", "4")):
    return Question(question_id=name, category=category, question=f"Which ({name})?", options=options, answer=answer)


# Blocks


def test_a_block_is_read_back_as_it_was_written():
    found, bad = read_blocks(GOOD)
    assert (found, bad) == (
        [{"QUESTION": "What is 1 + 1?", "A": "1", "B": "2", "C": "3", "D": "4", "ANSWER": "B"}],
        0,
    )


def test_several_blocks_are_separated_and_bad_ones_counted():
    found, bad = read_blocks(f"{GOOD}\n#####\n[QUESTION] cut off\n#####\n{GOOD}")
    assert (len(found), bad) == (2, 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I would rather not.",
        GOOD.replace("[ANSWER] B", "[ANSWER] E"),
        GOOD.replace("[ANSWER] B", "[ANSWER] Because"),
        GOOD.replace("[OPTION C] 3", "[OPTION C]"),
        GOOD.replace("[OPTION C] 3", "[OPTION C] 2"),
        GOOD.replace("[OPTION C] 3\n", ""),
        GOOD.replace("[QUESTION] What is 1 + 1?", "[QUESTION]"),
        GOOD + "\n" + GOOD,
    ],
)
def test_a_malformed_block_is_skipped_never_mended(text):
    assert read_blocks(text) == ([], 1)


def test_tags_may_stand_in_markdown_and_other_case():
    text = GOOD.replace("[QUESTION]", "**[Question]**:").replace("[ANSWER] B", "[answer] (B)")
    assert read_blocks(text)[0][0]["ANSWER"] == "B"


# Generation


def test_subjects_get_equal_shares_and_five_a_call_leaves_the_rest_to_the_last():
    calls = generation_calls("g", {"a": "x.", "b": "y."}, GenerateSettings(questions=15, per_call=5))
    assert [c.key for c in calls] == ["a/0", "a/1", "b/0", "b/1"]
    assert [c.request.context.item for c in calls] == [
        "generate/a/0/5", "generate/a/1/3", "generate/b/0/5", "generate/b/1/2"
    ]  # fmt: skip
    assert (calls[0].request.temperature, calls[0].request.top_p) == (0.8, 0.95)
    assert "5 different questions" in calls[0].request.messages[0].text
    assert "#####" not in generation_prompt("a", "x.", 1)


def test_generation_goes_on_where_it_was_cut_off_and_asks_failed_calls_again(tmp_path):
    fails = {"first"}

    def answer(request):
        if request.context.item.startswith("generate/a/1") and fails:
            fails.clear()
            raise BadRequest("no")
        return GOOD.replace("1 + 1", request.context.item)

    pool = scripted_pool(answer, ["g"])
    journal = Journal(tmp_path / "j.jsonl")
    settings = GenerateSettings(questions=3)

    async def run():
        return await generate(pool, "g", {"a": "x."}, journal, settings, QUIET)

    first = anyio.run(run)
    assert (len(first.questions), dict(first.failed)) == (2, {"bad_request": 1})
    with journal.path.open("a") as file:
        file.write('{"call": "half a li')  # what a kill leaves
    second = anyio.run(run)
    assert (len(second.questions), dict(second.failed)) == (3, {})
    assert pool.model.calls == 4
    assert [q.question_id for q in second.questions] == ["a/0.0", "a/1.0", "a/2.0"]


def test_repeated_questions_count_once(tmp_path):
    async def run():
        pool = scripted_pool(lambda request: GOOD, ["g"])
        journal = Journal(tmp_path / "j.jsonl")
        return await generate(pool, "g", {"a": "x."}, journal, GenerateSettings(questions=3), QUIET)

    made = anyio.run(run)
    assert (len(made.questions), made.repeated) == (1, 2)


# Answers


def test_an_answer_that_cannot_be_read_is_an_abstention():
    assert read_choice("The answer is (C).", question()) == 2
    assert read_choice("I do not know.", question()) == ABSTAINED
    assert read_choice("The answer is (H).", question()) == ABSTAINED


def test_every_model_answers_every_question_with_its_log_probability(tmp_path):
    def answer(request):
        if request.model == "b":
            raise BadRequest("no")
        assert request.logprobs
        return ChatReply(text="The answer is (B)", model=request.model, mean_logprob=-0.5)

    questions = [question("q1"), question("q2")]

    async def run():
        pool = scripted_pool(answer, ["a", "b"])
        return await respond(pool, ["a", "b"], questions, Journal(tmp_path / "r"), RespondSettings(), QUIET)

    answered = anyio.run(run)
    table = to_responses(questions, ["a", "b"], answered)
    assert table.choices.tolist() == [[1, ABSTAINED], [1, ABSTAINED]]
    assert table.logprobs[:, 0].tolist() == [-0.5, -0.5]
    assert {a.failure for a in answered if a.model == "b"} == {"bad_request"}


def test_a_missing_answer_is_named():
    with pytest.raises(DataError, match="'b' did not answer question 'q1'"):
        to_responses([question("q1")], ["a", "b"], [Answered(question_id="q1", model="a", choice=0)])


# Filters


def test_filters_keep_what_the_generator_stands_by_and_what_separates_models():
    questions = [question("q1"), question("q2"), question("q3")]
    own = [
        [Answered(question_id=f"q{i}", model="g", choice=c) for i, c in ((1, 1), (2, 0), (3, 1))],
        [Answered(question_id=f"q{i}", model="g", choice=c) for i, c in ((1, 1), (2, 1), (3, 1))],
    ]
    kept = consistent_questions(questions, own, FilterSettings())
    assert ([q.question_id for q in kept.kept], kept.inconsistent) == (["q1", "q3"], 1)
    half = consistent_questions(questions, own, FilterSettings(consistent=0.5))
    assert half.inconsistent == 0
    answers = [
        Answered(question_id="q1", model="a", choice=0), Answered(question_id="q1", model="b", choice=1),
        Answered(question_id="q3", model="a", choice=2), Answered(question_id="q3", model="b", choice=ABSTAINED),
    ]  # fmt: skip
    told = separating_questions(kept.kept, answers)
    assert ([q.question_id for q in told.kept], told.same) == (["q1", "q3"], 0)
    alike = [
        Answered(question_id="q3", model=m, choice=2, failure=f) for m, f in (("a", ""), ("b", ""), ("c", "timeout"))
    ]
    told = separating_questions(kept.kept, [*answers[:2], *alike])
    assert ([q.question_id for q in told.kept], told.same) == (["q1"], 1)


# Benchmarks


ROWS = {
    "mmlu_pro": [
        {"question_id": 7, "question": "Q?", "options": ["x", "y"], "answer": "B", "category": "math"},
        {"question_id": 8, "question": "Q?", "options": ["x"], "answer": "A", "category": "math"},
    ],
    "super_gpqa": [
        {"uuid": "u", "question": "Q?", "options": ["x", "y"], "answer_letter": "B", "discipline": "Law"},
        {"uuid": "v", "question": "Q?", "options": ["x", "y"], "answer": "x", "discipline": "Law"},
    ],
    "medmcqa": [
        {"id": "m", "question": "Q?", "opa": "w", "opb": "x", "opc": "y", "opd": "z", "cop": 2, "subject_name": "Skin"},
        {
            "id": "n",
            "question": "Q?",
            "opa": "w",
            "opb": "x",
            "opc": "y",
            "opd": "z",
            "cop": -1,
            "subject_name": "Skin",
        },
    ],
    "bbeh": [
        {"task": "hyperbaton", "input": "Which?\n(A) one\n(B) two", "target": "(B)"},
        {"task": "boardgame qa", "input": "Is it so?", "target": "disproved"},
        {"task": "dyck languages", "input": "( [", "target": "] )"},
    ],
}
EXPECTED = {
    "mmlu_pro": ([("7", "math", "B")], 1),
    "super_gpqa": ([("u", "Law", "B"), ("v", "Law", "A")], 0),
    "medmcqa": ([("m", "Skin", "C")], 1),
    "bbeh": ([("bbeh/1", "hyperbaton", "B"), ("bbeh/2", "boardgame qa", "B")], 1),
}


@pytest.mark.parametrize("task", TASKS)
def test_benchmarks_are_read_from_the_hubs_columns(task, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS[task]))
    found = prepare(task, path=path)
    expected, left_out = EXPECTED[task]
    assert [(q.question_id, q.category, q.answer) for q in found.questions] == expected
    assert sum(found.left_out.values()) == left_out


def test_a_missing_column_is_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "Q?"}\n')
    with pytest.raises(DataError, match=r"line 1: column 'options' is missing"):
        prepare("super_gpqa", path=path)


def test_splits_depend_on_ids_alone():
    questions = [question(f"q{i}", category="ab"[i % 2]) for i in range(40)]
    train, test = split_questions(questions, seed=0)
    again = split_questions(questions[::-1], seed=0)
    assert ({q.question_id for q in train}, {q.question_id for q in test}) == tuple(
        {q.question_id for q in part} for part in again
    )
    assert (len(train), len(test)) == (32, 8)


@pytest.mark.parametrize(("task", "count"), [("mmlu_pro", 14), ("super_gpqa", 13), ("medmcqa", 21), ("bbeh", 9)])
def test_every_benchmark_has_its_subjects(task, count):
    assert len(subject_descriptions(task)) == count


def test_published_names_of_benchmarks_are_known_and_others_refused():
    assert [task_name(n) for n in ("MMLU-Pro", "SuperGPQA", "MedMCQA", "BBEH")] == list(TASKS)
    with pytest.raises(ConfigError, match="'arc'"):
        task_name("arc")


# Published files


def test_published_outputs_are_read_and_unreadable_choices_are_abstentions(tmp_path):
    import torch

    questions = [question("1"), question("2")]
    (tmp_path / "Data/T").mkdir(parents=True)
    rows = [{**q.model_dump(), "question_id": int(q.question_id)} for q in questions]
    (tmp_path / "Data/T/test.json").write_text(json.dumps(rows))
    (tmp_path / "Model_Responses/T-test").mkdir(parents=True)
    said = [
        {"question_id": 1, "selected_choice": "C", "is_correct": False, "avg_logprob": -0.1},
        {"question_id": 2, "selected_choice": "N/A", "is_correct": False, "avg_logprob": None},
    ]
    (tmp_path / "Model_Responses/T-test/Yi15.json").write_text(json.dumps(said))
    found = published_questions(tmp_path, "T", "test")
    table = published_responses(tmp_path, "T", "test", found, ["Yi15"])
    assert table.choices[:, 0].tolist() == [2, ABSTAINED]
    assert np.isnan(table.logprobs[1, 0])
    torch.save({1: torch.ones(3), 2: torch.zeros(3)}, tmp_path / "e.pt")
    assert published_vectors(tmp_path / "e.pt", found).tolist() == [[1, 1, 1], [0, 0, 0]]


def test_a_file_of_embeddings_that_would_run_code_is_refused(tmp_path):
    import pickle

    path = tmp_path / "e.pt"
    path.write_bytes(pickle.dumps({"1": print}, protocol=2))
    with pytest.raises(DataError, match=r"e\.pt"):
        published_vectors(path, [question("1")])


# Files and the simulated generator


def test_records_come_back_and_a_wrong_row_is_named(tmp_path):
    path = tmp_path / "q.jsonl"
    write_records(path, [question("q1")])
    assert read_records(path, Question) == [question("q1")]
    path.write_text(path.read_text().replace('"answer":"B"', '"answer":"E"'))
    with pytest.raises(DataError, match=r"row 1: .*answer is 'E'; expected a letter from A to D"):
        read_records(path, Question)


def test_the_simulated_generator_is_as_good_as_it_is_told_to_be():
    sources = [question(f"s{i}", options=("1", "2", "3", "4", "5")) for i in range(5)]
    generator = SimulatedGenerator(sources, skill=0.7, malformed=0.1)
    texts = [generator._block("math", f"math/{i}.0") for i in range(1000)]
    read = [(i, found[0]) for i, t in enumerate(texts) if (found := read_blocks(t)[0])]
    assert len(read) == pytest.approx(900, abs=40)
    right = [said["ANSWER"] == generator.question("math", f"math/{i}.0").answer for i, said in read]
    assert np.mean(right) == pytest.approx(0.7, abs=0.05)
    again = [generator._answer(f"math/{i}.0", "s") == f"The answer is ({said['ANSWER']})" for i, said in read]
    assert np.mean(again) == pytest.approx(0.7 * 0.95 + 0.3 * 0.6, abs=0.05)
    truths = [generator.question("math", f"math/{i}.0") for i in range(50)]
    assert set(question_world(truths).items) == {t.question_id for t in truths}
