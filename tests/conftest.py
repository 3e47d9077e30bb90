"""For all tests."""

import os
import signal

import pytest
from hypothesis import settings

from tests.machine import SETTINGS

# Each core has its own process of tests already, and what these compute is small: on a busy machine threads would wait
# for each other far longer than they compute. Read by PyTorch when it is loaded, and by the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# How long an example takes says something about the machine only.
settings.register_profile("mar", deadline=None)
settings.load_profile("mar")


@pytest.fixture(autouse=True, scope="session")
def _the_same_on_every_machine():
    """No setting from outside, and Ctrl-C works: what a script starts in the background inherits that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.MonkeyPatch.context() as patch:
        for name in SETTINGS:
            patch.delenv(name, raising=False)
        yield
    signal.signal(signal.SIGINT, before)
