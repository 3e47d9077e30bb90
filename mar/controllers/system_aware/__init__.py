"""Routing that watches the serving layer: what a call would wait for, and rules that choose a model by it."""

from mar.controllers.system_aware.delay import Load, loads
from mar.controllers.system_aware.rules import RULES, ByRule, OpenPlans, Rule, rule

__all__ = ["RULES", "ByRule", "Load", "OpenPlans", "Rule", "loads", "rule"]
