"""What the judge holds in place of an odd object, a class or an exception of the candidate.

The rule that keeps verdicts sound: **no comparison with a value of the test runs the candidate's code, and no operator
shows it one.** Attribute access, calls, iteration, indexing, `len`, `bool` and conversions are forwarded, for they
hand over nothing but what the test asks of the candidate anyway; so are comparisons and operators between two objects
of the candidate. In detail:

* Each of the candidate's classes has a class here (`Mirror`), with the same bases among the candidate's; so `type`,
  `isinstance`, `issubclass` and `except` need no question. What a class says about itself is asked.
* An instance of a subclass of a plain type (a named tuple, an `IntEnum`, a `str` with a method of its own) carries a
  copy of its plain content (that of a mutable one is asked for anew each time). What its class does not define itself
  uses that content.
* Any other odd object equals itself and nothing else, if its class has no `__eq__` of its own.
* Where a class has its own, `==`, order and arithmetic with a value of the test are `unsupported`. So is `in` where it
  has its own `__contains__`; else `in` looks through the iteration, on the judge's side.
* A context manager of the candidate is told which class of exception ended the block, and is `unsupported` if it
  swallows it: the rest of the block, with whatever it asserts, would not run.
"""

# Values of any type pass through here by design.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false
# pyright: reportPrivateUsage=false, reportDeprecated=false

from __future__ import annotations

import operator
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from .errors import Unsupported


class Session(Protocol):
    """What a stand-in needs of the judge."""

    def request(self, name: str, *args: object, **kwargs: object) -> Any:
        """Have the candidate's process do something."""
        ...

    def refuse(self, reason: str) -> Unsupported:
        """Note that the test needs something that cannot be judged; the caller raises what is returned."""
        ...

    @property
    def muted(self) -> bool:
        """Whether nothing may be asked of the candidate now (a message is being written)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A class of the candidate.

    Attributes:
        session: Whom to ask.
        number: The handle of the class.
        name: Its name, for messages and `__name__`.
        bases: The classes here that it derives from: other mirrors, and exceptions that both processes have.
        real: The nearest class that both processes have, for `isinstance`.
        can: A letter for each thing that instances can do, see `_BY_LETTER`.
        own: Letters of what the class defines itself, other than the plain type it derives from or `object`.
    """

    session: Session
    number: int
    name: str
    bases: tuple[type, ...]
    real: type | None
    can: str
    own: str


# What getattr on such a name would give is bound to this process.
_INTERNALS = frozenset(("__dataclass_fields__", "__signature__", "__code__", "__globals__", "__closure__"))


class Mirror(type):
    """The class of the classes that stand in for the candidate's."""

    _mar_kind: Kind

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Mirror:
        """A class statement: of this file, or of a test that derives from the candidate's class."""
        kind = next((b._mar_kind for b in bases if isinstance(b, Mirror)), None)
        if kind is not None:
            raise kind.session.refuse(f"a class that derives from the candidate's {kind.name}")
        return type.__new__(cls, name, bases, namespace)

    def __call__(cls, *args: object, **kwargs: object) -> Any:
        """Have the candidate make an instance."""
        return cls._mar_kind.session.request("call", cls, *args, **kwargs)

    def __getattribute__(cls, name: str) -> Any:
        if name in _OF_CLASS or name.startswith("_mar_"):
            return type.__getattribute__(cls, name)
        kind = cls._mar_kind
        if name in _COPIES:
            return lambda value, *memo: kind.session.request(name.strip("_"), value)
        if name in _INTERNALS:
            raise kind.session.refuse(f"{name} of the candidate's {kind.name}")
        return kind.session.request("getattr", cls, name)

    def __setattr__(cls, name: str, value: object) -> None:
        cls._mar_kind.session.request("setattr", cls, name, value)

    def __delattr__(cls, name: str) -> None:
        cls._mar_kind.session.request("delattr", cls, name)

    def __iter__(cls) -> Any:
        return cls._mar_kind.session.request("iter", cls)

    def __len__(cls) -> int:
        return cls._mar_kind.session.request("len", cls)

    def __bool__(cls) -> bool:
        return True

    def __getitem__(cls, key: object) -> Any:
        return cls._mar_kind.session.request("getitem", cls, key)

    def __contains__(cls, value: object) -> bool:
        return any(value is v or value == v for v in cls)

    def __eq__(cls, other: object) -> bool:
        if cls is not other and any("E" in v._mar_kind.own for v in (cls, other) if isinstance(v, Mirror)):
            raise cls._mar_kind.session.refuse("== on a class whose metaclass has an __eq__ of its own")
        return cls is other

    def __hash__(cls) -> int:
        return id(cls)

    def __instancecheck__(cls, value: object) -> bool:
        if type.__instancecheck__(cls, value):
            return True
        if cls is Proxy or "I" not in cls._mar_kind.own:
            return False
        if isinstance(type(value), Mirror):
            return bool(cls._mar_kind.session.request("isinstance", value, cls))
        raise cls._mar_kind.session.refuse(f"isinstance of a value of the test and {cls._mar_kind.name}")

    def __repr__(cls) -> str:
        kind = cls._mar_kind
        return f"<class {kind.name} of the candidate>" if kind.session.muted else kind.session.request("repr", cls)


