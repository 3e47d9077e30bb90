"""`mar serve`: a gateway that speaks the protocols of OpenAI and Anthropic."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mar.cli.options import ExtendOption, PromptsOption, ToolsOption
from mar.cli.script import finite
from mar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mar.controllers.base import Controller
    from mar.pool.pool import Pool
    from mar.serving import Settings

NEEDED = ("starlette", "uvicorn", "orjson")


def serve_command(
    pool: Annotated[
        str | None, typer.Option("--pool", help="auto (as configured, else simulated), simulated, or a pool file.")
    ] = None,
    router: Annotated[
        str | None, typer.Option("--router", help="Who answers as `mar`: cards, a packaged controller or a file.")
    ] = None,
    cost_rate: Annotated[
        float | None, typer.Option("--cost-rate", min=0.0, callback=finite, help="Of that one: utility per USD.")
    ] = None,
    prompts: PromptsOption = None,
    tools: ToolsOption = None,
    extend: ExtendOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port. Default: 8130; 0: any.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=256, help="Processes. Default: 1.")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="Settings, as docs/gateway.md describes.")] = None,
    store: Annotated[
        str | None, typer.Option("--store", help="Of requests and keys: a file, or postgresql://... Default: a file.")
    ] = None,
    keys_place: Annotated[str | None, typer.Option("--keys", help="Of keys, if not the store: likewise.")] = None,
    limits: Annotated[
        str | None, typer.Option("--limits", help="Of what keys spend, if not with the store; also redis://...")
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Let others ask without keys.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Read everything, say what would be done, and end.")] = False,
) -> None:
    """Serve the pool to clients of OpenAI's and Anthropic's APIs: they change their base URL and ask for `mar`."""
    check_installed()
    from mar.serving import read_settings
    from mar.serving.run import check_binding, serve

    settings = read_settings(
        config,
        pool=pool,
        router=router,
        cost_rate=cost_rate,
        prompts=prompts,
        tools=tools,
        extend=tuple(extend) if extend else None,
        host=host,
        port=port,
        workers=workers,
        store=store,
        keys=keys_place,
        limits_store=limits,
        insecure=insecure or None,
    )
    keys = check_binding(settings)
    models, controllers = _loaded(settings)
    _tell(settings, models, controllers, keys=keys)
    if not check:
        serve(settings, models, controllers)


def check_installed() -> None:
    """Say what is missing of the gateway's packages.

    Raises:
        ConfigError: Something is.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"this needs {', '.join(missing)}; install mar with the extra gateway: mar[gateway]")


def _loaded(settings: Settings) -> tuple[Pool, Mapping[str, Controller]]:
    """What is served: whatever cannot be used is found before a worker starts."""
    from mar.serving.app import load_controllers, load_pool, load_prompts, load_tools
    from mar.serving.observe.tracing import load_tracing
    from mar.serving.rollout.referee import Referee
    from mar.serving.run import redaction_of

    tools = load_tools(settings)
    tools.check(load_prompts(settings).with_tools(tools.roles))
    redaction_of(settings)
    pool = load_pool(settings)
    Referee(pool, settings.rollout.judge, settings.outcomes)
    load_tracing(settings.otel, simulated=pool.simulated).close()
    return pool, load_controllers(settings, pool)


def _tell(settings: Settings, pool: Pool, controllers: Mapping[str, Controller], *, keys: bool) -> None:
    what = "simulated models: answers are made up" if pool.simulated else "models"
    print(f"http://{settings.host}:{settings.port}/v1 on {settings.workers} worker(s)")
    print(f"  to look at it: http://{settings.host}:{settings.port}/ui")
    print("  every request needs a key (mar keys)" if keys else "  no key is needed: anybody who can connect is let in")
    for name, controller in controllers.items():
        print(f"  {name}: {controller.name}")
    print(f"  {len(pool.names)} {what}: {', '.join(pool.names)}", flush=True)
