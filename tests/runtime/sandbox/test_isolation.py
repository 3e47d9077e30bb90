"""What a job can see, reach and leave behind, in both isolations, and that right programs notice nothing of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from mar.errors import SandboxUnavailable
from mar.runtime.sandbox import Isolation, Limits, ProgramOutput, Sandbox, TestJob
from mar.runtime.sandbox.inside import library
from mar.runtime.sandbox.inside.kernel import landlock_version
from mar.runtime.sandbox.worker import Worker

MODES: list[Isolation] = ["namespaces", "rlimits"]
LIMITS = Limits(wall_s=5, cpu_s=5, memory_mb=128, scratch_mb=4)
HONEST = TestJob(code="def f(): return 1", tests=("assert f() == 1",))


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest, namespaces_work: bool) -> Isolation:
    if request.param == "namespaces" and not namespaces_work:
        pytest.skip("this machine forbids unprivileged namespaces")
    return request.param


def run(mode: Isolation, *programs: str, limits: Limits = LIMITS) -> list[ProgramOutput]:
    """Run programs one after the other in one worker."""

    async def main() -> list[ProgramOutput]:
        async with Sandbox(workers=1, isolation=mode, limits=limits) as sandbox:
            outputs = [await sandbox.run_program(program) for program in programs]
            assert (await sandbox.run_tests(HONEST)).passed
            return outputs

    return anyio.run(main)


RIGHT = {
    "asyncio": "import asyncio\nasyncio.run(asyncio.sleep(0.001))",
    "files": "import os, tempfile\nwith tempfile.TemporaryDirectory() as d:\n    open(d + '/f', 'w').write('x')\n"
    "    os.rename(d + '/f', d + '/g')",
    "database": "import sqlite3\nb = sqlite3.connect('b.db')\nb.execute('create table t (x)')\nb.commit()",
    "devices": "import os\nopen(os.devnull, 'w').write('x'); open('/dev/urandom', 'rb').read(4); os.devnull",
    "numbers": "import decimal, fractions, random, secrets, statistics, time\nrandom.seed(); time.sleep(0.001)\n"
    "print(decimal.Decimal(1) / 3, secrets.token_hex(4))",
    "late imports": "import calendar, concurrent.futures, csv, ctypes, encodings.cp1252, hashlib, lzma, ssl, uuid\n"
    "import xml.etree.ElementTree, zoneinfo\nzoneinfo.ZoneInfo('Europe/Berlin'); 'é'.encode('cp1252')",
    "machine": "import os, platform, resource, shutil, sys\nos.cpu_count(); resource.getrlimit(resource.RLIMIT_AS)\n"
    "platform.platform(); shutil.get_terminal_size(); sys.stdin.isatty(); os.urandom(4)",
    "signals": "import os, signal\ngot = []\nsignal.signal(signal.SIGUSR1, lambda *a: got.append(1))\n"
    "os.kill(os.getpid(), signal.SIGUSR1); signal.raise_signal(signal.SIGUSR1)\nassert got == [1, 1]",
    "pairs": "import os, selectors, socket\na, b = socket.socketpair()\na.sendall(b'x')\nassert b.recv(1) == b'x'\n"
    "r, w = os.pipe()\nos.write(w, b'y')\nassert os.read(r, 1) == b'y'",
}


def test_right_programs_run(mode: Isolation) -> None:
    outputs = run(mode, *RIGHT.values())
    assert {name: o.stderr for name, o in zip(RIGHT, outputs, strict=True) if o.outcome != "passed"} == {}


def test_threads_and_children_run_under_namespaces_and_are_refused_without(mode: Isolation) -> None:
    outputs = run(
        mode,
        "import threading\nt = threading.Thread(target=print)\nt.start()\nt.join()",
        "import multiprocessing\np = multiprocessing.Process(target=print)\np.start()\np.join()\nassert not p.exitcode",
        "import os\npid = os.fork()\nif not pid:\n    os._exit(0)\nos.waitpid(pid, 0)",
    )
    assert {output.outcome for output in outputs} == {"passed" if mode == "namespaces" else "error"}


# Each is an expression over `c` (the C library), `s` (socket), `o` (os), `r` (resource) and `f` (fcntl) that must not
# succeed: it raises, or gives -1.
REFUSED = """
s.socket()
s.socket(s.AF_INET, s.SOCK_STREAM, 262)
s.socket(s.AF_INET6, s.SOCK_DGRAM)
s.socket(s.AF_UNIX, s.SOCK_DGRAM)
s.socket(s.AF_NETLINK, s.SOCK_RAW)
s.socket(38, s.SOCK_SEQPACKET)
s.socket(40, s.SOCK_STREAM)
s.socketpair(type=s.SOCK_DGRAM)
s.socketpair()[0].connect("/run/service")
s.socketpair()[0].setsockopt(s.SOL_SOCKET, s.SO_SNDBUF, 1 << 20)
c.syscall(425, 4, bytes(120))
c.shmget(0, 4096, 0o1600)
c.semget(0, 1, 0o1600)
c.msgget(0, 0o1600)
c.inotify_init()
c.personality(0)
c.unshare(0)
c.ptrace(0, 0, 0, 0)
c.prctl(1, 0, 0, 0, 0)
c.prctl(4, 1, 0, 0, 0)
c.prctl(36, 1, 0, 0, 0)
c.vmsplice(1, 0, 0, 0)
c.sigqueue(o.getpid(), 0, None)
c.adjtimex(bytes(400))
c.klogctl(10, 0, 0)
o.memfd_create("m")
o.pidfd_open(o.getpid())
o.execv("/bin/true", ["true"])
o.setpriority(0, 0, 5)
o.sched_setaffinity(0, {0})
o.sched_setscheduler(0, o.SCHED_BATCH, o.sched_param(0))
o.chown("f", -1, -1)
o.setxattr("f", "user.x", b"")
o.mkfifo("p")
r.prlimit(o.getppid() or 2, r.RLIMIT_NOFILE)
f.fcntl(0, 8, o.getpid())
f.fcntl(0, 10, 12)
f.fcntl(o.pipe()[1], 1031, 1 << 20)
f.fcntl(o.open("f", o.O_RDONLY), 1024, 0)
f.flock(o.open("f", o.O_RDONLY), f.LOCK_SH)
f.ioctl(0, 0x5412, b"x")
"""
REFUSED_WITHOUT_NAMESPACES = """
o.chmod("f", 0o600)
o.fchmod(o.open("f", o.O_RDONLY), 0o600)
o.utime("f")
o.truncate("f", 0)
o.kill(o.getppid(), 0)
o.kill(0, 0)
o.killpg(o.getpgid(0), 0)
o.fork()
"""
_TRY = """
import ctypes, fcntl as f, os as o, resource as r, socket as s
c = ctypes.CDLL(None)
open("f", "w").close()
for line in filter(None, {lines!r}):
    try:
        if eval(line) != -1:
            print(line)
    except (OSError, OverflowError):
        pass
