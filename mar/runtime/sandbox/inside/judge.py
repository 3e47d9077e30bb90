"""The judge's end: runs the tests, with stand-ins for what the candidate defines, and writes the verdicts.

It writes one JSON line per test to a file that mar handed over and that the candidate's process never had open.
"""

# Values of any type pass through here by design.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

import ast
import builtins
import importlib
import json
import operator
import os
import reprlib
import socket
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from .codec import Encoder, Wire
from .errors import Gone, Unsupported
from .names import CLASS_OF, SEEN, Binding, Names, changes_state, instrumented, leaves_no_trace, names_in
from .preload import MODULES
from .proxy import Kind, Mirror, Proxy, Raised, exception, mirror, stand_in
from .wire import Peer

# What the judge tells the template after a job.
DONE, DONE_AND_STAYS, GONE, GONE_AND_STAYS = b"done", b"done, next", b"gone", b"gone, next"
CANDIDATE_GONE = (GONE, GONE_AND_STAYS)
STAYS = (DONE_AND_STAYS, GONE_AND_STAYS)
MAX_DETAIL = 300


class JudgePeer(Peer):
    """Asks the candidate's process; serves it nothing but calls of functions that the tests passed to it."""

    def __init__(self, stream: socket.socket) -> None:
        super().__init__(stream, first=2)
        self.muted = False
        self.refused = ""
        self.gone = False
        self._fresh = True
        self._objects: dict[int, Proxy | BaseException] = {}
        self._kinds: dict[int, Mirror] = {}
        self._functions: list[Callable[..., object]] = []
        self._streams = (sys.stdout, sys.stderr)

    def begin(self) -> None:
        """Another test begins, which shares nothing with the last."""
        self.refused = ""
        self._fresh = True
        self.shared.clear()

    def refuse(self, reason: str) -> Unsupported:
        """Note why the current test cannot be judged; it stays so even if the test swallows the exception."""
        self.refused = self.refused or reason
        return Unsupported(reason)

    def request(self, name: str, *args: object, **kwargs: object) -> Any:
        """Ask the candidate's process; remembers when the answer is that something is unsupported."""
        try:
            return super().request(name, *args, **kwargs)
        except Unsupported as error:
            raise self.refuse(str(error)) from None
        except Gone:
            self.gone = True
            raise
        except (StopIteration, StopAsyncIteration, GeneratorExit) as error:
            if name == "next":
                raise
            # Out of anything else it could end a loop of the test before its time.
            raise self.refuse(f"a {type(error).__name__} out of a {name}") from None

    def unreached(self) -> list[int]:
        """Containers that the test can no longer reach."""
        return self.shared.unreached()

    def along(self) -> dict[str, Wire]:
        """Whether this is the first message of a test."""
        return {"new": 1} if self._fresh else {}

    def take_along(self, along: dict[str, Wire]) -> None:
        """New classes, and what the candidate printed, for a test that captures it."""
        self._fresh = False
        for kind in along.get("k", ()):
            self._learn(kind)
        for name, before, wire in zip(("stdout", "stderr"), self._streams, along.get("o", ()), strict=False):
            now = getattr(sys, name)
            if now is not before:
                match wire:
                    case [str(text), False]:
                        now.write(text)
                    case _:
                        self.refuse("more output than is kept")

    def load(self) -> set[str]:
        """Have the candidate's code run; returns the names it defines."""
        match self.request("load"):
            case list(names):
                return {name for name in names if type(name) is str}
            case _:
                raise Gone("no list of names")

    def operation(self, name: str) -> Any:
        """The one request that is served: to call a function that a test passed."""
        if name != "callback":
            raise Gone("a request that the judge does not serve")
        return self._call_back

    def _call_back(self, number: object, *args: object, **kwargs: object) -> object:
        if type(number) is not int or not 0 <= number < len(self._functions):
            raise Gone("a call of a function that was not passed")
        return self._functions[number](*args, **kwargs)

    def odd(self, value: Any, encoder: Encoder) -> Wire:
        """What the candidate gave goes back; classes and builtins go by name; functions can be called back."""
        if isinstance(value, Mirror):
            return {"H": value._mar_kind.number}  # pyright: ignore[reportPrivateUsage]
        if isinstance(value, (Proxy, Raised)):
            return {"H": value._mar_handle}  # pyright: ignore[reportPrivateUsage]
        if isinstance(value, type):
            return self._by_name(value)
        if type(value) is types.ModuleType:
            return {"m": value.__name__}
        if isinstance(value, (types.BuiltinFunctionType, types.MethodDescriptorType)) and self._is_named(value):
            return self._by_name(value)
        if isinstance(value, Iterator):
            return {"it": self._passed(partial(_next, value))}
        if isinstance(value, _FUNCTIONS):
            return {"f": self._passed(value)}
        raise Unsupported(f"an argument of type {type(value).__name__}")

    def _passed(self, function: Callable[..., object]) -> int:
        known = next((i for i, f in enumerate(self._functions) if f is function), None)
        if known is None:
            self._functions.append(function)
        return len(self._functions) - 1 if known is None else known

    def _is_named(self, value: Any) -> bool:
        owner = getattr(value, "__objclass__", value)
        return (owner.__module__ or "") in MODULES

    def pack_exception(self, error: BaseException) -> Wire:
        """The wire form of an exception of the test: the candidate's own, or its classes, arguments and text."""
        if isinstance(error, Raised):
            return {"H": error._mar_handle}  # pyright: ignore[reportPrivateUsage]
        classes = [[c.__module__, c.__qualname__] for c in type(error).__mro__[:-1]]
        try:
            with self.shared.attempt():
                args = self.encode(error.args)
        except Unsupported:
            args = None
        return [classes, args, str(error)[:300]]

    def _by_name(self, value: Any) -> Wire:
        owner = getattr(value, "__objclass__", value)
        module = owner.__module__ or "builtins"
        name = value.__qualname__
        found: Any = sys.modules.get(module) if module in MODULES else None
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is not value:
            raise Unsupported(f"{name} of {module} as an argument")
        return {"N": [module, name]}

    def resolve(self, tag: str, content: Wire) -> object:
        """The stand-in for an object, a class or an exception; a copy of a module."""
        match tag, content:
            case "h", [int(handle), int(kind), plain]:
                return self._stand_in(handle, kind, plain)
            case "K", int(kind):
                return self._kinds[kind]
            case "K", [str(module), str(name)]:
                return _exception_class(module, name)
            case "X", [int(handle), kind, args, str(text), attributes, cause]:
                return self._exception(handle, kind, args, text, attributes, cause)
            case "cb", int(number) if 0 <= number < len(self._functions):
                return self._functions[number]
            case "m", str(name) if name in MODULES:
                return _copy(importlib.import_module(name))
            case _:
                raise Gone("an unknown tag")

    def _learn(self, kind: Wire) -> None:
        match kind:
            case [int(number), str(name), list(bases), real, str(can), str(own), bool(raised)]:
                name = "".join(c for c in name if c.isprintable())[:80] or "?"
                found = tuple(self._base(b) for b in bases)
                kept = Kind(
                    session=self, number=number, name=name, bases=found, real=_real(real), can=can[:32], own=own[:32]
                )
                self._kinds.setdefault(number, mirror(kept, exception=raised))
            case _:
                raise Gone("a class that cannot be read")

    def _base(self, base: Wire) -> type:
        match base:
            case int(number) if number in self._kinds:
                return self._kinds[number]
            case [str(module), str(name)]:
                return _exception_class(module, name)
            case _:
                raise Gone("a base that is not known")

    def _stand_in(self, handle: int, kind: int, plain: Wire) -> Proxy:
        known = self._objects.get(handle)
        if known is None:
            content = (self.decode(plain[0]),) if isinstance(plain, list) else ()
            known = self._objects[handle] = stand_in(self._kinds[kind], handle, content)
        if isinstance(known, BaseException):
            raise Gone("an exception that became another object")
        return known

    def _exception(self, handle: int, kind: Wire, args: Wire, text: str, attributes: Wire, cause: Wire) -> object:
        known = self._objects.get(handle)
        if isinstance(known, BaseException):
            return known
        given = None if args is None else self.decode(args)
        error = exception(self._base(kind), handle, given if type(given) is tuple else (text,), text)
        self._objects[handle] = error
        found = None if attributes is None else self.decode(attributes)
        if type(found) is dict:
            error.__dict__.update(found)
        if cause is not None:
            further = self.decode(cause)
            error.__cause__ = further if isinstance(further, BaseException) else None
        return error

    def rebuild_exception(self, wire: Wire) -> BaseException:
        """What stands in for the candidate's exception."""
        error = self.decode(wire)
        if not isinstance(error, BaseException):
            raise Gone("an exception that cannot be read")
        return error


