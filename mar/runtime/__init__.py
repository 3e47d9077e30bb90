"""Agents that collaborate: modes, roles, the engine that carries a plan out, and the sandbox for generated code."""

from mar.runtime.account import Account, Spent
from mar.runtime.engine import Runtime
from mar.runtime.fallback import Fallback
from mar.runtime.identity import RunIdentity
from mar.runtime.ledger import Ledger, Meter, Purse, Purses
from mar.runtime.lookup import Lookup, NoLookup, WikipediaLookup
from mar.runtime.modes import MODES, PUBLISHED_MODES, Bound, Mode, get_mode, plan_bound
from mar.runtime.plan_policy import PlanPolicy
from mar.runtime.prompts import PromptLibrary, Role
from mar.runtime.toolkit import TOOLS, Toolkit, ToolReport
from mar.runtime.tools import CHECKS, Tools
from mar.runtime.trace import episode_from_json, episode_to_json, read_episodes, write_episodes

__all__ = [
    "CHECKS",
    "MODES",
    "PUBLISHED_MODES",
    "TOOLS",
    "Account",
    "Bound",
    "Fallback",
    "Ledger",
    "Lookup",
    "Meter",
    "Mode",
    "NoLookup",
    "PlanPolicy",
    "PromptLibrary",
    "Purse",
    "Purses",
    "Role",
    "RunIdentity",
    "Runtime",
    "Spent",
    "ToolReport",
    "Toolkit",
    "Tools",
    "WikipediaLookup",
    "episode_from_json",
    "episode_to_json",
    "get_mode",
    "plan_bound",
    "read_episodes",
    "write_episodes",
]