_OF_CLASS = frozenset(("__class__", "__name__", "__qualname__", "__mro__", "__instancecheck__", "__subclasscheck__"))
_COPIES = frozenset(("__copy__", "__deepcopy__"))


class Proxy(metaclass=Mirror):
    """An odd object of the candidate. The class of a stand-in also has the methods that the object claims."""

    __slots__ = ("_mar_content", "_mar_handle")

    _mar_handle: int
    _mar_content: tuple[Any, ...]
    _mar_kind: Kind

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_mar_"):
            return object.__getattribute__(self, name)
        kind = type(self)._mar_kind
        if name == "__class__":
            return kind.real or type(self)
        if name in _COPIES:
            return lambda *memo: kind.session.request(name.strip("_"), self)
        if name in _INTERNALS:
            raise kind.session.refuse(f"{name} of a {kind.name}")
        if "a" in kind.can and name in ("send", "throw", "close"):
            return object.__getattribute__(self, f"_mar_{name}")
        return kind.session.request("getattr", self, name)

    def __setattr__(self, name: str, value: object) -> None:
        self._mar_kind.session.request("setattr", self, name, value)

    def __delattr__(self, name: str) -> None:
        self._mar_kind.session.request("delattr", self, name)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if _owns("e", self, other):
            if isinstance(other, Proxy):
                return bool(self._mar_kind.session.request("eq", self, other))
            raise self._mar_kind.session.refuse(f"== on a {self._mar_kind.name}, which has an __eq__ of its own")
        mine, theirs = content_of(self), content_of(other)
        return bool(mine and theirs and mine[0] == theirs[0])

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        if "h" in self._mar_kind.own:
            return self._mar_kind.session.request("hash", self)
        content = content_of(self)
        return hash(content[0]) if content else hash(("candidate", self._mar_handle))

    def __str__(self) -> str:
        return self._mar_text("str")

    def __repr__(self) -> str:
        return self._mar_text("repr")

    def __format__(self, spec: str) -> str:
        return self._mar_kind.session.request("format", self, spec)

    def __dir__(self) -> list[str]:
        return self._mar_kind.session.request("dir", self)

    def __reduce_ex__(self, protocol: object) -> str:
        raise self._mar_kind.session.refuse(f"pickling of a {self._mar_kind.name}")

    def _mar_text(self, name: str) -> str:
        kind = self._mar_kind
        return f"<{kind.name} of the candidate>" if kind.session.muted else kind.session.request(name, self)

    def _mar_send(self, value: object) -> Any:
        raise StopIteration(self._mar_kind.session.request("await", self))

    def _mar_throw(self, error: BaseException, *more: object) -> Any:
        raise error

    def _mar_close(self) -> None:
        return None


