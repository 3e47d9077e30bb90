from collections import deque

import anyio
import pytest
import typer
from typer.testing import CliRunner

from mar.cli.pool import pool_command
from mar.errors import ConfigError
from mar.pool import ModelCard
from mar.pool.health import check_health
from mar.testing import ChatServer

app = typer.Typer()
app.command("pool")(pool_command)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "220")
    for name in ("URL", "KEY", "MODEL_BASE_URLS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def show(*options):
    return CliRunner().invoke(app, list(options), catch_exceptions=True)


def test_models_are_shown_with_prices_limits_and_where_they_were_found(empty_folder):
    (empty_folder / "pool.toml").write_text(
        '[[models]]\nname = "cheap"\nprice_in = 0.5\nprice_out = 1.5\nbase_url = "http://one.example/v1"\n'
        'key_env = "CHEAP_KEY"\nrequests_per_minute = 30\n'
        '[[models]]\nname = "own"\nbase_url = "http://two.example:8000/v1"\n'
    )
    (empty_folder / ".env").write_text("CHEAP_KEY=sk-canary\n")
    result = show("--no-health")
    lines = {line.split()[0]: line for line in result.output.splitlines() if line.strip()}
    assert result.exit_code == 0
    assert all(part in lines["cheap"] for part in ("0.5", "1.5", "30", "one.example", "set", "not asked"))
    assert all(part in lines["own"] for part in ("unknown", "any", "two.example:8000", "none"))
    assert "Configured by: pool.toml" in result.output
    assert "canary" not in result.output


def test_a_key_that_is_not_set_is_shown_and_named(empty_folder):
    (empty_folder / "p.json").write_text(
        '{"models": [{"name": "a", "base_url": "http://x/v1", "key_env": "GONE_KEY"}]}'
    )
    result = show("--pool", "p.json", "--no-health")
    assert result.exit_code == 0
    assert "GONE_KEY is not set" in result.output


def test_with_nothing_configured_the_simulated_models_are_shown_as_such_in_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = show()
    assert result.exit_code == 0
    assert "Simulated pool" in result.output
    assert max(map(len, result.output.splitlines())) <= 80
    assert "No live pool is configured" in result.output


def test_a_bad_pool_file_is_a_user_error_for_main_to_show(empty_folder):
    (empty_folder / "pool.json").write_text("{")
    assert isinstance(show().exception, ConfigError)


def test_health_tells_up_unlisted_refused_and_unreachable_apart():
    async def main():
        async with ChatServer(models=("a",)) as server, ChatServer(key="right") as locked:
            cards = [
                ModelCard(name="a", base_url=server.base_url),
                ModelCard(name="b", base_url=server.base_url),
                ModelCard(name="c", base_url=locked.base_url),
                ModelCard(name="d", base_url="http://127.0.0.1:9/v1"),
            ]
            return await check_health(cards, {})

    health = anyio.run(main)
    assert [health[name].ok for name in "abcd"] == [True, False, False, False]
    assert health["a"].text.startswith("up")
    assert "does not list" in health["b"].text
    assert "key refused" in health["c"].text
    assert "unreachable" in health["d"].text


def test_a_server_that_hangs_is_given_up_on():
    async def main():
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with listener:
            return await check_health([ModelCard(name="a", base_url=f"http://127.0.0.1:{port}/v1")], {}, timeout_s=0.2)

    assert anyio.run(main)["a"].text in ("no answer in 0.2 s", "unreachable (ReadTimeout)")


def test_the_servers_are_asked_when_health_is_wanted(empty_folder):
    (empty_folder / "pool.json").write_text('{"models": [{"name": "a", "base_url": "http://127.0.0.1:9/v1"}]}')
    ended = show()
    assert "unreachable" in ended.output
    assert ended.exit_code == 1  # so that a script knows
    assert show("--no-health").exit_code == 0


def test_faults_of_completions_do_not_touch_the_list_of_models():
    async def main():
        async with ChatServer(next_faults=deque(["closed"])) as server:
            return await check_health([ModelCard(name="a", base_url=server.base_url)], {})

    assert anyio.run(main)["a"].ok
