"""A pool of vLLM servers on this machine: started together, waited for, watched by process id, stopped.

What runs is written down in the state folder (`servers.json`): name, process id and when that process began, so that
a number which the system has given to another process since is never taken for ours. Each server leads a process
group of its own, which is what is ended when it does not go by itself.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr, TypeAdapter

from mar.errors import ConfigError, ServerNotStarted
from mar.files import write_atomically
from mar.pool.serving import ServerSpec, waves
from mar.reading import read_json, validated

if TYPE_CHECKING:  # imported where it is used: commands that start no server do without
    import httpx

POLL_S = 0.5
STOP_S = 20.0  # a server that is asked to end has so long to do so
_ENDINGS = (signal.SIGINT, signal.SIGTERM)
LOG_LINES = 20  # of a failed server's log, shown with the failure
CAUSE = re.compile(r"\b[A-Z]\w*(Error|Exception): \S")  # how a log shows what was raised


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server that was started here."""

    name: str
    pid: int
    born: int  # when the process began, in the kernel's ticks since boot
    url: str
    served_name: str  # the server's name for the model
    log: str
    digest: str  # of the command and settings that it was started with

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        return born_of(self.pid) == self.born


_SERVERS = TypeAdapter(tuple[Server, ...])


@dataclass(frozen=True, slots=True)
class State:
    """The folder that says which servers are ours."""

    folder: Path

    def read(self) -> dict[str, Server]:
        """The servers that were started, by name, whether or not they still run.

        Raises:
            ConfigError: The file is not ours.
        """
        path = self.folder / "servers.json"
        if not path.exists():
            return {}
        expected = "a list of servers as serving writes it; remove it if none runs"
        rows = validated(_SERVERS, read_json(path, expected=expected, error=ConfigError), str(path), error=ConfigError)
        return {server.name: server for server in rows}

    def write(self, servers: Mapping[str, Server]) -> None:
        """Note which servers are ours."""
        rows = [asdict(server) for server in servers.values()]
        write_atomically(self.folder / "servers.json", json.dumps(rows, indent=2))

    def write_urls(self, servers: Mapping[str, Server], key_env: str | None) -> None:
        """Write the addresses where clients look for them; with the name of the key's variable, never the key."""
        content: dict[str, object] = {name: server.url for name, server in servers.items()}
        if key_env is not None:
            content = {"key_env": key_env, "model_base_urls": content}
        write_atomically(self.folder / "model_base_urls.json", json.dumps(content, indent=2))

    def clear(self) -> None:
        """Nothing is ours any more, and clients find nothing here."""
        for name in ("servers.json", "model_base_urls.json"):
            (self.folder / name).unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Generator[None]:
        """Let nobody else start or stop servers of this folder meanwhile."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What is told while servers start and stop."""

    say: Callable[[str], None] = field(default=lambda _: None)  # one line about one server
    waiting: Callable[[Sequence[str], float], None] = field(default=lambda _, __: None)  # names, seconds so far


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """The key that clients must show."""

    variable: str  # its name in the environment, which is all that is written down
    value: SecretStr


def start(
    specs: Sequence[ServerSpec], state: State, *, key: Key | None = None, timeout_s: float, watch: Watch | None = None
) -> list[Server]:
    """Start servers, all at once but for those that share a GPU, and wait until each is ready. Those that already run
    are left as they are.

    Args:
        specs: What to serve.
        state: Where it is written down.
        key: What clients must show; None: nothing.
        timeout_s: Seconds for all to become ready.
        watch: Is told what goes on.

    Returns:
        The servers that were started by this call.

    Raises:
        ConfigError: A server runs with other settings, or a port is taken.
        ServerNotStarted: One ended or was not ready in time; everything that this call started was stopped.
    """
    watch = watch or Watch()
    with state.locked():
        known = {name: server for name, server in state.read().items() if server.alive}
        fresh = [spec for spec in specs if not _already_runs(spec, known)]
        for spec in fresh:
            _check_port(spec)
        started: dict[str, Server] = {}
        try:
            until = time.monotonic() + timeout_s
            running = [server for name, server in known.items() if name in {spec.name for spec in specs}]
            for wave in waves(fresh) or [[]]:
                for spec in wave:
                    with _undisturbed():  # else a server runs that nobody knows of
                        started[spec.name] = _spawn(spec, state.folder, key)
                        state.write(known | started)
                    watch.say(f"{spec.name}: starting at {spec.url}, log {started[spec.name].log}")
                _wait([*running, *(started[spec.name] for spec in wave)], key, until - time.monotonic(), watch)
        except BaseException:
            _end(list(started.values()), watch)
            state.write(known)
            raise
        state.write_urls(known | started, None if key is None else key.variable)
        return list(started.values())


def stop(state: State, *, only: Sequence[str] = (), watch: Watch | None = None) -> list[Server]:
    """End servers that were started here, and nothing else. Returns those that were running.

    Raises:
        ConfigError: A name is of no server that was started here.
    """
    with state.locked():
        known = state.read()
        unknown = [name for name in only if name not in known]
        if unknown:
            raise ConfigError(f"no server {unknown[0]!r} was started here; there are: {', '.join(known) or 'none'}")
        chosen = [server for name, server in known.items() if (not only or name in only) and server.alive]
        _end(chosen, watch or Watch())
        left = {name: server for name, server in known.items() if server.alive}
        if left:
            state.write(left)
        else:
            state.clear()
        return chosen


