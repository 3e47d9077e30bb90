"""Encoders and their cache: every text is encoded once, vectors come back as they were, encoders do not mix."""

import sqlite3

import numpy as np
import pytest

from mar.controllers.embeddings import CachedEncoder, HashEncoder, MiniLM


class Counting:
    """A small encoder that remembers what it was asked."""

    def __init__(self, name="counting", width=8):
        self.name, self.width = name, width
        self.asked = []
        self._hash = HashEncoder(width)

    def encode(self, texts):
        self.asked += texts
        return self._hash.encode(texts)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "embeddings.sqlite"


def test_hash_vectors_are_of_unit_length_and_the_same_for_the_same_text():
    vectors = HashEncoder(16).encode(["a", "b", "a"])
    assert vectors.shape == (3, 16)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    assert np.array_equal(vectors[0], vectors[2])
    assert not np.array_equal(vectors[0], vectors[1])


def test_a_text_that_no_file_could_hold_is_encoded_all_the_same(path):
    assert CachedEncoder(HashEncoder(4), path).encode(["\ud800", ""]).shape == (2, 4)


def test_no_texts_are_no_rows(path):
    assert HashEncoder(4).encode([]).shape == (0, 4)
    assert CachedEncoder(HashEncoder(4), path).encode([]).shape == (0, 4)


def test_each_text_reaches_the_encoder_once(path):
    inner = Counting()
    cached = CachedEncoder(inner, path)
    first = cached.encode(["a", "b", "a"])
    again = cached.encode(["b", "c", "a"])
    assert inner.asked == ["a", "b", "c"]
    assert np.array_equal(first[0], again[2])
    assert np.array_equal(first[1], again[0])


def test_vectors_outlive_the_process_bit_for_bit(path):
    before = CachedEncoder(Counting(), path).encode(["a", "b"])
    inner = Counting()
    after = CachedEncoder(inner, path).encode(["b", "a"])
    assert inner.asked == []
    assert np.array_equal(before, after[::-1])


def test_encoders_of_other_names_do_not_share_vectors(path):
    CachedEncoder(Counting("one"), path).encode(["a"])
    other = Counting("two")
    CachedEncoder(other, path).encode(["a"])
    assert other.asked == ["a"]


def test_a_stored_vector_of_another_width_is_not_used(path):
    CachedEncoder(Counting(width=8), path).encode(["a"])
    wider = Counting(width=16)
    assert CachedEncoder(wider, path).encode(["a"]).shape == (1, 16)
    assert wider.asked == ["a"]


def test_two_processes_may_write_the_same_file(path):
    one, two = CachedEncoder(Counting(), path), CachedEncoder(Counting(), path)
    assert np.array_equal(one.encode(["a"]), two.encode(["a"]))
    one.encode(["b"])
    two.encode(["c"])
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM vectors").fetchone() == (3,)


def test_vectors_given_out_may_be_changed_without_changing_the_cache(path):
    cached = CachedEncoder(Counting(), path)
    kept = cached.encode(["a"]).copy()
    cached.encode(["a"])[:] = 0.0
    assert np.array_equal(cached.encode(["a"]), kept)


def test_the_default_place_is_mars_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MAR_CACHE", str(tmp_path / "cache"))
    CachedEncoder(Counting()).encode(["a"])
    assert (tmp_path / "cache" / "embeddings.sqlite").is_file()


def test_the_real_encoder_works_without_a_network_and_puts_alike_texts_close():
    vectors = MiniLM().encode(["Sort a list of numbers.", "Order these integers.", "A poem about the sea."])
    assert vectors.shape == (3, MiniLM.width)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1


def test_of_too_many_vectors_in_memory_those_that_came_first_are_fetched_again(tmp_path):
    counted = Counting()
    encoder = CachedEncoder(counted, tmp_path / "e.sqlite", most=2)
    vectors = encoder.encode(["a", "b", "c"])  # more at once than are kept
    assert [encoder.knows(text) for text in "abc"] == [False, True, True]
    assert (encoder.encode(["a"]) == vectors[:1]).all()
    assert counted.asked == ["a", "b", "c"]  # the file still had it
    assert not encoder.knows("b")
