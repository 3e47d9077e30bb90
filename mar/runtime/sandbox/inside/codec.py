"""The wire form of plain values: JSON with tags, exact in type and value, without pickle.

`None`, `True`, `False`, 64-bit ints, floats, strings and lists are themselves; everything else is an object with
one key, the tag. Types are matched exactly: an instance of a subclass is an *odd* object and goes to the `odd`
hook, as does everything else this file does not know. Dictionaries are lists of pairs, so keys keep their types.
Containers that can change cross once and by number from then on (`inside.shared`).
"""

# Values of any type pass through here by design.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false
# pyright: reportPrivateUsage=false, reportDeprecated=false

from __future__ import annotations

import array
import collections
import datetime
import decimal
import fractions
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from .errors import Gone, Unsupported
from .shared import Shared

Wire: TypeAlias = Any
MAX_DEPTH = 100
MAX_NODES = 500_000
MAX_BITS = 8_000_000
_LARGE = 1 << 63

# Types that cross by name: both sides have them and they run no code of the other side.
NAMED_TYPES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        object, bool, int, float, complex, str, bytes, bytearray, list, tuple, set, frozenset, dict, range, slice,
        type(None), collections.Counter, collections.OrderedDict, collections.defaultdict, collections.deque,
        decimal.Decimal, fractions.Fraction, datetime.date, datetime.time, datetime.datetime, datetime.timedelta,
        datetime.timezone, array.array,
    )
}  # fmt: skip
_NAME_OF_TYPE = {cls: name for name, cls in NAMED_TYPES.items()}


class Encoder:
    """Turns one value into its wire form.

    Args:
        odd: Called for every object that is no plain value; returns its wire form or raises `Unsupported`.
        shared: The containers that both sides hold.
    """

    def __init__(self, odd: Callable[[Any, Encoder], Wire], shared: Shared | None = None) -> None:
        self._odd = odd
        self.shared = shared or Shared(1)
        self._depth = 0
        self._nodes = 0

    def encode(self, value: Any) -> Wire:
        """The wire form of `value`.

        Raises:
            Unsupported: The value is nested too deeply, refers to itself or is too large.
        """
        self._nodes += 1
        if self._depth > MAX_DEPTH:
            raise Unsupported(f"a value nested more than {MAX_DEPTH} deep")
        if self._nodes > MAX_NODES:
            raise Unsupported(f"a value of more than {MAX_NODES} parts")
        pack = _PACKERS.get(type(value))
        self._depth += 1
        try:
            return self.odd(value) if pack is None else pack(value, self)
        finally:
            self._depth -= 1

    def odd(self, value: Any) -> Wire:
        """The wire form of an object that is no plain value."""
        return self._odd(value, self)

    def container(self, value: Any) -> Wire:
        """The wire form of a container that can change: its number, with its content the first time."""
        known = self.shared.number(value)
        if known is not None:
            return {"=": known}
        number = self.shared.add(value)
        form = FORMS[type(value)]
        return {"&": [number, form.tag, form.content(value, self)]}

    def many(self, values: Iterable[Any]) -> list[Wire]:
        """The wire forms of several values."""
        return [self.encode(value) for value in values]

    def pairs(self, items: Iterable[tuple[Any, Any]]) -> list[Wire]:
        """The wire form of a dictionary's items."""
        return [[self.encode(key), self.encode(value)] for key, value in items]


def _itself(value: Any, encoder: Encoder) -> Wire:
    return value


def _int(value: int, encoder: Encoder) -> Wire:
    if -_LARGE < value < _LARGE:
        return value
    if value.bit_length() > MAX_BITS:
        raise Unsupported(f"an int of {value.bit_length()} bits")
    return {"i": hex(value)}


def _str(value: str, encoder: Encoder) -> Wire:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:  # lone surrogates: JSON would join two of them into one character
        return {"s": value.encode("utf-8", "surrogatepass").hex()}
    return value


def _time_fields(value: Any, encoder: Encoder) -> list[Wire]:
    return [value.hour, value.minute, value.second, value.microsecond, value.fold, encoder.encode(value.tzinfo)]


def _datetime(value: datetime.datetime, encoder: Encoder) -> Wire:
    return {"dt": [value.year, value.month, value.day, *_time_fields(value, encoder)]}


