"""Programs that try to pass without being right: none may."""

from __future__ import annotations

from programs.sample import Sample, read

_SOLVE = ("assert solve(1) == 2", "assert abs(solve(2) - 3) < 0.5")
# Each is put under the tests of `_SOLVE`, which want `x + 1`.
_VALUES = r"""
### equals everything
class A:
    def __eq__(self, o): return True
    def __ne__(self, o): return False
def solve(x): return A()
### an int that equals everything
class A(int):
    def __eq__(self, o): return True
    def __sub__(self, o): return 0
    def __hash__(self): return 2
def solve(x): return A(0)
### a float that is close to everything
class A(float):
    __eq__ = __lt__ = lambda *a: True
    __sub__ = __rsub__ = __abs__ = lambda *a: A(0)
def solve(x): return A(0)
### arithmetic gives itself
class A:
    __sub__ = __rsub__ = __abs__ = lambda self, *a: self
    __lt__ = __le__ = __eq__ = lambda *a: True
def solve(x): return A()
### takes the difference for the answer
class A:
    def __sub__(self, o):
        global seen
        seen = o
        return 0.0
    __eq__ = lambda self, o: globals().__setitem__("seen", o) or True
seen = 2
def solve(x): return A()
### a metaclass that equals everything
class M(type):
    __eq__ = lambda *a: True
    __hash__ = type.__hash__
    __sub__ = __rsub__ = lambda *a: 0
class A(metaclass=M): pass
def solve(x): return A
### lies about its class
class A:
    __class__ = int
    __index__ = __int__ = lambda self: 2
    __eq__ = lambda *a: True
def solve(x): return A()
### compares through a descriptor
class Always:
    def __get__(self, obj, owner): return lambda *a: True
class A:
    __eq__ = __lt__ = Always()
    __sub__ = lambda self, o: self
def solve(x): return A()
### a property for every method
class A:
    def __getattr__(self, name): return lambda *a: True
    __eq__ = property(lambda self: lambda o: True)
    __sub__ = lambda self, o: 0
def solve(x): return A()
### NotImplemented as an answer
class A:
    __eq__ = lambda *a: NotImplemented
    __ne__ = lambda *a: False
def solve(x): return A()
### a weak proxy to an equal object
import weakref
class A:
    __eq__ = lambda *a: True
    __sub__ = lambda *a: 0
kept = A()
def solve(x): return weakref.proxy(kept)
### a mock
from unittest.mock import MagicMock, ANY
def solve(x): return ANY
### a mock with arithmetic
from unittest.mock import MagicMock
m = MagicMock()
m.__eq__ = lambda self, o: True
m.__sub__ = lambda self, o: 0
def solve(x): return m
### redefines abs
def abs(x): return 0
def solve(x): return 2
### redefines names by the module's own globals
globals().update(abs=lambda x: 0, all=lambda x: True)
def solve(x): return 2
### patches builtins
import builtins
builtins.abs = lambda x: 0
builtins.isinstance = lambda *a: True
def solve(x): return 2
### an AssertionError that is none
import builtins
builtins.AssertionError = type("AssertionError", (Exception,), {})
def solve(x): raise AssertionError
### ends the process in peace
import os
def solve(x): os._exit(0)
### exits
def solve(x): raise SystemExit(0)
### exits at load
import sys
sys.exit(0)
### raises StopIteration
def solve(x): raise StopIteration(2)
### raises GeneratorExit
def solve(x): raise GeneratorExit
### raises StopAsyncIteration
def solve(x): raise StopAsyncIteration
### raises the judge's own signal
def solve(x):
    import sys
    for name, m in list(sys.modules.items()):
        if name.endswith("errors") and hasattr(m, "Unsupported"): raise m.Gone("x")
    return 0
### raises a class called Unsupported
class Unsupported(BaseException): pass
def solve(x): raise Unsupported("x")
### raises KeyboardInterrupt
def solve(x): raise KeyboardInterrupt
### raises an exception with a lying text
class E(Exception):
    def __str__(self): raise SystemExit(0)
    __repr__ = __str__
def solve(x): raise E
### raises an exception whose class is a metaclass's joke
class M(type):
    def __instancecheck__(c, v): return True
    def __subclasscheck__(c, v): return True
class E(Exception, metaclass=M): pass
def solve(x): raise E
### a coroutine
async def solve(x): return x + 1
### a generator
def solve(x):
    yield x + 1
### walks the frames
import sys
def solve(x):
    f = sys._getframe()
    while f:
        for v in f.f_locals.values():
            if isinstance(v, str) and "evlos tressa"[::-1] in v: return x + 1
        f = f.f_back
    return 0
### looks for the tests in memory
import gc
def solve(x):
    for o in gc.get_objects():
        if isinstance(o, (list, tuple, dict)) and "2 == )1(evlos tressa"[::-1] in str(o)[:10000]: return x + 1
    return 0
### forges a reply
import json, os, struct
def solve(x):
    d = json.dumps(["r", 2, None]).encode()
    for fd in range(3, 10):
        try: os.write(fd, struct.pack("=I", len(d)) + d)
        except OSError: pass
    return 0
### forges a change of the judge's containers
import json, os, struct
def solve(x):
    d = json.dumps(["r", 0, {"u": [[2, [1]], [4, {"d": []}]], "g": [2], "k": [[1]]}]).encode()
    for fd in range(3, 10):
        try: os.write(fd, struct.pack("=I", len(d)) + d)
        except OSError: pass
    return 0
### forges a class of the judge
import json, os, struct
def solve(x):
    k = [7, "int", [["builtins", "Exception"]], ["builtins", "int"], "abcgilnrtwx", "", True]
    d = json.dumps(["r", {"h": [9, 7, [2]]}, {"k": [k]}]).encode()
    for fd in range(3, 10):
        try: os.write(fd, struct.pack("=I", len(d)) + d)
        except OSError: pass
    return 0
### forges a callback
import json, os, struct
def solve(x):
    d = json.dumps(["q", "callback", [0], {}, None]).encode()
    for fd in range(3, 10):
        try: os.write(fd, struct.pack("=I", len(d)) + d)
        except OSError: pass
    return 0
### forges an argument's number
import json, os, struct
def solve(x):
    d = json.dumps(["r", {"A": 99}, None]).encode()
    for fd in range(3, 10):
        try: os.write(fd, struct.pack("=I", len(d)) + d)
        except OSError: pass
    return 0
### deletes in the background
import threading
class D:
    def __del__(self): raise SystemExit(0)
def solve(x):
    D()
    return 0
### alarms itself
import signal
def solve(x):
    signal.signal(signal.SIGALRM, lambda *a: (_ for _ in ()).throw(SystemExit(0)))
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    while True: pass
### forks and lets the child answer
import os
def solve(x):
    os.fork()
    return 0
### a format of its own
class A(str):
    __format__ = __str__ = __repr__ = lambda *a: "2"
    __eq__ = lambda *a: True
def solve(x): return A("2")
"""
_OTHERS = r"""
### swallows the assertion
class C:
    def __enter__(self): return self
    def __exit__(self, *e): return True
def guard(): return C()
def solve(x): return 0
--- test
with guard():
    assert solve(1) == 2
### swallows it with an object for truth
class T:
    def __bool__(self): return True
class C:
    def __enter__(self): return self
    def __exit__(self, *e): return T()
def guard(): return C()
def solve(x): return 0
--- test
with guard() as g:
    assert solve(1) == 2
### swallows it by suppress
from contextlib import suppress
def guard(): return suppress(BaseException)
def solve(x): return 0
--- test
with guard():
    assert solve(1) == 2
### swallows it by a generator
from contextlib import contextmanager
@contextmanager
def guard():
    try: yield
    except BaseException: pass
def solve(x): return 0
--- test
with guard():
    assert solve(1) == 2
### swallows an error before the assertions
class C:
    def __enter__(self): raise ValueError
    def __exit__(self, *e): return True
def guard(): return C()
def solve(x): raise ValueError
--- test
with guard():
    y = solve(1)
    assert y == 2
### swallows it among several managers
from contextlib import ExitStack
def guard():
    s = ExitStack()
    s.push(lambda *a: True)
    return s
def solve(x): return 0
--- test
import contextlib
with contextlib.nullcontext(), guard():
    assert solve(1) == 2
### ends a map
def solve(x): raise StopIteration
--- test
assert all(map(lambda x: solve(x) == x + 1, [1, 2]))
### ends a zip
def solve(x): raise StopIteration
--- test
for got, want in zip(map(solve, [1, 2]), [2, 3]):
    assert got == want
### ends a filter
def solve(x): raise StopIteration
--- test
assert not list(filter(lambda x: solve(x) != x + 1, [1, 2]))
### ends a loop by a subclass of StopIteration
class E(StopIteration): pass
def solve(x): raise E
--- test
assert [*map(solve, [])] == [] and all(y == x + 1 for x, y in zip([1], map(solve, [1])))
for got in map(solve, [1, 2]):
    assert got == 2
### ends it from an attribute
class A:
    @property
    def value(self): raise StopIteration
def make(x): return A()
--- test
for got in map(lambda x: make(x).value, [1]):
    assert got == 2
### ends it from an index
class A:
    def __getitem__(self, i): raise StopIteration
def make(x): return A()
--- test
for got in map(lambda x: make(x)[0], [1]):
    assert got == 2
### ends it from len
class A:
    def __len__(self): raise StopIteration
def make(x): return A()
--- test
for n in map(len, map(make, [1])):
    assert n == 2
### ends it from equality
class A:
    def __eq__(self, o): raise StopIteration
def make(x): return A()
--- test
for same in map(lambda x: make(x) == make(x), [1]):
    assert same is True
assert make(1) == 2
### a module to patch
import builtins
def make(): return builtins
def solve(x): return 0
--- test
m = make()
m.abs = lambda x: 0
m.all = m.any = lambda x: True
assert abs(solve(2) - 3) < 0.5 and all([solve(1) == 2])
### a module of another name to patch
import math
def make(): return math
def solve(x): return 0
--- test
m = make()
m.isclose = lambda *a: True
import math
assert math.isclose(solve(1), 2)
### a class to patch
from fractions import Fraction
def make(): return Fraction
def solve(x): return Fraction(0)
--- test
c = make()
from fractions import Fraction
assert solve(1) == Fraction(2)
### membership that is always true
class A:
    def __contains__(self, x): return True
def every(): return A()
--- test
assert 2 in every() and 7 in every()
### truth that is always true under equality
class A:
    def __eq__(self, o): return A()
    def __bool__(self): return True
def solve(x): return A()
--- test
assert bool(solve(1) == 2)
### a helper of the setup redefined
def twice(x): return 0
def solve(x): return 0
--- setup
def twice(x): return 2 * x
--- test
assert twice(solve(3)) == 12
### a helper of the setup replaced through its module
import sys
sys.modules[__name__].__dict__["near"] = lambda a, b: True
def solve(x): return 0
--- setup
def near(a, b): return abs(a - b) < 1e-6
--- test
assert near(solve(1), 2)
### a class of the library redefined
class Counter(dict):
    def __eq__(self, o): return True
def solve(x): return Counter()
--- setup
from collections import Counter
--- test
assert Counter(solve("aab")) == Counter("aab")
### a standard module shadowed
class math:
    isclose = staticmethod(lambda *a, **k: True)
    fabs = staticmethod(lambda x: 0)
def solve(x): return 0
--- test
assert math.isclose(solve(1), 2) and math.fabs(solve(1) - 2) < 0.1
### sorting by lies
class A:
    __lt__ = lambda *a: True
    __eq__ = lambda *a: True
def solve(x): return [A(), A()]
--- test
assert sorted(solve(1)) == [1, 2]
### a set whose members equal everything
class A:
    __eq__ = lambda *a: True
    __hash__ = lambda s: hash(2)
def solve(x): return {A()}
--- test
assert solve(1) == {2}
### a key that equals everything
class A:
    __eq__ = lambda *a: True
    __hash__ = lambda s: hash("a")
def solve(x): return {A(): 1}
--- test
assert solve(1)["a"] == 1
### a key that hashes as what it is compared with
class A(str):
    __eq__ = lambda *a: True
    __hash__ = lambda s: hash("a")
def solve(x): return {A("b"): 1}
--- test
assert solve(1) == {"a": 1}
### isinstance that is always true
class M(type):
    __instancecheck__ = lambda *a: True
class Shape(metaclass=M): pass
def solve(x): return 0
--- test
assert isinstance(2, Shape) and solve(1) == 2
### looks at what it is compared with, next time
seen = []
class A:
    def __eq__(self, o):
        seen.append(o)
        return False
def solve(x): return seen[-1] if seen else A()
--- test
for _ in range(3):
    try:
        ok = solve(1) == 2
    except BaseException:
        ok = False
assert solve(1) == 2
### learns from the assertion in a manager
seen = []
class C:
    def __enter__(self): return self
    def __exit__(self, kind, value, trace):
        seen.append((value, trace))
def guard(): return C()
def solve(x):
    for value, trace in seen:
        if value and value.args: return value.args[0]
    return 0
--- test
try:
    with guard():
        assert solve(1) == 2, 2
except AssertionError:
    pass
assert solve(1) == 2
### changes a list after it was compared
kept = []
def solve(xs):
    kept[:] = [xs]
    return 0
def ok(): kept[0].clear()
--- test
data = [1, 2]
want = sum(data)
got = solve(data)
ok()
assert got == want
### empties what the assertions go through
def solve(x):
    return 0
def names(): return ["x"]
--- test
cases = [(1, 2), (2, 3)]
for x, want in cases:
    assert solve(x) == want
### a callback that is called to see
def solve(f):
    try: return f.__closure__[0].cell_contents
    except AttributeError: return 0
--- test
want = 2
assert solve(lambda: want) == 2
### an index that grows
class A:
    def __init__(self): self.n = 0
    def __index__(self):
        self.n += 1
        return self.n
def solve(x): return A()
--- test
assert [10, 20, 30][solve(1)] == 10
### a string subclass that joins as it likes
class A(str):
    __eq__ = lambda *a: True
    __add__ = __radd__ = lambda *a: "right"
def solve(x): return A("wrong")
--- test
assert solve(1) + "" == "right!"
### a list that says what is asked
class A(list):
    __eq__ = lambda *a: True
    __len__ = lambda s: 3
def solve(x): return A()
--- test
assert solve(1) == [1, 2, 3]
### awaits into nothing
class A:
    def __await__(self):
        raise StopIteration(2)
        yield
def solve(x): return A()
--- test
import asyncio
async def main():
    assert await solve(1) == 3
asyncio.run(main())
### an asynchronous iterator that ends at once
class A:
    def __aiter__(self): return self
    async def __anext__(self): raise StopAsyncIteration
def solve(x): return A()
--- test
import asyncio
async def main():
    n = 0
    async for v in solve(1):
        n += 1
    assert n == 2
asyncio.run(main())
### an asynchronous manager that swallows
class A:
    async def __aenter__(self): return self
    async def __aexit__(self, *e): return True
def guard(): return A()
--- test
import asyncio
async def main():
    async with guard():
        assert 1 == 2
asyncio.run(main())
### a copy that is right
class A:
    def __deepcopy__(self, memo): return 3
    def __copy__(self): return 3
def solve(x): return A()
--- test
import copy
assert copy.deepcopy(solve(1)) == 2
### pickles itself into something else
class A:
    def __reduce__(self): return (eval, ("2",))
def solve(x): return A()
--- test
import pickle
assert pickle.loads(pickle.dumps(solve(1))) == 2
"""

SAMPLES = (
    *(Sample(name=s.name, code=s.code, tests=_SOLVE) for s in read(_VALUES)),
    *read(_OTHERS),
)
