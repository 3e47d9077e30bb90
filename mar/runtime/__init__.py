"""Agents that collaborate: modes, roles, the engine that carries a plan out, and the sandbox for generated code."""

from mar.runtime.account import Account, Spent
from mar.runtime.engine import Runtime
from mar.runtime.identity import RunIdentity
from mar.runtime.ledger import Ledger, Meter
from mar.runtime.lookup import Lookup, NoLookup, WikipediaLookup
from mar.runtime.modes import MODES, PUBLISHED_MODES, Bound, Mode, get_mode, plan_bound
from mar.runtime.plan_policy import PlanPolicy
from mar.runtime.prompts import PromptLibrary, Role
from mar.runtime.tools import Tools
from mar.runtime.trace import episode_from_json, episode_to_json, read_episodes, write_episodes

__all__ = [
    "MODES",
    "PUBLISHED_MODES",
    "Account",
    "Bound",
    "Ledger",
    "Lookup",
    "Meter",
    "Mode",
    "NoLookup",
    "PlanPolicy",
    "PromptLibrary",
    "Role",
    "RunIdentity",
    "Runtime",
    "Spent",
    "Tools",
    "WikipediaLookup",
    "episode_from_json",
    "episode_to_json",
    "get_mode",
    "plan_bound",
    "read_episodes",
    "write_episodes",
]
