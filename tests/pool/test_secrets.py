"""A canary key goes through everything that a key can go through, and must come out nowhere but on the wire."""

import logging
import pickle
import traceback
from collections import deque

import pytest
from pydantic import SecretStr

from mar.environment import read_environment
from mar.errors import CallError, ConfigError
from mar.pool import CachedModel, FileReplies, ModelCard, find_pool_config, pool_from_env
from mar.pool.openai_client import OpenAIModel, RetryPolicy
from mar.testing import FAULTS, ChatServer
from mar.types import ChatRequest, Message

CANARY = "sk-canary-0123456789"
ASK = ChatRequest(model="m", messages=(Message(speaker="user", text="q"),))


@pytest.fixture
def anyio_backend():
    return "asyncio"


def everything(error):
    """All text of an exception, its attributes, and of all that it was raised from or in."""
    texts = []
    while error is not None:
        texts += [repr(error), str(error), repr(vars(error)), "".join(traceback.format_exception(error))]
        request = getattr(error, "request", None)
        texts += [str(dict(request.headers))] if request is not None else []
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("fault", [*FAULTS, "wrong key", "no server", None])
async def test_a_call_leaves_no_key_behind(fault, stream, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    server = ChatServer(
        key="another" if fault == "wrong key" else None,  # the server repeats the wrong key in its message
        next_faults=deque([fault] if fault in FAULTS else []),
    )
    async with server:
        url = "http://127.0.0.1:9/v1" if fault == "no server" else server.base_url
        card = ModelCard(name="m", base_url=url, timeout_s=0.3 if fault == "hang" else 10)
        live = OpenAIModel([card], {"m": SecretStr(CANARY)}, retry=RetryPolicy(attempts=1))
        async with CachedModel(live, FileReplies(tmp_path / "c.sqlite")) as model:
            seen = [repr(model), repr(live), repr(live.__dict__), repr(card)]
            try:
                seen.append(repr(await model.chat(ASK, (lambda _: None) if stream else None)))
            except CallError as error:
                seen.append(everything(error))
                assert fault is not None
    seen += [record.getMessage() + repr(record.args) for record in caplog.records]
    assert "canary" not in "\n".join(seen)
    for file in tmp_path.iterdir():
        assert b"canary" not in file.read_bytes()


@pytest.mark.parametrize(
    "env",
    [
        f"URL={CANARY}\nKEY=x\n",
        f"KEY={CANARY}\n",
        f"URL=https://{CANARY}@host/v1\nKEY=x\n",
        f"URL=https://host/v1?key={CANARY}\n",
        f"URL=https://host/v1\n{CANARY} {CANARY}\n",
        f"MODEL_BASE_URLS={CANARY}\n",
        f'MODEL_BASE_URLS={{"a": "{CANARY}"}}\n',
        f'MODEL_BASE_URLS={{"key": "{CANARY}", "model_base_urls": {{}}}}\n',
        f'MODEL_BASE_URLS={{"key": "{CANARY}" "broken\n',
    ],
)
def test_configuration_errors_quote_no_key(env, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(env)
    with pytest.raises(ConfigError) as caught:
        pool_from_env(cache=True)
    assert "canary" not in everything(caught.value) + caplog.text


@pytest.mark.parametrize("field", ["key", "api_key", "base_url", "price_in"])
def test_a_key_written_into_a_pool_file_is_not_quoted(field, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pool.toml").write_text(f'[[models]]\nname = "a"\n{field} = "{CANARY}"\n')
    with pytest.raises(ConfigError) as caught:
        pool_from_env(cache=True)
    assert "canary" not in everything(caught.value)


def test_a_good_configuration_prints_no_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f"URL=https://host/v1\nKEY={CANARY}\n")
    (tmp_path / "pool.toml").write_text('[[models]]\nname = "a"\n')
    pool = pool_from_env(cache=True)
    texts = [repr(find_pool_config()), repr(read_environment()), repr(pool.model.__dict__), repr(pool.cards)]
    assert "canary" not in "\n".join(texts)
    assert b"canary" not in pickle.dumps(list(pool.cards.values()))
