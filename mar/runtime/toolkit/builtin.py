"""The tools that come with mar: a calculator, the sandboxed interpreter, and the run's look-up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

from pydantic import Field

from mar.errors import LookupUnavailable, OutsideError
from mar.runtime.lookup import Lookup, NoLookup
from mar.runtime.sandbox import Sandbox
from mar.runtime.toolkit.calculator import calculator
from mar.runtime.toolkit.functions import FunctionTool
from mar.runtime.toolkit.records import Tool, ToolReport
from mar.types import Failure

BUILTIN = ("calculator", "python", "lookup")
SANDBOX_TIMEOUT_S = 60.0  # the sandbox has limits of its own, which come first
LOOKUP_TIMEOUT_S = 20.0


def builtin_tools(
    sandbox: Sandbox | None, lookup: Lookup, *, sandbox_charge_s: float, lookup_charge_s: float
) -> Mapping[str, Tool]:
    """Those of them that a run has the means for, by name."""
    found: list[Tool] = [FunctionTool(calculator, charge_s=0.0, in_loop=True)]
    if sandbox is not None:
        run = _python(sandbox)
        found.append(FunctionTool(run, timeout_s=SANDBOX_TIMEOUT_S, charge_s=sandbox_charge_s, in_loop=True))
    if not isinstance(lookup, NoLookup):
        search = _lookup(lookup)
        found.append(FunctionTool(search, timeout_s=LOOKUP_TIMEOUT_S, charge_s=lookup_charge_s, in_loop=True))
    return {tool.spec.name: tool for tool in found}


def _python(sandbox: Sandbox) -> Callable[..., object]:
    async def python(
        code: Annotated[str, Field(description="A whole program. Only what it prints comes back.")],
    ) -> ToolReport:
        """Run a Python program, alone: without network or files, and without what earlier programs left."""
        try:
            output = await sandbox.run_program(code)
        except OutsideError as error:
            failure = Failure(kind="sandbox", reason=str(error))
            return ToolReport(text="error: the program could not be run", ok=False, failure=failure)
        if output.outcome == "passed":
            return ToolReport(text=output.stdout.strip() or "(it printed nothing)")
        return ToolReport.wrong(f"{output.outcome}\n{output.stdout.strip()}\n{output.stderr.strip()[-1000:]}".strip())

    return python


def _lookup(reference: Lookup) -> Callable[..., object]:
    async def lookup(
        words: Annotated[str, Field(description="A few search words, such as the name of an article")],
    ) -> ToolReport:
        """Look something up in a reference work."""
        try:
            return ToolReport(text=await reference.search(words))
        except LookupUnavailable as error:
            failure = Failure(kind="lookup", reason=str(error))
            return ToolReport(text="error: nothing could be looked up", ok=False, failure=failure)

    return lookup
