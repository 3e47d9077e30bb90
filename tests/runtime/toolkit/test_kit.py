"""The user's tools from a file."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path

import pytest

from mar import clock
from mar.errors import ConfigError
from mar.runtime import TOOLS, PromptLibrary
from mar.runtime.toolkit import FunctionTool, McpServer, Toolkit, ToolLimits

MODULE = '''
def weather(city: str) -> str:
    """The weather."""
    return f"rain in {city}"

not_typed = lambda x: x
'''
FILE = """
[functions.forecast]
function = "places:weather"
description = "Tomorrow's weather."
timeout_s = 5

[roles]
Assistant = ["calculator", "forecast"]
"Math/Scientist" = ["forecast"]

[limits]
calls = 3
usd = 0.5
"""


def load(tmp_path, text, module=MODULE):
    (tmp_path / "places.py").write_text(module)
    (tmp_path / "tools.toml").write_text(text)
    return Toolkit.load(tmp_path / "tools.toml")


def test_a_file_names_functions_beside_it_roles_and_limits(tmp_path):
    kit = load(tmp_path, FILE)
    assert kit.limits == ToolLimits(calls=3, usd=0.5)
    assert kit.roles == {"Assistant": ("calculator", "forecast"), "Math/Scientist": ("forecast",)}
    (tool,) = kit.offered(["forecast", "calculator"], {}).values()
    assert (tool.spec.name, tool.spec.description, tool.timeout_s) == ("forecast", "Tomorrow's weather.", 5)
    assert clock.run(lambda: tool.call({"city": "Delft"}), virtual=False).text == "rain in Delft"
    library = PromptLibrary.load().with_tools(kit.roles)
    kit.check(library)
    assert library.role("Code", "Assistant").tools == ("calculator", "forecast")


def test_a_server_s_folder_is_relative_to_the_file(tmp_path):
    kit = load(tmp_path, '[servers.s]\ncommand = "x"\nfolder = "sub"\n[servers.t]\nurl = "http://127.0.0.1:9/mcp"')
    assert kit.servers["s"].folder == tmp_path / "sub"
    assert kit.servers["t"].folder is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[functions.f]\nfunction = 'nowhere:f'", "functions.f: nowhere cannot be imported"),
        ("[functions.f]\nfunction = 'places:nothing'", "places.py has no 'nothing'"),
        ("[functions.f]\nfunction = 'places'", "functions.f.function: "),
        ("[functions.f]\nfunction = 'places:not_typed'", "tool f: parameter x has no type hint"),
        ("[functions.'a b']\nfunction = 'places:weather'", "tool 'a b': expected a name"),
        ("[functions.python]\nfunction = 'places:weather'", "two tools are called 'python'"),
        ("[servers.s]", "servers.s: Value error, expected either command or url"),
        ("[servers.s]\ncommand = 'x'\nkey = 'secret'", "servers.s.key: unknown field"),
        ("[limits]\ncalls = -1", "limits.calls: "),
        ("[tool]", "tool: unknown field"),
        ("x", "malformed TOML"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line_that_names_the_field(tmp_path, text, says):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)


async def offered(kit, *names):
    return kit.offered(names, {})


def test_tools_of_one_name_unknown_ones_and_servers_that_are_not_open_are_refused():
    def f() -> str:
        return ""

    with pytest.raises(ConfigError, match="two tools are called 'f'"):
        Toolkit([f, FunctionTool(f)])
    with pytest.raises(ConfigError, match="two tools are called 'f'"):
        Toolkit([f], servers={"f": McpServer(command="x")})
    closed = Toolkit(servers={"f": McpServer(command="x")})
    with pytest.raises(ConfigError, match="the server f is not open; use the toolkit inside `async with`"):
        clock.run(lambda: offered(closed, "f"), virtual=False)
    library = PromptLibrary.load().with_tools({"Assistant": ["g"]})
    with pytest.raises(ConfigError, match="role Any/Assistant: no tool is called 'g'; there are: calculator, python"):
        Toolkit([f]).check(library)


def weather(place: str) -> str:
    return f"rain in {place}"


def naming(tool):
    return PromptLibrary.load().with_tools({"Assistant": [tool]})


def test_a_registered_tool_may_be_named_by_any_role_and_is_one_object(registries):
    TOOLS.register("forecast", weather)
    kit = Toolkit()
    kit.check(naming("forecast"))
    assert kit.offered(["forecast"], {})["forecast"] is kit.offered(["forecast"], {})["forecast"]
    (tool,) = kit.offered(["forecast"], {}).values()
    assert clock.run(lambda: tool.call({"place": "Delft"}), virtual=False).text == "rain in Delft"


def test_what_a_kit_and_mar_have_comes_before_what_is_registered(registries):
    TOOLS.register("python", weather)
    TOOLS.register("f", weather)
    own = FunctionTool(lambda: "", name="f")
    assert Toolkit([own]).offered(["f", "python"], {}) == {"f": own}  # a run without a sandbox has no python


def test_a_registered_tool_that_cannot_be_one_is_refused_where_a_role_names_it(registries):
    TOOLS.register("forecast", FunctionTool(weather))
    with pytest.raises(ConfigError, match="tool forecast: models would know it as 'weather'; expected one name"):
        Toolkit().check(naming("forecast"))
    with pytest.raises(ConfigError, match="tool number: int 3; expected a function with a type hint"):
        TOOLS.register("number", 3)
    TOOLS.register("untyped", lambda x: x)
    with pytest.raises(ConfigError, match="tool untyped: parameter x has no type hint"):
        Toolkit().check(naming("untyped"))
    with pytest.raises(ConfigError, match="there are: calculator, python, lookup, forecast, untyped"):
        Toolkit().check(naming("other"))


def test_a_role_s_file_may_name_tools(tmp_path):
    folder = tmp_path / "prompts"
    ignored = shutil.ignore_patterns("*.py", "__pycache__")
    shutil.copytree(Path(str(files("mar.runtime.prompts"))), folder, ignore=ignored)
    role = folder / "roles" / "Math" / "MathSolver.toml"
    role.write_text('tools = ["calculator", "python"]\n' + role.read_text())
    library = PromptLibrary.load(folder)
    assert library.role("Math", "MathSolver").tools == ("calculator", "python")
    assert library.uses_tools
    assert not PromptLibrary.load().uses_tools
