"""Keys from every place they can come from, against a server that repeats them in every way: they are found nowhere.

What is searched: standard output and error, mar's log records, exceptions with their causes, episodes, every file that
is left, the cache's among them. What is searched for: any ten characters of a key in a row, in any case and usual code.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import re
import threading
import traceback
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote_plus

import anyio
import pytest

from mar.cli.shown import show_conversation, show_outcome
from mar.controllers.embeddings import HashEncoder
from mar.errors import CallError, ConfigError
from mar.evaluation.experiment import run_experiment
from mar.evaluation.options import RunOptions, benchmark_options
from mar.pool import CachedModel, FileReplies, find_pool_config, pool_from_env
from mar.pool.openai_client import OpenAIModel, RetryPolicy
from mar.runtime import Runtime
from mar.runtime.trace import write_episodes
from mar.tasks.mbpp import Mbpp
from mar.terminal import Terminal
from mar.types import ChatRequest, Message
from tests.runtime.episodes import ASK, FREE_TOOLS, PROMPTS, plan_of
from tests.serving import serving

WINDOW = 10  # characters of a key in a row that give it away


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# What a server may make of a header that it repeats.
FORMS = {
    "plain": str,
    "quoted": repr,
    "json": json.dumps,
    "header-base64": base64_of,
    "key-base64": lambda text: base64_of(text.removeprefix("Bearer ")),
    "url-base64": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "upper": str.upper,
    "other-case": str.swapcase,
    "percent": lambda text: quote(text, safe=""),
    "all-percent": lambda text: "".join(f"%{ord(c):02X}" for c in text),
    "form": quote_plus,
    "html": html.escape,
    "html-numbers": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "unicode-escaped": lambda text: "".join(f"\\u{ord(c):04x}" for c in text),
    "byte-escaped": lambda text: "".join(f"\\x{ord(c):02x}" for c in text),
    "slashes-escaped": lambda text: text.replace("/", "\\/"),
    "hex": lambda text: text.encode().hex(),
    "beginning": lambda text: text[: len("Bearer ") + 14] + "...",
}
STATUSES = [s.value for s in HTTPStatus if s >= 400]
# Where in a reply the words stand.
BODIES = {
    "error": lambda words: json.dumps({"error": {"message": words, "code": None}}),
    "code": lambda words: json.dumps({"error": {"message": "no", "code": words, "param": words}}),
    "detail": lambda words: json.dumps({"detail": [{"loc": ["body", words], "msg": words}]}),
    "text": str,
    "page": lambda words: f"<html><title>{words}</title></html>",
}


def chunk(**fields: object) -> str:
    return f"data: {json.dumps({'choices': [{'index': 0, **fields}]})}\n\n"


def reply(text: str, **fields: object) -> str:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"choices": [choice | fields], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})


# What comes with status 200.
INSIDE = {
    "an error": lambda words: json.dumps({"error": {"message": words}}),
    "a choice's error": lambda words: reply("", error={"message": words}),
    "a finish": lambda words: reply("half", finish_reason=words),
    "an answer": lambda words: reply(f"You sent {words}"),
    "reasoning": lambda words: reply(f"<think>{words}</think>42"),
    "bad JSON": lambda words: '{"choices": [' + words,
    "a stream's error": lambda words: chunk(delta={"content": "a"}) + f"data: {json.dumps({'error': words})}\n\n",
    "a stream's finish": lambda words: chunk(delta={"content": "a"}) + chunk(delta={}, finish_reason=words),
    "a stream's answer": lambda words: chunk(delta={"content": words}, finish_reason="stop") + "data: [DONE]\n\n",
    "a stream's bad JSON": lambda words: chunk(delta={"content": "a"}) + "data: {" + words + "\n\n",
    "a stream's pieces": lambda words: (
        "".join(chunk(delta={"content": words[i : i + 5]}) for i in range(0, len(words), 5))
        + chunk(delta={}, finish_reason="stop")
        + "data: [DONE]\n\n"
    ),
}


class Echo(BaseHTTPRequestHandler):
    """Does what the model's name says: `STATUS/BODY/FORM`, `200/INSIDE/FORM`, `hang`, `junk`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body go out apart; the second would wait 40 ms for an acknowledgement
    stop = threading.Event()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        header = self.headers.get("Authorization", "")
        how = body["model"].split("/")
        if how == ["hang"]:
            self.stop.wait(0.3)
            self.close_connection = True
        elif how == ["junk"]:
            self.wfile.write(f"HTTP/1.1 200 OK\r\n{header}\r\n\r\n".encode())
            self.close_connection = True
        else:
            self._answer(int(how[0]), how[1], FORMS[how[2]](header))

    def _answer(self, status: int, what: str, words: str) -> None:
        text = INSIDE[what](words) if status == 200 else BODIES[what](words)
        kind = "text/event-stream" if "stream" in what else "text/html" if what == "page" else "application/json"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("X-Request", words)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server():
    """The address of the server."""
    with serving(Echo) as address:
        yield address
        Echo.stop.set()


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch, caplog):
    """An empty folder, every record of mar's loggers, no pause before another try."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("mar.pool.openai_client.RetryPolicy", partial(RetryPolicy, attempts=1))
    caplog.set_level(logging.DEBUG, logger="mar")


# Where keys come from ----------------------------------------------------------------------------------------------


def key_of(place: str) -> str:
    """A key that looks like no other and like no vendor's, with characters that codes change."""
    return f"{place[:3]}/Q7x+{base64_of(place[::-1] * 2).lower()}&9z"


