"""Runs generated code, and judges it where it cannot reach.

**The threat.** A candidate is a program text from a model. It may be wrong, endless or greedy; after enough
reinforcement it is also whatever raises the reward: a program that ends with status 0 before the first test, an object
that equals everything, a patched `isinstance`, a stack walk that finds the expected value. It is treated as hostile
code. Tests are not: they come from a benchmark or from the user, and run in a process with the same fences only as an
extra layer.

**Why the judge is a process of its own.** Whatever evaluates `assert f(2) == 5` in the candidate's own process can be
changed by the candidate, down to the interpreter's memory. So three processes take part in a job:

* The *template* is a small warm interpreter, started once per worker, that forks the other two. It never reads tests
  or verdicts, which travel as open files between mar and the judge. So nothing in the memory that candidates inherit
  from it tells what the tests of this or an earlier job are.
* The *candidate's process* loads the code and answers requests: call this, get that attribute.
* The *judge* evaluates the tests, with the names that the candidate defines bound to stand-ins. Plain values cross by
  copy over a tagged codec (`inside.codec`); lists and other containers that can change are kept alike on both sides
  (`inside.shared`); everything else goes by handle (`inside.proxy`, which states the rules that keep comparisons
  sound). A judge serves the next job as well, but only if the tests were nothing but assertions over the candidate's
  names and pure builtins, so that nothing can have changed in it.

All that the candidate can send is a value or an exception, and a forged reply is worth no more than the same value
returned. If it ends, closes the channel or sends nonsense, the test is `crashed`. Values that the codec does not carry
and comparisons that only the candidate's own code could decide make a test `unsupported`; that verdict sticks even if
the test swallows the exception. The names of builtins and standard modules keep their meaning in tests, unless they are
entry points or a test is about nothing else (`inside.names`). The test sees what a function does to its arguments, what
it prints, its globals as they are at each use, and its classes and exceptions as classes; a function or iterator that a
test passes can be called back, and nothing else can be asked of it. What a candidate's code could use to leave out a
part of the test (a `StopIteration` out of a call, an `__exit__` that swallows) makes it `unsupported`, and so does a
failure that may be due to the two processes (a test that seeds `random` or replaces `sys.stdin` does so for itself).

**What is defended.** `Sandbox.fence` says which of two fences is in force and what it does not hold here; so does
every report. A fence that is not the stronger one, which was tried first, says why.

`namespaces` (unprivileged user namespaces, Linux 5.10 or later): new user, pid, mount, net, ipc and uts namespaces. The
root is an empty read-only tmpfs with the standard library, the shared objects it loads and a size-limited scratch
directory that goes with the job; no /proc, no network interface that is up, no capability, no way to further user
namespaces. The candidate is the first process of its pid namespace, so all its descendants die with it (and signals
with a default action, sent by itself, do not end it). Started by root, jobs run as nobody.

`rlimits` (a container or system that forbids namespaces): a user id of its own per worker if mar runs as root, and
Landlock where the kernel has it: reads only of the standard library and what it loads, writes only in scratch. The
candidate may make no process and no thread, since a descendant could outlive the job, and may not change the mode or
times of a file, since that would reach beyond scratch. *Not held in this mode:* whether
a file exists, how large and how old it is; scratch is not bounded but watched, a hundred times a second, and a job that
has filled it is ended. *Without Landlock*, also: reading and writing whatever the user may (started by root: whatever
anybody may). Do not run untrusted code like that on a machine that matters.

In both: only listed system calls can be made (`inside.syscalls` says what the list leaves out, and why), on x86-64,
aarch64 and riscv64 with a kernel that takes filters; elsewhere the fence says that it lacks this. What is shown of
Python is a list as well (`inside.library`), so nothing that was installed beside it can be read. Address space,
processor time, file size, descriptors, core dumps and locked memory are limited; the environment is empty; all
inherited descriptors are closed; output is capped; the template keeps the clock on the wall, in real time whatever the
caller's clock is, and kills. Memory is bounded per process: under namespaces a candidate can take `processes` (and two
more) times `memory_mb` for the length of `wall_s`.

*Not defended at all:* flaws of the kernel, timing side channels, and a candidate that answers from memory because the
tests are in its training data.
"""

from mar.runtime.sandbox.records import (
    Fence,
    Isolation,
    Limits,
    Outcome,
    ProgramOutput,
    TestJob,
    TestReport,
    TestResult,
)
from mar.runtime.sandbox.sandbox import Sandbox

__all__ = [
    "Fence",
    "Isolation",
    "Limits",
    "Outcome",
    "ProgramOutput",
    "Sandbox",
    "TestJob",
    "TestReport",
    "TestResult",
]
