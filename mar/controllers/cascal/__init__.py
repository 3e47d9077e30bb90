"""CASCAL (arXiv 2601.09692): routing that learns from answers alone, without knowing which of them are right.

`responses` holds answers; `consensus` and `families` score them without labels; `skills` and `local`
learn where which model scores well; `routing` and `controller` use that; `artefacts` keeps it in files.
"""

from mar.controllers.cascal.artefacts import load_model, load_responses, save_model, save_responses
from mar.controllers.cascal.clustering import best_clustering, silhouette, spherical_kmeans
from mar.controllers.cascal.consensus import (
    agreement_shares,
    consensus_scores,
    dawid_skene,
    location_and_scale,
    plurality,
    vote_weights,
    z_scores,
)
from mar.controllers.cascal.controller import Cascal, CascalModel
from mar.controllers.cascal.families import FamilyFit, FamilySettings, family_scores
from mar.controllers.cascal.local import LocalSettings, LocalSkills, train_local
from mar.controllers.cascal.responses import ABSTAINED, Responses, agreement
from mar.controllers.cascal.routing import Routes, RoutingSettings, route
from mar.controllers.cascal.skills import Skills, SkillSettings, SubjectSkills, add_model, train_skills

__all__ = [
    "ABSTAINED",
    "Cascal",
    "CascalModel",
    "FamilyFit",
    "FamilySettings",
    "LocalSettings",
    "LocalSkills",
    "Responses",
    "Routes",
    "RoutingSettings",
    "SkillSettings",
    "Skills",
    "SubjectSkills",
    "add_model",
    "agreement",
    "agreement_shares",
    "best_clustering",
    "consensus_scores",
    "dawid_skene",
    "family_scores",
    "load_model",
    "load_responses",
    "location_and_scale",
    "plurality",
    "route",
    "save_model",
    "save_responses",
    "silhouette",
    "spherical_kmeans",
    "train_local",
    "train_skills",
    "vote_weights",
    "z_scores",
]
