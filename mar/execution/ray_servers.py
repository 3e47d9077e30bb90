"""vLLM servers on a Ray cluster: Ray chooses a node with enough free GPUs for each, and they outlive who started them.

A server is the child of an actor that does nothing else and is known by its model's name; its address goes into the
same map that servers of one machine are found by. Rejected: Ray Serve's deployments of vLLM (a proxy in front of each
model, and settings of another form), placement groups (a server's GPUs are on one node, which an actor's demand says).
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mar.errors import ConfigError, ServerNotStarted
from mar.execution.ray_cluster import LOCAL, cluster
from mar.pool.servers import POLL_S, STOP_S, Key, Server, State, Watch, answers
from mar.pool.serving import ServerSpec

if TYPE_CHECKING:
    import httpx

NAMESPACE = "mar-vllm"
TAIL = 2000  # characters of a log
WITH_PARENT = ("setpriv", "--pdeathsig", "TERM")  # of util-linux: a process that ends when its parent does


class Keeper:
    """What Ray places: runs one server beside itself."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        ray: Any = import_module("ray")
        self._host: str = ray.util.get_node_ip_address()
        self._log = Path(tempfile.mkdtemp(prefix="mar-vllm-")) / f"{name.replace('/', '--')}.log"
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                (*WITH_PARENT, *command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},  # Ray says in it which GPUs are ours
                start_new_session=True,
            )

    def look(self) -> tuple[str, str, str | None]:
        """The node's address, the log's place there, and the log's end where the server has ended."""
        ended = self._process.poll() is not None
        tail = self._log.read_text(encoding="utf-8", errors="replace")[-TAIL:] if ended else None
        return self._host, str(self._log), tail

    def stop(self) -> None:
        """End the server and all that it has started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)


def start_on_ray(
    address: str,
    specs: Sequence[ServerSpec],
    state: State,
    *,
    key: Key | None = None,
    timeout_s: float,
    watch: Watch | None = None,
) -> list[Server]:
    """Start servers on a cluster and wait until each is ready. Those that already run there are left as they are.

    Args:
        address: Of the cluster.
        specs: What to serve; made for all addresses of a machine, since a node is reached from others.
        state: Where their addresses are written down.
        key: What clients must show; None: nothing.
        timeout_s: Seconds for all to become ready.
        watch: Is told what goes on.

    Returns:
        All servers of the specs.

    Raises:
        ConfigError: There is no such cluster.
        ServerNotStarted: One ended, found no place or was not ready in time; what this call started was stopped.
    """
    watch = watch or Watch()
    with _cluster(address) as ray, state.locked():
        there = _there(ray)
        fresh = [spec for spec in specs if spec.name not in there]
        keepers = {spec.name: _place(ray, spec, key) for spec in fresh}
        try:
            servers = _ready(ray, specs, there | keepers, key, timeout_s, watch)
        except BaseException:
            _end(ray, keepers)
            raise
        known = {server.name: server for server in servers}
        state.write(known)
        state.write_urls(known, None if key is None else key.variable)
        return servers


def stop_on_ray(address: str, state: State, *, only: Sequence[str] = ()) -> list[str]:
    """End servers that were started on a cluster. Returns their names.

    Raises:
        ConfigError: There is no such cluster, or no such server.
    """
    with _cluster(address) as ray, state.locked():
        there = _there(ray)
        if unknown := [name for name in only if name not in there]:
            raise ConfigError(f"no server {unknown[0]!r} runs on the cluster; there are: {', '.join(there) or 'none'}")
        chosen = {name: keeper for name, keeper in there.items() if not only or name in only}
        _end(ray, chosen)
        left = {name: server for name, server in state.read().items() if name not in chosen}
        if left:
            state.write(left)
        else:
            state.clear()
        return list(chosen)


@contextmanager
def _cluster(address: str) -> Generator[Any]:
    if address == LOCAL:
        raise ConfigError("--ray is 'local', a cluster that ends with this command; expected host:port or auto")
    with cluster(address) as found:
        yield found.ray


def _there(ray: Any) -> dict[str, Any]:
    """Servers that run on the cluster."""
    named = ray.util.list_named_actors(all_namespaces=True)
    names = [actor["name"] for actor in named if actor["namespace"] == NAMESPACE]
    return {name: ray.get_actor(name, namespace=NAMESPACE) for name in names}


def _place(ray: Any, spec: ServerSpec, key: Key | None) -> Any:
    options = {"name": spec.name, "namespace": NAMESPACE, "lifetime": "detached"}
    options |= {"num_cpus": 0, "num_gpus": spec.gpu_share}
    secret = {} if key is None else {"VLLM_API_KEY": key.value.get_secret_value()}
    environment = {name: value for name, value in spec.environment.items() if name != "CUDA_VISIBLE_DEVICES"}
    return ray.remote(Keeper).options(**options).remote(spec.name, spec.command, environment | secret)


def _ready(
    ray: Any,
    specs: Sequence[ServerSpec],
    keepers: Mapping[str, Any],
    key: Key | None,
    timeout_s: float,
    watch: Watch,
) -> list[Server]:
    import httpx

    headers = {} if key is None else {"Authorization": f"Bearer {key.value.get_secret_value()}"}
    began, ready = time.monotonic(), dict[str, Server]()
    with httpx.Client(headers=headers, timeout=timeout_s, trust_env=False) as client:
        while True:
            waiting = [spec for spec in specs if spec.name not in ready]
            for spec in waiting:
                server = _looked_at(ray, spec, keepers[spec.name], client)
                if server is not None:
                    ready[spec.name] = server
                    watch.say(f"{spec.name}: ready at {server.url} after {time.monotonic() - began:.0f} s")
            seconds = time.monotonic() - began
            if len(ready) == len(specs):
                return [ready[spec.name] for spec in specs]
            if seconds > timeout_s:
                late = next(spec for spec in specs if spec.name not in ready)
                raise ServerNotStarted(
                    f"{late.name} was not ready within {timeout_s:.0f} s; it needs {late.gpu_share:g} GPUs of a node, "
                    f"and the cluster has {ray.available_resources().get('GPU', 0):g} free of "
                    f"{ray.cluster_resources().get('GPU', 0):g}"
                )
            watch.waiting([spec.name for spec in waiting], seconds)
            time.sleep(POLL_S)


def _looked_at(ray: Any, spec: ServerSpec, keeper: Any, client: httpx.Client) -> Server | None:
    """A server once it has answered; None before."""
    try:
        host, log, tail = ray.get(keeper.look.remote(), timeout=POLL_S)
    except ray.exceptions.GetTimeoutError:  # it has no place yet
        return None
    except ray.exceptions.RayError as error:
        raise ServerNotStarted(f"{spec.name}: {str(error).splitlines()[0]}") from None
    if tail is not None:
        raise ServerNotStarted(f"{spec.name} ended before it was ready; the end of {log} on {host}:\n{tail}")
    url = f"http://{host}:{spec.port}/v1"
    server = Server(
        name=spec.name, pid=0, born=0, url=url, served_name=spec.served_name, log=f"{host}:{log}", digest=spec.digest
    )
    return server if answers(client, server) else None


def _end(ray: Any, keepers: Mapping[str, Any]) -> None:
    for keeper in keepers.values():
        with suppress(ray.exceptions.RayError):  # it never had a place, or is gone with its node
            ray.get(keeper.stop.remote(), timeout=2 * STOP_S + 1)
        ray.kill(keeper)
