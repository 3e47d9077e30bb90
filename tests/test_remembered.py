"""What a process remembers is dropped at once, wherever it lies, and nothing is kept alive by it."""

from __future__ import annotations

import gc

import pytest

from mar import remembered
from mar.controllers.embeddings import CachedEncoder, HashEncoder
from mar.controllers.routers import texts


class Counted:
    def __init__(self):
        self.dropped = 0
        remembered.remembers(self)

    def forget(self):
        self.dropped += 1


def test_everybody_who_remembers_is_told_once_and_who_is_gone_is_not_kept():
    one, other = Counted(), Counted()
    remembered.forget_all()
    assert (one.dropped, other.dropped) == (1, 1)
    del other
    gc.collect()
    assert [found for found in remembered._known if isinstance(found, Counted)] == [one]


def test_vectors_in_memory_are_dropped_and_made_again():
    encoder = CachedEncoder(HashEncoder(4), on_disk=False)
    before = encoder.encode(["a"])
    remembered.forget_all()
    assert not encoder.knows("a")
    assert (encoder.encode(["a"]) == before).all()


def test_a_vector_that_is_being_made_meanwhile_is_not_remembered():
    class Slow(HashEncoder):
        def encode(self, texts):
            remembered.forget_all()
            return super().encode(texts)

    encoder = CachedEncoder(Slow(4), on_disk=False)
    encoder.encode(["a"])
    assert not encoder.knows("a")


@pytest.mark.parametrize("function", [texts.words, texts.looks])
def test_features_of_texts_are_dropped_and_made_again(function):
    before = function(("a",))
    assert function(("a",)) is before
    remembered.forget_all()
    assert function(("a",)) is not before


def test_what_is_being_computed_meanwhile_is_not_remembered():
    def slow(texts):
        remembered.forget_all()
        return [*texts]

    function = remembered.Remembering(slow, most=8)
    assert function(("a",)) is not function(("a",))
