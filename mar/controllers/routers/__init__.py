"""Routers: fitted on what LLMs scored, they pick one LLM per query; and the controller that runs their choice."""

from mar.controllers.routers.base import Examples, Prompts, Router
from mar.controllers.routers.checkpoint import load_routed, save_routed
from mar.controllers.routers.controller import RouterController
from mar.controllers.routers.registry import ROUTERS, make_router

__all__ = [
    "ROUTERS",
    "Examples",
    "Prompts",
    "Router",
    "RouterController",
    "load_routed",
    "make_router",
    "save_routed",
]
