"""The user's own tools: functions and MCP servers, from a file or from Python, and which roles are given which."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from mar.concurrency import OpensPerLoop
from mar.errors import ConfigError
from mar.extensions import Registry, load
from mar.reading import read_toml, validated
from mar.runtime.toolkit.builtin import BUILTIN
from mar.runtime.toolkit.functions import FunctionTool
from mar.runtime.toolkit.records import McpServer, Tool, ToolLimits
from mar.runtime.toolkit.servers import open_servers

if TYPE_CHECKING:  # what roles may name is checked there
    from mar.runtime.prompts import PromptLibrary

TOOLS = Registry["Tool | Callable[..., Any]"](
    "tool",
    group="mar.tools",
    fits=lambda found: isinstance(found, Tool) or callable(found),
    expected="a function with a type hint for every parameter, or a mar.runtime.toolkit.Tool",
)
"""Tools that roles may name wherever they are registered or installed."""
EXPECTED = "tables functions, servers, roles and limits: see docs/tools.md"


class _Function(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    function: str = Field(pattern=r"^[\w.]+:\w+$")  # module:function, beside the file or installed
    description: str | None = None
    timeout_s: float = Field(default=30.0, gt=0, allow_inf_nan=False)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    functions: dict[str, _Function] = Field(default_factory=dict)
    servers: dict[str, McpServer] = Field(default_factory=dict)
    roles: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    limits: ToolLimits = ToolLimits()


class Toolkit(OpensPerLoop[Mapping[str, tuple[Tool, ...]]]):
    """Tools of the user's beside those that come with mar. Use it as `async with toolkit:`, as a `Service` does.

    Servers are started where it is entered first in an event loop, and closed where it is left last.

    Args:
        functions: Tools, and functions that are to be some.
        servers: MCP servers by name. A role that names one may call all of its tools.
        roles: Names of tools by role, beside those in the roles' files: see `PromptLibrary.with_tools`.
        limits: What limits the calls for one message.
        where: What messages call it.

    Raises:
        ConfigError: A function cannot be a tool, or two tools share a name.
    """

    def __init__(
        self,
        functions: Iterable[Tool | Callable[..., Any]] = (),
        *,
        servers: Mapping[str, McpServer] | None = None,
        roles: Mapping[str, Iterable[str]] | None = None,
        limits: ToolLimits | None = None,
        where: str = "the toolkit",
    ) -> None:
        self.limits = ToolLimits() if limits is None else limits
        self.roles = {role: tuple(names) for role, names in (roles or {}).items()}
        self._where = where
        self.servers = dict(servers or {})
        self._tools: dict[str, Tool] = {}
        for given in functions:
            tool = _tool(given)
            self._tools[self._new(tool.spec.name)] = tool
        for name in self.servers:
            self._new(name)
        super().__init__("tools")

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """The tools that a TOML file names; modules and folders in it are relative to it.

        Raises:
            ConfigError: The file cannot be used; names the field.
        """
        file, where = Path(path), str(path)
        data = read_toml(file, expected=EXPECTED, error=ConfigError)
        settings = validated(_File, data, where, expected=EXPECTED, error=ConfigError)
        tools = [
            FunctionTool(
                _function(f.function, file.parent, f"{where}: functions.{name}"),
                name=name,
                description=f.description,
                timeout_s=f.timeout_s,
            )
            for name, f in settings.functions.items()
        ]
        beside = {name: _beside(server, file.parent) for name, server in settings.servers.items()}
        return cls(tools, servers=beside, roles=settings.roles, limits=settings.limits, where=where)

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[Mapping[str, tuple[Tool, ...]]]:
        """The tools of every server, by its name."""
        async with open_servers(self.servers, self._where) as opened:
            names = {*BUILTIN, *self._tools}
            for server, tools in opened.items():
                for tool in tools:
                    if tool.spec.name in names:
                        raise ConfigError(f"{self._where}: server {server}: two tools are called {tool.spec.name!r}")
                    names.add(tool.spec.name)
            yield opened

    def _new(self, name: str) -> str:
        if name in (*BUILTIN, *self._tools):
            raise ConfigError(f"{self._where}: two tools are called {name!r}")
        return name

    def check(self, prompts: PromptLibrary) -> None:
        """See that every tool that a role names can be there.

        Raises:
            ConfigError: One cannot; names the role.
        """
        for role in (role for roles in prompts.roles.values() for role in roles.values()):
            for name in role.tools:
                if name not in (*BUILTIN, *self.servers) and self._own(name) is None:
                    known = dict.fromkeys((*BUILTIN, *self._tools, *self.servers, *TOOLS.names()))
                    problem = f"no tool is called {name!r}; there are: {', '.join(known)}"
                    raise ConfigError(f"role {role.domain}/{role.name}: {problem}")

    def offered(self, names: Iterable[str], builtin: Mapping[str, Tool]) -> Mapping[str, Tool]:
        """The tools that stand behind the names in a role, by what models call them; those that can be used now.

        Args:
            names: Of tools and servers.
            builtin: The tools of mar that the run has the means for.

        Raises:
            ConfigError: A server is named, and the toolkit is not open.
        """
        servers = self._here.get()
        if servers is None and (named := [name for name in names if name in self.servers]):
            raise ConfigError(f"the server {named[0]} is not open; use the toolkit inside `async with`")
        found: list[Tool] = []
        for name in names:
            own = builtin.get(name) or (None if name in (*BUILTIN, *self.servers) else self._own(name))
            found += (servers or {}).get(name, ()) if own is None else (own,)
        return {tool.spec.name: tool for tool in found}

    def _own(self, name: str) -> Tool | None:
        """A function or other tool, of this kit or registered; made once, since it counts its calls."""
        if name not in self._tools and TOOLS.knows(name):
            self._tools[name] = _tool(TOOLS.find(name), name)
        return self._tools.get(name)


def _tool(given: Tool | Callable[..., Any], name: str | None = None) -> Tool:
    if not isinstance(given, Tool):
        return FunctionTool(given, name=name)
    if name not in (None, given.spec.name):
        raise ConfigError(f"tool {name}: models would know it as {given.spec.name!r}; expected one name")
    return given


def _function(place: str, folder: Path, where: str) -> Callable[..., Any]:
    """A function by its place, its module in a folder or installed."""
    module, _, name = place.partition(":")
    beside = folder.joinpath(*module.split(".")).with_suffix(".py")
    try:
        found = load(f"{beside}:{name}" if beside.is_file() else place)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    if not callable(found):
        raise ConfigError(f"{where}: {place} is no function")
    return found


def _beside(server: McpServer, folder: Path) -> McpServer:
    """A server whose command runs in a folder as its file names it."""
    return server.model_copy(update={"folder": folder / (server.folder or "")}) if server.command else server
