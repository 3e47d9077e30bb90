# pyright: basic
"""What a prompt's text shows beside its embedding: its words, and how it looks.

Embeddings tell what a prompt is about. Words tell where it comes from, and length, digits and notation how hard its
form is; both say more about which LLM copes than a vector of meaning does.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
import scipy.sparse as sparse

from mar.controllers.routers.base import Floats
from mar.remembered import remembering

Sparse = Any  # scipy's csr_matrix, whose types say little
BUCKETS = 2**15  # of hashed words and pairs of words
REMEMBERED = 8  # sets of prompts whose features are kept: several routers read the same ones
_OPTION = re.compile(r"^\(?[A-J][.)]\s", re.MULTILINE)
_TOKEN = r"(?u)[\u4e00-\u9fff]|\w+|[^\w\s]"


@remembering(REMEMBERED)
def words(texts: tuple[str, ...]) -> Sparse:
    """Logarithmic counts of hashed words, signs and pairs of them, shape (n, BUCKETS)."""
    counts = _vectoriser().transform(texts).astype(np.float32)
    counts.data = 1 + np.log(counts.data)
    return counts


def rarity(counts: Sparse) -> Floats:
    """Inverse document frequency of every bucket, smoothed, shape (BUCKETS,)."""
    seen: Any = np.asarray((counts > 0).sum(axis=0)).ravel()
    return (np.log((1 + counts.shape[0]) / (1 + seen)) + 1).astype(np.float32)


def weighed(counts: Sparse, rare: Floats) -> Sparse:
    """Rows of length 1 in which rare words count more (TF-IDF)."""
    found = counts.multiply(rare[None, :]).tocsr().astype(np.float32)
    norms = np.sqrt(np.asarray(found.multiply(found).sum(axis=1)).ravel())
    return sparse.diags(1 / np.maximum(norms, 1e-12)).dot(found).tocsr().astype(np.float32)


@remembering(REMEMBERED)
def looks(texts: tuple[str, ...]) -> Floats:
    """How texts look: lengths, lines, options, and shares of digits, capitals and other signs; shape (n, 14)."""
    return np.array([_look(text) for text in texts], dtype=np.float32)


def _look(text: str) -> list[float]:
    size = max(len(text), 1)
    lines = [len(line) for line in text.split("\n")] or [0]
    options = [len(part) for part in _OPTION.split(text)[1:]]
    return [
        np.log1p(size),
        np.log1p(len(lines)),
        np.log1p(max(lines)),
        np.log1p(lines[0]),
        float(len(options)),
        np.log1p(np.mean(options)) if options else 0.0,
        sum(c.isdigit() for c in text) / size,
        sum(c.isupper() for c in text) / size,
        sum(ord(c) > 127 for c in text) / size,
        np.sqrt(sum(c in "$\\^{}=+<>" for c in text) / size),
        float(text.count("?") > 0),
        float("_" in text),
        float("\n" in text[: -1 - sum(options)] if options else "\n" in text),
        float(" not " in text.lower()),
    ]


@cache
def _vectoriser():
    from sklearn.feature_extraction.text import HashingVectorizer

    make: Any = HashingVectorizer
    return make(n_features=BUCKETS, ngram_range=(1, 2), token_pattern=_TOKEN, norm=None, alternate_sign=False)