def plant(place: str, names: list[str], url: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Write the configuration of a pool of these models; gives the keys that are in it."""
    key = key_of(place)
    tables = "".join(f'[[models]]\nname = "{name}"\nprice_in = 1.0\nprice_out = 1.0\n' for name in names)
    urls = dict.fromkeys(names, url)
    if place == "env-file":
        Path(".env").write_text(f"URL={url}\nKEY={key}\n")
        Path("pool.toml").write_text(tables)
    elif place == "environment":
        monkeypatch.setenv("URL", url)
        monkeypatch.setenv("KEY", key)
        Path("pool.toml").write_text(tables)
    elif place == "addresses":
        monkeypatch.setenv("MODEL_BASE_URLS", json.dumps({"key": key, "model_base_urls": urls}))
    elif place == "named-by-card":
        monkeypatch.setenv("POOL_KEY", key)
        Path("pool.toml").write_text(f'base_url = "{url}"\nkey_env = "POOL_KEY"\n{tables}')
    elif place == "newline":
        monkeypatch.setenv("POOL_KEY", f"{key}\r\n")
        Path("pool.toml").write_text(f'base_url = "{url}"\nkey_env = "POOL_KEY"\n{tables}')
    else:
        Path("config_test.json").write_text(json.dumps({"key": key, "model_base_urls": urls}))
    # What is meant for a vendor goes to nobody, and a key of another model to no other.
    monkeypatch.setenv("OPENAI_API_KEY", other := key_of("of-a-vendor"))
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"X-Key: {other}")
    return key, other


PLACES = ("env-file", "environment", "addresses", "named-by-card", "newline", "test-config")


# Where they must not be --------------------------------------------------------------------------------------------


def views(text: str) -> list[str]:
    """A text as it stands, and what its codes stand for."""
    escaped = re.sub(r"\\(?:u00|x)([0-9a-fA-F]{2})", lambda m: chr(int(m[1], 16)), text)
    found = [text, unquote_plus(text), html.unescape(text), escaped, text.replace("\\", "")]
    words = {w.replace("-", "+").replace("_", "/") for w in re.findall(r"[A-Za-z0-9+/_-]{16,}", text)}
    parts = [word[start : len(word) - (len(word) - start) % 4] for word in words for start in range(4)]
    found.append("\n".join(base64.b64decode(part).decode("latin-1") for part in parts))
    numbers = set(re.findall(r"(?i)\b[0-9a-f]{20,}", text))
    found.append("\n".join(bytes.fromhex(n[: len(n) // 2 * 2]).decode("latin-1") for n in numbers))
    return [view.lower() for view in found]


def leaked(text: str, keys: tuple[str, ...]) -> str:
    """What a text gives away of any key, with what is around it."""
    windows = {key[i : i + WINDOW].lower() for key in keys for i in range(len(key) - WINDOW + 1)}
    for view in views(text):
        for window in windows:
            if (at := view.find(window)) >= 0:
                return view[max(0, at - 60) : at + 60]
    return ""


def story_of(error: BaseException | None) -> str:
    """All that an exception and those that it came of say."""
    told = "" if error is None else "".join(traceback.format_exception(error))
    while error is not None:
        told += f"{error!r} {vars(error)!r} {error.__notes__ if hasattr(error, '__notes__') else ''}\n"
        error = error.__cause__ or error.__context__
    return told


def written(folder: Path) -> dict[str, str]:
    """Every file that is not the configuration."""
    planted = {".env", "pool.toml", "config_test.json"}
    files = [p for p in folder.rglob("*") if p.is_file() and p.name not in planted]
    return {str(p.relative_to(folder)): p.read_bytes().decode("latin-1") for p in files}


@contextmanager
def nothing_leaks(keys, folder, capsys, caplog):
    """Whatever is done inside, none of the keys is found afterwards in what was said, logged or written."""
    seen: list[str] = []
    yield seen
    said = capsys.readouterr()
    records = "\n".join(f"{r.getMessage()} {r.args!r} {r.exc_info!r}" for r in caplog.records if r.name[:3] == "mar")
    places = {"told": "\n".join(seen), "out": said.out, "err": said.err, "log": records, **written(folder)}
    assert {where: leak for where, text in places.items() if (leak := leaked(text, keys))} == {}


# Tests -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_the_search_itself_finds_a_key_in_every_form(form):
    key = key_of("search")
    assert leaked(f'x = "{FORMS[form](f"Bearer {key}")}"', (key,))
    assert not leaked(f'x = "{FORMS[form](f"Bearer {key}")}"', (key_of("another"),))


async def ask(model: OpenAIModel | CachedModel, name: str, seen: list[str], *, stream: bool) -> None:
    request = ChatRequest(model=name, messages=(Message(speaker="user", text="q"),), sample=str(stream))
    try:
        seen.append(repr(await model.chat(request, (lambda _: None) if stream else None)))
    except CallError as error:
        seen.append(story_of(error))


@pytest.mark.parametrize("place", PLACES)
def test_no_error_and_no_answer_of_a_server_gives_a_key_away(place, server, tmp_path, monkeypatch, capsys, caplog):
    n, turn = len(PLACES), PLACES.index(place)  # each place has its share of all cases
    every = [f"{status}/{body}/" for status in STATUSES for body in BODIES] + [f"200/{what}/" for what in INSIDE] * 6
    names = [f"{case}{list(FORMS)[i % len(FORMS)]}" for i, case in enumerate(every) if i % n == turn]
    names = [*dict.fromkeys(names), "hang", "junk"]
    keys = plant(place, names, f"http://{server}/v1", monkeypatch)

    async def main(seen: list[str]) -> None:
        config = find_pool_config()
        cards = [c.model_copy(update={"timeout_s": 0.1 if c.name == "hang" else 10.0}) for c in config.cards]
        elsewhere = {"refused": "http://127.0.0.1:9/v1", "ssl": f"https://{server}/v1"}
        first = cards[0]
        cards += [first.model_copy(update={"name": name, "base_url": url}) for name, url in elsewhere.items()]
        secrets = {**config.keys, **dict.fromkeys(elsewhere, config.keys[first.name])}
        live = OpenAIModel(cards, secrets, retry=RetryPolicy(attempts=1))
        async with CachedModel(live, FileReplies(), cards=cards) as model:
            seen += [repr(config), repr(model), repr(vars(live))]
            for card in cards:
                await ask(model, card.name, seen, stream="stream" in card.name or len(card.name) % 2 == 0)

    with nothing_leaks(keys, tmp_path, capsys, caplog) as seen:
        anyio.run(main, seen)
        assert len(seen) == len(names) + 2 + 3


def test_an_episode_gives_no_key_away(server, tmp_path, monkeypatch, capsys, caplog):
    names = [f"200/an answer/{form}" for form in FORMS] + [f"503/error/{form}" for form in FORMS]
    keys = plant("named-by-card", names, f"http://{server}/v1", monkeypatch)

    async def main() -> None:
        pool = pool_from_env(cache=True)
        runtime = Runtime(pool, prompts=PROMPTS, tools=FREE_TOOLS, keep_prompts=True)
        async with pool:
            episode = await runtime.run(ASK, plan_of("FullConnected", len(names), models=names))
        show_conversation(episode, Terminal())
        show_outcome(episode, pool, Terminal())
        write_episodes(tmp_path / "episodes.jsonl", [episode])

    with nothing_leaks(keys, tmp_path, capsys, caplog):
        anyio.run(main)
        assert "You sent" in (tmp_path / "episodes.jsonl").read_text()


def test_a_run_folder_gives_no_key_away(server, tmp_path, monkeypatch, capsys, caplog):
    # What is no sign that the server is gone or the key wrong, which would end the run.
    whats = ("200/an answer", "200/reasoning", "400/error") * 2
    names = [f"{what}/{form}" for what, form in zip(whats, list(FORMS)[::3], strict=True)]
    keys = plant("env-file", names, f"http://{server}/v1", monkeypatch)
    monkeypatch.setattr("mar.evaluation.experiment.MiniLM", HashEncoder)
    argv = ["--limit", "4", "--epochs", "1", "--cost_rate", "20", "--calls", "90", "--no-baselines"]
    outputs = ["--out", "run", "--result_file", "table.json", "--train_telemetry_csv", "steps.csv"]
    with nothing_leaks(keys, tmp_path, capsys, caplog):
        options = benchmark_options("mbpp", RunOptions, [*argv, *outputs])
        run_experiment(Mbpp.load(), options)
        files = {p.name for p in Path("run").iterdir()}
        assert files >= {"episodes-test.jsonl", "results.json", "items.json", "metrics.jsonl", "state.safetensors"}
        assert "[key]" in "".join(written(Path("run")).values())  # there was something to hide


@pytest.mark.parametrize(
    "pool",
    [
        'base_url = "http://{user}@{server}/v1"\n[[models]]\nname = "a"\n',
        'base_url = "http://u:{user}@{server}/v1"\n[[models]]\nname = "a"\n',
        'base_url = "http://{server}/v1?key={key}"\n[[models]]\nname = "a"\n',
        'base_url = "http://{server}/v1"\nkey_env = "{key}"\n[[models]]\nname = "a"\n',
        'base_url = "http://{server}/v1"\n[[models]]\nname = "a"\nkey_env = "{key}"\n',
        'base_url = "http://{server}/v1"\n[[models]]\nname = "a"\nheaders = {{ Authorization = "Bearer {key}" }}\n',
        'base_url = "http://{server}/v1"\n[[models]]\nname = "a"\nprice_in = "{key}"\n',
        'base_url = "http://{server}/v1"\nkey = "{key}"\n[[models]]\nname = "a"\n',
        'base_url = "http://{server}/v1"\nkey = {key}\n',
    ],
)
def test_a_key_in_the_wrong_field_is_not_quoted(pool, server, tmp_path, monkeypatch, capsys, caplog):
    key = key_of("misplaced")
    Path("pool.toml").write_text(pool.format(key=key, user=quote(key, safe=""), server=server))
    with nothing_leaks((key,), tmp_path, capsys, caplog) as seen:
        with pytest.raises(ConfigError) as caught:
            pool_from_env(cache=True)
        seen.append(story_of(caught.value))


@pytest.mark.parametrize("blemish", ["“{}”", "{} x", "{}\n{}", "{}é", "'{}'"])
def test_a_key_that_cannot_be_sent_is_not_quoted(blemish, server, tmp_path, monkeypatch, capsys, caplog):
    key = key_of("blemished")
    monkeypatch.setenv("URL", f"http://{server}/v1")
    monkeypatch.setenv("KEY", blemish.format(key, key))
    with nothing_leaks((key,), tmp_path, capsys, caplog) as seen:
        with pytest.raises(ConfigError) as caught:
            pool_from_env(cache=True)
        seen.append(story_of(caught.value))
