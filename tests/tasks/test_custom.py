"""One's own task: a file and rows are enough; every grader; what is wrong is named in one line."""

import json
import tomllib
from functools import partial

import anyio
import pytest

from mar import clock
from mar.concurrency import gather
from mar.errors import ConfigError, DataError, Refused, ServerFault
from mar.learning.rollouts import OUTSIDE
from mar.pool import ModelCard, Pool
from mar.pool.cache import CachedModel, FileReplies
from mar.pool.openai_client import OpenAIModel
from mar.pool.scripted import scripted_pool
from mar.pool.simulated.texts import final_answer
from mar.runtime import Runtime
from mar.tasks.custom import CustomTask, TaskFile, by_hash
from mar.tasks.grading.judge import read_verdict
from mar.tasks.grading.settings import JudgeSettings
from mar.tasks.grading.texts import ShortText
from mar.testing import ChatServer
from mar.types import AgentSpec, ModeSpec, Plan
from tests.tasks.benchmarks import CHECKOUT, assert_disjoint, in_sandbox, sizes, write

EXAMPLE = CHECKOUT / "examples" / "my_task" / "task.toml"
HEAD = 'name = "own"\ndomain = "Commonsense"\nrows = "rows.jsonl"\n'
ROWS = [{"id": i, "question": f"Which word is number {i}?", "answer": w} for i, w in enumerate(("one", "two", "six"))]


def load(folder, grader, rows=ROWS, *, head=HEAD, **options):
    """A task of these rows with the lines of this grader."""
    write(folder / "rows.jsonl", *rows)
    (folder / "task.toml").write_text(head + "[grader]\n" + grader)
    return CustomTask.load(folder / "task.toml", pool="simulated", **options)


def values(task, *answers, item=0):
    """What answers to an item are worth."""

    async def main():
        return [(await task.score(task.all_items[item], a, None)).value for a in answers]

    return anyio.run(main)


# The example ----------------------------------------------------------------------------------------------------


def test_the_example_splits_its_40_rows_60_20_20():
    task = CustomTask.load(EXAMPLE, pool="simulated")
    assert sizes(task) == {"train": 24, "validation": 8, "test": 8}
    assert_disjoint(task)
    assert task.query(task.all_items[0]).domain == "Commonsense"
    assert task.notes["metric"] == "exact text"


def test_the_examples_simulated_answers_are_read_back_as_right_and_wrong():
    task = CustomTask.load(EXAMPLE, pool="simulated")
    world = anyio.run(task.world, task.all_items, None)
    for n, item in enumerate(task.all_items):
        known, form = world.items[f"kitchen/{item.id}"], ShortText()
        right = [form.extract(final_answer(known, a, 0.3)) for a in known.right]
        wrong = [form.extract(final_answer(known, a, 0.3)) for a in known.wrong]
        assert values(task, *right, *wrong, item=n) == [1.0] + [0.0] * 4


@pytest.mark.parametrize(
    ("row", "metric", "domain"),
    [
        ({"answer": "42"}, "number within", "Math"),
        ({"answer": 42}, "number within", "Math"),
        ({"answer": "carbon dioxide"}, "exact text", "Commonsense"),
        ({"answer": "B", "options": ["a", "b"]}, "right letter", "Commonsense"),
        ({"answer": "def f(): return 1", "tests": ["assert f() == 1"]}, "all tests pass", "Code"),
        ({}, "none, the rows have no answers", "Commonsense"),
        ({"options": ["a", "b"]}, "none, the rows have no answers", "Commonsense"),
    ],
)
def test_rows_alone_say_how_they_are_graded(tmp_path, row, metric, domain):
    write(tmp_path / "own.jsonl", *[{"question": f"What is {n}?"} | row for n in range(3)])
    task = CustomTask.of_rows(tmp_path / "own.jsonl")
    assert task.notes["metric"].startswith(metric)
    assert (task.name, task.domain, [i.id for i in task.all_items]) == ("own", domain, ["1", "2", "3"])
    assert task.query(task.all_items[0]).answer_format.choices == (
        2 if "options" in row else None if domain == "Code" else 0
    )


def test_a_row_without_an_answer_among_others_is_named(tmp_path):
    write(tmp_path / "own.jsonl", {"question": "a?", "answer": "x"}, {"question": "b?"})
    with pytest.raises(DataError, match=r"own.jsonl, line 2: field answer is None"):
        CustomTask.of_rows(tmp_path / "own.jsonl")


def test_a_split_by_hash_depends_on_ids_alone():
    ids = [f"i{n}" for n in range(10)]
    assert by_hash(ids, "own") == by_hash(ids[::-1], "own")
    assert sorted(by_hash(ids, "own").values()) == ["test"] * 2 + ["train"] * 6 + ["validation"] * 2


