"""Starting a gateway: a socket, and as many workers as it was told, each with an application of its own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import anyio
import uvicorn
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from mar.controllers.base import Controller
from mar.errors import ConfigError
from mar.pool.pool import Pool
from mar.serving.app import create_app
from mar.serving.keeping import LateEncoder
from mar.serving.memory import one_arena
from mar.serving.observe.metrics import MULTIPROCESS, forget_dead_workers
from mar.serving.settings import Settings
from mar.serving.state import Places, State, default_store
from mar.serving.store.record import Retention
from mar.serving.uvicorn_http import Config, GuardedProtocol
from mar.traffic.redaction import Redaction, Rule

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(levelname)s %(name)s: %(message)s"}, "bare": {"format": "%(message)s"}},
    "handlers": {
        "plain": {"class": "logging.StreamHandler", "formatter": "plain", "stream": "ext://sys.stderr"},
        "bare": {"class": "logging.StreamHandler", "formatter": "bare", "stream": "ext://sys.stdout"},
    },
    "loggers": {
        "mar": {"handlers": ["plain"], "level": "INFO", "propagate": False},
        "mar.access": {"handlers": ["bare"], "level": "INFO", "propagate": False},
        "uvicorn": {"handlers": ["plain"], "level": "WARNING", "propagate": False},
    },
}


def worker(settings: Settings) -> ASGIApp:
    """The application of a worker, made in its own process."""
    one_arena()
    if os.name == "posix":
        forget_dead_workers()
    return create_app(settings, state=state_of(settings))


def state_of(settings: Settings) -> State:
    """The state of a worker."""
    places = Places(store=settings.store or default_store(), keys=settings.keys, limits=settings.limits_store)
    kept = settings.episodes
    retention = Retention(days=kept.days, rows=kept.rows, text_days=kept.text_days, feature_days=kept.feature_days)
    return State(places, retention, redaction=redaction_of(settings), encoder=LateEncoder(kept.encoder))


def redaction_of(settings: Settings) -> Redaction:
    """What is blotted out of texts that are kept.

    Raises:
        ConfigError: A rule is no regular expression.
    """
    rules = settings.episodes.redact
    return Redaction([rule if isinstance(rule, str) else Rule(name=rule.name, pattern=rule.pattern) for rule in rules])


def check_binding(settings: Settings) -> bool:
    """Refuse to let others in without keys; gives whether keys are asked for.

    Raises:
        ConfigError: They could connect, and are not asked for any; or what holds the keys cannot be used.
        StoreUnavailable: It gives no answer.
    """
    keys = anyio.run(_keyed, settings)
    if not settings.loopback and not keys and not settings.insecure:
        raise ConfigError(
            f"host is {settings.host}: whoever can connect could spend your money without a key; "
            "make one (mar keys create), bind 127.0.0.1, or say --insecure where something else keeps strangers out"
        )
    return keys


async def _keyed(settings: Settings) -> bool:
    async with state_of(settings) as state:
        return not state.open


def config_of(settings: Settings, app: Callable[[], ASGIApp]) -> Config:
    """How uvicorn serves a worker."""
    config = Config(
        app,
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        http=GuardedProtocol,
        ws="none",
        lifespan="on",
        log_config=LOGGING,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        date_header=True,
        limit_concurrency=settings.limits.at_once,
        timeout_graceful_shutdown=30,
        timeout_worker_healthcheck=60,  # a busy machine takes its time to start one
    )
    config.limits = settings.limits
    return config


def serve(settings: Settings, pool: Pool, controllers: Mapping[str, Controller]) -> None:
    """Serve until a signal ends it.

    Args:
        settings: What the gateway was told.
        pool: The models, as the settings say; several workers load their own.
        controllers: Likewise.
    """
    if settings.workers == 1:
        one_arena()
        made = partial(create_app, settings, pool=pool, controllers=controllers, state=state_of(settings))
        uvicorn.Server(config_of(settings, made)).run()
        return
    config = config_of(settings, partial(worker, settings))
    with tempfile.TemporaryDirectory(prefix="mar-metrics-") as folder:
        os.environ[MULTIPROCESS] = folder
        Multiprocess(config, sockets=[config.bind_socket()]).run()
