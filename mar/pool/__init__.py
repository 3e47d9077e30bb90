"""Models that answer: cards and prices, live clients, replayed and scripted pools, the response cache.

The simulated pool is in `mar.pool.simulated`, the client in `mar.pool.openai_client`: both are imported where they are
used: aiohttp takes a while to load.
"""

from pathlib import Path

from mar.pool.asking import ReportsTelemetry, StatesCosts
from mar.pool.cache import CachedModel, FileReplies
from mar.pool.cache_store import CacheStats, ModelCacheStats, ResponseStore, cache_key
from mar.pool.cards import ModelCard
from mar.pool.limits import ModelLimits, RateLimit
from mar.pool.pool import Pool, PoolKind
from mar.pool.recordings import (
    MmluProAnswer,
    RouterBenchItem,
    load_mmlu_pro,
    load_routerbench,
    mmlu_pro_recordings,
    routerbench_recordings,
)
from mar.pool.replay import Recording, RecordingKey, ReplayModel, replay_pool
from mar.pool.scripted import ScriptedModel, scripted_pool
from mar.pool.settings import PoolConfig, find_pool_config, pool_config, pool_from_env
from mar.pool.watcher import TelemetryWatcher, WatchedModel, WatchSettings

__all__ = [
    "CacheStats",
    "CachedModel",
    "FileReplies",
    "MmluProAnswer",
    "ModelCacheStats",
    "ModelCard",
    "ModelLimits",
    "Pool",
    "PoolConfig",
    "PoolKind",
    "RateLimit",
    "Recording",
    "RecordingKey",
    "ReplayModel",
    "ReportsTelemetry",
    "ResponseStore",
    "RouterBenchItem",
    "ScriptedModel",
    "StatesCosts",
    "TelemetryWatcher",
    "WatchSettings",
    "WatchedModel",
    "cache_key",
    "find_pool_config",
    "load_mmlu_pro",
    "load_routerbench",
    "mmlu_pro_recordings",
    "pool_config",
    "pool_from_env",
    "replay_pool",
    "routerbench_recordings",
    "scripted_pool",
]


def _from_env(pool_file: str | Path | None = None, *, env_file: str | Path = ".env", cache: bool = False) -> Pool:
    """See `FindsPool`. What it needs is imported when it is needed: the simulated pool takes a while to load."""
    from mar.pool.choose import default_pool

    return default_pool(pool_file=pool_file, env_file=env_file, cache=cache)


Pool.from_env = _from_env
