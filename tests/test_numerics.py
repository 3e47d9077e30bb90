"""Threads of the processor are limited for as long as it is asked for."""

import pytest
import torch
from threadpoolctl import threadpool_info

from mar.numerics import one_thread


def computed_on():
    return {torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info())}


def test_one_thread_is_for_as_long_as_it_is_asked_for():
    before = computed_on()
    with one_thread():
        assert computed_on() == {1}
    assert computed_on() == before


def test_an_error_gives_the_threads_back():
    before = computed_on()
    with pytest.raises(KeyError), one_thread():
        raise KeyError
    assert computed_on() == before
