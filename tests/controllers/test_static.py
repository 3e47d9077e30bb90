"""The static encoder: a sum of rows, near to MiniLM, kept nowhere, remembered by name, and at hand for short texts."""

import subprocess
import sys

import numpy as np
import pytest

from mar.controllers.embeddings import CachedEncoder, HashEncoder, at_hand, bare, encoder_of, named_encoder, place_of
from mar.controllers.minilm import MOST_TOKENS, MiniLM
from mar.controllers.routers.base import Examples
from mar.controllers.routers.checkpoint import load_routed, save_routed
from mar.controllers.routers.controller import RouterController
from mar.controllers.routers.registry import make_router
from mar.controllers.static import MOST, SHORT, StaticEncoder, quantised
from mar.errors import CheckpointError
from mar.types import Query

ALIKE = ["Sort a list of numbers.", "Order these integers.", "A poem about the sea."]


@pytest.fixture(scope="module")
def static():
    return StaticEncoder()


@pytest.fixture
def router(static):
    """Of two models: the first is right about numbers, the second about the sea."""
    vectors = static.encode(ALIKE)
    examples = Examples(vectors=vectors, texts=tuple(ALIKE), scores=np.array([[1, 0], [1, 0], [0, 1]], np.float32))
    knn = make_router("knn", k=1)
    knn.fit(examples, examples)
    return RouterController(router=knn, models=("a", "b"), ties=np.zeros(2, np.float32), encoder=static)


def test_vectors_are_of_unit_length_and_alike_texts_lie_close(static):
    vectors = static.encode(ALIKE)
    assert vectors.shape == (3, static.width)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1


def test_cosines_follow_those_of_minilm(static):
    texts = [*ALIKE, "What is 17 times 23?", "Who painted the ceiling?", "Write a function that adds two numbers."]
    pairs = np.triu_indices(len(texts), 1)
    ours, theirs = ((v @ v.T)[pairs] for v in (static.encode(texts), MiniLM().encode(texts)))
    assert np.corrcoef(ours, theirs)[0, 1] > 0.7


def test_the_order_of_words_does_not_matter_and_what_stands_beside_a_text_neither(static):
    one, other = static.encode(["the cat sees the dog", "the dog sees the cat"])
    assert np.allclose(one, other, atol=1e-6)
    assert np.allclose(static.encode(["the dog sees the cat"])[0], other, atol=1e-6)


def test_a_text_of_two_words_is_the_sum_of_both_rows(static):
    """Not of their vectors: a row's length says how much its word counts."""
    rows = static._rows * static._scales[:, None]
    cat, dog = (rows[static._pieces.read([word])[0][1]] for word in ("cat", "dog"))
    both = cat + dog
    assert np.allclose(static.encode(["cat dog"])[0], both / np.linalg.norm(both), atol=1e-5)


@pytest.mark.parametrize("text", ["", " \n", "\ud800", "\x00"])
def test_a_text_without_words_has_a_vector_of_unit_length_all_the_same(static, text):
    assert np.allclose(np.linalg.norm(static.encode([text])), 1.0, atol=1e-5)


def test_minilm_reads_half_of_a_character_too():
    assert np.isfinite(MiniLM().encode(["\ud800"])).all()


def test_no_texts_are_no_rows(static):
    assert static.encode([]).shape == (0, static.width)


def test_of_a_long_text_the_beginning_is_read(static):
    words = "cat " * MOST_TOKENS
    assert np.array_equal(static.encode([words + "sea " * MOST])[0], static.encode([words])[0])


def test_eight_bits_hold_a_row_to_a_two_hundred_and_fifty_fourth_of_its_largest_number():
    rows = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    rows[0] = 0
    packed = quantised(rows)
    assert packed["rows"].dtype == np.int8
    error = np.abs(packed["rows"] * packed["scales"][:, None] - rows)
    assert (error <= np.abs(rows).max(axis=1, keepdims=True) / 254 + 1e-6).all()


def test_the_table_has_a_row_for_every_word_piece(static):
    assert static._rows.shape == (30_522, 128)
    assert static._scales.shape == (30_522,)


@pytest.mark.parametrize("find", [encoder_of, named_encoder])
def test_it_is_found_by_name_and_nothing_of_it_is_kept_on_disk(find, tmp_path, monkeypatch):
    monkeypatch.setenv("MAR_CACHE", str(tmp_path))
    found = find("static")
    found.encode(["a"])
    assert isinstance(found, StaticEncoder)
    assert place_of(found) == found.name == "static"
    assert not list(tmp_path.iterdir())


def test_an_encoder_is_found_behind_what_is_remembered_of_it(static, tmp_path):
    hashes = HashEncoder(4)
    assert bare(CachedEncoder(hashes, tmp_path / "e.sqlite")) is hashes
    assert bare(static) is static


def test_a_text_is_at_hand_if_it_is_short_or_remembered(static, tmp_path):
    cached = CachedEncoder(HashEncoder(4), tmp_path / "e.sqlite")
    assert at_hand(static, "x" * SHORT)
    assert not at_hand(static, "x" * (SHORT + 1))
    assert not at_hand(cached, "a")
    cached.encode(["a"])
    assert at_hand(cached, "a")
    assert not at_hand(HashEncoder(4), "a")


def test_a_router_decides_on_a_new_short_text_at_once(router):
    assert router.quick(Query(text="never seen", id="q"))


def test_a_router_that_was_fitted_with_it_reads_with_it_again(router, tmp_path):
    path = tmp_path / "router.safetensors"
    save_routed(path, router, trained_on={})
    loaded = load_routed(path)
    assert isinstance(loaded.encoder, StaticEncoder)
    with pytest.raises(CheckpointError, match="trained on embeddings of static; this encoder is hash"):
        load_routed(path, HashEncoder(128))


def test_nothing_heavy_is_imported_for_it():
    code = (
        "import sys; from mar.controllers.embeddings import encoder_of; encoder_of('static').encode(['a']);"
        "print(sorted({'torch', 'transformers', 'sentence_transformers', 'scipy', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.strip() == "[]"
