"""Policies that turn queries into plans."""

from mar.controllers.base import Controller, LateController, Moment, Planned, PlanSpace

__all__ = ["Controller", "LateController", "Moment", "PlanSpace", "Planned"]
