"""One warm template process, seen from mar."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel

from mar.errors import SandboxUnavailable
from mar.runtime.sandbox.inside.files import remove_tree
from mar.runtime.sandbox.records import Fence, Isolation

_HOME = str(Path(__file__).parent)
# Our own modules are compiled once and for all; what jobs import is not written anywhere.
_BOOT = (
    "import sys; home = sys.argv[1]; sys.path.insert(0, home); from inside import template; sys.path.remove(home); "
    "sys.dont_write_bytecode = True; template.main(int(sys.argv[2]), sys.argv[3], sys.argv[4])"
)
_MAX_REPLY = 65_536


class WorkerLost(Exception):
    """The template ended in the middle of a job."""


class Worker:
    """A template process and the socket to it. One exchange at a time."""

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket, scratch: str) -> None:
        self._process = process
        self._channel = channel
        self._scratch = scratch
        self.fence = Fence(isolation="rlimits")

    @classmethod
    async def start(cls, isolation: Isolation) -> Worker:
        """Start a template and wait until it is warm.

        Raises:
            SandboxUnavailable: It cannot work with this isolation on this machine; the message says why.
        """
        if sys.platform != "linux":
            raise SandboxUnavailable(f"the sandbox needs Linux; this is {sys.platform}")
        try:
            worker = cls._spawn(isolation)
        except OSError as error:
            raise SandboxUnavailable(f"the sandbox's process could not be started: {error}") from error
        try:
            hello = await worker._receive()
        except WorkerLost:
            worker.stop()
            raise SandboxUnavailable(f"the {isolation} sandbox ended while it started") from None
        except BaseException:
            worker.stop()
            raise
        if "error" in hello:
            worker.stop()
            raise SandboxUnavailable(f"no {isolation} sandbox on this machine: {hello['error']}")
        worker.fence = Fence(isolation=hello["isolation"], gaps=tuple(hello["gaps"]))
        return worker

    @classmethod
    def _spawn(cls, isolation: Isolation) -> Worker:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        scratch = ""
        if isolation == "rlimits":  # under namespaces each job mounts its own
            scratch = tempfile.mkdtemp(prefix="mar-sandbox-")
            os.chmod(scratch, 0o711)  # jobs may run as another user, and must not list it
        # As -I, but for -E: the environment below is all there is, and without it sets would be ordered by chance, so
        # that a program which depends on their order would be right in one run and wrong in the next.
        command = [sys.executable, "-s", "-P", "-S", "-c", _BOOT, _HOME, str(theirs.fileno()), isolation, scratch]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0"},
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        ours.setblocking(False)
        return cls(process, ours, scratch)

    async def exchange(self, request: dict[str, Any], texts: tuple[str, str]) -> tuple[dict[str, Any], str]:
        """Send a request with two files (the code; the tests or stdin), and return the report and what was written.

        An exchange that is cancelled leaves the worker in the middle of a job: stop it then.

        Raises:
            WorkerLost: The template ended.
        """
        with _open_files([*texts, ""]) as files:
            await anyio.lowlevel.checkpoint()
            try:
                # Requests are far smaller than a socket's buffer, so this cannot block.
                socket.send_fds(self._channel, [json.dumps(request).encode("ascii")], files)
            except OSError as error:
                raise WorkerLost(str(error)) from error
            report = await self._receive()
            return report, _read_all(files[-1])

    async def _receive(self) -> dict[str, Any]:
        await anyio.wait_readable(self._channel)
        try:
            data = self._channel.recv(_MAX_REPLY)
        except OSError as error:
            raise WorkerLost(str(error)) from error
        if not data:
            raise WorkerLost("the template ended")
        return json.loads(data)

    def stop(self) -> None:
        """End the template and everything it started."""
        self._channel.close()
        self._process.kill()
        self._process.wait()
        if self._scratch:
            remove_tree(self._scratch)


@contextmanager
def _open_files(texts: list[str]) -> Generator[list[int], None, None]:
    files: list[int] = []
    try:
        for text in texts:
            files.append(os.memfd_create("mar"))
            _write_all(files[-1], text.encode("utf-8", "surrogatepass"))
            os.lseek(files[-1], 0, os.SEEK_SET)
        yield files
    finally:
        for fd in files:
            os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _read_all(fd: int) -> str:
    size = os.fstat(fd).st_size
    return os.pread(fd, size, 0).decode("utf-8", "replace")
