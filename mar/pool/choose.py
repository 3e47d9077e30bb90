"""Which pool a run uses: what is configured, a file, recorded answers, or the simulated one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

from mar.errors import ConfigError
from mar.pool.breaker import BreakerPolicy
from mar.pool.pool import Pool
from mar.pool.recording_table import RecordingTable, load_table
from mar.pool.settings import pool_from_env
from mar.pool.simulated import (
    CATALOGUES,
    DEFAULT,
    EMPTY_WORLD,
    SimulatedPoolName,
    World,
    simulated_cards,
    simulated_pool,
)

AUTO = "auto"
REPLAY = "replay:"


def configured_pool(choice: str, *, cache: bool = False, breaker: BreakerPolicy | None = None) -> Pool | None:
    """The live pool that a `--pool` option means, or None for a simulated one.

    Args:
        choice: "auto" (what the environment configures, else simulated), "simulated" (well-known models),
            "simulated-vllm" (five open-weight models on two GPUs), "simulated-specialists" (three made-up ones), or a
            pool file.
        cache: Whether answers are kept in the response cache: for trainings and batches, which ask the same again.
        breaker: When a server that is ill is left alone for a while; None: never.

    Raises:
        ConfigError: The file or the environment cannot be used.
    """
    if choice in CATALOGUES:
        return None
    if choice.startswith(REPLAY):
        raise ConfigError(
            f"--pool is {choice!r}, but this needs a pool that can be asked anything and takes its time; recorded "
            "answers are replayed by the experiments' run_*.py of a benchmark and by mar train"
        )
    if choice == AUTO:
        return pool_from_env(cache=cache, breaker=breaker)
    if not Path(choice).is_file():
        what = "a folder" if Path(choice).is_dir() else "no file that exists"
        raise ConfigError(
            f"--pool is {choice!r}, {what}; expected auto, {', '.join(CATALOGUES)}, a pool file, or in run_*.py and "
            f"mar train {REPLAY}TABLE"
        )
    return pool_from_env(Path(choice), cache=cache, breaker=breaker)


def recorded_table(choice: str) -> RecordingTable | None:
    """The table of recorded answers that a `--pool` option means (replay:FILE), or None for any other pool.

    Raises:
        DataError: The file is missing or wrong.
    """
    return load_table(Path(choice.removeprefix(REPLAY))) if choice.startswith(REPLAY) else None


async def choose_pool(choice: str, world: Callable[[], Awaitable[World]], *, effects: float = 1.0) -> Pool:
    """The pool of a batch that a `--pool` option means; the world is only built when it is a simulated one.

    Args:
        choice: As for `configured_pool`.
        world: Builds what the simulated pool knows.
        effects: Factor on the simulated pool's assumed effects of peers, roles, strategies and feedback.
    """
    return configured_pool(choice, cache=True) or _simulated(choice, await world(), effects)


def empty_pool(choice: str, *, cache: bool = False, breaker: BreakerPolicy | None = None) -> Pool:
    """The pool that a `--pool` option means, arguments as for `configured_pool`; a simulated one knows no item."""
    return configured_pool(choice, cache=cache, breaker=breaker) or _simulated(choice, EMPTY_WORLD, 1.0)


def default_pool(*, pool_file: str | Path | None = None, env_file: str | Path = ".env", cache: bool = False) -> Pool:
    """The live pool that is configured, or a simulated one that knows no item."""
    return pool_from_env(pool_file, env_file=env_file, cache=cache) or simulated_pool(EMPTY_WORLD)


def _simulated(choice: str, world: World, effects: float) -> Pool:
    name = cast("SimulatedPoolName", choice) if choice in CATALOGUES else "simulated"
    return simulated_pool(world, cards=simulated_cards(name), assumptions=DEFAULT.scaled(effects))
