"""mar: a runtime for multi-agent LLM systems whose shape is learned.

    import mar
    pool = mar.Pool.from_env()
    router = mar.load_controller()
    episode = mar.run("Write a function that ...", router, pool)
    print(episode.answer, episode.cost_usd, [call.model for call in episode.calls()])

Names are imported when they are first used, so that nothing waits for what it does not need.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mar.api import arun, load_controller, plan, run
    from mar.controllers.packaged import packaged_controllers
    from mar.errors import MarError
    from mar.pool.pool import Pool
    from mar.runtime.prompts import PromptLibrary
    from mar.runtime.toolkit import Toolkit
    from mar.service import Service
    from mar.types import Budget, Episode, Plan, Query

_HOME = {
    "Budget": "mar.types",
    "Episode": "mar.types",
    "MarError": "mar.errors",
    "Plan": "mar.types",
    "Pool": "mar.pool.pool",
    "PromptLibrary": "mar.runtime.prompts",
    "Query": "mar.types",
    "Service": "mar.service",
    "Toolkit": "mar.runtime.toolkit",
    "arun": "mar.api",
    "load_controller": "mar.api",
    "packaged_controllers": "mar.controllers.packaged",
    "plan": "mar.api",
    "run": "mar.api",
}

__all__ = [
    "Budget",
    "Episode",
    "MarError",
    "Plan",
    "Pool",
    "PromptLibrary",
    "Query",
    "Service",
    "Toolkit",
    "arun",
    "load_controller",
    "packaged_controllers",
    "plan",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mar' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
