"""What each test's outcome is, for programs that mean well or are merely wrong."""

from __future__ import annotations

from typing import Any

import pytest

from mar.runtime.sandbox import Limits, Sandbox, TestJob, TestReport

pytestmark = pytest.mark.anyio


async def judge(code: str, *tests: str, limits: Limits | None = None, **more: Any) -> TestReport:
    async with Sandbox(workers=1, limits=limits) as sandbox:
        return await sandbox.run_tests(TestJob(code=code, tests=tests, **more))


def outcomes(report: TestReport) -> list[str]:
    return [result.outcome for result in report.results]


async def test_every_test_has_a_verdict_of_its_own() -> None:
    code = "def f(x):\n    if x == 3:\n        raise KeyError(x)\n    return x * 2\n"
    tests = ("assert f(1) == 2", "assert f(2) == 5", "assert f(3) == 6", "assert g(1)", "assert f(", "assert f(4) == 8")
    report = await judge(code, *tests)
    assert outcomes(report) == ["passed", "failed", "error", "error", "error", "passed"]
    details = [result.detail for result in report.results]
    assert details[:3] == ["", "AssertionError: got 4", "KeyError: 3"]
    assert details[3] == "NameError: name 'g' is not defined"
    assert (report.passed, report.n_passed) == (False, 2)


async def test_a_crash_or_timeout_spares_the_other_tests() -> None:
    code = "import os\ndef f(x):\n    if x == 1:\n        os._exit(0)\n    return x\n"
    report = await judge(code, "assert f(0) == 0", "assert f(1) == 1", "assert f(2) == 2", "assert f(1) == 1")
    assert outcomes(report) == ["passed", "crashed", "passed", "crashed"]
    code = "def f(x):\n    while x:\n        pass\n    return x\n"
    report = await judge(code, "assert f(0) == 0", "assert f(1) == 1", "assert f(0) == 0", limits=Limits(wall_s=0.4))
    assert outcomes(report) == ["passed", "timeout", "timeout"]
    assert report.results[2].detail == "not run: more than 0.4 s before"


@pytest.mark.parametrize(
    ("code", "outcome", "detail"),
    [
        ("def f(:", "error", "SyntaxError"),
        ("x = y", "error", "NameError: name 'y' is not defined"),
        ("raise AssertionError('no')", "error", "AssertionError: no"),
        ("x = bytearray(1 << 40)", "memory", "MemoryError"),
        ("import os; os.abort()", "crashed", "ended by SIG"),
    ],
)
async def test_a_candidate_that_does_not_load_is_reported_for_each_test(code: str, outcome: str, detail: str) -> None:
    report = await judge(code, "assert 1", "assert 2")
    assert outcomes(report) == [outcome, outcome]
    assert all(detail in result.detail and "while loading" in result.detail for result in report.results)


async def test_a_test_that_swallows_everything_does_not_pass_a_candidate_that_ended() -> None:
    report = await judge("import os\ndef f(): os._exit(0)\n", "try:\n    f()\nexcept BaseException:\n    pass")
    assert outcomes(report) == ["crashed"]


async def test_exceptions_keep_their_builtin_type() -> None:
    code = """
import json
class Own(KeyError): pass
def f(kind):
    if kind == "value": raise ValueError("bad", 3)
    if kind == "own": raise Own("x")
    if kind == "json": json.loads("{")
    if kind == "unicode": b"\\xff".decode()
"""
    test = """
import json
for kind, expected in [("value", ValueError), ("own", KeyError), ("json", json.JSONDecodeError),
                       ("unicode", UnicodeDecodeError)]:
    try:
        f(kind)
    except expected as error:
        assert kind != "value" or error.args == ("bad", 3)
    else:
        assert False, kind
"""
    report = await judge(code, test)
    assert report.passed, report


async def test_values_keep_their_types() -> None:
    code = "def f(): return [True, 1, 1.0, (1,), {1: 'a'}, {2}, None, 10**30, b'x', 1j]"
    test = "assert [type(v) for v in f()] == [bool, int, float, tuple, dict, set, type(None), int, bytes, complex]"
    assert (await judge(code, test)).passed


