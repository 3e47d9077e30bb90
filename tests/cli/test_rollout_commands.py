"""`mar rollout`: what it says and refuses without a gateway."""

import json

import pytest

from mar.cli import main


def run(capsys, monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["mar", "rollout", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return ended.value.code, said.out + said.err


def test_a_candidate_is_started_shown_and_taken_back(tmp_path, capsys, monkeypatch):
    place = ("--store", str(tmp_path / "g.sqlite"))
    assert run(capsys, monkeypatch, "status", *place)[1].startswith("No candidate was ever started")
    status, said = run(capsys, monkeypatch, "start", "cards", "--cost-rate", "5", *place)
    assert status == 0
    assert "is in shadow for mar" in said
    assert run(capsys, monkeypatch, "start", "cards", *place)[0] == 2
    status, said = run(capsys, monkeypatch, "promote", *place)
    assert (status, "no gateway has taken it up yet" in said) == (2, True)
    assert run(capsys, monkeypatch, "rollback", *place)[0] == 0
    plain = json.loads(run(capsys, monkeypatch, "status", "--json", *place)[1])
    assert [r["stage"] for r in plain["rollouts"]] == ["rolled back"]
    assert [e["what"] for e in plain["events"]] == ["rolled back", "shadow"]
    assert "rolled back" in run(capsys, monkeypatch, "status", *place)[1]
    assert run(capsys, monkeypatch, "rollback", *place)[0] == 2


def test_what_is_no_candidate_is_one_line_and_status_2(tmp_path, capsys, monkeypatch):
    status, said = run(capsys, monkeypatch, "start", "nobody", "--store", str(tmp_path / "g.sqlite"))
    assert status == 2
    assert "expected a checkpoint file, or the name of a controller" in said
    assert not (tmp_path / "g.sqlite").exists()
