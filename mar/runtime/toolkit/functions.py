"""Python functions as tools: their schema comes from type hints and docstring, and pydantic checks every call."""

from __future__ import annotations

import inspect
import re
import threading
import typing
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.from_thread
import anyio.lowlevel
import pydantic_core
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema

from mar.clock import virtual_clock
from mar.errors import ConfigError
from mar.runtime.toolkit.records import NAME, ToolError, ToolReport
from mar.types import ToolSpec

T = TypeVar("T")
MOST_THREADS = 64  # calls of one function that are under way in threads; those that nobody waits for any more count
_ARGUMENT = re.compile(r"^\s+(\w+)(?:\s*\([^)]*\))?:\s*(.+)$")


class FunctionTool:
    """A function that models may have called.

    A plain function runs in a thread of its own, which is left behind when its time is up: Python cannot end it. An
    asynchronous one is awaited and cancelled.

    Args:
        function: Has a type hint for every parameter; what it returns is told as text, or as JSON.
        name: Models know it by; None: the function's.
        description: What models are told of it; None: its docstring up to the arguments.
        timeout_s: Seconds of the wall clock after which a call is given up.
        charge_s: Seconds that a call takes on virtual time.
        in_loop: Whether an asynchronous function needs the loop that it is called in on virtual time, too. Others run
            in a loop of their own there, on the wall clock: here time stands still meanwhile.

    Raises:
        ConfigError: A parameter has no type hint, cannot be given by name or has no JSON schema; or the name is none
            that APIs take.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        timeout_s: float = 30.0,
        charge_s: float = 0.5,
        in_loop: bool = False,
    ) -> None:
        chosen = getattr(function, "__name__", "") if name is None else name
        if not re.match(NAME, chosen):
            raise ConfigError(f"tool {chosen!r}: expected a name of up to 64 letters, digits, _ and -")
        self.timeout_s, self.charge_s = timeout_s, charge_s
        self._function = function
        self._awaits, self._in_loop = inspect.iscoroutinefunction(function), in_loop
        self._names, self._arguments = _arguments_of(function, chosen)
        self._under_way = 0
        docs = inspect.getdoc(function) or ""
        told = re.split(r"\n\s*\n?(?:Args|Returns|Raises|Yields):\s*\n", docs)[0].strip()
        self.spec = ToolSpec(
            name=chosen,
            description=told if description is None else description,
            parameters=_schema(self._arguments, chosen),
        )

    async def call(self, arguments: dict[str, Any]) -> ToolReport:
        """Check the arguments and call the function with them."""
        try:
            ready = self._arguments.model_validate(arguments)
        except ValidationError as error:
            return ToolReport.wrong(f"wrong arguments: {_in_words(error)}")
        bound = partial(self._function, **{name: getattr(ready, field) for field, name in self._names.items()})
        try:
            return _reported(await self._result(bound))
        except ToolError as error:
            return ToolReport.wrong(str(error))
        except Exception as error:  # whatever a function of the user's raises
            return ToolReport.failed(f"{type(error).__name__}: {error}")

    async def _result(self, bound: Callable[[], Any]) -> object:
        if not self._awaits:
            return await self._in_thread(bound)
        if self._in_loop or virtual_clock() is None:
            return await bound()
        return await self._in_thread(partial(anyio.run, bound))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._under_way >= MOST_THREADS:
            raise ToolError(f"{self._under_way} calls of {self.spec.name} have not come back; no more can be made now")
        self._under_way += 1

        def ended() -> None:
            self._under_way -= 1

        return await _in_daemon(work, ended)


async def _in_daemon(work: Callable[[], T], ended: Callable[[], None]) -> T:
    """Run in a thread that does not keep the process from ending, as those of a pool do."""
    done, token = anyio.Event(), anyio.lowlevel.current_token()
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # raised where it is awaited
            errors.append(error)
        finally:
            ended()
        with suppress(RuntimeError, anyio.RunFinishedError):  # the loop is over: nobody waits
            anyio.from_thread.run_sync(done.set, token=token)

    threading.Thread(target=run, name="mar tool", daemon=True).start()
    await done.wait()
    if errors:
        raise errors[0]
    return results[0]


def _reported(result: object) -> ToolReport:
    if isinstance(result, ToolReport):
        return result
    text = result if isinstance(result, str) else pydantic_core.to_json(result, fallback=str).decode()
    return ToolReport(text=text)


class _Plain(GenerateJsonSchema):
    """A schema without titles, which only repeat the names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _schema(arguments: type[BaseModel], name: str) -> dict[str, Any]:
    try:
        schema = arguments.model_json_schema(schema_generator=_Plain)
    except PydanticUserError as error:
        raise ConfigError(f"tool {name}: a parameter has no JSON schema: {error.message}") from None
    return {key: value for key, value in schema.items() if key != "title"}


def _arguments_of(function: Callable[..., Any], name: str) -> tuple[dict[str, str], type[BaseModel]]:
    """The parameters' names by field, and a record of them. Fields are numbered: a record has names of its own."""
    try:
        hints = typing.get_type_hints(function, include_extras=True)
        parameters = inspect.signature(function).parameters.values()
    except (NameError, TypeError, ValueError) as error:
        raise ConfigError(f"tool {name}: its parameters cannot be read: {error}") from None
    told = _told_arguments(inspect.getdoc(function) or "")
    names: dict[str, str] = {}
    fields: dict[str, Any] = {}
    for number, parameter in enumerate(parameters):
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ConfigError(f"tool {name}: parameter {parameter.name} cannot be given by name")
        if parameter.name not in hints:
            raise ConfigError(f"tool {name}: parameter {parameter.name} has no type hint")
        default = ... if parameter.default is parameter.empty else parameter.default
        described: dict[str, Any] = {"description": told[parameter.name]} if parameter.name in told else {}
        names[f"p{number}"] = parameter.name
        fields[f"p{number}"] = (hints[parameter.name], Field(default, alias=parameter.name, **described))
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    return names, create_model("Arguments", __config__=config, **fields)


def _told_arguments(docs: str) -> dict[str, str]:
    """What a docstring in Google's style says of each argument, where that is said in a line."""
    found: dict[str, str] = {}
    _, _, section = docs.partition("Args:\n")
    for line in section.splitlines():
        if line.strip() and not line[0].isspace():
            break
        if match := _ARGUMENT.match(line):
            found.setdefault(match[1], match[2].strip())
    return found


def _in_words(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False, include_context=False)[:5]
    return "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in problems)
