"""CASCAL (arXiv 2601.09692): routing that learns from answers alone, without knowing which of them are right."""

from mar.controllers.cascal.clustering import best_clustering, silhouette, spherical_kmeans
from mar.controllers.cascal.consensus import (
    agreement_shares,
    consensus_scores,
    dawid_skene,
    plurality,
    vote_weights,
    z_scores,
)
from mar.controllers.cascal.responses import ABSTAINED, Responses, agreement
from mar.controllers.cascal.routing import Routes, RoutingSettings, route
from mar.controllers.cascal.skills import Skills, SkillSettings, SubjectSkills, add_model, train_skills

__all__ = [
    "ABSTAINED",
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
    "plurality",
    "route",
    "silhouette",
    "spherical_kmeans",
    "train_skills",
    "vote_weights",
    "z_scores",
]