def _next(values: Iterator[object]) -> object:
    return next(values)


_FUNCTIONS = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    partial,
    operator.itemgetter,
    operator.attrgetter,
    operator.methodcaller,
)


def _copy(module: types.ModuleType) -> types.ModuleType:
    """A module that a test may change without changing the one that the judge works with."""
    copied = types.ModuleType(module.__name__, module.__doc__)
    copied.__dict__.update(module.__dict__)
    return copied


def _real(entry: Wire) -> type | None:
    match entry:
        case [str(module), str(name)] if module.partition(".")[0] in MODULES:
            found = getattr(sys.modules.get(module), name, None)
            return found if isinstance(found, type) else None
        case _:
            return None


def _exception_class(module: str, name: str) -> type[BaseException]:
    found = _real([module, name])
    if found is None or not issubclass(found, BaseException):
        raise Gone("no class of exceptions")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome of one test and one line on why."""

    outcome: str
    detail: str


class Judge:
    """Runs the tests of one job.

    Args:
        peer: The conversation with the candidate.
        setup: Code that the tests need.
        setup_after_code: Whether the setup uses the candidate's names.
        entry_points: Names the tests are about, if known.
    """

    def __init__(self, peer: JudgePeer, setup: str, *, setup_after_code: bool, entry_points: list[str]) -> None:
        self._peer = peer
        self._setup = setup
        self._after = setup_after_code
        self._entry_points = entry_points
        self._defined: set[str] = set()
        self._own: dict[str, Any] = {"__name__": "tests", "__builtins__": builtins}
        self._seen: list[Any] = []
        self.unchanged = False  # whether the tests cannot have left anything behind in this process

    def run_all(self, tests: list[str], start: int, report: Callable[[dict[str, Any]], object]) -> None:
        """Load the candidate and run its tests from number `start` on, reporting each step.

        Raises:
            Gone: The candidate's process has ended or speaks no sense.
        """
        report({"stage": "loading"})
        broken = self.load()
        self.unchanged = not self._setup and all(leaves_no_trace(test, self._defined) for test in tests)
        for number in range(start, len(tests)):
            report({"stage": "test", "number": number})
            verdict = broken or self.run(tests[number])
            report({"number": number, "outcome": verdict.outcome, "detail": verdict.detail})

    def load(self) -> Verdict | None:
        """Have the candidate loaded; a verdict when that failed, which then is every test's."""
        try:
            if self._setup and not self._after:
                exec(compile(self._setup, "<setup>", "exec", dont_inherit=True), self._own)
            self._defined = self._peer.load()
            if self._setup and self._after:
                tree = ast.parse(self._setup)
                self._own.update({name: self._value(name) for name in self._binding(tree).given})
                exec(compile(tree, "<setup>", "exec", dont_inherit=True), self._own)
        except BaseException as error:
            verdict = self._explain(error)
            outcome = "error" if verdict.outcome == "failed" else verdict.outcome
            return Verdict(outcome=outcome, detail=f"while loading: {verdict.detail}"[:MAX_DETAIL])
        return None

    def run(self, test: str) -> Verdict:
        """Run one test."""
        self._seen.clear()
        self._peer.begin()
        binding = None
        try:
            tree = ast.parse(test, "<test>")
            binding = self._binding(tree)
            kept = {name: value for name, value in self._own.items() if name not in binding.given}
            namespace = Names({**kept, **binding.modules, SEEN: self._see, CLASS_OF: type}, binding, self._value)
            exec(compile(instrumented(tree), "<test>", "exec", dont_inherit=True), namespace)
        except BaseException as error:
            return self._doubted(self._explain(error), test, binding)
        if self._peer.gone:
            raise Gone("the test went on without the candidate")
        if self._peer.refused:
            return Verdict(outcome="unsupported", detail=self._peer.refused[:MAX_DETAIL])
        return Verdict(outcome="passed", detail="")

    def _binding(self, tree: ast.Module) -> Binding:
        # What the setup made in this process stays, but for its own classes: their instances must be the candidate's.
        mine = {name for name, value in self._own.items() if not _is_own_class(value)}
        return Binding.of(names_in(tree), self._defined, mine, self._entry_points)

    def _doubted(self, verdict: Verdict, test: str, binding: Binding | None) -> Verdict:
        """A verdict against the candidate, unless the test may have meant what it could not have here."""
        if verdict.outcome not in ("failed", "error") or binding is None:
            return verdict
        if changes_state(test):
            return Verdict(outcome="unsupported", detail="the test changes its own process, not the candidate's")
        doubtful = next((name for name in binding.doubtful if self._is_definition(name)), None)
        if doubtful is not None:
            return Verdict(outcome="unsupported", detail=f"{doubtful} may mean the builtin or the candidate's")
        return verdict

    def _is_definition(self, name: str) -> bool:
        value = self._value(name)
        return isinstance(value, Mirror) or (isinstance(value, Proxy) and type(value).__name__ == "function")

    def _value(self, name: str) -> Any:
        return self._peer.request("value", name)

    def _see(self, value: Any) -> Any:
        self._seen[:] = [value]
        return value

    def _explain(self, error: BaseException) -> Verdict:
        if isinstance(error, Gone) or self._peer.gone:
            raise Gone(str(error)) from None
        if isinstance(error, Unsupported) or self._peer.refused:
            return Verdict(outcome="unsupported", detail=(self._peer.refused or str(error))[:MAX_DETAIL])
        if isinstance(error, MemoryError):
            return Verdict(outcome="memory", detail="MemoryError")
        if isinstance(error, AssertionError):
            return Verdict(outcome="failed", detail=self._line(error, got=bool(self._seen)))
        return Verdict(outcome="error", detail=self._line(error, got=False))

    def _line(self, error: BaseException, *, got: bool) -> str:
        self._peer.muted = True
        try:
            text = str(error)
            if not text and got:
                text = f"got {_short.repr(self._seen[0])}"
        except BaseException:
            text = "(no readable message)"
        finally:
            self._peer.muted = False
        name = type(error).__name__
        return " ".join((f"{name}: {text}" if text else name).split())[:MAX_DETAIL]


