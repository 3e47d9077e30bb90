"""`mar vllm`: a pool of vLLM servers on this machine, started, looked at and stopped."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import anyio
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mar.cli.script import finite
from mar.concurrency import gather
from mar.environment import read_environment
from mar.errors import BadReply, ConfigError
from mar.pool.cards import ModelCard
from mar.pool.metrics import ServerMetrics
from mar.pool.servers import Key, Server, State, Watch, start, stop
from mar.pool.serving import DEVICES, Device, server_specs
from mar.pool.watcher import fetch_metrics
from mar.terminal import Terminal

vllm_app = typer.Typer(help="Start, show and stop vLLM servers on this machine.", no_args_is_help=True)

RayOption = Annotated[
    str | None, typer.Option("--ray", help="A Ray cluster (host:port or auto) that chooses nodes by their free GPUs.")
]
StateOption = Annotated[Path, typer.Option("--state", help="Folder of logs, process ids and addresses.")]
DEFAULT_STATE = Path("logs/vllm")  # where pools look for addresses
ONLY_HELP = "Only this model; may be given several times."


@vllm_app.command("serve")
def serve_command(
    pool: Annotated[Path, typer.Argument(help="Pool file whose models have a table `vllm`.")] = Path("pool.toml"),
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cuda",
    only: Annotated[list[str] | None, typer.Option("--only", help=ONLY_HELP)] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; 0.0.0.0: all.")] = "127.0.0.1",
    api_key: Annotated[
        str | None,
        typer.Option("--api-key", help="Name of the variable (.env or environment) with the key to ask for."),
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.0, callback=finite, help="Seconds until all must be ready.")
    ] = 900.0,
    ray: RayOption = None,
    state: StateOption = DEFAULT_STATE,
) -> None:
    """Start all servers of a pool file at once and wait until they are ready. Those that run are left alone."""
    console = Terminal()
    if ray is not None:
        from mar.execution.ray_servers import start_on_ray

        there = server_specs(pool, device=_device(device), host="0.0.0.0", only=only or ())
        with _progress(console) as watch:
            start_on_ray(ray, there, State(state), key=_key(api_key), timeout_s=timeout, watch=watch)
        console.print(f"Addresses: {escape(str(state / 'model_base_urls.json'))}; stop them with mar vllm stop --ray")
        return
    specs = server_specs(pool, device=_device(device), host=host, only=only or ())
    with _progress(console) as watch:
        started = start(specs, State(state), key=_key(api_key), timeout_s=timeout, watch=watch)
    if not started:
        console.print(f"All {len(specs)} servers already run.")
    console.print(f"Addresses: {escape(str(state / 'model_base_urls.json'))}; stop them with scripts/vllm/stop_pool.sh")


@vllm_app.command("stop")
def stop_command(
    only: Annotated[list[str] | None, typer.Option("--only", help=ONLY_HELP)] = None,
    ray: RayOption = None,
    state: StateOption = DEFAULT_STATE,
) -> None:
    """Stop the servers that were started here, or on a cluster, and nothing else."""
    console = Terminal()
    if ray is not None:
        from mar.execution.ray_servers import stop_on_ray

        for name in stop_on_ray(ray, State(state), only=only or ()):
            console.print(f"{escape(name)}: stopped")
        return
    stopped = stop(State(state), only=only or (), watch=Watch(say=lambda line: console.print(escape(line))))
    if not stopped:
        console.print("No server that was started here runs.")


@vllm_app.command("status")
def status_command(state: StateOption = DEFAULT_STATE) -> None:
    """Show the servers that were started here: health, queue, KV cache, tokens per second."""
    servers = list(State(state).read().values())
    console = Terminal()
    if not servers:
        console.print(f"No server was started here ({escape(str(state))}).")
        return
    looks = anyio.run(_look, servers)
    console.print(_status_table(servers, looks))
    if any(look.now is None for look in looks):
        raise typer.Exit(1)


def _device(text: str) -> Device:
    for device in DEVICES:
        if text == device:
            return device
    raise ConfigError(f"--device is {text!r}; expected {' or '.join(DEVICES)}")


def _key(variable: str | None) -> Key | None:
    if variable is None:
        return None
    setting = read_environment().get(variable)
    if setting is None:
        # What was given is not quoted: it may be the key itself.
        raise ConfigError("--api-key takes the name of a variable that holds the key, set in .env or the environment")
    return Key(variable=variable, value=setting.value)


@contextmanager
def _progress(console: Console) -> Generator[Watch]:
    with console.status("Starting") as status:

        def waiting(names: Sequence[str], seconds: float) -> None:
            status.update(f"{seconds:.0f} s, waiting for {escape(', '.join(names))}")

        yield Watch(say=lambda line: console.print(escape(line), highlight=False), waiting=waiting)


class _Look:
    """Two readings of one server, a second apart; None where it did not answer."""

    def __init__(self, before: ServerMetrics | None, now: ServerMetrics | None, seconds: float) -> None:
        self.before, self.now, self.seconds = before, now, seconds

    def tokens_per_s(self) -> float | None:
        """Tokens generated per second between the readings."""
        if self.before is None or self.now is None:
            return None
        return max(0.0, self.now.generated_tokens - self.before.generated_tokens) / self.seconds


async def _look(servers: Sequence[Server]) -> list[_Look]:
    import httpx

    async with httpx.AsyncClient(timeout=3.0, trust_env=False) as client:  # they run on this machine

        async def reading(server: Server) -> ServerMetrics | None:
            card = ModelCard(name=server.name, served_name=server.served_name, base_url=server.url)
            try:
                return await fetch_metrics(client, card)
            except (httpx.HTTPError, BadReply):
                return None

        async def look(server: Server) -> _Look:
            before, began = await reading(server), time.perf_counter()
            await anyio.sleep(1.0)
            return _Look(before, await reading(server), time.perf_counter() - began)

        return await gather([lambda s=s: look(s) for s in servers])


def _status_table(servers: Sequence[Server], looks: Sequence[_Look]) -> Table:
    table = Table(title="vLLM servers")
    table.add_column("model", overflow="fold")
    for name in ("process", "port", "state"):
        table.add_column(name)
    for name in ("running", "waiting", "KV", "tokens/s"):
        table.add_column(name, justify="right")
    for server, look in zip(servers, looks, strict=True):
        state = "[green]up[/]" if look.now else "[yellow]starting or stuck[/]" if server.alive else "[red]gone[/]"
        table.add_row(escape(server.name), str(server.pid), str(urlsplit(server.url).port), state, *_figures(look))
    return table


def _figures(look: _Look) -> tuple[str, str, str, str]:
    if look.now is None:
        return ("-", "-", "-", "-")
    now, rate = look.now, look.tokens_per_s()
    kv = "-" if now.kv_cache_usage is None else f"{now.kv_cache_usage:.0%}"
    return (_text(now.running), _text(now.waiting), kv, "-" if rate is None else f"{rate:.0f}")


def _text(value: int | None) -> str:
    return "-" if value is None else str(value)
