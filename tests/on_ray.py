"""Tests on a Ray cluster of this machine."""

import os
from importlib.util import find_spec

import pytest

MISSING = "Ray is not installed: scripts/install_ray.sh installs it"


def on_ray(test):
    """Marks a test; it is skipped where Ray is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is called outside
    return pytest.mark.ray(pytest.mark.skipif(find_spec("ray") is None, reason=MISSING)(test))