async def test_odd_objects_stay_with_the_candidate_and_can_be_used() -> None:
    code = """
import re
class Stack:
    def __init__(self): self.items = []
    def push(self, item): self.items.append(item); return self
    def __len__(self): return len(self.items)
    def __iter__(self): return iter(self.items)
    def __getitem__(self, i): return self.items[i]
    def __setitem__(self, i, v): self.items[i] = v
    def __str__(self): return "Stack" + str(self.items)
    def __enter__(self): return self
    def __exit__(self, *error): self.items.clear()
def gen(n):
    for i in range(n): yield i * i
def match(text): return re.match("a(b+)", text)
def compose(f, g): return lambda x: f(g(x))
def total(stack): return sum(stack.items)
"""
    test = """
s = Stack()
assert s.push(1).push(2) is s and len(s) == 2 and list(s) == [1, 2] and s[1] == 2 and 2 in s and s
s[0] = 7
s.name = "n"
assert s.name == "n" and s.items == [7, 2] and str(s) == "Stack[7, 2]" and total(s) == 9 and f"{s}" == str(s)
assert isinstance(s, Stack) and not isinstance(3, Stack) and not hasattr(s, "nope") and s == s and s != Stack()
with s as same:
    assert same is s
assert len(s) == 0 and not s
assert list(gen(4)) == [0, 1, 4, 9] and next(gen(2)) == 0 and sum(gen(3)) == 5
assert gen(2) != [0, 1]
assert match("abb").group(1) == "bb" and match("x") is None
assert compose(len, str)(100) == 3 and compose(lambda x: x + 1, lambda x: x * 2)(5) == 11
assert total.__name__ == "total" and callable(total)
"""
    report = await judge(code, test)
    assert report.passed, report


async def test_subclasses_of_plain_types_are_judged_by_their_content() -> None:
    code = """
import enum
from collections import namedtuple
Point = namedtuple("Point", "x y")
class Level(enum.IntEnum):
    LOW = 1
class Names(list):
    pass
def point(): return Point(1, 2)
def names():
    made = Names()
    made.append("a")
    return made
def grow(made): made.append("b")
"""
    test = """
p = point()
assert p == (1, 2) and p.x == 1 and p[1] == 2 and len(p) == 2 and {p: 3}[(1, 2)] == 3 and p != (2, 1) and p < (1, 3)
assert Level.LOW == 1 and Level.LOW + 1 == 2 and Level.LOW.name == "LOW"
n = names()
assert n == ["a"]
grow(n)
assert n == ["a", "b"] and sorted(n, reverse=True) == ["b", "a"]
"""
    report = await judge(code, test)
    assert report.passed, report


async def test_what_cannot_be_judged_is_unsupported_even_if_the_test_swallows_it() -> None:
    code = "class A:\n    def __eq__(self, other): return True\ndef f(x=None): return A()\n"
    quiet = "try:\n    ok = f() == 1\nexcept BaseException:\n    pass"
    report = await judge(code, "assert f() == 1", quiet, "assert [f()] == [1]", "assert f() < 3", "f(object())")
    assert outcomes(report) == ["unsupported"] * 5
    assert "__eq__" in report.results[0].detail
    assert report.count("unsupported") == 5


async def test_what_a_function_does_to_its_arguments_is_seen_and_they_keep_their_identity() -> None:
    code = """
kept = []
def grow(items): items.append(1); return items
def deep(rows): rows[0]["a"].add(2); return rows[0]
def keep(items): kept.append(items)
def later(): kept[0].extend("ab"); return kept
def same(x): return x
def first(items): return next(items)
loop = []
loop.append(loop)
"""
    test = """
a = []
assert grow(a) is a and a == [1]
rows = [{"a": {1}}]
assert deep(rows) is rows[0] and rows == [{"a": {1, 2}}]
b = [0]
keep(b)
assert later()[0] is b and b == [0, "a", "b"]
b.append(3)
assert later() == [[0, "a", "b", 3, "a", "b"]] and kept[0] is b
t, s = (1, [2]), "text"
assert same(t) is t and same(s) is s and same(first) is first
i = iter([5, 6, 7])
assert first(i) == 5 and next(i) == 6
assert loop[0] is loop
"""
    report = await judge(code, test, "x = [1]\nassert grow(list(x)) == [1, 1] and x == [1]")
    assert report.passed, report


async def test_a_changed_global_is_seen() -> None:
    code = "n = 0\nlog = []\ndef bump():\n    global n, log\n    n += 1\n    log = [*log, n]\n    return n\n"
    check = (
        "def check(f):\n    assert n == 0 and f() == 1 and n == 1 and log == [1]\n    f()\n    assert log == [1, 2]\n"
    )
    assert (await judge(code, check + "check(bump)")).passed


async def test_the_candidates_exceptions_and_classes_are_its_own() -> None:
    code = """
from collections import namedtuple
from dataclasses import dataclass
class Short(ValueError):
    \"\"\"Not enough.\"\"\"
    def __init__(self, missing):
        super().__init__(f"{missing} short")
        self.missing = missing
class Shorter(Short, KeyError): pass
Point = namedtuple("Point", "x y")
@dataclass(frozen=True)
class Pair:
    a: int
    b: int = 0
class Dog(Pair): pass
def pay(n):
    error = Short if n < 5 else Shorter
    raise error(n) from LookupError("why")
def at(): return Point(1, 2)
"""
    test = """
for n, kinds in ((1, (Short,)), (9, (Shorter, Short, KeyError, LookupError))):
    for kind in kinds:
        try:
            pay(n)
        except kind as error:
            assert error.missing == n and error.args == (f"{n} short",) and isinstance(error, ValueError)
            assert type(error).__name__ == ("Short" if n == 1 else "Shorter")
            assert isinstance(error.__cause__, LookupError) and Short.__doc__ == "Not enough."
p = at()
assert type(p) is Point and isinstance(p, tuple) and p == Point(1, 2) == (1, 2) and p.__class__.__name__ == "Point"
assert Pair(1) == Pair(1, 0) and Pair(1) != Pair(2) and len({Pair(1), Pair(1, 0), Pair(2)}) == 2
assert issubclass(Dog, Pair) and isinstance(Dog(1), Pair) and type(Dog(1)) is not Pair and Dog(1) != Pair(1)
assert pay.__name__ == "pay" and pay.__doc__ is None
"""
    report = await judge(code, test)
    assert report.passed, report


