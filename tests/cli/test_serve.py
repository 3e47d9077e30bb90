"""`mar serve` and `mar batch`: what is checked beforehand, and what is said."""

import json

import pytest

from mar.cli import main
from mar.errors import ConfigError
from mar.serving import Settings, read_settings


def run(capsys, monkeypatch, *words):
    """Exit status and what was printed."""
    monkeypatch.setattr("sys.argv", ["mar", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return ended.value.code, said.out + said.err


def test_check_reads_everything_and_says_what_would_be_served(tmp_path, capsys, monkeypatch):
    file = tmp_path / "serve.toml"
    file.write_text(
        'pool = "simulated-specialists"\n[[controllers]]\nname = "thrifty"\nrouter = "cards"\ncost_rate = 99\n'
    )
    status, said = run(capsys, monkeypatch, "serve", "--config", str(file), "--port", "9000", "--check")
    assert status == 0
    assert "http://127.0.0.1:9000/v1 on 1 worker(s)" in said
    assert "mar/thrifty: cards" in said
    assert "3 simulated models: answers are made up" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--host", "0.0.0.0"), "host is 0.0.0.0: whoever can connect could spend your money without a key"),
        (("--pool", "nothing.toml"), "--pool is 'nothing.toml', no file that exists"),
        (("--router", "nobody"), "no controller"),
        (("--tools", "nothing.toml"), "nothing.toml"),
        (("--config", "nothing.toml"), "nothing.toml"),
        (("--workers", "0"), "--workers"),
    ],
)
def test_what_cannot_be_served_is_one_line_and_status_2(words, said, capsys, monkeypatch):
    status, printed = run(capsys, monkeypatch, "serve", "--check", *words)
    assert status == 2
    assert said in printed
    assert "Traceback" not in printed


def test_a_role_with_a_tool_that_nobody_has_is_found_before_anything_is_served(tmp_path, capsys, monkeypatch):
    tools = tmp_path / "tools.toml"
    tools.write_text('[roles]\nAssistant = ["hammer"]\n')
    status, said = run(capsys, monkeypatch, "serve", "--check", "--tools", str(tools))
    assert status == 2
    assert "no tool is called 'hammer'" in said


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "localhost", "127.8.8.8"])
def test_this_machine_alone_needs_no_keys(host):
    assert Settings(host=host).loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org"])
def test_any_other_address_is_open_to_others(host):
    assert not Settings(host=host).loopback


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prt = 1", "prt"),
        ('port = "x"', "port"),
        ("[limits]\nbody_bytes = 0", "limits.body_bytes"),
        ('[[controllers]]\nname = "a b"', "controllers[0].name"),
        ('[[controllers]]\nname = "a"\n[[controllers]]\nname = "a"', "'a' is named twice"),
        ("port = ", "malformed TOML"),
    ],
)
def test_a_wrong_settings_file_is_one_line_that_names_the_field(tmp_path, text, said):
    file = tmp_path / "serve.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_settings(file)
    assert said in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_batch_is_answered_on_the_simulated_pool_in_no_time(tmp_path, capsys, monkeypatch):
    file, out = tmp_path / "f.jsonl", tmp_path / "out.jsonl"
    body = {"model": "mar", "messages": [{"role": "user", "content": "hi"}]}
    file.write_text(json.dumps({"custom_id": "1", "url": "/v1/chat/completions", "body": body}))
    status, said = run(capsys, monkeypatch, "batch", str(file), "--out", str(out), "--pool", "simulated")
    assert status == 0
    assert "1 answered (simulated), 0 before, 0 failed" in said
    assert json.loads(out.read_text())["response"]["body"]["mar"]["simulated"] is True
