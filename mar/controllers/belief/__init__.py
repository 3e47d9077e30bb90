"""What is believed of a pool's models, and how probable what they said is: one likelihood for all who ask.

`beliefs` holds the numbers and their priors, `likelihood` sums out what is unseen, `families` says who is related and
`topics` what texts tell. The sequential controller decides by it (`mar.controllers.sequential`). `crowd` arranges the
same sums for a `table` of answers that nobody graded, from which CASCAL learns (`mar.controllers.cascal`).
"""

from mar.controllers.belief.beliefs import Beliefs, Form, Prior
from mar.controllers.belief.crowd import Crowd
from mar.controllers.belief.families import families_of
from mar.controllers.belief.likelihood import Evidence, Posterior, Said, hypotheses
from mar.controllers.belief.table import Table
from mar.controllers.belief.topics import Topics

__all__ = [
    "Beliefs",
    "Crowd",
    "Evidence",
    "Form",
    "Posterior",
    "Prior",
    "Said",
    "Table",
    "Topics",
    "families_of",
    "hypotheses",
]
