"""Threads of the processor are limited for as long as it is asked for."""

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from mar.numerics import one_thread


def computed_on():
    return {torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info())}


@pytest.fixture(autouse=True)
def _two_threads():
    """What there is to limit."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with threadpool_limits(limits=2):
        yield
    torch.set_num_threads(before)


def test_one_thread_is_for_as_long_as_it_is_asked_for():
    before = computed_on()
    assert 2 in before
    with one_thread():
        assert computed_on() == {1}
    assert computed_on() == before


def test_an_error_gives_the_threads_back():
    before = computed_on()
    with pytest.raises(KeyError), one_thread():
        raise KeyError
    assert computed_on() == before