# One server -------------------------------------------------------------------------------------------------------


def _already_runs(spec: ServerSpec, known: Mapping[str, Server]) -> bool:
    server = known.get(spec.name)
    if server is None:
        return False
    if server.digest != spec.digest:
        raise ConfigError(f"{spec.name} already runs with other settings (process {server.pid}); stop it first")
    return True


def _check_port(spec: ServerSpec) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", spec.port))
        except OSError:
            raise ConfigError(f"{spec.name}: port {spec.port} is taken by another process; give it another") from None


@contextmanager
def _undisturbed() -> Generator[None]:
    """Let Ctrl-C and a request to end wait until a block is through; only the main thread is told of them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in _ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for number in came[:1]:
            signal.raise_signal(number)


def _spawn(spec: ServerSpec, folder: Path, key: Key | None) -> Server:
    log = folder / f"{spec.name.replace('/', '--')}.log"
    # By the environment, since every user of a machine can read another process's command line.
    secret = {} if key is None else {"VLLM_API_KEY": key.value.get_secret_value()}
    with log.open("wb") as output:
        process = subprocess.Popen(
            spec.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **spec.environment, **secret},
            start_new_session=True,
        )
    born = born_of(process.pid)
    return Server(
        name=spec.name,
        pid=process.pid,
        born=born or 0,
        url=spec.url,
        served_name=spec.served_name,
        log=str(log),
        digest=spec.digest,
    )


def born_of(pid: int) -> int | None:
    """When a process began, in the kernel's ticks since boot; None when it does not run (any more)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    return None if fields[0] in "ZX" else int(fields[19])


def _wait(servers: Sequence[Server], key: Key | None, timeout_s: float, watch: Watch) -> None:
    """Return when all are ready.

    Raises:
        ServerNotStarted: One ended, or is not ready in time.
    """
    import httpx

    headers = {} if key is None else {"Authorization": f"Bearer {key.value.get_secret_value()}"}
    threads = ThreadPoolExecutor(max(1, len(servers)))
    try:
        # All are asked directly: they run on this machine.
        with httpx.Client(headers=headers, timeout=timeout_s, trust_env=False) as client:
            _wait_with(threads, servers, partial(answers, client), timeout_s, watch)
    finally:  # a request under way is not waited for: it ends when its server does
        threads.shutdown(wait=False, cancel_futures=True)


def _wait_with(
    threads: ThreadPoolExecutor,
    servers: Sequence[Server],
    ready: Callable[[Server], bool],
    timeout_s: float,
    watch: Watch,
) -> None:
    began = time.monotonic()
    waiting = {server.name: server for server in servers}
    asked: dict[str, Future[bool]] = {}  # one request to each server at a time: the first answer can take long
    while waiting:
        for name, server in list(waiting.items()):
            if not server.alive:
                raise ServerNotStarted(f"{name} ended before it was ready; {_tail(server)}")
            asking = asked.get(name)
            if asking is None or (asking.done() and not asking.result()):
                asked[name] = threads.submit(ready, server)
            elif asking.done():
                del waiting[name]
                watch.say(f"{name}: ready after {time.monotonic() - began:.0f} s")
        seconds = time.monotonic() - began
        if waiting and seconds > timeout_s:
            late = next(iter(waiting.values()))
            raise ServerNotStarted(f"{late.name} was not ready within {timeout_s:.0f} s; {_tail(late)}")
        watch.waiting(list(waiting), seconds)
        time.sleep(POLL_S if waiting else 0)


def answers(client: httpx.Client, server: Server) -> bool:
    """Whether a server is healthy and has answered: its first answer is slow, so it is not left to a user."""
    import httpx

    body = {"model": server.served_name, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    try:
        if client.get(f"{server.url.removesuffix('/v1')}/health", timeout=2.0).status_code != 200:
            return False
        return client.post(f"{server.url}/chat/completions", json=body).status_code < 500
    except (httpx.HTTPError, RuntimeError):  # the latter when the waiting was given up meanwhile and the client closed
        return False


def _tail(server: Server) -> str:
    try:
        lines = Path(server.log).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return f"its log {server.log} cannot be read"
    end, before = lines[-LOG_LINES:], lines[:-LOG_LINES]
    # An engine that fails says why first; then those that waited for it fail, at a length that hides it.
    causes = [line for line in before if CAUSE.search(line)][:1]
    return f"the end of {server.log}:\n" + "\n".join([*causes, *end])


def _end(servers: Sequence[Server], watch: Watch) -> None:
    """Ask all to end, wait, and kill the process groups of those that did not."""
    for server in servers:
        _signal(server, signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    for server in servers:
        while server.alive and time.monotonic() < deadline:
            _reap(server.pid)
            time.sleep(0.1)
        _signal(server, signal.SIGKILL)
        watch.say(f"{server.name}: stopped")


def _signal(server: Server, number: signal.Signals) -> None:
    """Signal a server's whole process group, if that server still runs."""
    if server.alive:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, number)


def _reap(pid: int) -> None:
    """Let a child of this very process go; one that another process started is none of ours to wait for."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
