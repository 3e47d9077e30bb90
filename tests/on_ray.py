"""Tests on a Ray cluster of this machine."""

from importlib.util import find_spec

import pytest

MISSING = "Ray is not installed: scripts/install_ray.sh installs it"


def on_ray(test):
    """Marks a test; it is skipped where Ray is not installed."""
    return pytest.mark.ray(pytest.mark.skipif(find_spec("ray") is None, reason=MISSING)(test))
