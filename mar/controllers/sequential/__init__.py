"""A controller that decides while it looks.

It asks the next agent only if that is worth its price, and weighs what it heard. What is believed of a pool's models,
and what follows from what they said, is `mar.controllers.belief`; `planner` says what asking once more would be worth;
`calls` turns messages into evidence, `habits` says how long models write and how sure they
sound; `policy` plays an episode by all this. It is learned in `mar.learning.sequential`.
"""

from mar.controllers.belief.beliefs import Beliefs, Prior
from mar.controllers.belief.likelihood import Evidence, Said
from mar.controllers.sequential.calls import Asked, Call
from mar.controllers.sequential.checkpoint import load_sequential, save_sequential
from mar.controllers.sequential.controller import Likes, Sequential
from mar.controllers.sequential.foresight import foresee
from mar.controllers.sequential.habits import Habits
from mar.controllers.sequential.mind import Mind
from mar.controllers.sequential.planner import Outlook, Planner
from mar.controllers.sequential.policy import SequentialPolicy, Terms

__all__ = [
    "Asked",
    "Beliefs",
    "Call",
    "Evidence",
    "Habits",
    "Likes",
    "Mind",
    "Outlook",
    "Planner",
    "Prior",
    "Said",
    "Sequential",
    "SequentialPolicy",
    "Terms",
    "foresee",
    "load_sequential",
    "save_sequential",
]