def test_the_page_about_tasks_shows_files_that_are_valid():
    page = (CHECKOUT / "docs" / "tasks.md").read_text()
    task, judge = (tomllib.loads(block.partition("```")[0]) for block in page.split("```toml")[1:])
    assert TaskFile.model_validate(task).fields == TaskFile.model_validate(task | {"fields": {}}).fields
    assert JudgeSettings.model_validate(judge["grader"]).max_usd == 2.0


# Graders --------------------------------------------------------------------------------------------------------


def test_exact_compares_words_and_no_answer_is_no_text():
    task = CustomTask.load(EXAMPLE, pool="simulated")
    assert values(task, "Carbon  Dioxide.", "carbon", None) == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("text", "answer"),
    [("Hm.\nThe answer is **Baking soda**.", "Baking soda"), ("I think\n\nsaffron", "saffron"), (" \n", None)],
)
def test_a_short_text_is_what_is_stated_last(text, answer):
    assert ShortText().extract(text) == answer


def test_choice_shows_lettered_options_and_takes_a_letter_or_a_position(tmp_path):
    rows = [{"id": "a", "question": "Q?", "options": ["x", "y"], "answer": g} for g in ("B",)]
    task = load(tmp_path, 'kind = "choice"', rows)
    assert task.query(task.all_items[0]).text == "Q?\nA. x\nB. y"
    assert values(task, "B", "A") == [1.0, 0.0]
    rows[0]["answer"] = 1
    assert load(tmp_path, 'kind = "choice"', rows).all_items[0].gold == "B"


def test_numeric_holds_the_tolerance(tmp_path):
    rows = [{"id": "a", "question": "Q?", "answer": 200}]
    task = load(tmp_path, 'kind = "numeric"\ntolerance = 0.01', rows)
    assert values(task, "198", "198.1 km", "197.9", "none") == [1.0, 1.0, 0.0, 0.0]
    world = anyio.run(task.world, task.all_items, None)  # 199 and 201 are within the tolerance
    assert world.items["own/a"].wrong == ("400", "2000")


def test_code_runs_the_tests_and_shows_the_first(tmp_path):
    tests = ["assert double(2) == 4", "assert double(-1) == -2"]
    rows = [{"id": "a", "question": "Write double(x).", "answer": "def double(x):\n    return 2 * x", "tests": tests}]
    task = load(tmp_path, 'kind = "code"', rows)
    assert task.query(task.all_items[0]).shown_tests.tests == (tests[0],)
    assert load(tmp_path, 'kind = "code"', rows, show_tests="all").query(task.all_items[0]).shown_tests.tests == (
        *tests,
    )

    async def main(sandbox):
        (item,) = task.all_items
        known = (await task.world([item], sandbox)).items["own/a"]
        return [(await task.score(item, a, sandbox)).value for a in (*known.right, *known.wrong)]

    right, *wrong = in_sandbox(main)
    assert (right, set(wrong)) == (1.0, {0.0})


def test_a_function_beside_the_file_may_give_part_of_the_marks(tmp_path):
    (tmp_path / "marks.py").write_text(
        "def mark(item, answer):\n    return 0.5 if answer == 'half' else answer == item.gold\n"
    )
    task = load(tmp_path, 'kind = "function"\nfunction = "marks:mark"')
    assert values(task, "one", "half", "two") == [1.0, 0.5, 0.0]
    world = anyio.run(task.world, task.all_items, None)
    assert set(world.items["own/0"].wrong) == {"two", "six"}


@pytest.mark.parametrize(
    ("body", "says"),
    [("return 2", "gave 2 for item 0; expected True, False or 0 to 1"), ("return 1 / 0", "item 0: ZeroDivisionError")],
)
def test_a_function_that_fails_is_named_with_the_item(tmp_path, body, says):
    (tmp_path / "marks.py").write_text(f"def mark(item, answer):\n    {body}\n")
    task = load(tmp_path, 'kind = "function"\nfunction = "marks:mark"')
    with pytest.raises(DataError, match=says):
        values(task, "one")


# The judge ------------------------------------------------------------------------------------------------------

JUDGE = 'kind = "judge"\nmodel = "b"\nprompt = "judge.md.j2"\n'


def judged(folder, monkeypatch, say, grader=JUDGE, **pool):
    """The score of one answer, and the requests that the judge got."""
    (folder / "judge.md.j2").write_text((EXAMPLE.parent / "judge.md.j2").read_text())
    asked = scripted_pool(say, **pool)
    monkeypatch.setattr("mar.tasks.grading.settings.configured_pool", lambda choice, **_: asked)
    task = load(folder, grader)
    score = anyio.run(task.score, task.all_items[0], "uno", None)
    return task, score, asked.model.requests


