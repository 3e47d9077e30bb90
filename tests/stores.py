"""PostgreSQL and Redis servers of a test's own, on loopback ports in temporary folders."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

PASSWORD = "pw-8c1e5b7d-never-shown"
WAIT_S = 60.0


def program(name: str) -> str:
    """The path of a server's program; the test is skipped where there is none."""
    found = shutil.which(name) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)), None
    )
    if found is None:
        pytest.skip(f"{name} is not installed (apt-get install postgresql redis-server)")
    return found


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def postgres() -> Generator[str]:
    """A PostgreSQL server meanwhile, as somebody unprivileged where root runs the tests; gives its address."""
    initdb, server = program("initdb"), program("postgres")
    with _folder() as (folder, who):
        (folder / "password").write_text(PASSWORD)
        _owned(folder, who)
        data = folder / "data"
        words = [initdb, "-D", str(data), "-U", "mar", "-A", "scram-sha-256", f"--pwfile={folder}/password", "-N"]
        made = subprocess.run(
            [*words, "--locale=C", "-E", "UTF8"], user=who, cwd=folder, capture_output=True, text=True, env=_env(folder)
        )
        if made.returncode:
            pytest.skip(f"initdb: {made.stderr.strip().splitlines()[-1]}")
        port = free_port()
        settings = ["listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=", "fsync=off"]
        words = [server, "-D", str(data), *(word for s in settings for word in ("-c", s))]
        with _running(words, folder, who, port, signal.SIGQUIT):
            url = f"postgresql://mar:{PASSWORD}@127.0.0.1:{port}/postgres"
            _wait(lambda: _answers(url))
            yield url


@contextmanager
def redis() -> Generator[str]:
    """A Redis server meanwhile; gives its address."""
    server = program("redis-server")
    with _folder() as (folder, who):
        port = free_port()
        words = [server, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
        with _running([*words, "--requirepass", PASSWORD, "--appendonly", "yes"], folder, who, port, signal.SIGKILL):
            yield f"redis://:{PASSWORD}@127.0.0.1:{port}/0"


@contextmanager
def _folder() -> Generator[tuple[Path, int | None]]:
    """A folder, and the user id to run a server there as; None: ours."""
    with tempfile.TemporaryDirectory(prefix="mar-test-") as name:
        who = pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else None
        _owned(Path(name), who)
        yield Path(name), who


def _owned(folder: Path, who: int | None) -> None:
    for path in (folder, *folder.rglob("*")):
        if who is not None:
            os.chown(path, who, -1)


def _env(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C", "TZ": "UTC"}


@contextmanager
def _running(words: list[str], folder: Path, who: int | None, port: int, end: int) -> Generator[None]:
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(words, cwd=folder, user=who, env=_env(folder), stdout=log, stderr=log)
    try:
        _wait(lambda: _listens(server, port, folder))
        yield
    finally:
        server.send_signal(end)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _listens(server: subprocess.Popen[bytes], port: int, folder: Path) -> bool:
    if server.poll() is not None:
        lines = (folder / "log").read_text().strip().splitlines()
        pytest.skip(f"the server ended at once: {lines[-1] if lines else server.returncode}")
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def _answers(url: str) -> bool:
    import psycopg

    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _wait(done: Callable[[], bool]) -> None:
    """Until a server is there, which is its own affair and takes as long as it takes."""
    end = time.monotonic() + WAIT_S
    while not done():
        if time.monotonic() > end:
            pytest.skip(f"the server was not there within {WAIT_S:g} s")
        time.sleep(0.02)
