"""Models that answer: cards and prices, live clients, replayed and scripted pools, the response cache.

The simulated pool is in `mar.pool.simulated`, the client in `mar.pool.openai_client`: both are imported where they are
used, since the client's SDK takes a second to load.
"""

from mar.pool.cache import CachedModel
from mar.pool.cache_store import CacheStats, ModelCacheStats, ResponseStore, cache_key
from mar.pool.cards import ModelCard
from mar.pool.limits import ModelLimits, RateLimit
from mar.pool.pool import Pool, PoolKind, ReportsTelemetry, StatesCosts
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
from mar.pool.settings import PoolConfig, find_pool_config, pool_from_env
from mar.pool.watcher import TelemetryWatcher, WatchedModel, WatchSettings

__all__ = [
    "CacheStats",
    "CachedModel",
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
    "pool_from_env",
    "replay_pool",
    "routerbench_recordings",
    "scripted_pool",
]
