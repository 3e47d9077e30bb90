"""`mar route` from rows to a sentence and a checkpoint: on a server of this machine, the simulated pool, a table."""

import csv
import json
import sys
from pathlib import Path

import pytest

import mar
from mar.cli.main import main
from mar.pool.choose import empty_pool
from tests.evaluation.route.worlds import Words, text
from tests.served import served

ROWS = 40
PRICES = {"sums": 0.1, "places": 0.1, "dear": 2.5}  # USD per million tokens


def gold(i):
    return str(100 + i)


def answer(request):
    """The specialists know their kind, the dear one both."""
    i = next((i for i in range(ROWS) if text(i) in request.prompt), None)
    knows = i is not None and (request.model == "dear" or (request.model == "sums") == (i % 2 == 0))
    return f"The answer is {gold(i) if knows else 7}"


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Calls the command in a folder with rows; gives exit status, output and errors."""
    monkeypatch.setenv("MAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mar.evaluation.route.run.named_encoder", lambda name: Words())
    lines = [json.dumps({"id": i, "question": text(i), "answer": gold(i)}) for i in range(ROWS)]
    Path("rows.jsonl").write_text("\n".join(lines))

    def call(*argv):
        monkeypatch.setattr(sys, "argv", ["mar", "route", *argv])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return call


def pool_file(server):
    cards = [
        f'[[models]]\nname = "{name}"\nbase_url = "{server.base_url}"\nprice_in = {p}\nprice_out = {p}\n'
        for name, p in PRICES.items()
    ]
    Path("pool.toml").write_text("\n".join(cards))
    return "pool.toml"


def test_rows_and_a_pool_end_in_a_sentence_a_picture_and_a_controller(command):
    with served(answer=answer) as server:
        argv = ("rows.jsonl", "--pool", pool_file(server), "--controllers", "knn(k=5)", "cascade")
        code, out, err = command(*argv, "--dry-run")
        assert (code, out) == (0, ""), err
        assert "40 rows x 3 models = 120 calls, about" in err
        assert len(server.requests) == 4 * 3  # a few rows are asked for the forecast, and nothing else

        code, out, err = command(*argv, "--max_cost", "1")
        assert code == 0, err
        assert len(server.requests) == ROWS * 3  # every model once per row; what the forecast asked is not asked again
        again, _, _ = command(*argv)
        assert (again, len(server.requests)) == (0, ROWS * 3)

    last = out.strip().splitlines()[-1]
    assert last.startswith("At the accuracy of dear (100.0%): 9")
    assert "cheaper (95% interval" in last
    run = Path("runs/route-rows")
    assert (run / "route.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((run / "results.json").read_text())["worth"] is True
    rows = list(csv.DictReader((run / "calls.csv").open()))
    assert {(r["dear"], r["sums"], r["places"]) for r in rows} == {("1", "1", "0"), ("1", "0", "1")}
    kept = mar.load_controller(run / "router.safetensors", encoder=Words())
    kept.cost_rate = kept.cost_rate * 2
    plan = mar.api.plan(text(2), kept, empty_pool("pool.toml"))
    assert plan.intent.agents[0].model == "sums"


def test_a_tasks_file_takes_the_place_of_rows(command):
    Path("task.toml").write_text(
        'name = "figures"\ndomain = "Math"\nrows = "asked.jsonl"\nsplit = "hash"\n'
        '[fields]\nquestion = "q"\nanswer = "a"\n'
        '[grader]\nkind = "numeric"\n'
    )
    lines = [json.dumps({"id": str(i), "q": text(i), "a": gold(i)}) for i in range(ROWS)]
    Path("asked.jsonl").write_text("\n".join(lines))
    with served(answer=answer) as server:
        code, out, err = command("task.toml", "--pool", pool_file(server), "--controllers", "knn(k=5)")
    assert code == 0, err
    assert out.strip().splitlines()[-1].startswith("At the accuracy of dear (100.0%): 9")
    assert Path("runs/route-figures/router.safetensors").is_file()


def test_a_limit_that_is_not_enough_for_all_rows_is_kept(command):
    with served(answer=answer) as server:
        argv = ("rows.jsonl", "--pool", pool_file(server), "--controllers", "knn(k=5)")
        _, _, err = command(*argv, "--dry_run")
        whole = float(err.partition("about ")[2].partition(" USD")[0])
        code, _, err = command(*argv, "--max_cost", f"{0.9 * whole:g}")
        assert code == 0, err
        assert "is enough for 3" in err
        assert len(server.requests) < ROWS * 3
        code, _, err = command(*argv, "--max_cost", f"{whole / 10:g}")
        assert code == 2
        assert "expected 25 or more" in err


def test_the_simulated_pool_needs_no_key(command):
    code, out, err = command("rows.jsonl", "--pool", "simulated", "--controllers", "knn(k=5)", "--limit", "26")
    assert code == 0, err
    assert "(simulated pool)" in out
    assert "95% interval" in out.strip().splitlines()[-1]


def test_without_rows_made_up_models_are_asked_made_up_questions(command):
    code, out, err = command("--controllers", "knn(k=5)", "--limit", "40")
    assert code == 0, err
    assert "40 rows x 3 models = 120 calls" in err
    assert "made-up questions: 120 sums in words" in " ".join(out.split())
    picture, sentence = out.strip().splitlines()[-2:]
    assert picture == "picture: runs/route-sample/route.png"
    assert Path(picture.partition(": ")[2]).is_file()
    assert "simulated accuracy of" in sentence


def scores(name, costs=True):
    rows = []
    for i in range(60):
        row = {"prompt": text(i), "sums": int(i % 2 == 0), "places": i % 2, "dear": 1}
        rows.append(
            row | ({"sums|total_cost": 1e-4, "places|total_cost": 1e-4, "dear|total_cost": 2.5e-3} if costs else {})
        )
    with Path(name).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_a_table_of_scores_with_costs_is_enough(command):
    scores("scores.csv")
    code, out, err = command("--table", "scores.csv", "--controllers", "knn(k=5)", "sequential")
    assert code == 0, err
    assert out.strip().splitlines()[-1].startswith("At the accuracy of dear (100.0%): 96% cheaper")
    assert "routers alone, since the table has scores and no answers" in " ".join(out.split())


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("--pool", "pool.toml"), "--pool is pool.toml, but there is nothing to ask it; expected rows"),
        (("rows.jsonl", "--table", "scores.csv"), "expected either rows"),
        (("none.jsonl",), "none.jsonl"),
        (("--table", "bare.csv"), "bare has no costs; expected a column NAME|total_cost"),
        (("--table", "scores.csv", "--reference", "who"), "--reference is 'who'; expected one of sums, places, dear"),
        (("--table", "scores.csv", "--controllers", "sequential"), "cannot be learned from scores alone"),
        (("--table", "scores.csv", "--controllers", "luck"), "unknown router 'luck'"),
        (("--table", "scores.csv", "--controllers", "teams(most=2)"), "teams takes no parameters"),
        (("--table", "scores.csv", "--controllers", "knn(kk=2)"), "no parameter 'kk'; expected one of k"),
        (("rows.jsonl", "--pool", "free.toml"), "no price is known for a, b"),
        (("rows.jsonl", "--pool", "one.toml"), "the pool has one model, a; expected two or more"),
        (("open.jsonl", "--pool", "simulated"), "have no answers, so no simulated model can know any"),
    ],
)
def test_what_cannot_be_used_ends_in_one_line(command, argv, says):
    scores("scores.csv")
    scores("bare.csv", costs=False)
    one = '[[models]]\nname = "a"\nbase_url = "http://127.0.0.1:9/v1"\n'
    Path("one.toml").write_text(one)
    Path("free.toml").write_text(one + one.replace('"a"', '"b"'))
    Path("open.jsonl").write_text("\n".join(json.dumps({"question": text(i)}) for i in range(30)))
    code, out, err = command(*argv)
    assert (code, out) == (2, "")
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert says in last
