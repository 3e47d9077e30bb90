"""`mar keys`: made, shown once, listed, revoked, given new secrets."""

from __future__ import annotations

import json

import pytest

from mar.cli import main


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words, status=0):
        monkeypatch.setattr("sys.argv", ["mar", "keys", *words, "--keys", str(tmp_path / "k.sqlite")])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        assert ended.value.code == status, shown.err
        return shown.err if status else shown.out

    return run


def test_a_secret_is_shown_when_it_is_made_and_never_again(run):
    made = run("create", "app", "--usd-day", "1.5", "--model", "small", "--at_once", "4")
    secret = next(line for line in made.splitlines() if line.startswith("sk-mar-"))
    listed = run("list")
    assert secret not in listed
    assert "1.5 USD a day, 4 at once" in listed
    (key,) = json.loads(run("list", "--json"))
    assert (key["name"], key["models"], key["usd_day"], key["at_once"]) == ("app", ["small"], 1.5, 4)
    assert key["revoked"] is None
    assert not {"hash", "secret"} & set(key)


def test_a_revoked_key_stays_in_the_list_and_gets_no_new_secret(run):
    made = json.loads(run("create", "app", "--json"))
    again = json.loads(run("rotate", "app", "--json"))
    assert (again["id"], again["secret"] != made["secret"]) == (made["id"], True)
    assert "is revoked" in run("revoke", made["id"])
    assert "revoked 20" in run("list")
    assert "is revoked; make a new key" in run("rotate", "app", status=2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "app", "--role", "root"), "role: Input should be 'use', 'observe' or 'admin'"),
        (("create", "app", "--usd-total", "1e9"), "usd_total: Input should be less than or equal to"),
        (("create", " "), "the key's name is empty"),
        (("revoke", "nobody"), "no key has this id or name"),
    ],
)
def test_what_makes_no_sense_is_one_clear_line(run, words, said):
    error = run(*words, status=2)
    assert said in error
    assert len(error.splitlines()) == 1