class Raised:
    """The first base of the stand-ins for exception classes of the candidate."""

    __slots__ = ()
    _mar_kind: Kind
    _mar_handle: int

    def __getattribute__(self, name: str) -> Any:
        if name in _OF_EXCEPTION or name.startswith("_mar_"):
            return object.__getattribute__(self, name)
        return type(self)._mar_kind.session.request("getattr", self, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name in _OF_EXCEPTION or name.startswith("_mar_"):
            object.__setattr__(self, name, value)
        else:
            self._mar_kind.session.request("setattr", self, name, value)

    def __str__(self) -> str:
        return self._mar_text if self._mar_kind.session.muted else self._mar_kind.session.request("str", self)

    def __repr__(self) -> str:
        return self._mar_text if self._mar_kind.session.muted else self._mar_kind.session.request("repr", self)

    _mar_text: str


_OF_EXCEPTION = frozenset(
    ("__class__", "__traceback__", "__context__", "__cause__", "__suppress_context__", "args", "with_traceback")
)


def content_of(value: object) -> tuple[Any, ...]:
    """The plain content as a tuple of one, or an empty tuple when there is none."""
    if not isinstance(value, Proxy):
        return (value,)
    if "m" in value._mar_kind.can:
        # A subclass of list, dict or set may have changed since it crossed.
        return (value._mar_kind.session.request("content", value),)
    return value._mar_content


def _owns(letter: str, *values: object) -> bool:
    return any(letter in v._mar_kind.own for v in values if isinstance(v, Proxy))


def _content_or(letter: str, name: str, local: Callable[..., Any]) -> Callable[..., Any]:
    """A method that works on the content when there is some and the class leaves it so, and is forwarded otherwise."""

    def method(self: Proxy, *args: object) -> Any:
        content = () if letter in self._mar_kind.own else content_of(self)
        if content:
            return local(content[0], *args)
        return self._mar_kind.session.request(name, self, *args)

    return method


def _forwarded(name: str) -> Callable[..., Any]:
    def method(self: Proxy, *args: object, **kwargs: object) -> Any:
        return self._mar_kind.session.request(name, self, *args, **kwargs)

    return method


def _operator(letter: str, name: str, *, reflected: bool = False) -> Callable[[Proxy, Any], Any]:
    function = getattr(operator, name)

    def method(self: Proxy, other: Any) -> Any:
        left, right = (other, self) if reflected else (self, other)
        ours, theirs = ((), ()) if _owns(letter, self, other) else (content_of(left), content_of(right))
        if ours and theirs:
            return function(ours[0], theirs[0])
        if isinstance(other, Proxy):
            return self._mar_kind.session.request(name, left, right)
        raise self._mar_kind.session.refuse(f"{name} between a {self._mar_kind.name} and a {type(other).__name__}")

    return method


def _exit(self: Proxy, kind: type[BaseException] | None, error: object, trace: object) -> bool:
    # The exception itself may quote what the test expects.
    told = None if kind is None else error if isinstance(error, Raised) else _told(kind)
    if self._mar_kind.session.request("exit", self, told) and kind is not None:
        raise self._mar_kind.session.refuse(f"a {self._mar_kind.name} that swallows a {kind.__name__}")
    return False


def _told(kind: type[BaseException]) -> type[BaseException]:
    return next(c for c in kind.__mro__ if c.__module__ == "builtins")


def _iterate(self: Proxy) -> Iterator[Any]:
    content = () if "i" in self._mar_kind.own else content_of(self)
    return iter(content[0]) if content else self._mar_kind.session.request("iter", self)


def _contains(self: Proxy, value: object) -> bool:
    kind = self._mar_kind
    if "t" in kind.own:
        if isinstance(value, Proxy):
            return bool(kind.session.request("contains", self, value))
        raise kind.session.refuse(f"in on a {kind.name}, which has a __contains__ of its own")
    content = content_of(self)
    return value in content[0] if content else any(value is v or value == v for v in self)  # pyright: ignore


def _await(self: Proxy) -> Generator[None, None, Any]:
    return self._mar_kind.session.request("await", self)
    yield


_ARITHMETIC = {
    "add": "add", "sub": "sub", "mul": "mul", "truediv": "truediv", "floordiv": "floordiv", "mod": "mod",
    "pow": "pow", "matmul": "matmul", "lshift": "lshift", "rshift": "rshift", "and": "and_", "or": "or_", "xor": "xor",
}  # fmt: skip
ARITHMETIC_METHODS = [f"__{r}{short}__" for short in _ARITHMETIC for r in ("", "r")]


def _install(cls: type) -> None:
    for short, name in _ARITHMETIC.items():
        type.__setattr__(cls, f"__{short}__", _operator("+", name))
        type.__setattr__(cls, f"__r{short}__", _operator("+", name, reflected=True))
    for name in ("lt", "le", "gt", "ge"):
        type.__setattr__(cls, f"__{name}__", _operator("o", name))
    for name in ("neg", "pos", "invert"):
        type.__setattr__(cls, f"__{name}__", _content_or("~", name, getattr(operator, name)))
    for name, local in (("int", int), ("float", float), ("complex", complex), ("round", round), ("abs", abs)):
        type.__setattr__(cls, f"__{name}__", _content_or("~", name, local))


_install(Proxy)

_BY_LETTER: dict[str, dict[str, Callable[..., Any]]] = {
    "a": {"__await__": _await},
    "b": {"__bool__": _content_or("b", "bool", bool)},
    "c": {"__call__": _forwarded("call")},
    "g": {
        "__getitem__": _content_or("g", "getitem", operator.getitem),
        "__setitem__": _forwarded("setitem"),
        "__delitem__": _forwarded("delitem"),
    },
    "i": {"__iter__": _iterate, "__contains__": _contains},
    "l": {"__len__": _content_or("l", "len", len)},
    "n": {"__next__": _forwarded("next")},
    "r": {"__reversed__": _content_or("r", "reversed", reversed)},
    "t": {"__contains__": _contains},
    "w": {"__enter__": _forwarded("enter"), "__exit__": _exit},
    "x": {"__index__": _content_or("x", "index", operator.index)},
}


def mirror(kind: Kind, *, exception: bool) -> Mirror:
    """The class that stands in for one of the candidate's."""
    namespace: dict[str, Any] = {"__slots__": (), "_mar_kind": kind}
    if exception:
        root: tuple[type, ...] = (Raised, kind.real or Exception)
    else:
        root = (Proxy,)
        for letter in kind.can:
            namespace.update(_BY_LETTER.get(letter, {}))
    bases = kind.bases if any(isinstance(b, Mirror) for b in kind.bases) else (*root[:1], *(kind.bases or root[1:]))
    try:
        return type.__new__(Mirror, kind.name, bases, namespace)
    except TypeError:  # bases that do not go together here
        return type.__new__(Mirror, kind.name, root, namespace)


def stand_in(cls: Mirror, handle: int, content: tuple[Any, ...]) -> Proxy:
    """Make the stand-in for one object."""
    proxy: Any = object.__new__(cls)
    object.__setattr__(proxy, "_mar_handle", handle)
    object.__setattr__(proxy, "_mar_content", content)
    return proxy


def exception(cls: type[BaseException], handle: int, args: tuple[Any, ...], text: str) -> BaseException:
    """Make the stand-in for one exception, or the exception itself where both processes have its class."""
    real = next(c for c in type.mro(cls) if not isinstance(c, Mirror) and issubclass(c, BaseException))
    try:
        error = real.__new__(cls, *args)
        if cls is real:
            error.__init__(*args)
            return error
    except Exception:
        needed: tuple[Any, ...] = ("", [ValueError()]) if issubclass(real, BaseExceptionGroup) else ()
        error = real.__new__(cls, *needed)  # pyright: ignore[reportArgumentType]
    BaseException.args.__set__(error, args)  # pyright: ignore
    if isinstance(cls, Mirror):
        object.__setattr__(error, "_mar_handle", handle)
        object.__setattr__(error, "_mar_text", text)
    return error
