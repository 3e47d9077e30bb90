"""Simulated models: how well language models answer and how fast they are served, labelled simulated everywhere."""

from mar.pool.simulated.assumptions import DEFAULT, FALSE_PASS, MBPP_RHO, VERSION, Assumptions
from mar.pool.simulated.catalogue import CATALOGUES, ModelProfile, Serving, SimulatedPoolName, simulated_cards
from mar.pool.simulated.model import SimulatedModel, simulated_pool
from mar.pool.simulated.world import (
    EMPTY_WORLD,
    AnswerForm,
    SimItem,
    World,
    difficulty_from_complexity,
    item_difficulties,
    program_complexity,
)

__all__ = [
    "CATALOGUES",
    "DEFAULT",
    "EMPTY_WORLD",
    "FALSE_PASS",
    "MBPP_RHO",
    "VERSION",
    "AnswerForm",
    "Assumptions",
    "ModelProfile",
    "Serving",
    "SimItem",
    "SimulatedModel",
    "SimulatedPoolName",
    "World",
    "difficulty_from_complexity",
    "item_difficulties",
    "program_complexity",
    "simulated_cards",
    "simulated_pool",
]
