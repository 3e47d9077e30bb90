"""For all tests."""

from hypothesis import settings

# How long an example takes says something about the machine only.
settings.register_profile("mar", deadline=None)
settings.load_profile("mar")
