"""Programs are compared by what they do on shown examples, and where none can be, by how they are written."""

from __future__ import annotations

import pytest

from mar.errors import SandboxUnavailable
from mar.runtime.sandbox import Limits, Sandbox
from mar.traffic.acting import sayings_of
from mar.traffic.saying import saying_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def sandbox():
    async with Sandbox(workers=1, limits=Limits(wall_s=2.0)) as found:
        yield found


def answer(code, use=""):
    return f"Here you are:\n\n```python\n{code}\n{use}\n```\nIt runs."


TWICE = answer("def twice(xs):\n    return [2 * x for x in xs]", "print(twice([1, 2]))  # [2, 4]")
ALSO = answer("import math\ndef double(a):\n    out = []\n    for v in a:\n        out.append(v + v)\n    return out")
CLAIMS = answer("def twice(xs):\n    return xs + xs", "assert twice([1, 2]) == [2, 4]")
RAISES = answer("def twice(xs):\n    return undefined(xs)")
ENDLESS = answer("def twice(xs):\n    while True: pass")


async def test_programs_that_do_the_same_say_the_same_whatever_they_claim(sandbox):
    found = await sayings_of([TWICE, ALSO, CLAIMS], sandbox)
    assert found[0] == found[1] != found[2]
    assert saying_of(TWICE) != saying_of(ALSO)
    assert all(one.single for one in found)


@pytest.mark.parametrize("broken", [RAISES, ENDLESS, "I cannot do that.", "```python\nx = 1\n```"])
async def test_what_cannot_be_run_says_what_it_is_written_like(sandbox, broken):
    found = await sayings_of([TWICE, broken], sandbox)
    assert found[1] == saying_of(broken)
    assert (found[0].single, found[1].single) == (True, False)


@pytest.mark.parametrize(
    ("one", "other", "use", "alike"),
    [
        ("def f(x):\n    x.append(1)", "def g(y):\n    y += [1]", "a = [3]\nf(a)", True),  # changed in place
        ("def f(x):\n    x.append(1)", "def g(y):\n    return y + [1]", "f([3])", False),
        ("def f(x):\n    return {c for c in x}", "def g(x):\n    return set(reversed(x))", "f('abcdefgh')", True),
        ("def f(x):\n    return x / 1", "def g(x):\n    return x", "print(f(7))", True),
        ("def f(x):\n    return 0.1 + 0.2", "def g(x):\n    return 0.3", "f(1)", True),
        ("def f(x):\n    return [1]", "def g(x):\n    return (1,)", "f(1)", False),
        ("def f(x):\n    return True", "def g(x):\n    return 1", "f(1)", False),
        ("def f(n):\n    yield from range(n)", "def g(n):\n    return list(range(n))", "f(3)", True),
        ("def f(x):\n    print(x + 1)", "def g(x):\n    print(x - 1)", "f(1)", False),
        ("def f(x):\n    print(x)", "def g(y):\n    print(str(y))", "f(1)", True),
        ("def f(n):\n    return [0] * 999 + [1]", "def g(n):\n    return [0] * 1000", "f(1)", False),
        ("def f(n):\n    return n", "def g(n):\n    return 5 if n == 5 else n", "f(5)\nf(6)", True),
    ],
)
async def test_what_counts_as_the_same(sandbox, one, other, use, alike):
    found = await sayings_of([answer(one, use), answer(other)], sandbox)
    assert all(saying.single for saying in found)
    assert (found[0] == found[1]) is alike


@pytest.mark.parametrize(
    ("code", "use"),
    [
        ("def f(x):\n    return lambda: x", "f(1)"),
        ("class A:\n    pass\ndef f(x):\n    return A()", "f(1)"),
        ("import random\ndef f(x):\n    return random.random()", "f(1)"),
        ("seen = []\ndef f(x):\n    seen.append(x)\n    return len(seen)", "f(1)"),
        ("table = {}\nfor i in range(9):\n    table[i] = i\ndef f(x):\n    return table.get(x, -1)", "f(1)"),
    ],
)
async def test_what_is_equal_to_nothing_or_is_only_half_kept_is_not_compared_by_what_it_does(sandbox, code, use):
    text = answer(code, use)
    assert (await sayings_of([text, TWICE], sandbox))[0] == saying_of(text)


@pytest.mark.parametrize(
    "hostile",
    [
        answer("def f(x):\n    return x", f"f(0x{'F' * 4000})"),
        answer(f"X = 0x{'F' * 4000}\ndef f(x):\n    return X", "f(1)"),
        answer("def f(x):\n    return x\ny = " + " + ".join(["'a'"] * 3000), "f(1)"),
        answer("def f(x):\n    return " + " + ".join(["'a'"] * 3000), "f(1)"),
        answer("def f(x):\n    return x", "f(1e999)"),
        answer("def f(x):\n    return x", f"a = '{'a' * 100_000}'\n" + "f(a)\n" * 5000),
    ],
)
async def test_no_answer_keeps_others_from_being_compared(sandbox, hostile):
    found = await sayings_of([hostile, TWICE, ALSO], sandbox)
    assert found[0].what
    assert found[1].what.startswith("does ")
    assert found[1] == found[2]


async def test_examples_of_every_answer_are_tried(sandbox):
    """They do the same on the first one's example; the second one's tells them apart."""
    one = answer("def f(n):\n    return n * n", "print(f(2))")
    other = answer("def g(n):\n    return n + n", "print(g(3))")
    found = await sayings_of([one, other], sandbox)
    assert found[0] != found[1]


async def test_without_an_example_or_a_program_nothing_is_run():
    for texts in ([ALSO, RAISES], ["The answer is (B).", "42"], []):
        assert await sayings_of(texts, None) == [saying_of(text) for text in texts]


async def test_where_nothing_can_be_fenced_nothing_is_run():
    class Nowhere:
        async def run_program(self, code):
            raise SandboxUnavailable("no fence")

    assert await sayings_of([TWICE, ALSO], Nowhere()) == [saying_of(TWICE), saying_of(ALSO)]