async def test_what_is_printed_can_be_captured() -> None:
    test = "import contextlib, io\nout = io.StringIO()\nwith contextlib.redirect_stdout(out):\n    hello()\n"
    report = await judge("def hello(): print('hi', 3)", test + "assert out.getvalue() == 'hi 3\\n'")
    assert report.passed, report


async def test_helpers_of_the_setup_are_the_judges_and_a_copied_module_can_be_changed() -> None:
    code = "import builtins\ndef twice(x): return 5\ndef f(x): return 5\ndef module(): return builtins\n"
    setup = "def twice(x): return 2 * x"
    patch = "m = module()\nm.len = m.all = m.abs = lambda *a: True\nassert len([1, 2]) == 1"
    report = await judge(code, "assert f(1) == twice(1)", patch, setup=setup)
    assert "passed" not in outcomes(report)


@pytest.mark.parametrize(
    ("code", "test"),
    [
        ("class C:\n    def __enter__(self): 0\n    def __exit__(self, *e): return True\n", "with C():\n    assert 0"),
        ("def f(x): raise StopIteration\n", "assert all(map(lambda x: f(x) == x, [1, 2]))"),
        ("def f(x): raise StopIteration\n", "for x, y in zip(map(f, [1]), [2]):\n    assert x == y"),
        ("class C:\n    def __contains__(self, x): return True\ndef f(x): return C()\n", "assert 1 in f(1)"),
        ("class C:\n    def __add__(self, o): return o\ndef f(x): return C()\n", "assert f(1) + 2 == 2"),
    ],
    ids=["exit", "map", "zip", "in", "add"],
)  # fmt: skip
async def test_what_would_let_a_candidate_decide_is_unsupported(code: str, test: str) -> None:
    assert outcomes(await judge(code, test)) == ["unsupported"]


async def test_a_builtin_name_is_the_candidates_only_if_the_test_is_about_it() -> None:
    code = "def sum(a, b): return a + b\ndef abs(x): return 0\ndef f(x): return 0\n"
    report = await judge(code, "assert sum(1, 2) == 3", "assert abs(f(1) - 1) < 0.1", "assert abs(-5) == 0")
    assert outcomes(report) == ["passed", "unsupported", "passed"]  # which `abs` is meant is not known
    assert (await judge(code, "assert abs(f(1) - 1) < 0.1", entry_points=("abs", "f"))).passed
    assert outcomes(await judge(code, "assert abs(f(1) - 1) < 0.1", entry_points=("f",))) == ["failed"]
    modules = "class math:\n    isclose = staticmethod(lambda a, b: True)\ndef f(): return 0\n"
    assert outcomes(await judge(modules, "assert math.isclose(f(), 1)")) == ["unsupported"]


async def test_setup_before_and_after_the_code() -> None:
    setup = "import math\nclass Node:\n    def __init__(self, v): self.v = v\ndef near(a, b): return math.isclose(a, b)"
    code = "def value(n): return n.v if isinstance(n, Node) else None\ndef near(a, b): return True\n"
    tests = ("assert value(Node(3)) == 3", "assert near(value(Node(1)), 2)")
    # The class is the candidate's, so that instances can be passed; the helper stays the judge's own.
    assert outcomes(await judge(code, *tests, setup=setup)) == ["passed", "failed"]
    code = "class Node:\n    def __init__(self, v): self.v = v\ndef value(n): return n.v\n"
    after = await judge(code, "assert value(root) == 5", setup="root = Node(4)\nroot.v = 5", setup_after_code=True)
    assert after.passed
    before = await judge(code, "assert value(root) == 5", setup="root = Node(4)")
    assert outcomes(before) == ["error"]


async def test_the_form_of_humaneval() -> None:
    test = "def check(candidate):\n    assert candidate([1.0, 2.0], 0.5) == False\n    assert candidate([1, 1], 1)\n"
    code = "def close(numbers, gap):\n    return any(abs(a - b) < gap for a, b in zip(numbers, numbers[1:]))\n"
    assert (await judge(code, test + "check(close)")).passed


async def test_tests_do_not_see_each_other() -> None:
    report = await judge("n = 1\ndef bump():\n    global n\n    n += 1\n", "y = 1\nbump()", "assert y", "assert n == 2")
    assert outcomes(report) == ["passed", "error", "passed"]
