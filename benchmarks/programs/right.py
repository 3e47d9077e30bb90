# ruff: noqa: E501 (tests are one line each)
"""Right programs of many styles, with tests that they pass in Python: none may be judged wrong."""

from __future__ import annotations

from programs.sample import read

_TEXT = r'''
### sorts in place
def arrange(xs): xs.sort()
--- test
a = [3, 1, 2]
arrange(a)
assert a == [1, 2, 3]
### sorts in place and returns it
def arrange(xs):
    xs.sort()
    return xs
--- test
a = [3, 1, 2]
assert arrange(a) is a and a == [1, 2, 3]
### returns a copy
def arrange(xs): return sorted(xs)
--- test
a = [3, 1, 2]
b = arrange(a)
assert b == [1, 2, 3] and a == [3, 1, 2] and b is not a
### transposes a matrix in place
def transpose(m):
    for i in range(len(m)):
        for j in range(i):
            m[i][j], m[j][i] = m[j][i], m[i][j]
--- test
m = [[1, 2], [3, 4]]
rows = m[0]
transpose(m)
assert m == [[1, 3], [2, 4]] and rows is m[0] and rows == [1, 3]
### fills a dictionary
def tally(words, into):
    for w in words:
        into[w] = into.get(w, 0) + 1
--- test
d = {"a": 1}
tally(["a", "b"], d)
assert d == {"a": 2, "b": 1}
### removes from a set
def prune(s):
    s.discard(1)
--- test
s = {1, 2}
prune(s)
assert s == {2}
### rotates a deque
def turn(d): d.rotate(1)
--- test
from collections import deque
d = deque([1, 2, 3], maxlen=5)
turn(d)
assert list(d) == [3, 1, 2] and d.maxlen == 5
### changes a bytearray
def zero(b): b[0] = 0
--- test
b = bytearray(b"ab")
zero(b)
assert b == bytearray(b"\0b")
### changes a Counter
def more(c): c["x"] += 2
--- test
from collections import Counter
c = Counter("xy")
more(c)
assert c["x"] == 3 and c.most_common(1) == [("x", 3)]
### changes a defaultdict
def group(d, k, v): d[k].append(v)
--- test
from collections import defaultdict
d = defaultdict(list)
group(d, 1, 2)
assert d == {1: [2]} and d[5] == []
### appends to a nested list of a dictionary
def note(book): book["log"].append("x")
--- test
log = []
note({"log": log})
assert log == ["x"]
### keeps a reference to what it got
class Bag:
    def __init__(self, items): self.items = items
    def add(self, x): self.items.append(x)
--- test
base = [1]
bag = Bag(base)
bag.add(2)
assert base == [1, 2] and bag.items is base
### sees what the test changes later
class Bag:
    def __init__(self, items): self.items = items
    def total(self): return sum(self.items)
--- test
base = [1]
bag = Bag(base)
base.append(5)
assert bag.total() == 6
### the same list twice among the arguments
def shift(a, b): a.append(len(b))
--- test
x = [1]
shift(x, x)
assert x == [1, 1]
### clears the list it is given
def drain(xs):
    out = list(xs)
    xs.clear()
    return out
--- test
x = [1, 2]
assert drain(x) == [1, 2] and x == []
### returns its argument
def same(x): return x
--- test
for v in ([1], {"a": 1}, {1}, (1, [2]), "word", 2.5, frozenset({1}), b"ab"):
    assert same(v) is v
### returns one of several arguments
def longest(*xs): return max(xs, key=len)
--- test
a, b = [1], [1, 2]
assert longest(a, b) is b
### a list that contains itself
def knot():
    x = [1]
    x.append(x)
    return x
--- test
k = knot()
assert k[0] == 1 and k[1] is k
### rows that are one list
def board(): return [[0] * 2] * 2
--- test
b = board()
b[0][0] = 1
assert b == [[1, 0], [1, 0]]
### a singleton list
_shared = []
def get(): return _shared
--- test
assert get() is get()
get().append(1)
assert get() == [1]
### an attribute read before a change
class Log:
    def __init__(self): self.lines = []
    def add(self, x): self.lines.append(x)
--- test
log = Log()
lines = log.lines
log.add("a")
assert lines == ["a"] and log.lines is lines
### a mutable default argument
def collect(x, into=[]):
    into.append(x)
    return into
--- test
a = collect(1)
b = collect(2)
assert a is b and b == [1, 2]
### its own exception, by class
class TooMuch(Exception): pass
def take(n):
    if n > 3: raise TooMuch("no")
--- test
try:
    take(5)
except TooMuch as e:
    assert str(e) == "no" and type(e) is TooMuch
else:
    assert False
### its own exception, by name
class TooMuch(Exception): pass
def take(n): raise TooMuch("no")
--- test
try:
    take(5)
except Exception as e:
    assert type(e).__name__ == "TooMuch" and e.__class__.__name__ == "TooMuch"
### its own exception, by attribute
class Rejected(ValueError):
    def __init__(self, code, why):
        super().__init__(why)
        self.code = code
def go(): raise Rejected(7, "bad")
--- test
try:
    go()
except ValueError as e:
    assert e.code == 7 and str(e) == "bad" and e.args == ("bad",)
### its own exception with a text of its own
class Rejected(Exception):
    def __init__(self, code): self.code = code
    def __str__(self): return f"code {self.code}"
    def __repr__(self): return f"Rejected({self.code})"
def go(): raise Rejected(7)
--- test
try:
    go()
except Rejected as e:
    assert str(e) == "code 7" and repr(e) == "Rejected(7)" and f"{e}" == "code 7"
### a hierarchy of exceptions
class Base(Exception): pass
class Low(Base, LookupError): pass
class High(Base): pass
def go(x): raise (Low if x < 0 else High)(x)
--- test
for x, kind, other in ((-1, Low, High), (1, High, Low)):
    try:
        go(x)
    except other:
        assert False
    except Base as e:
        assert isinstance(e, kind) and e.args == (x,)
try:
    go(-1)
except LookupError:
    pass
assert issubclass(Low, Base) and issubclass(Low, LookupError) and not issubclass(High, LookupError)
### an exception with a cause
class Wrapped(Exception): pass
def go():
    try:
        {}["k"]
    except KeyError as e:
        raise Wrapped("w") from e
--- test
try:
    go()
except Wrapped as e:
    assert isinstance(e.__cause__, KeyError) and e.__cause__.args == ("k",)
### an exception with a method
class Fault(Exception):
    def advice(self): return "try " + self.args[0]
def go(): raise Fault("again")
--- test
try:
    go()
except Fault as e:
    assert e.advice() == "try again"
### a builtin exception with an attribute
def go():
    e = ValueError("x")
    e.position = 3
    raise e
--- test
try:
    go()
except ValueError as e:
    assert e.position == 3
### a builtin exception returned
def go(): return ValueError("x")
--- test
e = go()
assert isinstance(e, ValueError) and e.args == ("x",)
### an OSError with a number
def go(): raise FileNotFoundError(2, "No such file", "a.txt")
--- test
try:
    go()
except OSError as e:
    assert e.errno == 2 and e.filename == "a.txt" and isinstance(e, FileNotFoundError)
### an error from a module
import json
def go(s): return json.loads(s)
--- test
import json
try:
    go("{")
except json.JSONDecodeError as e:
    assert e.pos == 1
### an exception group
def go(): raise ExceptionGroup("g", [ValueError(1), TypeError(2)])
--- test
try:
    go()
except* ValueError as g:
    assert len(g.exceptions) == 1
except* TypeError:
    pass
### raises from a generator
class Empty(Exception): pass
def gen():
    yield 1
    raise Empty("e")
--- test
g = gen()
assert next(g) == 1
try:
    next(g)
except Empty as e:
    assert str(e) == "e"
### an exception class as a value
class Mine(Exception): pass
ERRORS = [Mine, ValueError]
--- test
assert ERRORS[0] is Mine and ERRORS[1] is ValueError and issubclass(ERRORS[0], Exception)
### an exception that goes through the test's own function
class Stop(Exception): pass
def run(f):
    try:
        f()
    except Stop as e:
        return e.args[0]
--- test
def f(): raise Stop(5)
assert run(f) == 5
### the test's own exception comes back out
def call(f): return f()
--- test
def f(): raise KeyError("k")
try:
    call(f)
except KeyError as e:
    assert e.args == ("k",)
### type of an instance
class P:
    def __init__(self, x): self.x = x
def make(x): return P(x)
--- test
p = make(3)
assert type(p) is P and type(p) == P and type(p).__name__ == "P" and p.__class__ is P and isinstance(p, P)
### two types
class A: pass
class B(A): pass
def make(s): return A() if s == "a" else B()
--- test
assert type(make("a")) is not type(make("b")) and issubclass(B, A) and isinstance(make("b"), A) and not isinstance(make("a"), B)
### a named tuple
from collections import namedtuple
P = namedtuple("P", "x y")
def make(): return P(1, 2)
--- test
p = make()
assert p == (1, 2) and p == P(1, 2) and p.x == 1 and p[1] == 2 and type(p) is P and isinstance(p, tuple)
x, y = p
assert (x, y) == (1, 2) and p._asdict() == {"x": 1, "y": 2} and str(p) == "P(x=1, y=2)" and p._fields == ("x", "y")
assert p._replace(x=5) == (5, 2) and hash(p) == hash((1, 2)) and {p: 1}[(1, 2)] == 1 and sorted([P(2, 1), p])[0] is p
### a typed named tuple
from typing import NamedTuple
class P(NamedTuple):
    x: int
    y: int = 0
    def norm(self): return self.x + self.y
def make(x): return P(x)
--- test
assert make(3) == (3, 0) and make(3).norm() == 3 and make(3) + (1,) == (3, 0, 1) and len(make(1)) == 2
### a list of named tuples
from collections import namedtuple
P = namedtuple("P", "x y")
def make(n): return [P(i, i * i) for i in range(n)]
--- test
assert make(3) == [(0, 0), (1, 1), (2, 4)] and [p.y for p in make(3)] == [0, 1, 4] and max(make(3)) == (2, 4)
### a data class
from dataclasses import dataclass
@dataclass
class P:
    x: int
    y: int = 0
def make(x): return P(x)
--- test
assert make(1) == P(1, 0) and make(1) != P(2) and repr(make(1)) == "P(x=1, y=0)" and make(2).x == 2
### a frozen data class in a set
from dataclasses import dataclass
@dataclass(frozen=True)
class P:
    x: int
def make(xs): return {P(x) for x in xs}
--- test
assert make([1, 1, 2]) == {P(1), P(2)} and len(make([3, 3])) == 1 and P(1) in make([1])
### an ordered data class
from dataclasses import dataclass
@dataclass(order=True)
class P:
    x: int
def make(xs): return [P(x) for x in xs]
--- test
a, b = make([1, 2])
assert a < b and sorted([b, a]) == [a, b] and max(a, b) is b
### fields of a data class
from dataclasses import dataclass, asdict
@dataclass
class P:
    x: int
def make(): return P(1)
--- test
from dataclasses import asdict, is_dataclass
assert asdict(make()) == {"x": 1}
### objects with a hash of their own
class K:
    def __init__(self, v): self.v = v
    def __hash__(self): return hash(self.v)
    def __eq__(self, o): return isinstance(o, K) and self.v == o.v
def make(v): return K(v)
--- test
assert len({make(1), make(1), make(2)}) == 2 and make(1) in {make(1): 0} and make(1) == make(1) and make(1) != make(2)
### a dictionary with objects as keys
class K:
    def __init__(self, v): self.v = v
    def __hash__(self): return hash(self.v)
    def __eq__(self, o): return self.v == o.v
def count(vs):
    d = {}
    for v in vs: d[K(v)] = d.get(K(v), 0) + 1
    return d
--- test
d = count([1, 1, 2])
assert len(d) == 2 and sorted(d.values()) == [1, 2] and d[K(1)] == 2
### equality across
class Money:
    def __init__(self, v): self.v = v
    def __eq__(self, o): return self.v == (o.v if isinstance(o, Money) else o)
def make(v): return Money(v)
--- test
assert make(3) == 3
### a class without equality
class Node: pass
def make(): return Node()
--- test
n = make()
assert n == n and n != make() and n in [n] and n not in [make()]
### a total order
from functools import total_ordering
@total_ordering
class V:
    def __init__(self, s): self.p = tuple(map(int, s.split(".")))
    def __eq__(self, o): return self.p == o.p
    def __lt__(self, o): return self.p < o.p
--- test
assert V("1.2") < V("1.10") and V("2.0") >= V("1.9") and max([V("1"), V("3")]) == V("3") and sorted([V("2"), V("1")])[0] == V("1")
### a vector
class Vec:
    def __init__(self, x, y): self.x, self.y = x, y
    def __add__(self, o): return Vec(self.x + o.x, self.y + o.y)
    def __sub__(self, o): return Vec(self.x - o.x, self.y - o.y)
    def __neg__(self): return Vec(-self.x, -self.y)
    def __eq__(self, o): return (self.x, self.y) == (o.x, o.y)
    def __abs__(self): return (self.x ** 2 + self.y ** 2) ** 0.5
    def __repr__(self): return f"Vec({self.x}, {self.y})"
--- test
a, b = Vec(1, 2), Vec(2, 2)
assert a + b == Vec(3, 4) and abs(a + b) == 5 and -a == Vec(-1, -2) and str(a - b) == "Vec(-1, 0)"
### a vector times a number
class Vec:
    def __init__(self, x): self.x = x
    def __mul__(self, k): return Vec(self.x * k)
    __rmul__ = __mul__
    def __eq__(self, o): return self.x == o.x
--- test
assert Vec(2) * 3 == Vec(6) and 3 * Vec(2) == Vec(6)
### a fraction class
from math import gcd
class Frac:
    def __init__(self, n, d):
        g = gcd(n, d)
        self.n, self.d = n // g, d // g
    def __eq__(self, o): return (self.n, self.d) == (o.n, o.d)
    def __mul__(self, o): return Frac(self.n * o.n, self.d * o.d)
    def __lt__(self, o): return self.n * o.d < o.n * self.d
    def __hash__(self): return hash((self.n, self.d))
    def __str__(self): return f"{self.n}/{self.d}"
--- test
assert Frac(1, 2) * Frac(2, 3) == Frac(1, 3) and Frac(1, 3) < Frac(1, 2) and str(Frac(2, 4)) == "1/2" and len({Frac(1, 2), Frac(2, 4)}) == 1
### prints
def hello(name): print("Hello,", name)
--- test
import contextlib, io
out = io.StringIO()
with contextlib.redirect_stdout(out):
    hello("A")
assert out.getvalue() == "Hello, A\n"
### prints under a replaced stream
def hello(): print("a"); print("b", end="")
--- test
import io, sys
old = sys.stdout
sys.stdout = io.StringIO()
try:
    hello()
    text = sys.stdout.getvalue()
finally:
    sys.stdout = old
assert text == "a\nb"
### prints a pattern
def pattern(n):
    for i in range(1, n + 1): print("*" * i)
--- test
from contextlib import redirect_stdout
from io import StringIO
with redirect_stdout(StringIO()) as f:
    pattern(3)
assert f.getvalue().split() == ["*", "**", "***"]
### writes to the error stream
import sys
def warn(): print("w", file=sys.stderr)
--- test
import contextlib, io
with contextlib.redirect_stderr(io.StringIO()) as f:
    warn()
assert f.getvalue() == "w\n"
### writes bytes to the output
import sys
def raw(): sys.stdout.buffer.write(b"ab"); return 1
--- test
assert raw() == 1
### prints when loaded
print("loaded")
def f(): return 1
--- test
assert f() == 1
### reads its input
def double(): return 2 * int(input())
--- test
import io, sys
sys.stdin = io.StringIO("21\n")
assert double() == 42
### counts calls in a global
calls = 0
def bump():
    global calls
    calls += 1
--- test
bump()
bump()
assert calls == 2
### a global list that is replaced
log = []
def add(x):
    global log
    log = log + [x]
--- test
add(1)
assert log == [1]
add(2)
assert log == [1, 2]
### a global in a function of the test
state = {"n": 0}
def step(): state["n"] += 1
--- test
def check(f):
    before = state["n"]
    f()
    assert state["n"] == before + 1
check(step)
### a cache at module level
cache = {}
def fib(n):
    if n < 2: return n
    if n not in cache: cache[n] = fib(n - 1) + fib(n - 2)
    return cache[n]
--- test
assert fib(20) == 6765 and cache[10] == 55 and len(cache) == 19
### a counter as a function's attribute
def f():
    f.calls += 1
    return f.calls
f.calls = 0
--- test
assert f() == 1 and f() == 2 and f.calls == 2
### a class attribute that counts
class C:
    made = 0
    def __init__(self): C.made += 1
--- test
C(); C()
assert C.made == 2
C.made = 0
C()
assert C.made == 1
### a docstring
def area(r):
    """Area of a circle."""
    return 3 * r * r
--- test
assert area.__doc__ == "Area of a circle." and area(2) == 12
### a docstring of a class
class A:
    """A class."""
    def m(self):
        """A method."""
--- test
assert A.__doc__ == "A class." and A.m.__doc__ == "A method." and A().m.__doc__ == "A method."
### no docstring
def f(): pass
--- test
assert f.__doc__ is None
### a name
def f(x: int, y: str = "a") -> bool: return True
--- test
assert f.__name__ == "f" and f.__annotations__ == {"x": int, "y": str, "return": bool} and f.__defaults__ == ("a",)
### a decorator that keeps the name
import functools
def twice(g):
    @functools.wraps(g)
    def inner(*a): return 2 * g(*a)
    return inner
@twice
def f(x):
    "Doc."
    return x
--- test
assert f(3) == 6 and f.__name__ == "f" and f.__doc__ == "Doc." and f.__wrapped__(3) == 3
### the signature
import inspect
def f(a, b=1): return a
--- test
import inspect
assert list(inspect.signature(f).parameters) == ["a", "b"]
### a builtin's name
def sum(a, b): return a + b
--- test
assert sum(1, 2) == 3
### a builtin's name and a helper
def add(a, b): return a + b
def sum(*xs):
    total = 0
    for x in xs: total = add(total, x)
    return total
--- test
assert sum(1, 2, 3) == 6
assert sum(add(1, 2), 3) == 6
### a builtin's name and a class
class Item:
    def __init__(self, w): self.w = w
def max(items): return sorted(items, key=lambda i: i.w)[-1]
--- test
a, b = Item(1), Item(2)
assert max([a, b]) is b
### a module's name
def statistics(xs): return {"mean": sum(xs) / len(xs)}
--- test
assert statistics([1, 3]) == {"mean": 2.0}
### a generator
def squares(n):
    for i in range(n): yield i * i
--- test
import types
g = squares(4)
assert isinstance(g, types.GeneratorType) and next(g) == 0 and list(g) == [1, 4, 9]
### a generator that is sent values
def echo():
    x = yield
    while True: x = yield x * 2
--- test
g = echo()
next(g)
assert g.send(3) == 6 and g.send(5) == 10
g.close()
### an endless generator
def naturals():
    n = 0
    while True:
        yield n
        n += 1
--- test
from itertools import islice
assert list(islice(naturals(), 5)) == [0, 1, 2, 3, 4]
### an iterator class
class Count:
    def __init__(self, n): self.i, self.n = 0, n
    def __iter__(self): return self
    def __next__(self):
        if self.i >= self.n: raise StopIteration
        self.i += 1
        return self.i
--- test
c = Count(3)
assert iter(c) is c and list(c) == [1, 2, 3]
try:
    next(c)
    assert False
except StopIteration:
    pass
### iteration by index
class Seq:
    def __getitem__(self, i):
        if i > 2: raise IndexError
        return i * 10
--- test
assert list(Seq()) == [0, 10, 20] and [x for x in Seq()] == [0, 10, 20]
### takes an iterator in part
def first(it): return next(it)
--- test
it = iter([1, 2, 3])
assert first(it) == 1 and list(it) == [2, 3]
### takes an endless generator of the test
def take(it, n): return [next(it) for _ in range(n)]
--- test
def ones():
    while True: yield 1
assert take(ones(), 3) == [1, 1, 1]
### takes a count
def take(it, n):
    out = []
    for x in it:
        if len(out) == n: return out
        out.append(x)
--- test
import itertools
assert take(itertools.count(5), 2) == [5, 6]
### takes a callback
def apply(f, xs): return [f(x) for x in xs]
--- test
seen = []
assert apply(lambda x: x + 1, [1, 2]) == [2, 3]
apply(seen.append, [1, 2])
assert seen == [1, 2]
### takes a key function
def order(xs, key): return sorted(xs, key=key)
--- test
from operator import itemgetter
from functools import partial
assert order([(1, "b"), (2, "a")], itemgetter(1)) == [(2, "a"), (1, "b")]
assert order([3, -4], abs) == [3, -4] and order([3, -4], partial(pow, 2)) == [-4, 3] and order(["b", "A"], str.lower) == ["A", "b"]
### returns a function
def adder(n): return lambda x: x + n
--- test
import types
assert adder(2)(3) == 5 and callable(adder(1)) and isinstance(adder(1), types.FunctionType)
### returns the function it got
def keep(f): return f
--- test
def g(): return 1
assert keep(g) is g
### a closure with state
def counter():
    n = 0
    def inc():
        nonlocal n
        n += 1
        return n
    return inc
--- test
a, b = counter(), counter()
assert a() == 1 and a() == 2 and b() == 1
### a memo
from functools import lru_cache
@lru_cache(maxsize=None)
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
--- test
assert fib(30) == 832040 and fib.cache_info().currsize == 31
### a partial function
from functools import partial
double = partial(lambda a, b: a * b, 2)
--- test
assert double(4) == 8
### a context manager
class Timer:
    def __enter__(self):
        self.open = True
        return self
    def __exit__(self, *e):
        self.open = False
--- test
with Timer() as t:
    assert t.open
assert not t.open
### a context manager that rolls back
class Tx:
    def __enter__(self):
        self.state = "open"
        return self
    def __exit__(self, kind, value, trace):
        self.state = "rolled back" if kind else "done"
        self.kind = kind
--- test
t = Tx()
try:
    with t:
        raise ValueError("x")
except ValueError:
    pass
assert t.state == "rolled back" and t.kind is ValueError
### a context manager that swallows
class Suppress:
    def __enter__(self): return self
    def __exit__(self, kind, value, trace): return kind is KeyError
--- test
with Suppress():
    raise KeyError("x")
### a context manager from a generator
from contextlib import contextmanager
@contextmanager
def tag(name, out):
    out.append("<" + name + ">")
    yield out
    out.append("</" + name + ">")
--- test
out = []
with tag("b", out) as o:
    o.append("x")
assert out == ["<b>", "x", "</b>"]
### an enumeration
from enum import Enum
class Color(Enum):
    RED = 1
    BLUE = 2
def pick(n): return Color(n)
--- test
assert pick(1) is Color.RED and pick(2) == Color.BLUE and pick(1).value == 1 and pick(1).name == "RED"
assert list(Color) == [Color.RED, Color.BLUE] and len(Color) == 2 and Color["RED"] is Color.RED and {Color.RED: 1}[pick(1)] == 1
assert Color.RED in Color and isinstance(pick(1), Color)
### an enumeration of numbers
from enum import IntEnum
class Level(IntEnum):
    LOW = 1
    HIGH = 3
def level(x): return Level.HIGH if x > 5 else Level.LOW
--- test
assert level(9) == 3 and level(9) > level(1) and level(1) + 1 == 2 and isinstance(level(1), int) and level(9) is Level.HIGH
### an abstract class
from abc import ABC, abstractmethod
class Shape(ABC):
    @abstractmethod
    def area(self): ...
class Square(Shape):
    def __init__(self, a): self.a = a
    def area(self): return self.a ** 2
--- test
assert Square(3).area() == 9 and isinstance(Square(1), Shape) and issubclass(Square, Shape) and not isinstance(3, Shape)
try:
    Shape()
    assert False
except TypeError:
    pass
### a stack
class Stack:
    def __init__(self): self._items = []
    def push(self, x): self._items.append(x)
    def pop(self):
        if not self._items: raise IndexError("empty")
        return self._items.pop()
    def __len__(self): return len(self._items)
    def __bool__(self): return bool(self._items)
    def __contains__(self, x): return x in self._items
    def __iter__(self): return iter(self._items)
    def __reversed__(self): return reversed(self._items)
--- test
s = Stack()
s.push(1)
s.push(2)
assert len(s) == 2 and s and list(s) == [1, 2] and list(reversed(s)) == [2, 1] and s.pop() == 2
try:
    Stack().pop()
    assert False
except IndexError as e:
    assert str(e) == "empty"
### membership of its own
class Trie:
    def __init__(self, words): self.words = set(words)
    def __contains__(self, w): return w in self.words
--- test
assert "a" in Trie(["a"]) and "b" not in Trie(["a"])
### a linked list
class Node:
    def __init__(self, v, next=None): self.v, self.next = v, next
def build(xs):
    head = None
    for x in reversed(xs): head = Node(x, head)
    return head
def reverse(head):
    prev = None
    while head: head.next, prev, head = prev, head, head.next
    return prev
--- test
n = reverse(build([1, 2, 3]))
out = []
while n:
    out.append(n.v)
    n = n.next
assert out == [3, 2, 1]
### a tree that the test builds
class Tree:
    def __init__(self, v): self.v, self.left, self.right = v, None, None
def depth(t): return 0 if t is None else 1 + max(depth(t.left), depth(t.right))
--- test
t = Tree(1)
t.left = Tree(2)
t.left.right = Tree(3)
assert depth(t) == 3 and t.left.right.v == 3 and t.right is None
### properties
class Temp:
    def __init__(self, c): self._c = c
    @property
    def f(self): return self._c * 9 / 5 + 32
    @f.setter
    def f(self, v): self._c = (v - 32) * 5 / 9
    @classmethod
    def of(cls, f):
        t = cls(0)
        t.f = f
        return t
    @staticmethod
    def unit(): return "C"
--- test
t = Temp(100)
assert t.f == 212 and Temp.of(212)._c == 100 and Temp.unit() == "C"
t.f = 32
assert t._c == 0
### slots
class P:
    __slots__ = ("x",)
    def __init__(self, x): self.x = x
--- test
p = P(1)
try:
    p.y = 2
    assert False
except AttributeError:
    pass
assert p.x == 1 and not hasattr(p, "y")
### attributes on demand
class Any:
    def __getattr__(self, name): return name.upper()
--- test
assert Any().abc == "ABC" and getattr(Any(), "x") == "X"
### vars and dir
class P:
    def __init__(self): self.a, self.b = 1, 2
--- test
assert vars(P()) == {"a": 1, "b": 2} and P().__dict__ == {"a": 1, "b": 2} and "a" in dir(P())
### called like a function
class Poly:
    def __init__(self, *c): self.c = c
    def __call__(self, x): return sum(a * x ** i for i, a in enumerate(self.c))
--- test
p = Poly(1, 2)
assert p(3) == 7 and callable(p) and [p(x) for x in (0, 1)] == [1, 3]
### a matrix with indices
class M:
    def __init__(self, rows): self.rows = rows
    def __getitem__(self, ij): return self.rows[ij[0]][ij[1]]
    def __setitem__(self, ij, v): self.rows[ij[0]][ij[1]] = v
    def __matmul__(self, o): return M([[sum(a * b for a, b in zip(r, c)) for c in zip(*o.rows)] for r in self.rows])
--- test
m = M([[1, 2], [3, 4]])
m[0, 0] = 5
assert m[0, 0] == 5 and (m @ M([[1, 0], [0, 1]])).rows == [[5, 2], [3, 4]]
### a subclass of list
class Stack(list):
    def push(self, x): self.append(x)
    @property
    def top(self): return self[-1]
def make(): return Stack()
--- test
s = make()
s.push(1)
s.push(2)
assert s == [1, 2] and s.top == 2 and len(s) == 2 and isinstance(s, list) and type(s) is Stack and s.pop() == 2 and s == [1]
### a subclass of dict
class D(dict):
    def __missing__(self, k): return k * 2
    def __getattr__(self, k): return self[k]
def make(): return D(a=1)
--- test
d = make()
assert d["a"] == 1 and d["b"] == "bb" and d.a == 1 and isinstance(d, dict) and d == {"a": 1}
d["c"] = 3
assert d["c"] == 3 and len(d) == 2
### a subclass of str
class Word(str):
    def shout(self): return self.upper() + "!"
def make(s): return Word(s)
--- test
w = make("hi")
assert w == "hi" and w.shout() == "HI!" and isinstance(w, str) and len(w) == 2 and w + "x" == "hix" and w.upper() == "HI"
### a str that ignores case
class CI(str):
    def __eq__(self, o): return self.lower() == o.lower()
    def __hash__(self): return hash(self.lower())
def make(s): return CI(s)
--- test
assert make("A") == "a"
### a subclass of int
class Mod(int):
    def __add__(self, o): return Mod((int(self) + int(o)) % 7)
def make(n): return Mod(n)
--- test
assert make(5) + make(4) == 2 and isinstance(make(1), int)
### a subclass of tuple with its own sum
class Vec(tuple):
    def __add__(self, o): return Vec(a + b for a, b in zip(self, o))
--- test
assert Vec((1, 2)) + Vec((3, 4)) == (4, 6)
### a user dictionary
from collections import UserDict
class Lower(UserDict):
    def __setitem__(self, k, v): super().__setitem__(k.lower(), v)
--- test
d = Lower()
d["A"] = 1
assert d["a"] == 1 and len(d) == 1 and list(d) == ["a"]
### an ordered dictionary
from collections import OrderedDict
class LRU:
    def __init__(self, n): self.n, self.d = n, OrderedDict()
    def get(self, k):
        if k not in self.d: return -1
        self.d.move_to_end(k)
        return self.d[k]
    def put(self, k, v):
        self.d[k] = v
        self.d.move_to_end(k)
        if len(self.d) > self.n: self.d.popitem(last=False)
--- test
c = LRU(2)
c.put(1, 1); c.put(2, 2); c.get(1); c.put(3, 3)
assert c.get(2) == -1 and c.get(1) == 1 and list(c.d) == [3, 1]
### views of a dictionary
def parts(d): return d.keys(), d.values(), d.items()
--- test
k, v, i = parts({"a": 1})
assert k == {"a"} and list(v) == [1] and i == {("a", 1)} and ("a", 1) in i
### lazy values
def lazy(xs): return map(str, xs), filter(None, xs), zip(xs, xs), reversed(xs), enumerate(xs)
--- test
m, f, z, r, e = lazy([0, 1])
assert isinstance(m, map) and list(m) == ["0", "1"] and list(f) == [1] and dict(z) == {0: 0, 1: 1} and list(r) == [1, 0] and list(e) == [(0, 0), (1, 1)]
### a match object
import re
def find(s): return re.search(r"(\d+)", s)
--- test
import re
m = find("ab12")
assert m.group(1) == "12" and m.span() == (2, 4) and isinstance(m, re.Match) and m and find("x") is None
### numbers of all kinds
from decimal import Decimal
from fractions import Fraction
def kinds(): return Decimal("1.10"), Fraction(2, 4), 1j, float("nan"), -0.0, 10 ** 30, True
--- test
import math
d, f, c, n, z, big, t = kinds()
assert str(d) == "1.10" and f.denominator == 2 and c * c == -1 and n != n and math.copysign(1, z) < 0 and big == 10 ** 30 and t is True
### dates
from datetime import date, datetime, timedelta, timezone
def times(): return date(2020, 1, 2), datetime(2020, 1, 2, 3, tzinfo=timezone.utc), timedelta(days=1)
--- test
from datetime import date
d, t, delta = times()
assert d + delta == date(2020, 1, 3) and t.tzinfo.utcoffset(None).seconds == 0 and isinstance(t, date)
### a coroutine
async def double(x): return 2 * x
--- test
import asyncio
assert asyncio.run(double(4)) == 8
### a coroutine that awaits another
async def one(): return 1
async def two(): return await one() + await one()
--- test
import asyncio
assert asyncio.run(two()) == 2
### gathers coroutines
import asyncio
async def one(x): return x
async def every(xs): return await asyncio.gather(*(one(x) for x in xs))
--- test
import asyncio
assert asyncio.run(every([1, 2])) == [1, 2]
### sleeps
import asyncio
async def late():
    await asyncio.sleep(0.001)
    return 1
--- test
import asyncio
assert asyncio.run(late()) == 1
### copies
import copy
class Doc:
    def __init__(self): self.parts = [[1]]
def make(): return Doc()
--- test
import copy
a = make()
b, c = copy.copy(a), copy.deepcopy(a)
a.parts[0].append(2)
assert b.parts == [[1, 2]] and c.parts == [[1]] and type(c) is Doc
### random with a seed
import random
def roll(): return random.randint(1, 6)
--- test
import random
random.seed(1)
a = roll()
random.seed(1)
assert roll() == a
### the clock that a test replaces
import time
def now(): return time.time()
--- test
import time
time.time = lambda: 5.0
assert now() == 5.0
### a class that a test derives from
class Base:
    def hello(self): return "hi " + self.name()
--- test
class Child(Base):
    def name(self): return "child"
assert Child().hello() == "hi child"
### an object of the test
def name_of(x): return x.name
--- test
class T:
    name = "t"
assert name_of(T()) == "t"
### helpers of the setup
def use(n): return n.v + limit
--- setup
limit = 10
class Node:
    def __init__(self, v): self.v = v
--- test
assert use(Node(1)) == 11 and limit == 10
### imports under another name
import math as m
from collections import Counter as C
def f(x): return m.floor(x)
--- test
assert f(2.5) == 2 and m.pi > 3 and C("aa")["a"] == 2
### an import in the future
from __future__ import annotations
def f(x: Undefined) -> int: return 1
--- test
assert f(1) == 1
### deep recursion
import sys
sys.setrecursionlimit(5000)
def depth(n): return 0 if n == 0 else 1 + depth(n - 1)
--- test
assert depth(3000) == 3000
### a large answer
def build(n): return list(range(n))
--- test
assert sum(build(100_000)) == 4999950000
### many small lists
def rows(n): return [[i] for i in range(n)]
--- test
r = rows(20_000)
assert len(r) == 20_000 and r[19_999] == [19_999]
### many calls
def inc(xs): xs[0] += 1
--- test
a = [0]
for _ in range(500):
    inc(a)
assert a == [500]
### text that is no UTF-8
def odd(): return "\ud800", chr(0), "\U0001f600"
--- test
assert odd() == ("\ud800", "\0", "\U0001f600") and len(odd()[0]) == 1
### an exception with odd text
def go(): raise ValueError("\ud800")
--- test
try:
    go()
except ValueError as e:
    assert e.args == ("\ud800",)
### several results, unpacked
def split(xs): return xs[0], xs[1:]
--- test
head, tail = split([1, 2, 3])
assert head == 1 and tail == [2, 3]
a, *b = split([5, 6])
assert b == [[6]]
### keyword arguments
def f(*args, sep=",", **more): return sep.join(map(str, args)) + str(sorted(more))
--- test
assert f(1, 2, sep="-", z=1) == "1-2['z']" and f(**{"a": 1}) == "['a']" and f(*[1]) == "1[]"
### a generic class
from typing import Generic, TypeVar
T = TypeVar("T")
class Box(Generic[T]):
    def __init__(self, v: T): self.v = v
--- test
assert Box[int](3).v == 3 and isinstance(Box(1), Box)
### a metaclass that registers
class Meta(type):
    known = []
    def __new__(m, n, b, d):
        c = super().__new__(m, n, b, d)
        m.known.append(n)
        return c
class A(metaclass=Meta): pass
class B(A): pass
--- test
assert Meta.known == ["A", "B"] and issubclass(B, A) and type(B()) is B
### a singleton
class One:
    _it = None
    def __new__(cls):
        if cls._it is None: cls._it = super().__new__(cls)
        return cls._it
--- test
assert One() is One()
### a descriptor
class Positive:
    def __set_name__(self, owner, name): self.name = "_" + name
    def __get__(self, obj, owner): return self if obj is None else getattr(obj, self.name)
    def __set__(self, obj, v):
        if v < 0: raise ValueError("negative")
        setattr(obj, self.name, v)
class Account:
    balance = Positive()
    def __init__(self, b): self.balance = b
--- test
a = Account(5)
a.balance = 7
assert a.balance == 7
try:
    a.balance = -1
    assert False
except ValueError as e:
    assert str(e) == "negative"
### observers
class Subject:
    def __init__(self): self._fs = []
    def on(self, f): self._fs.append(f)
    def fire(self, *a):
        for f in self._fs: f(*a)
--- test
seen = []
s = Subject()
s.on(seen.append)
s.on(lambda x: seen.append(x * 2))
s.fire(3)
assert seen == [3, 6]
### truth, length and numbers of an object
class N:
    def __init__(self, n): self.n = n
    def __bool__(self): return self.n != 0
    def __int__(self): return self.n
    def __float__(self): return float(self.n)
    def __index__(self): return self.n
    def __len__(self): return abs(self.n)
    def __round__(self, d=0): return self.n
    def __format__(self, spec): return f"<{self.n:{spec}}>"
--- test
n = N(3)
assert n and not N(0) and int(n) == 3 and float(n) == 3.0 and [0, 1, 2, 9][n] == 9 and len(n) == 3 and round(n) == 3
assert f"{n:03d}" == "<003>" and hex(n) == "0x3" and bin(N(2)) == "0b10"
'''

SAMPLES = read(_TEXT)
