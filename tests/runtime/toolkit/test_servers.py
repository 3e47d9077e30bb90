"""MCP servers: a small one over its standard streams, and over HTTP on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("mcp")

from mar import clock
from mar.errors import ConfigError
from mar.runtime.toolkit import McpServer, Toolkit

SCRIPT = str(Path(__file__).with_name("mcp_server.py"))


def streams(*words, **fields):
    return McpServer(command=sys.executable, args=(SCRIPT, *words), **fields)


@contextmanager
def http(**fields):
    process = subprocess.Popen([sys.executable, SCRIPT, "--http"], stdout=subprocess.PIPE, text=True)
    try:
        port = process.stdout.readline().strip()
        yield McpServer(url=f"http://127.0.0.1:{port}/mcp", **fields)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def with_tools(server, work, *, virtual=False):
    """What comes of work with the tools of a server called `small`."""

    async def main():
        kit = Toolkit(servers={"small": server})
        async with kit:
            return await work(kit.offered(["small"], {}))

    return clock.run(main, virtual=virtual)


async def called(tools, name, /, **arguments):
    return await tools[f"small_{name}"].call(arguments)


@pytest.mark.parametrize("virtual", [False, True], ids=["wall clock", "virtual time"])
def test_a_server_over_streams_lists_its_tools_and_does_them(virtual):
    async def work(tools):
        return list(tools.values()), await called(tools, "add", a=2, b=3), await called(tools, "fail")

    tools, added, failed = with_tools(streams(), work, virtual=virtual)
    assert [t.spec.name for t in tools] == [f"small_{n}" for n in ("add", "fail", "die", "hang", "env_of")]
    assert tools[0].spec.description == "Adds two numbers."
    assert set(tools[0].spec.parameters["properties"]) == {"a", "b"}
    assert (added.text, added.ok) == ("5", True)
    assert (failed.ok, failed.failure) == (False, None)
    assert failed.text.startswith("error: ")


def test_a_server_over_http_does_the_same():
    async def work(tools):
        return await called(tools, "add", a=2, b=3)

    with http() as server:
        assert with_tools(server, work).text == "5"


def test_wrong_arguments_are_an_error_text_of_the_server():
    async def work(tools):
        return await called(tools, "add", a="two")

    report = with_tools(streams(), work)
    assert report.text.startswith("error: ")
    assert not report.ok


@pytest.mark.parametrize("over", [streams, http], ids=["streams", "http"])
def test_a_server_that_dies_is_a_failure_of_its_tools_and_nothing_else(over):
    async def work(tools):
        first = await called(tools, "add", a=1, b=1)
        died = await clock.within(20, lambda: called(tools, "die"))
        after = await clock.within(20, lambda: called(tools, "add", a=1, b=1))
        return first, died, after

    if over is http:
        with http(timeout_s=5) as server:
            first, died, after = with_tools(server, work)
    else:
        first, died, after = with_tools(streams(), work)
    assert first.text == "2"
    for report in (died, after):
        assert not report.ok
        assert report.failure.kind == "tool"
        assert "the server small" in report.text


def test_a_server_sees_only_the_variables_that_it_is_given(monkeypatch):
    async def work(tools):
        return [(await called(tools, "env_of", name=n)).text for n in ("SECRET_OF_MINE", "PASSED", "SET", "PATH")]

    monkeypatch.setenv("SECRET_OF_MINE", "s")
    monkeypatch.setenv("PASSED", "p")
    seen = with_tools(streams(env={"SET": "e"}, pass_env=("PASSED", "NOT_THERE")), work)
    assert seen == ["(unset)", "p", "e", os.environ["PATH"]]


def test_only_the_tools_that_are_wanted_are_there():
    async def work(tools):
        return list(tools)

    assert with_tools(streams(tools=("add", "env.of")), work) == ["small_add", "small_env_of"]
    with pytest.raises(ConfigError, match="server small: it has no tool 'sub'; there are: add, fail"):
        with_tools(streams(tools=("sub",)), work)


@pytest.mark.parametrize("virtual", [False, True])
def test_a_server_that_does_not_start_is_one_line(virtual):
    with pytest.raises(ConfigError, match=r"server small: .*\(it wrote: cannot start: no such thing\)"):
        with_tools(streams("--noise"), None, virtual=virtual)
    with pytest.raises(ConfigError, match="server small: "):
        with_tools(McpServer(command="/no/such/command"), None, virtual=virtual)
    silent = McpServer(command=sys.executable, args=("-c", "import time; time.sleep(60)"), timeout_s=0.3)
    with pytest.raises(ConfigError, match=r"has not started within 0.3 s"):
        with_tools(silent, None, virtual=virtual)


def test_an_address_where_nobody_listens_and_a_key_that_is_not_set_are_one_line(monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(ConfigError, match="server small: "):
        with_tools(McpServer(url="http://127.0.0.1:9/mcp"), None)
    with pytest.raises(ConfigError, match="key_env: the variable NO_SUCH_KEY is not set"):
        with_tools(McpServer(url="http://127.0.0.1:9/mcp", key_env="NO_SUCH_KEY"), None)


def test_without_the_package_one_line_says_which_extra_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(ConfigError, match=r"install mar with its extra: mar\[mcp\]"):
        with_tools(streams(), None)