"""


@pytest.mark.skipif(os.uname().machine not in ("x86_64", "aarch64", "riscv64"), reason="calls are not filtered here")
def test_calls_that_reach_beyond_the_job_are_refused(mode: Isolation) -> None:
    lines = (REFUSED + (REFUSED_WITHOUT_NAMESPACES if mode == "rlimits" else "")).split("\n")
    (output,) = run(mode, _TRY.format(lines=lines))
    assert (output.outcome, output.stdout) == ("passed", ""), output


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="ways around the filter of this kind of machine")
def test_calls_in_the_manner_of_another_machine_do_not_get_past(mode: Isolation) -> None:
    # Through the gate for 32-bit programs `mov eax, 20; int 0x80; ret` (getpid); and socket in the numbers of x32.
    old = (
        "import ctypes, mmap\npage = mmap.mmap(-1, 4096, prot=7)\npage.write(bytes.fromhex('b814000000cd80c3'))\n"
        "place = ctypes.addressof(ctypes.c_char.from_buffer(page))\nctypes.CFUNCTYPE(ctypes.c_int)(place)()"
    )
    other = "import ctypes\nassert ctypes.CDLL(None).syscall(0x40000029, 2, 1, 0) == -1"
    assert [output.outcome for output in run(mode, old, other)] == ["crashed", "passed"]


def test_what_was_installed_beside_the_standard_library_cannot_be_read(mode: Isolation) -> None:
    if mode == "rlimits" and landlock_version() == 0:
        pytest.skip("without Landlock whatever the user may read can be read")
    beside = Path(os.__file__).parent / "site-packages"
    installed = next((path for path in beside.rglob("*") if path.is_file() and path.stat().st_size), None)
    if installed is None:
        pytest.skip("nothing is installed beside the standard library")
    look = (
        f"import os\ntop = os.path.dirname(os.__file__)\n"
        f"for path in ({str(installed)!r}, top + '/site-packages/{installed.relative_to(beside)}'):\n"
        f"    try:\n        print(len(open(path, 'rb').read()))\n    except OSError:\n        pass\n"
        f"try:\n    print(os.listdir(top + '/site-packages'))\nexcept OSError:\n    pass"
    )
    (output,) = run(mode, look)
    assert (output.outcome, output.stdout) == ("passed", "")


def test_the_library_is_a_list_of_standard_modules_and_of_what_they_load() -> None:
    text = (
        f"import sys; sys.path.insert(0, {str(Path(library.__file__).parents[1])!r})\n"
        "from inside import library\nimport json\nfound = library.survey()\n"
        "print(json.dumps([sorted(found.modules), found.folders, found.paths]))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", text], check=True, capture_output=True)
    modules, folders, paths = json.loads(done.stdout)
    settings = {name for name in modules if name.startswith("_sysconfigdata_")}
    assert {"json", "asyncio", "this"} <= set(modules) <= {*sys.stdlib_module_names, *settings}
    assert not {*folders, "/lib", "/usr/lib"} & set(paths)
    assert not [path for path in paths if "-packages" in path]


def test_memory_in_files_without_a_name_does_not_get_past_the_limit(mode: Isolation) -> None:
    hoard = (
        "import os\nheld = 0\ntry:\n    for _ in range(20):\n        fd = os.memfd_create('m')\n"
        "        held += os.write(fd, bytes(4 << 20))\nexcept OSError:\n    pass\nprint(held)"
    )
    (output,) = run(mode, hoard)
    assert output.stdout == "0\n"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of calls of this kind of machine")
def test_keys_do_not_go_from_job_to_job(mode: Isolation) -> None:
    put = "import ctypes\nprint([ctypes.CDLL(None).syscall(248, b'user', b'mar', b'x', 1, n) for n in (-3, -4, -5)])"
    find = (
        "import ctypes\nprint([ctypes.CDLL(None).syscall(250, 10, ring, b'user', b'mar', 0) for ring in (-3, -4, -5)])"
    )
    assert [output.stdout for output in run(mode, put, find)] == ["[-1, -1, -1]\n"] * 2


@pytest.mark.parametrize(
    "fill",
    [
        "for n in range(10**6): open(f'f{n}', 'w').close()",
        "import os\nfor n in range(10**6): os.mkdir(f'f{n}')",
        "import os\nfor n in range(10**6): os.mkdir('d'); os.chdir('d')",
        "for n in range(10**6): open(f'f{n}', 'wb').write(bytes(1 << 20))",
    ],
    ids=["files", "folders", "depth", "bytes"],
)
def test_scratch_that_was_filled_ends_the_job_and_is_cleared_away(fill: str) -> None:
    (output,) = run("rlimits", fill)
    assert output.outcome == "crashed"
    assert output.wall_s < 4


def test_a_job_that_ends_by_a_signal_without_a_name_is_crashed() -> None:
    # SIGRTMIN + 6; of the real-time signals only the first and the last have names.
    async def main() -> str:
        async with Sandbox(workers=1, isolation="rlimits") as sandbox:
            job = TestJob(code="import os\ndef f():\n    os.kill(os.getpid(), 40)", tests=("assert f() == 1",))
            return (await sandbox.run_tests(job)).results[0].detail

    assert anyio.run(main) == "the process was ended by signal 40"


def test_a_fall_back_is_said_with_its_reason(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    start = Worker.start

    async def without_namespaces(isolation: Isolation) -> Worker:
        if isolation == "namespaces":
            raise SandboxUnavailable("no namespaces on this machine: forbidden by a test")
        return await start(isolation)

    monkeypatch.setattr(Worker, "start", without_namespaces)

    async def main() -> None:
        async with Sandbox(workers=1) as sandbox:
            report = await sandbox.run_tests(HONEST)
            output = await sandbox.run_program("print(1)")
            for fence in (sandbox.fence, report.fence, output.fence):
                assert fence.isolation == "rlimits"
                assert fence.instead == "no namespaces on this machine: forbidden by a test"
                assert any("scratch" in gap for gap in fence.gaps)

    anyio.run(main)
    assert "weaker fence: rlimits, since there is no namespaces on this machine: forbidden by a test" in caplog.text


def test_namespaces_leave_nothing_open_that_is_known() -> None:
    async def main() -> None:
        async with Sandbox(workers=1, isolation="namespaces") as sandbox:
            assert (sandbox.fence.gaps, sandbox.fence.instead, str(sandbox.fence)) == ((), "", "namespaces")

    try:
        anyio.run(main)
    except SandboxUnavailable as error:
        pytest.skip(str(error))


def test_a_library_below_the_temporary_folder_is_shown_under_namespaces(tmp_path: Path, namespaces_work: bool) -> None:
    if not namespaces_work or not str(tmp_path).startswith("/tmp/"):
        pytest.skip("needs namespaces and a temporary folder below /tmp")
    (tmp_path / "module.py").write_text("shown")
    os.chmod(tmp_path, 0o755)
    text = (
        f"import sys; sys.path.insert(0, {str(Path(library.__file__).parents[1])!r})\n"
        f"from inside import namespaces\nnamespaces.enter()\nnamespaces.build_root([{str(tmp_path / 'module.py')!r}])\n"
        f"assert open({str(tmp_path / 'module.py')!r}).read() == 'shown'"
    )
    subprocess.run([sys.executable, "-I", "-S", "-c", text], check=True)
