"""The candidate's end: loads untrusted code and answers the judge's requests with what that code does.

Nothing here is relied on for a verdict. The code shares this process and may change anything in it; the worst it
can do is to answer with values of its choice, which it can do by returning them as well.
"""

# Values of any type pass through here by design.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

import abc
import builtins
import copy
import importlib
import io
import json
import operator
import os
import socket
import sys
import types
from collections.abc import Callable
from typing import Any

from .codec import Encoder, Wire
from .errors import Gone, Unsupported
from .preload import MODULES
from .proxy import ARITHMETIC_METHODS
from .wire import Peer

_MODULE = "candidate"
# Subclasses of these are told apart by content as well; how to get the content past overridden methods.
_CONTENT: dict[type, Callable[[Any], Any]] = {
    int: int.__int__,
    float: float.__float__,
    complex: complex.__complex__ if sys.version_info >= (3, 11) else complex,
    str: str.__str__,
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
    list: lambda value: list.__getitem__(value, slice(None)),
    tuple: lambda value: tuple.__getitem__(value, slice(None)),
    set: lambda value: set(set.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
    dict: lambda value: dict(dict.items(value)),
}

_MUTABLE = (list, set, dict)
# What instances can do, by letter; see `proxy.Kind`.
_CAN = {
    "a": "__await__",
    "b": "__bool__",
    "c": "__call__",
    "g": "__getitem__",
    "i": "__iter__",
    "l": "__len__",
    "n": "__next__",
    "r": "__reversed__",
    "t": "__contains__",
    "w": "__enter__",
    "x": "__index__",
}
_OWN = {
    **{letter: (name,) for letter, name in _CAN.items()},
    "e": ("__eq__",),
    "g": ("__getitem__", "__missing__"),
    "h": ("__hash__",),
    "o": ("__lt__", "__le__", "__gt__", "__ge__"),
    "+": tuple(ARITHMETIC_METHODS),
    "~": ("__neg__", "__pos__", "__invert__", "__int__", "__float__", "__complex__", "__round__", "__abs__"),
}
_NAMED_ELSEWHERE = {cls: name for name, cls in vars(types).items() if isinstance(cls, type)}
_MAX_OUTPUT = 1 << 20
_MAX_CAUSES = 4


class Output(io.BytesIO):
    """What the candidate writes to a standard stream, until the next message takes it along."""

    lost = False

    def write(self, data: Any) -> int:
        """Keep what fits."""
        if self.tell() + len(data) > _MAX_OUTPUT:
            self.lost = True
            return len(data)
        return super().write(data)

    def close(self) -> None:
        """It stays open, whatever becomes of the stream over it."""

    def fileno(self) -> int:
        """The descriptor that this stands for leads nowhere."""
        return 1

    def taken(self) -> str:
        """The text since the last call."""
        text = self.getvalue().decode("utf-8", "replace")
        self.seek(0)
        self.truncate()
        return text


class CandidatePeer(Peer):
    """Serves the judge's requests."""

    def __init__(self, stream: socket.socket, outputs: tuple[Output, ...] = ()) -> None:
        super().__init__(stream, first=1)
        self._outputs = outputs
        self._objects: list[object] = []  # kept alive, so that an id stays one object's
        self._handles: dict[int, int] = {}
        self._told: set[int] = set()  # classes that the judge knows
        self._kinds: list[Wire] = []  # classes that the next message tells of
        self._operations: dict[str, Callable[..., object]] = {**OPERATIONS, "load": self.load, "value": self.value}
        self._module = types.ModuleType(_MODULE)
        self._source = ""
        self._setup = ""

    def prepare(self, source: str, setup: str) -> None:
        """Set what `load` will run."""
        self._source, self._setup = source, setup

    def operation(self, name: str) -> Callable[..., object]:
        """The function behind a request; an unknown name is a `KeyError`, sent back as such."""
        return self._operations[name]

    def along(self) -> dict[str, Wire]:
        """New classes, and what was printed."""
        along: dict[str, Wire] = {}
        if self._kinds:
            along["k"], self._kinds = self._kinds, []
        if any(output.tell() or output.lost for output in self._outputs):
            along["o"] = [[output.taken(), output.lost] for output in self._outputs]
        return along

    def take_along(self, along: dict[str, Wire]) -> None:
        """Whether another test begins."""
        if along.get("new"):
            self.shared.clear()

    def rebuild_exception(self, wire: Wire) -> BaseException:
        """An exception that a function of the test raised."""
        if isinstance(wire, dict):
            return self.decode(wire)
        classes, args, text = wire
        for module, name in classes:
            found = getattr(sys.modules.get(module), name, None)
            if isinstance(found, type) and issubclass(found, BaseException):
                return found(*((text,) if args is None else self.decode(args)))
        return RuntimeError(text)

    def load(self) -> list[str]:
        """Run the setup and the candidate's code, and return the names they define."""
        module = self._module
        sys.modules[_MODULE] = module
        namespace = module.__dict__
        for name, text in (("<setup>", self._setup), ("<candidate>", self._source)):
            if text:
                exec(compile(text, name, "exec", dont_inherit=True), namespace)
        return [name for name in list(namespace) if type(name) is str and not name.startswith("__")]

    def value(self, name: str) -> object:
        """What a name of the candidate's module stands for now."""
        return self._module.__dict__[name]

    def pack_exception(self, error: BaseException) -> Wire:
        """As a value, or without its arguments where these cannot be carried."""
        try:
            return self.encode(error)
        except (Unsupported, MemoryError):
            return {"X": [self._handle(error), self._class(type(error)), None, _text(error), None, None]}

    def odd(self, value: Any, encoder: Encoder) -> Wire:
        """A class or exception as such, everything else as a handle."""
        if isinstance(value, Callback):
            return {"cb": value.number}
        if isinstance(value, type):
            return {"K": self._class(value)}
        if isinstance(value, BaseException):
            return self._exception(value, encoder)
        if type(value) is types.ModuleType and value.__name__ in MODULES:
            return {"m": value.__name__}
        return {"h": [self._handle(value), self._class(type(value)), self._plain(value, encoder)]}

    def _handle(self, value: object) -> int:
        known = self._handles.get(id(value))
        if known is None:
            known = self._handles[id(value)] = len(self._objects)
            self._objects.append(value)
        return known

    def _class(self, cls: type) -> Wire:
        """The number of a class, or module and name of an exception class that both processes have."""
        if issubclass(cls, BaseException) and _found(cls) is cls:
            return [cls.__module__, cls.__qualname__]
        number = self._handle(cls)
        if number not in self._told:
            self._told.add(number)
            kind = [number, str(cls.__name__)[:80], self._bases(cls), _real(cls), *_abilities(cls)]
            kind.append(issubclass(cls, BaseException))
            self._kinds.append(kind)
            self.shared.unless_sent(lambda: self._told.discard(number))
        return number

    def _bases(self, cls: type) -> list[Wire]:
        if issubclass(cls, BaseException):
            return [self._class(base) for base in cls.__bases__ if issubclass(base, BaseException)]
        return [self._class(base) for base in cls.__bases__ if base.__module__ == _MODULE]

    def _exception(self, error: BaseException, encoder: Encoder, depth: int = 0) -> Wire:
        try:
            with self.shared.attempt():
                args = encoder.encode(_args(error))
                attributes = encoder.encode(dict(error.__dict__)) if _found(type(error)) is type(error) else None
        except Unsupported:
            args = attributes = None
        cause = error.__cause__
        further = self._exception(cause, encoder, depth + 1) if cause is not None and depth < _MAX_CAUSES else None
        return {"X": [self._handle(error), self._class(type(error)), args, _text(error), attributes, further]}

    def _plain(self, value: object, encoder: Encoder) -> Wire:
        base = _plain_base(type(value))
        if base is None or base in _MUTABLE:
            return None
        try:
            with self.shared.attempt():
                return [encoder.encode(_CONTENT[base](value))]
        except Unsupported:
            return None

    def resolve(self, tag: str, content: Wire) -> object:
        """One of our own objects, or something of the test."""
        match tag:
            case "H":
                return self._objects[content]
            case "m":
                return importlib.import_module(content)
            case "N":
                return operator.attrgetter(content[1])(importlib.import_module(content[0]))
            case "it":
                return Iterated(self, content)
            case "f":
                return Callback(self, content)
            case _:
                raise Gone(f"unknown tag {tag}")


def _plain_base(kind: type) -> type | None:
    return next((base for base in kind.__mro__ if base in _CONTENT), None)


def _content_now(value: object) -> object:
    base = _plain_base(type(value))
    if base is None:
        raise TypeError("no plain content")
    return _CONTENT[base](value)


def _args(error: BaseException) -> tuple[Any, ...]:
    args = tuple(BaseException.args.__get__(error))  # pyright: ignore
    return (*args, error.filename) if isinstance(error, OSError) and error.filename is not None else args


def _text(error: BaseException) -> str:
    try:
        return str(error)[:300].encode("utf-8", "replace").decode("utf-8")
    except BaseException:
        return ""


def _found(cls: type) -> type | None:
    """What the standard library has under a class's name."""
    name = str(cls.__module__)
    return getattr(sys.modules.get(name), cls.__qualname__, None) if name.partition(".")[0] in MODULES else None


def _real(cls: type) -> Wire:
    """Module and name of the nearest class that the judge has as well, other than `object`."""
    for base in cls.__mro__[:-1]:
        if base in _NAMED_ELSEWHERE:
            return ["types", _NAMED_ELSEWHERE[base]]
        if _found(base) is base:
            return [base.__module__, base.__qualname__]
    return None


def _abilities(cls: type) -> list[str]:
    """What instances can do, and what of it the class defines itself; see `proxy.Kind`."""
    base = _plain_base(cls)
    can = "".join(letter for letter, name in _CAN.items() if _method(cls, name) is not None)
    plain = base or object
    own = "".join(
        letter for letter, names in _OWN.items() if any(_method(cls, n) is not _method(plain, n) for n in names)
    )
    meta = type(cls)
    if meta.__eq__ is not type.__eq__:
        own += "E"
    if meta.__instancecheck__ not in _USUAL_CHECKS:
        own += "I"
    return [can + ("m" if base in _MUTABLE else ""), own]


def _method(cls: type, name: str) -> object:
    """What instances of a class find; `getattr` would find what the class itself has of its metaclass."""
    return next((base.__dict__[name] for base in cls.__mro__ if name in base.__dict__), None)


_USUAL_CHECKS = (type.__instancecheck__, abc.ABCMeta.__instancecheck__)


class Callback:
    """A function of the test, as the candidate sees it. Only calling it reaches the judge."""

    def __init__(self, peer: CandidatePeer, number: int) -> None:
        self._peer = peer
        self.number = number

    def __call__(self, *args: object, **kwargs: object) -> Any:
        """Have the judge call the function."""
        return self._peer.request("callback", self.number, *args, **kwargs)


class Iterated(Callback):
    """An iterator of the test, as the candidate sees it."""

    def __iter__(self) -> Iterated:
        return self

    def __next__(self) -> Any:
        return self()


def _enter(manager: Any) -> Any:
    return type(manager).__enter__(manager)


def _exit(manager: Any, told: Any) -> Any:
    if told is None:
        return type(manager).__exit__(manager, None, None, None)
    error = told if isinstance(told, BaseException) else Exception.__new__(told)
    return bool(type(manager).__exit__(manager, type(error), error, None))


def _await(awaitable: Any) -> Any:
    """Run a coroutine that waits for nothing."""
    steps = type(awaitable).__await__(awaitable)
    try:
        while next(steps) is None:
            pass
    except StopIteration as end:
        return end.value
    except RuntimeError as error:
        if "event loop" in str(error):
            raise Unsupported("a coroutine that needs an event loop") from None
        raise
    raise Unsupported("a coroutine that waits for something")


def _call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


OPERATIONS: dict[str, Callable[..., object]] = {
    "call": _call,
    "getattr": getattr,
    "setattr": setattr,
    "delattr": delattr,
    "getitem": operator.getitem,
    "setitem": operator.setitem,
    "delitem": operator.delitem,
    "enter": _enter,
    "exit": _exit,
    "isinstance": isinstance,
    "index": operator.index,
    "await": _await,
    "contains": operator.contains,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "content": _content_now,
    **{cls.__name__: cls for cls in (int, float, complex, str, bool)},
    **{function.__name__: function for function in (iter, next, len, repr, format, round, abs, reversed, dir, hash)},
    **{name: getattr(operator, name) for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow")},
    **{name: getattr(operator, name) for name in ("and_", "or_", "xor", "matmul", "lshift", "rshift")},
    **{name: getattr(operator, name) for name in ("neg", "pos", "invert", "eq", "lt", "le", "gt", "ge")},
}


def add_exits() -> None:
    """Define `exit` and `quit`, which a normal interpreter gets from `site`."""

    def leave(code: object = None) -> None:
        raise SystemExit(code)

    for name in ("exit", "quit"):
        setattr(builtins, name, leave)


def serve(channel: int, source: int) -> None:
    """Answer the judge until it closes the channel."""
    add_exits()
    with open(source, encoding="utf-8", errors="surrogatepass") as file:
        request = json.load(file)
    outputs = (Output(), Output())
    sys.stdout, sys.stderr = (io.TextIOWrapper(o, "utf-8", "replace", write_through=True) for o in outputs)
    peer = CandidatePeer(socket.socket(fileno=channel), outputs)
    peer.prepare(request["code"], request["setup"])
    try:
        peer.serve_forever()
    except Gone:
        os._exit(0)
