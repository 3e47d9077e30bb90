"""What hostile programs are let loose on, and how it is seen from outside what they did to it."""

from __future__ import annotations

import contextlib
import os
import pty
import secrets
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import mar.runtime.sandbox

_VICTIM = """
import ctypes, os, sys, time
text = ctypes.create_string_buffer(os.environ["SECRET"].encode())
kept = os.open(sys.argv[1], os.O_RDONLY)
print(ctypes.addressof(text), flush=True)
while True:
    time.sleep(60)
"""
_SANDBOX = Path(mar.runtime.sandbox.__file__).parent
_MAR = _SANDBOX.parents[1]
_PLACES = ("/tmp", "/var/tmp", "/dev/shm", tempfile.gettempdir())
_MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The most that was seen while a program ran, in MiB."""

    memory: float
    scratch: float


class Victim:
    """A process of the same user that minds its own business."""

    def __init__(self, secret: str, file: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", _VICTIM, str(file), secret],
            env={"SECRET": secret},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout
        self.address = int(self.process.stdout.readline())
        self.before = self.state()

    def state(self) -> str:
        """Everything about it that others might change."""
        own = Path(f"/proc/{self.process.pid}")
        if self.process.poll() is not None:
            return "ended"
        fields = (own / "stat").read_text().rpartition(")")[2].split()
        allowed = [
            line for line in (own / "status").read_text().splitlines() if line.startswith(("Cpus_allowed:", "Tra"))
        ]
        with open(own / "mem", "rb", 0) as memory:
            memory.seek(self.address)
            text = memory.read(8)
        steady = [fields[0].replace("R", "S"), fields[15], fields[16], *fields[38:39], *allowed, text.hex()]
        return " ".join([*steady, (own / "limits").read_text(), (own / "oom_score_adj").read_text()])


class World:
    """Files, sockets, a terminal and a process, each with something secret or something to change.

    Args:
        folder: Where the files are made; everybody may enter it.
    """

    def __init__(self, folder: Path) -> None:
        self.secret = f"secret-{secrets.token_hex(8)}"
        self.folder = folder
        self.answers = _MAR / "tasks" / "samples" / "mbpp.jsonl"
        self.module = Path(sysconfig.get_path("stdlib")) / "this.py"
        self._size = 10_000 + secrets.randbelow(80_000)
        self._make_files()
        self.victim = Victim(self.secret, folder / "secret")
        self._listeners = self._listen()
        self._master, self._terminal = pty.openpty()
        self._sent = b""
        for fd in (self._master, self._terminal):
            os.set_blocking(fd, False)
        self._files = self.files()

    def _make_files(self) -> None:
        os.chmod(self.folder, 0o755)
        texts = {"secret": self.secret, "moved": self.secret, "file": "kept", "open": "kept", "sized": "x" * self._size}
        for name, text in texts.items():
            (self.folder / name).write_text(text)
        os.chmod(self.folder / "open", 0o666)
        with contextlib.closing(sqlite3.connect(self.folder / "base.db")) as base, base:
            base.execute("CREATE TABLE secrets (text)")
            base.execute("INSERT INTO secrets VALUES (?)", (self.secret,))
        self.other = Path(tempfile.mkdtemp(prefix="mar-sandbox-"))
        os.chmod(self.other, 0o755)
        (self.other / "job").mkdir()
        (self.other / "job" / "note").write_text(self.secret)

    def _listen(self) -> dict[str, socket.socket]:
        made = {
            "TCP": _bound(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            "TCP6": _bound(socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0)),
            "UDP": _bound(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            "UDP6": _bound(socket.AF_INET6, socket.SOCK_DGRAM, ("::1", 0)),
            "UNIX": _bound(socket.AF_UNIX, socket.SOCK_STREAM, str(self.folder / "stream")),
            "PACKETS": _bound(socket.AF_UNIX, socket.SOCK_SEQPACKET, str(self.folder / "packets")),
            "DATAGRAMS": _bound(socket.AF_UNIX, socket.SOCK_DGRAM, str(self.folder / "datagrams")),
            "ABSTRACT": _bound(socket.AF_UNIX, socket.SOCK_STREAM, f"\0{self.secret[::-1]}"),
        }
        for name in ("stream", "packets", "datagrams"):
            os.chmod(self.folder / name, 0o777)
        return made

    def names(self, token: str) -> dict[str, str]:
        """What the programs' placeholders stand for."""
        ports = {name: str(s.getsockname()[1]) for name, s in self._listeners.items() if s.family != socket.AF_UNIX}
        return ports | {
            "UNIX": str(self.folder / "stream"),
            "PACKETS": str(self.folder / "packets"),
            "DATAGRAMS": str(self.folder / "datagrams"),
            "ABSTRACT": self.secret[::-1],
            "ANSWERS": str(self.answers),
            "SAMPLE": self.answers.name,
            "SITE": str(_MAR.parent),
            "MODULE": str(self.module),
            "SECRET": str(self.folder / "secret"),
            "SIZED": str(self.folder / "sized"),
            "DATABASE": str(self.folder / "base.db"),
            "FILE": str(self.folder / "file"),
            "OPEN": str(self.folder / "open"),
            "FOLDER": str(self.folder),
            "VICTIM": str(self.victim.process.pid),
            "ADDRESS": str(self.victim.address),
            "TTY": os.ttyname(self._terminal),
            "UID": str(os.getuid()),
            "TMP": tempfile.gettempdir(),
            "TOKEN": token,
        }

    def told(self, text: str) -> str:
        """What a program's output gives away; empty if nothing."""
        first_answer = self.answers.read_text().partition('"code": ')[2][:40]
        known = {
            "a secret": self.secret,
            "the bundled answers": first_answer,
            "the system's users": "root:x:0:0:",
            "a file's size": f"SIZE {self._size}",
        }
        return ", ".join(name for name, sign in known.items() if sign in text)

    def files(self) -> dict[str, str]:
        """Names, modes, owners, sizes, times, attributes and texts of all files that a program may be after."""
        found: dict[str, str] = {}
        for path in [*self.folder.rglob("*"), *self.other.rglob("*"), self.folder, self.module]:
            how = path.lstat()
            text = path.read_text(errors="replace") if stat.S_ISREG(how.st_mode) else ""
            fields = [how.st_mode, how.st_uid, how.st_gid, how.st_nlink, os.listxattr(path, follow_symlinks=False)]
            if not stat.S_ISDIR(how.st_mode):
                fields += [how.st_size, how.st_mtime_ns, hash(text)]
            found[str(path)] = repr(fields)
        for folder in (_MAR.parent, self.module.parent, self.module.parent / "__pycache__"):
            found[str(folder)] = repr(sorted(entry for entry in os.listdir(folder) if "planted" in entry))
        return found

    def damage(self, token: str) -> list[str]:
        """What has changed since the last look. Puts the victim in order again."""
        found = [f"{name} was reached" for name, listener in self._listeners.items() if _was_reached(listener)]
        state = self.victim.state()
        if state != self.victim.before:
            found.append("the victim was changed" if state != "ended" else "the victim was ended")
            self.victim.process.kill()
            self.victim = Victim(self.secret, self.folder / "secret")
        files = self.files()
        changed = sorted(path for path in {*files, *self._files} if files.get(path) != self._files.get(path))
        found += [f"{path} was changed" for path in changed[:3]]
        self._files = files
        for fd in (self._master, self._terminal):
            with contextlib.suppress(BlockingIOError):
                os.read(fd, 4096)
                found.append("the terminal was used")
        for place in set(_PLACES):
            left = [
                name for name in os.listdir(place) if name.startswith("hostile-") and (token in name or "note" in name)
            ]
            found += [f"{place}/{name} was left behind" for name in left]
            for name in left:
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(place, name))
        return found

    def close(self) -> None:
        """Take everything away again."""
        self.victim.process.kill()
        self.victim.process.wait()
        for listener in self._listeners.values():
            listener.close()
        os.close(self._master)
        os.close(self._terminal)
        shutil.rmtree(self.other, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def scratch_folders(self) -> list[Path]:
        """Folders of the sandbox under test, without namespaces."""
        return [
            path for path in Path(tempfile.gettempdir()).glob("mar-sandbox-*") if path != self.other and _mine(path)
        ]


def _mine(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return path.stat().st_uid == os.getuid()
    return False


def _bound(family: int, kind: int, address: tuple[str, int] | str) -> socket.socket:
    listener = socket.socket(family, kind)
    listener.bind(address)
    listener.setblocking(False)
    if kind != socket.SOCK_DGRAM:
        listener.listen()
    return listener


def _was_reached(listener: socket.socket) -> bool:
    reached = False
    with contextlib.suppress(BlockingIOError):
        while True:
            if listener.type == socket.SOCK_DGRAM:
                listener.recv(4096)
            else:
                listener.accept()[0].close()
            reached = True
    return reached


def sandbox_processes() -> set[int]:
    """Ids of all processes that come from a template of this installation, whoever their parent is now."""
    found: set[int] = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                line = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
                if str(_SANDBOX).encode() in line:
                    found.add(int(entry))
    return found


@contextlib.contextmanager
def peak_of(folders: Callable[[], list[Path]]) -> Generator[list[Peak]]:
    """Watch what the sandbox's processes take; the list holds the peak once the context has ended."""
    peaks: list[Peak] = []
    over = threading.Event()
    shared_before = _shared_mib()
    most = {"memory": 0.0, "scratch": 0.0}

    def watch() -> None:
        while not over.wait(0.03):
            own = sum(_private_mib(pid) for pid in sandbox_processes())
            most["memory"] = max(most["memory"], own + max(0.0, _shared_mib() - shared_before))
            most["scratch"] = max(most["scratch"], sum(_size_mib(folder) for folder in folders()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peaks
    finally:
        over.set()
        watcher.join()
        peaks.append(Peak(**most))


def _private_mib(pid: int) -> float:
    with contextlib.suppress(OSError, ValueError):
        resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
        return (int(resident) - int(shared)) * 4096 / _MEBIBYTE
    return 0.0


def _shared_mib() -> float:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("Shmem:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _size_mib(folder: Path) -> float:
    size = 0
    with contextlib.suppress(OSError):
        for path in folder.glob("*/*"):
            with contextlib.suppress(OSError):
                size += path.lstat().st_blocks * 512
    return size / _MEBIBYTE


def wait_until(done: Callable[[], bool], at_most_s: float) -> bool:
    """Whether it became so in time."""
    end = time.monotonic() + at_most_s
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
