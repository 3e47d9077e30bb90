"""`mar probe` from others' grades and a pool to a sentence, a file and a controller: on a server of this machine."""

import csv
import json
import sys
from pathlib import Path

import pytest

from mar.cli.main import main
from mar.controllers.sequential.checkpoint import load_sequential, save_sequential
from mar.controllers.sequential.controller import Sequential
from mar.controllers.sequential.mind import Mind
from mar.controllers.sequential.policy import Terms
from mar.pool.cards import ModelCard
from tests.evaluation.route.worlds import Words
from tests.served import served

ROWS, HARD = 60, 30  # questions from HARD on are hard
OTHERS = {"low": 10, "middle": 30, "high": 50}  # each knows the first so many
NEW = 40


def answer(request):
    """The new model knows the first questions."""
    i = next(i for i in reversed(range(ROWS)) if f"number {i}?" in request.prompt)
    return f"The answer is {100 + i if i < NEW else 7}"


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Calls the command in a folder with rows and others' grades; gives exit status, output and errors."""
    monkeypatch.setenv("MAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mar.controllers.embeddings.named_encoder", lambda name: Words())
    rows = [json.dumps({"id": i, "question": f"What is number {i}?", "answer": str(100 + i)}) for i in range(ROWS)]
    Path("rows.jsonl").write_text("\n".join(rows))
    with Path("calls.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["id", "prompt", "group", *OTHERS])
        for i in range(ROWS):
            group = "hard" if i >= HARD else "easy"
            lines.writerow([i, f"What is number {i}?", group, *(int(i < knows) for knows in OTHERS.values())])

    def call(*argv):
        monkeypatch.setattr(sys, "argv", ["mar", "probe", *argv])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return call


def arguments(server, *, price=True):
    priced = "price_in = 1.0\nprice_out = 1.0\n" if price else ""
    Path("pool.toml").write_text(f'[[models]]\nname = "new"\nbase_url = "{server.base_url}"\n{priced}')
    return "new", "--table", "calls.csv", "--rows", "rows.jsonl", "--pool", "pool.toml"


def test_a_new_model_is_asked_a_few_questions_once_and_placed_among_the_others(command):
    with served(answer=answer) as server:
        code, _, err = command(*arguments(server), "--dry-run")
        assert (code, len(server.requests)) == (0, 0), err
        assert "20 questions" not in err
        assert "40 questions to new: about" in err

        code, out, err = command(*arguments(server), "--questions", "20", "--max_cost", "1")
        assert code == 0, err
        assert len(server.requests) == 20
        again, _, _ = command(*arguments(server), "--questions", "20")
        assert (again, len(server.requests)) == (0, 20)  # nothing is paid twice

    assert "above middle (50.0%), below high (83.3%)" in out.strip().splitlines()[-1]
    kept = json.loads(Path("probe.json").read_text())
    assert kept["accuracy"]["low"] <= NEW / ROWS <= kept["accuracy"]["high"]
    assert kept["topics"]["easy"]["mean"] > kept["topics"]["hard"]["mean"]
    assert {grade for name, grade in kept["asked"].items() if int(name) < NEW} == {1.0}


def test_it_enters_a_controller(command):
    mind = Mind.vague([ModelCard(name=n) for n in OTHERS], "Math", "open", strategies=(None,), embedding=Words.width)
    old = Sequential([mind], Words(), Terms(cost_rate=20.0))
    save_sequential(Path("old.safetensors"), old, trained_on={}, simulated=False)

    with served(answer=answer) as server:
        code, _, err = command(*arguments(server), "--questions", "8", "--router", "old.safetensors", "--out", "n.json")

    assert code == 0, err
    loaded = load_sequential(Path("n.safetensors"), Words())
    assert loaded.controller.minds["Math/open"].beliefs.models == (*OTHERS, "new")
    assert loaded.header.trained_on["probed new"] == "8 questions of calls.csv"


def test_the_limit_holds_and_what_was_answered_counts(command):
    with served(answer=answer) as server:
        code, _, err = command(*arguments(server), "--max_cost", "0")
        assert code == 2
        assert "answered none of the first 8 questions" in err
        assert len(server.requests) == 0
    assert not Path("probe.json").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--questions", "80"), "60 of 60 questions of calls.csv are in rows.jsonl (by id); expected 80 or more"),
        (("--out", "new.txt"), "--out is new.txt; expected a file that ends in .json"),
        (("--table", "none.csv"), "no table 'none.csv'"),
        (("--rows", "nothing"), "no benchmark 'nothing'"),
    ],
)
def test_what_cannot_be_used_is_one_line_before_anything_is_asked(command, words, said):
    with served(answer=answer) as server:
        code, out, err = command(*arguments(server), *words)
        assert (code, out, len(server.requests)) == (2, "", 0)
    assert said in err
    assert len(err.strip().splitlines()) == 1


def test_an_unknown_model_and_a_limit_without_a_price_are_refused(command):
    with served(answer=answer) as server:
        _, *words = arguments(server, price=False)
        assert "unknown model 'other'" in command("other", *words)[2]
        assert "no price is known for new" in command("new", *words, "--max_cost", "1")[2]
