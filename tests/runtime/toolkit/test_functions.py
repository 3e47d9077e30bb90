"""Python functions as tools."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Annotated, Literal

import anyio
import anyio.lowlevel
import pytest
from pydantic import BaseModel, Field

from mar import clock
from mar.errors import ConfigError
from mar.runtime.toolkit import FunctionTool, ToolError, ToolReport


class Place(BaseModel):
    city: str
    country: str = "NL"


def weather(place: Place, unit: Literal["C", "F"] = "C", days: Annotated[int, Field(ge=1, description="1 to 7")] = 1):
    """The weather somewhere.

    As it will be.

    Args:
        place: Where.
        unit: Of the temperature,
            in which it is told.

    Returns:
        Text.
    """
    return f"{place.city}, {place.country}: {days} days of 20 {unit}"


def untyped(x):
    return x


def run(tool, arguments, *, virtual=False):
    return clock.run(lambda: tool.call(arguments), virtual=virtual)


def test_the_schema_comes_from_type_hints_and_docstring():
    spec = FunctionTool(weather).spec
    assert (spec.name, spec.description) == ("weather", "The weather somewhere.\n\nAs it will be.")
    place, unit, days = (spec.parameters["properties"][name] for name in ("place", "unit", "days"))
    assert (place["description"], place["$ref"]) == ("Where.", "#/$defs/Place")
    assert (unit["enum"], unit["default"]) == (["C", "F"], "C")
    assert (days["minimum"], days["description"]) == (1, "1 to 7")
    assert (spec.parameters["required"], spec.parameters["additionalProperties"]) == (["place"], False)


@pytest.mark.parametrize("virtual", [False, True])
def test_arguments_are_checked_and_converted_before_the_call(virtual):
    tool = FunctionTool(weather)
    found = run(tool, {"place": {"city": "Delft"}, "days": "2"}, virtual=virtual)
    assert found == ToolReport(text="Delft, NL: 2 days of 20 C")
    wrong = run(tool, {"place": {"city": 3}, "days": 0, "colour": "red"}, virtual=virtual)
    assert (wrong.ok, wrong.failure) == (False, None)
    assert all(part in wrong.text for part in ("place.city: ", "days: Input should be greater", "colour: Extra"))


def test_what_is_no_text_is_told_as_json():
    def table() -> dict[str, object]:
        return {"a": [1, None], "b": Place(city="Delft"), "c": {3}}

    assert run(FunctionTool(table), {}).text == '{"a":[1,null],"b":{"city":"Delft","country":"NL"},"c":[3]}'


def test_asynchronous_functions_are_awaited_and_others_run_in_a_thread():
    async def here() -> str:
        await anyio.lowlevel.checkpoint()
        return threading.current_thread().name

    def there() -> str:
        return threading.current_thread().name

    assert run(FunctionTool(here), {}).text == threading.current_thread().name
    assert run(FunctionTool(there), {}).text == "mar tool"


def test_asynchronous_functions_of_asyncio_work_on_virtual_time_too():
    async def waits() -> str:
        await asyncio.sleep(0.01)
        return "waited"

    assert run(FunctionTool(waits), {}, virtual=True).text == "waited"


def test_errors_are_told_and_only_unexpected_ones_are_failures():
    def fails(how: str) -> str:
        raise ToolError("no") if how == "declined" else KeyError("x")

    tool = FunctionTool(fails)
    assert run(tool, {"how": "declined"}) == ToolReport.wrong("no")
    assert run(tool, {"how": "broken"}) == ToolReport.failed("KeyError: 'x'")


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda x: x, "expected a name"),
        (untyped, "parameter x has no type hint"),
    ],
)
def test_a_function_that_can_be_no_tool_is_refused(function, says):
    with pytest.raises(ConfigError, match=says):
        FunctionTool(function)


def test_parameters_that_have_no_name_or_schema_are_refused():
    def many(*args: int) -> str:
        return ""

    def odd(lock: threading.Thread) -> str:
        return ""

    with pytest.raises(ConfigError, match="parameter args cannot be given by name"):
        FunctionTool(many)
    with pytest.raises(ConfigError, match="a parameter has no JSON schema"):
        FunctionTool(odd)


def test_names_that_records_have_for_themselves_are_names_like_any_other():
    def odd(schema: int, copy: int, model_config: int, _x: int = 4) -> int:
        return schema + copy + model_config + _x

    assert run(FunctionTool(odd), {"schema": 1, "copy": 2, "model_config": 3}).text == "10"


def test_a_function_that_hangs_keeps_no_process_from_ending(tmp_path):
    code = """
import threading, anyio
from mar.runtime.toolkit import FunctionTool
def hangs() -> str:
    threading.Event().wait()
async def main():
    with anyio.move_on_after(0.1) as scope:
        await FunctionTool(hangs).call({})
    print(scope.cancelled_caught)
anyio.run(main)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("True\n", 0)
