"""Keys: checked when read, taken out of what is shown."""

from __future__ import annotations

import base64
import json
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from mar.errors import ConfigError
from mar.pool import find_pool_config
from mar.pool.keys import clean_key, scrub, shown_variable

KEY = "sk-canary/0123+45=6789&z"


@pytest.mark.parametrize(
    "form",
    [
        KEY,
        KEY.upper(),
        repr(KEY + "\n"),
        json.dumps({"key": KEY}),
        quote(KEY),
        quote(KEY, safe=""),
        base64.b64encode(KEY.encode()).decode(),
        base64.b64encode(f"Bearer {KEY}".encode()).decode(),
        base64.b64encode(f"user:{KEY}".encode()).decode(),
        base64.urlsafe_b64encode(f"u:{KEY}".encode()).decode(),
        KEY[:14],  # cut off by whoever quotes it
        f"b'Bearer {KEY}\\n'",
    ],
)
def test_no_form_of_a_key_is_left_in_a_text(form):
    left = scrub(f"before {form} after", KEY)
    assert left.startswith("before ")
    assert left.endswith(" after")
    assert "canary" not in left.lower()
    assert base64.b64encode(KEY.encode())[:12].decode().lower() not in left.lower()
    assert base64.b64encode(b"x" + KEY.encode()).decode()[4:16] not in left


@given(st.text())
def test_a_text_without_the_key_stays_as_it_is(text):
    assert scrub(text, KEY) == text or "sk-canary" in text


def test_white_space_around_a_key_is_no_part_of_it():
    assert clean_key(SecretStr("  sk-1\n"), "x").get_secret_value() == "sk-1"
    assert clean_key(SecretStr(" \n"), "x") is None


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("sk-can\nary", "a blank"),
        ("Bearer sk-canary", "a blank"),
        ('"sk-canary"', "a quotation mark"),
        ("\u201csk-canary\u201d", "a quotation mark"),
        ("sk-canary\u2013x", r"U\+2013"),
        ("sk-canary\x1b[0m", r"U\+001B"),
        ("sk-canary\udce9", r"U\+DCE9"),
    ],
)
def test_what_cannot_be_part_of_a_key_is_named_and_the_key_is_not(key, what):
    with pytest.raises(ConfigError, match=f"KEY in .env line 1: the key holds {what}; expected") as caught:
        clean_key(SecretStr(key), "KEY in .env line 1")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("pasted", ["sk-canary-0123456789", "sk_canary_0123456789", "AKIACANARY0123456789"])
def test_a_key_in_the_place_of_its_variable_s_name_is_not_shown(pasted, tmp_path, monkeypatch):
    assert shown_variable("OPENAI_API_KEY") == "OPENAI_API_KEY"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pool.toml").write_text(
        f'[[models]]\nname = "m"\nbase_url = "http://127.0.0.1:1/v1"\nkey_env = "{pasted}"\n'
    )
    config = find_pool_config()
    assert config is not None
    with pytest.raises(ConfigError, match="`key_env`") as caught:
        config.require_keys()
    assert "canary" not in str(caught.value).lower()


def test_a_key_from_any_source_is_checked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("URL", "KEY", "MODEL_BASE_URLS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "pool.json").write_text(json.dumps({"key": "sk canary", "model_base_urls": {"m": "http://h/v1"}}))
    with pytest.raises(ConfigError, match=r"pool\.json: the key holds a blank"):
        find_pool_config()
    (tmp_path / "pool.json").write_text(json.dumps({"models": [{"name": "m"}]}))
    (tmp_path / ".env").write_text('URL=http://h/v1\nKEY="sk-canary\n"\n')
    config = find_pool_config()
    assert config is not None
    assert {key.get_secret_value() for key in config.keys.values()} == {"sk-canary"}


@pytest.mark.parametrize("piece", ["\\", "&#0", "\\u00", "%", "\\x", "sk-0123456789"])
def test_a_text_that_was_made_to_be_slow_takes_time_in_proportion_to_its_length(piece):
    began = time.process_time()
    scrub(piece * 60_000, "sk-0123456789abcdefghij")
    assert time.process_time() - began < 2  # 0.1 s; minutes, if it grew with the square