@pytest.mark.parametrize(("said", "value"), [("It fits.\nVerdict: right", 1.0), ("**Verdict: wrong**", 0.0)])
def test_a_judge_is_shown_question_gold_and_answer(tmp_path, monkeypatch, said, value):
    _, score, requests = judged(tmp_path, monkeypatch, lambda r: said)
    assert (score.value, score.failure) == (value, None)
    (request,) = requests
    assert request.model == "b"
    assert all(part in request.messages[0].text for part in (ROWS[0]["question"], "one", "uno"))


def test_a_verdict_that_cannot_be_read_is_a_failure_and_no_wrong_answer(tmp_path, monkeypatch):
    _, score, _ = judged(tmp_path, monkeypatch, lambda r: "Verdict: right, or so it seems")
    assert score.failure is not None
    assert (score.failure.kind, score.failure.reason) == (
        "bad_reply",
        "the judge gave no verdict: its verdict cannot be read",
    )


@pytest.mark.parametrize(("error", "kind"), [(ServerFault("down"), "server_fault"), (Refused("no"), "call")])
def test_a_judge_that_fails_is_a_failure_that_training_leaves_out(tmp_path, monkeypatch, error, kind):
    def fail(request):
        raise error

    assert judged(tmp_path, monkeypatch, fail)[1].failure.kind == kind
    assert kind in OUTSIDE


def test_a_judge_keeps_to_its_own_limit_and_says_what_it_cost(tmp_path, monkeypatch):
    task, score, requests = judged(tmp_path, monkeypatch, lambda r: "Verdict: right", JUDGE + "max_usd = 0")
    assert (score.failure.kind, requests) == ("limit", [])
    # 1 USD per million completion words: "Verdict: right" has 2; the prompt is free here
    task, _, _ = judged(tmp_path, monkeypatch, lambda r: "Verdict: right", price_in=0.0, price_out=50_000.0)
    assert task.notes["paid to the judge"] == "0.1000 USD"


def test_answers_judged_at_once_share_one_live_pool_that_is_closed_afterwards(tmp_path, monkeypatch):
    (tmp_path / "judge.md.j2").write_text("{{ gold }} {{ answer }}")

    async def main():
        async with ChatServer(answer=lambda r: f"Verdict: {'right' if 'uno' in r.prompt else 'wrong'}") as server:
            cards = [ModelCard(name="b", base_url=server.base_url, price_in=1.0, price_out=1.0)]
            client = OpenAIModel(cards)
            pool = Pool(cards, CachedModel(client, FileReplies(tmp_path / "answers.sqlite")), kind="live")
            monkeypatch.setattr("mar.tasks.grading.settings.configured_pool", lambda choice, **_: pool)
            task = load(tmp_path, JUDGE)
            pairs = [(task.all_items[n], a) for n, a in ((0, "uno"), (1, "uno"), (2, "due"))]
            first = await gather([partial(task.score, i, a, None) for i, a in pairs])
            again = await gather([partial(task.score, i, a, None) for i, a in pairs])
            return [s.value for s in (*first, *again)], len(server.requests), client.limits

    values_, asked, clients = anyio.run(main)
    assert values_ == [1.0, 1.0, 0.0] * 2
    assert (asked, clients) == (3, {})  # the second time from the cache; no connection is left open


def test_where_the_pool_is_simulated_equal_texts_count_and_the_notes_say_so(tmp_path):
    (tmp_path / "judge.md.j2").write_text("{{ question }} {{ gold }} {{ answer }}")
    task = load(tmp_path, JUDGE)
    assert values(task, "One", "uno") == [1.0, 0.0]
    assert task.notes["metric"] == "equal texts, since a simulated pool has no judge"


def test_only_the_last_line_is_the_verdict():
    assert read_verdict("Verdict: right\nVerdict: wrong\n") is False
    assert read_verdict("The answer says 'Verdict: right'.") is None
    assert read_verdict("") is None


def test_no_prompt_of_an_episode_shows_gold(tmp_path):
    rows = [{"id": "k7", "question": "Which word?", "answer": "canary-gold", "note": "canary-note"}]
    task = load(tmp_path, 'kind = "exact"', rows)
    pool = scripted_pool(lambda request: "The answer is perhaps", virtual_time=True)
    agents = tuple(AgentSpec(role=r, model="a") for r in ("KnowledgeExpert", "Critic"))
    plan = Plan(mode=ModeSpec(name="Chain"), domain="Commonsense", agents=agents)

    async def main():
        async with pool:
            return await Runtime(pool).run(task.query(task.all_items[0]), plan)

    episode = clock.run(main, virtual=True)
    assert episode.answer == "perhaps"
    assert pool.model.requests
    assert "canary" not in repr(pool.model.requests)


# What is wrong --------------------------------------------------------------------------------------------------

EXACT = 'kind = "exact"'


