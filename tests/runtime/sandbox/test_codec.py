"""Values cross exactly, in type as in value, or not at all."""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import fractions
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mar.runtime.sandbox.inside.codec import MAX_DEPTH, Decoder, Encoder
from mar.runtime.sandbox.inside.errors import Gone, Unsupported


def refuse(value: Any, encoder: Encoder) -> Any:
    raise Unsupported(type(value).__name__)


def refuse_tag(tag: str, content: Any) -> Any:
    raise Gone(tag)


def there_and_back(value: Any) -> Any:
    text = json.dumps(Encoder(refuse).encode(value))
    return Decoder(refuse_tag).decode(json.loads(text))


def same(a: Any, b: Any) -> bool:
    """Equality that tells True from 1, -0.0 from 0.0, and takes nan for itself."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    if isinstance(a, complex):
        return same(a.real, b.real) and same(a.imag, b.imag)
    if isinstance(a, (list, tuple, collections.deque)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same(list(a.items()), list(b.items()))
    return repr(a) == repr(b) if isinstance(a, decimal.Decimal) else a == b


hashable = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=1 << 60, max_value=1 << 5000),
    st.floats(),
    st.complex_numbers(),
    st.text(st.characters(codec=None, categories=None)),  # lone surrogates too
    st.binary(),
    st.decimals(),
    st.fractions(),
    st.dates(),
    st.times(timezones=st.just(datetime.UTC) | st.none()),
    st.datetimes(timezones=st.just(datetime.timezone(datetime.timedelta(hours=5), "there")) | st.none()),
    st.timedeltas(),
    st.builds(range, st.integers(), st.integers(), st.integers(min_value=1)),
)
plain_keys = st.one_of(st.booleans(), st.text(), st.integers(), st.none(), st.tuples(st.integers(), st.text()))
values = st.recursive(
    hashable,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(plain_keys, inner, max_size=4),
        st.dictionaries(plain_keys, inner, max_size=4).map(collections.OrderedDict),
        st.lists(inner, max_size=4).map(lambda items: collections.deque(items, 9)),
        st.dictionaries(plain_keys, inner, max_size=3).map(lambda d: collections.defaultdict(list, d)),
        st.sets(plain_keys, max_size=4),
        st.frozensets(plain_keys, max_size=4),
        st.lists(plain_keys).map(collections.Counter),
    ),
    max_leaves=12,
)


@settings(max_examples=300)
@given(values)
def test_a_value_comes_back_with_its_type(value: Any) -> None:
    assert same(there_and_back(value), value)


def test_two_surrogates_stay_two_characters() -> None:
    # JSON writes both as escapes, and reading would join them into the one character U+1F600.
    assert len(there_and_back("\ud83d\ude00")) == 2


def test_what_a_container_type_adds_is_kept() -> None:
    assert there_and_back(collections.deque([1], maxlen=3)).maxlen == 3
    assert there_and_back(collections.defaultdict(int)).default_factory is int
    assert there_and_back(array.array("h", [1, -2])) == array.array("h", [1, -2])
    assert there_and_back(bytearray(b"ab")) == bytearray(b"ab")
    assert there_and_back(slice(1, None, 2)) == slice(1, None, 2)
    assert there_and_back(...) is ...
    assert there_and_back([int, type(None)]) == [int, type(None)]
    assert there_and_back({"b": 1, "a": 2}.keys()) == {"a", "b"}
    assert there_and_back(fractions.Fraction(1, 3)) == fractions.Fraction(1, 3)


class Text(str):
    """A subclass, so no plain value."""


@pytest.mark.parametrize("odd", [Text("x"), object(), len, lambda: 0, iter([]), {"k": [Text("x")]}, ValueError()])
def test_odd_objects_are_not_carried(odd: Any) -> None:
    with pytest.raises(Unsupported):
        Encoder(refuse).encode(odd)


def test_depth_and_size_are_bounded() -> None:
    deep: list[Any] = []
    for _ in range(MAX_DEPTH + 5):
        deep = [deep]
    wide: Any = (0,)  # a list would cross once, however often it is named
    for _ in range(40):
        wide = (wide, wide)
    for value in (deep, wide, 1 << 10_000_000):
        with pytest.raises(Unsupported):
            Encoder(refuse).encode(value)


@pytest.mark.parametrize(
    "forged",
    [{"S": [[1]]}, {"i": "zz"}, {"dt": [0]}, {"t": 3}, {"x": 1, "y": 2}, {}, {"T": "exec"}, {"d": [[1]]}, {"nope": 0}],
)
def test_a_forged_value_ends_the_conversation(forged: Any) -> None:
    with pytest.raises(Gone):
        Decoder(refuse_tag).decode(forged)
