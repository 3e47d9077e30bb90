"""GMTRouter: which LLM will this user like best? Learned from multi-turn conversations (arXiv 2511.08590), and live."""

from mar.controllers.gmt.checkpoint import GmtHeader, LoadedGmt, load_personal, save_personal
from mar.controllers.gmt.controller import Choice, Exploration, GmtRouter
from mar.controllers.gmt.live import LiveSettings
from mar.controllers.gmt.personal import PersonalModel, PersonalSettings, fit_personal
from mar.controllers.gmt.store import (
    Interaction,
    Interactions,
    InteractionStore,
    Standing,
    default_store_path,
    stars,
    thumb,
)

__all__ = [
    "Choice",
    "Exploration",
    "GmtHeader",
    "GmtRouter",
    "Interaction",
    "InteractionStore",
    "Interactions",
    "LiveSettings",
    "LoadedGmt",
    "PersonalModel",
    "PersonalSettings",
    "Standing",
    "default_store_path",
    "fit_personal",
    "load_personal",
    "save_personal",
    "stars",
    "thumb",
]
