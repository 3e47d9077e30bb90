"""Every command that is given a file: whatever is wrong with it is one line on standard error and exit status 2."""

from __future__ import annotations

import os
import sys

import pytest

from mar.cli.main import app
from mar.cli.script import run_script

BAD = {
    "no text": b"\xff\xfe\x00\x01",
    "nested": b"[" * 100_000,
    "digits": b'{"a": ' + b"9" * 5000 + b"}",
    "cut off": b'{"models": [{"name": "a"',
    "a tensor of a terabyte": (90).to_bytes(8, "little")
    + b'{"a":{"dtype":"F32","shape":[500000,500000],"data_offsets":[0,1000000000000]}}'.ljust(90)
    + b"\0" * 8,
    "empty": b"",
}
COMMANDS = {
    "a pool to show": ("pool", "--pool", "FILE.json"),
    "a pool in TOML": ("pool", "--pool", "FILE.toml"),
    "a pool to ask": ("plan", "x", "--pool", "FILE.json"),
    "a checkpoint": ("plan", "x", "--pool", "simulated", "--router", "FILE.safetensors"),
    "a pool to serve": ("vllm", "serve", "FILE.toml"),
    "a table": ("routereval", "--table", "FILE.npz", "--out", "OUT"),
    "a pickle": ("routereval", "--table", "FILE.pkl", "--out", "OUT"),
    "a table in CSV": ("routereval", "--table", "FILE.csv", "--out", "OUT"),
    "a table in Parquet": ("routereval", "--table", "FILE.parquet", "--out", "OUT"),
    "a store": ("chat", "--user", "u", "--pool", "simulated", "--store", "FILE.sqlite"),
}


def ended(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["mar", *words])
    with pytest.raises(SystemExit) as caught:
        run_script(app)
    return caught.value.code, capsys.readouterr().err


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("MAR_CACHE", str(tmp_path / "cache"))
    for name in ("URL", "KEY", "MODEL_BASE_URLS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_bad_file_is_one_line_and_exit_status_2(tmp_path, monkeypatch, capsys, command, bad):
    if command == "a store" and bad == "empty":
        pytest.skip("an empty file is a store with nothing in it")
    words = []
    for word in COMMANDS[command]:
        if word.startswith("FILE"):
            (tmp_path / word).write_bytes(BAD[bad])
        words.append(word)
    code, said = ended(monkeypatch, capsys, *words)
    assert (code, len(said.splitlines())) == (2, 1), said
    assert said.startswith("error: ")


def test_a_query_that_is_no_text_is_one_line(monkeypatch, capsys):
    code, said = ended(monkeypatch, capsys, "plan", os.fsdecode(b"what is \xff?"), "--pool", "simulated")
    assert (code, said) == (2, "error: the query cannot be read: byte 8 is no UTF-8 text; expected UTF-8 text\n")