def _is_own_class(value: object) -> bool:
    return isinstance(value, type) and value.__module__ == "tests"


_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 120


def serve(control: int) -> None:
    """Take jobs from the template, as long as what the tests do cannot reach from one into the next."""
    desk = socket.socket(fileno=control)
    while True:
        message, files, _, _ = socket.recv_fds(desk, 64, 3)
        if not message:
            os._exit(0)
        answer = judge(*files, start=int(message))
        desk.send(answer)
        if answer not in STAYS:
            os._exit(0)


def judge(channel: int, tests: int, results: int, *, start: int) -> bytes:
    """Run the tests from number `start` on, and say how that went."""
    with open(tests, encoding="utf-8", errors="surrogatepass") as file:
        job = json.load(file)
    with socket.socket(fileno=channel) as stream, open(results, "wb", buffering=0) as file:
        runner = Judge(
            JudgePeer(stream),
            job["setup"],
            setup_after_code=job["setup_after_code"],
            entry_points=job["entry_points"],
        )
        try:
            runner.run_all(job["tests"], start, lambda record: file.write(json.dumps(record).encode("ascii") + b"\n"))
        except Gone:
            return GONE_AND_STAYS if runner.unchanged else GONE
        return DONE_AND_STAYS if runner.unchanged else DONE