def _delta_fields(value: datetime.timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _timezone(value: datetime.timezone, encoder: Encoder) -> Wire:
    offset, *name = value.__getinitargs__()  # pyright: ignore
    return {"tz": [_delta_fields(offset), *name]}  # pyright: ignore


_PACKERS: dict[type, Callable[[Any, Encoder], Wire]] = {
    type(None): _itself,
    bool: _itself,
    float: _itself,
    int: _int,
    str: _str,
    tuple: lambda value, encoder: {"t": encoder.many(value)},
    frozenset: lambda value, encoder: {"F": encoder.many(value)},
    bytes: lambda value, encoder: {"b": value.hex()},
    complex: lambda value, encoder: {"c": [value.real, value.imag]},
    range: lambda value, encoder: {"r": encoder.many((value.start, value.stop, value.step))},
    slice: lambda value, encoder: {"sl": encoder.many((value.start, value.stop, value.step))},
    type(Ellipsis): lambda value, encoder: {"e": 0},
    decimal.Decimal: lambda value, encoder: {"D": str(value)},
    fractions.Fraction: lambda value, encoder: {"Q": encoder.many((value.numerator, value.denominator))},
    datetime.datetime: _datetime,
    datetime.date: lambda value, encoder: {"da": [value.year, value.month, value.day]},
    datetime.time: lambda value, encoder: {"ti": _time_fields(value, encoder)},
    datetime.timedelta: lambda value, encoder: {"td": _delta_fields(value)},
    datetime.timezone: _timezone,
    type({}.keys()): lambda value, encoder: {"dk": encoder.many(value)},
    type({}.values()): lambda value, encoder: {"dv": encoder.many(value)},
    type({}.items()): lambda value, encoder: {"di": encoder.pairs(value)},
    type: lambda value, encoder: _type(value, encoder),  # noqa: PLW0108 (defined below)
}


def _type(value: type, encoder: Encoder) -> Wire:
    name = _NAME_OF_TYPE.get(value)
    return encoder.odd(value) if name is None else {"T": name}


@dataclass(frozen=True, slots=True)
class Form:
    """How a container that can change crosses."""

    tag: str
    content: Callable[[Any, Encoder], Wire]
    empty: Callable[[Wire, Decoder], Any]  # what is filled, made of the content
    fill: Callable[[Any, Wire, Decoder], object]  # make an object's content this


def _fill_list(value: list[Any], content: Wire, decoder: Decoder) -> None:
    value[:] = decoder.many(content)


def _fill_dict(value: dict[Any, Any], content: Wire, decoder: Decoder) -> None:
    items = decoder.pairs(content)
    value.clear()
    for key, part in items:
        value[key] = part  # noqa: PERF403 (`update` of a Counter adds)


def _fill_set(value: set[Any], content: Wire, decoder: Decoder) -> None:
    items = decoder.many(content)
    value.clear()
    value.update(items)


def _fill_bytes(value: bytearray, content: Wire, decoder: Decoder) -> None:
    value[:] = bytes.fromhex(content)


def _fill_deque(value: Any, content: Wire, decoder: Decoder) -> None:
    items = decoder.many(content[1])
    value.clear()
    value.extend(items)


def _fill_array(value: Any, content: Wire, decoder: Decoder) -> None:
    value[:] = array.array(content[0], decoder.many(content[1]))


def _items(value: dict[Any, Any], encoder: Encoder) -> Wire:
    return encoder.pairs(value.items())


FORMS: dict[type, Form] = {
    list: Form("l", lambda v, e: e.many(v), lambda c, d: [], _fill_list),
    dict: Form("d", _items, lambda c, d: {}, _fill_dict),
    set: Form("S", lambda v, e: e.many(v), lambda c, d: set(), _fill_set),
    bytearray: Form("B", lambda v, e: v.hex(), lambda c, d: bytearray(), _fill_bytes),
    collections.Counter: Form("C", _items, lambda c, d: collections.Counter(), _fill_dict),
    collections.OrderedDict: Form("O", _items, lambda c, d: collections.OrderedDict(), _fill_dict),
    collections.defaultdict: Form(
        "df",
        lambda v, e: [e.encode(v.default_factory), _items(v, e)],
        lambda c, d: collections.defaultdict(d.decode(c[0])),
        lambda v, c, d: _fill_dict(v, c[1], d),
    ),
    collections.deque: Form(
        "q", lambda v, e: [v.maxlen, e.many(v)], lambda c, d: collections.deque(maxlen=c[0]), _fill_deque
    ),
    array.array: Form("a", lambda v, e: [v.typecode, e.many(v)], lambda c, d: array.array(c[0]), _fill_array),
}
_FORM_OF_TAG = {form.tag: form for form in FORMS.values()}
_PACKERS.update(dict.fromkeys(FORMS, lambda value, encoder: encoder.container(value)))


class Decoder:
    """Turns a wire form back into a value.

    Args:
        odd: Called with the tag and the content of everything that the encoder's hook made.
        shared: The containers that both sides hold.
    """

    def __init__(self, odd: Callable[[str, Wire], Any], shared: Shared | None = None) -> None:
        self._odd = odd
        self.shared = shared or Shared(2)

    def decode(self, wire: Wire) -> Any:
        """The value of a wire form.

        Raises:
            Gone: It is no wire form. The other side is not to be listened to any further.
        """
        try:
            return self._decode(wire)
        except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as error:
            raise Gone(f"a value that cannot be read ({type(error).__name__})") from error

    def update(self, number: Wire, content: Wire) -> None:
        """Make the container of that number what the other side has made of it.

        Raises:
            Gone: There is no such container, or this is no content of it.
        """
        try:
            value = self.shared.get(number)
            FORMS[type(value)].fill(value, content, self)
            self.shared.settle(number)
        except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError, AttributeError) as error:
            raise Gone(f"a change that cannot be read ({type(error).__name__})") from error

    def container(self, number: Wire, tag: Wire, content: Wire) -> Any:
        """A container that crosses for the first time."""
        form = _FORM_OF_TAG[tag]
        value = form.empty(content, self)
        self.shared.learn(number, value)
        form.fill(value, content, self)
        self.shared.settle(number)
        return value

    def _decode(self, wire: Wire) -> Any:
        if not isinstance(wire, dict):
            if isinstance(wire, list):
                raise ValueError("a list without a number")
            return wire
        ((tag, content),) = wire.items()
        unpack = _UNPACKERS.get(tag)
        return self._odd(tag, content) if unpack is None else unpack(content, self)  # pyright: ignore

    def many(self, wires: list[Wire]) -> list[Any]:
        """The values of several wire forms."""
        return [self._decode(wire) for wire in wires]

    def pairs(self, wires: list[Wire]) -> list[tuple[Any, Any]]:
        """The items of a dictionary."""
        return [(self._decode(key), self._decode(value)) for key, value in wires]