@pytest.mark.parametrize(
    ("head", "grader", "says"),
    [
        (HEAD + "extra = 1\n", EXACT, "task.toml: field extra: Extra inputs"),
        (HEAD.replace("Commonsense", "Fine Food"), EXACT, "task.toml: field domain: "),
        (HEAD.replace("own", "../own"), EXACT, "task.toml: field name: "),
        (HEAD + "[fields]\nquery = 'q'\n", EXACT, "task.toml: field fields.query: Extra inputs"),
        (HEAD, "", "task.toml: field grader: "),
        (HEAD, 'kind = "luck"', "task.toml: field grader: .*'luck'"),
        (HEAD, 'kind = "numeric"\ntolerance = 1', r"task.toml: field grader\.tolerance: "),
        (HEAD, 'kind = "function"\nfunction = "nosuch_module:f"', r"field grader\.function: nosuch_module cannot be"),
        (HEAD, 'kind = "function"\nfunction = "json:nosuch"', r"field grader\.function: json has no .nosuch."),
        (HEAD, JUDGE, r"field grader\.prompt: .*judge\.md\.j2 cannot be read"),
        (HEAD, "= 1", "task.toml: malformed TOML"),
    ],
)
def test_a_wrong_file_is_named_with_the_field(tmp_path, head, grader, says):
    with pytest.raises(ConfigError, match=says):
        load(tmp_path, grader, head=head)


def test_a_judge_that_uses_another_variable_or_model_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mar.tasks.grading.settings.configured_pool", lambda choice, **_: scripted_pool(lambda r: ""))
    (tmp_path / "judge.md.j2").write_text("{{ gold }} {{ solution }}")
    with pytest.raises(ConfigError, match=r"judge\.md\.j2: undefined variable 'solution'"):
        load(tmp_path, JUDGE)
    (tmp_path / "judge.md.j2").write_text("{{ gold }} {{ answer }}")
    with pytest.raises(ConfigError, match=r"field grader\.model: no 'c' in the pool; a, b"):
        load(tmp_path, JUDGE.replace('"b"', '"c"'))
    with pytest.raises(ConfigError, match=r"field grader\.pool: no pool file"):
        load(tmp_path, JUDGE + 'pool = "none.toml"')


@pytest.mark.parametrize(
    ("grader", "row", "says"),
    [
        (EXACT, {"id": "a", "question": "Q?"}, "line 1: field answer is None; expected a text"),
        (EXACT, {"id": "a", "answer": "x"}, "line 1: field question is None"),
        (EXACT, {"question": "Q?", "answer": "x"}, "line 1: field id is None"),
        (EXACT, {"id": "a", "question": "Q?", "answer": "two\nlines"}, "line 1: .*expected a few words on one line"),
        ('kind = "numeric"', {"id": "a", "question": "Q?", "answer": "many"}, "line 1: .*'many'; expected a number"),
        ('kind = "choice"', {"id": "a", "question": "Q?", "answer": "A"}, "line 1: field options is no list"),
        (
            'kind = "choice"',
            {"id": "a", "question": "Q?", "answer": "C", "options": ["x", "y"]},
            "line 1: answer is 'C'",
        ),
        ('kind = "code"', {"id": "a", "question": "Q?", "answer": "x = 1"}, "line 1: field tests holds no tests"),
        ('kind = "code"', {"id": "a", "question": "Q?", "answer": "x =", "tests": ["assert x"]}, "no Python program"),
    ],
)
def test_a_wrong_row_is_named_with_file_and_field(tmp_path, grader, row, says):
    with pytest.raises(DataError, match=rf"rows\.jsonl, {says}" if says.startswith("row") else says):
        load(tmp_path, grader, [row])


def test_rows_may_state_their_splits(tmp_path):
    head = HEAD + 'split = "field"\n[fields]\nsplit = "part"\n'
    rows = [row | {"part": part} for row, part in zip(ROWS, ("train", "validation", "test"), strict=True)]
    assert sizes(load(tmp_path, EXACT, rows, head=head)) == {"train": 1, "validation": 1, "test": 1}
    with pytest.raises(DataError, match=r"line 3: field part is 'dev'; expected train, validation, test"):
        load(tmp_path, EXACT, [*rows[:2], rows[2] | {"part": "dev"}], head=head)


def test_rows_of_one_id_and_missing_files_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"line 4: item 0 is given twice"):
        load(tmp_path, EXACT, [*ROWS, ROWS[0]])
    with pytest.raises(DataError, match=r"no data file .*other\.jsonl"):
        load(tmp_path, EXACT, rows=ROWS, head=HEAD.replace("rows.jsonl", "other.jsonl"))
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read"):
        CustomTask.load(tmp_path / "none.toml")
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROWS[0]) + "\n{\n")
    with pytest.raises(DataError, match=r"rows\.jsonl, line 2"):
        CustomTask.load(tmp_path / "task.toml", rows=tmp_path / "rows.jsonl")