def _undatetime(content: list[Wire], decoder: Decoder) -> datetime.datetime:
    *fields, fold, zone = content
    return datetime.datetime(*fields, fold=fold, tzinfo=decoder.decode(zone))


def _untime(content: list[Wire], decoder: Decoder) -> datetime.time:
    *fields, fold, zone = content
    return datetime.time(*fields, fold=fold, tzinfo=decoder.decode(zone))


def _untimezone(content: list[Wire], decoder: Decoder) -> datetime.timezone:
    delta, *name = content
    return datetime.timezone(datetime.timedelta(*delta), *name)


_UNPACKERS: dict[str, Callable[[Wire, Decoder], Any]] = {
    "i": lambda content, decoder: int(content, 16),
    "s": lambda content, decoder: bytes.fromhex(content).decode("utf-8", "surrogatepass"),
    "t": lambda content, decoder: tuple(decoder.many(content)),
    "F": lambda content, decoder: frozenset(decoder.many(content)),
    "b": lambda content, decoder: bytes.fromhex(content),
    "c": lambda content, decoder: complex(*content),
    "r": lambda content, decoder: range(*decoder.many(content)),
    "sl": lambda content, decoder: slice(*decoder.many(content)),
    "e": lambda content, decoder: ...,
    "D": lambda content, decoder: decimal.Decimal(content),
    "Q": lambda content, decoder: fractions.Fraction(*decoder.many(content)),
    "dt": _undatetime,
    "da": lambda content, decoder: datetime.date(*content),
    "ti": _untime,
    "td": lambda content, decoder: datetime.timedelta(*content),
    "tz": _untimezone,
    "dk": lambda content, decoder: dict.fromkeys(decoder.many(content)).keys(),
    "dv": lambda content, decoder: dict(enumerate(decoder.many(content))).values(),
    "di": lambda content, decoder: dict(decoder.pairs(content)).items(),
    "=": lambda content, decoder: decoder.shared.get(content),
    "&": lambda content, decoder: decoder.container(*content),
    "T": lambda content, decoder: NAMED_TYPES[content],
}
