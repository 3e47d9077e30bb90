"""Small outcome tables whose best routing is known by construction."""

import numpy as np

from mar.evaluation.routereval.table import OutcomeTable


def two_kinds(n=400, *, width=16, seed=0, models=("left", "right", "weak")):
    """Prompts of two kinds, told apart by their vectors: `left` solves 90% of one and 20% of the other, `right` the
    reverse, `weak` 30% of all. The best single LLM solves about 55%, the best router about 90%."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, n)
    centres = rng.standard_normal((2, width))
    vectors = centres[kind] + 0.3 * rng.standard_normal((n, width))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    chance = np.array([[0.9, 0.2, 0.3], [0.2, 0.9, 0.3]])[kind]
    return OutcomeTable(
        name="two_kinds",
        models=models,
        scores=(rng.random((n, 3)) < chance).astype(np.float32),
        ids=tuple(f"q{i}" for i in range(n)),
        prompts=tuple(f"{'an apple' if k else 'two pears'} number {i}" for i, k in enumerate(kind)),
        vectors=vectors,
        groups=tuple("apples" if k else "pears" for k in kind),
    )


def low_rank(n=200, models=30, *, width=16, seed=0):
    """Scores that depend on prompts through few directions."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    logits = 4 * vectors[:, :3] @ rng.standard_normal((3, models)) + np.linspace(-1.5, 1.5, models)
    scores = (rng.random((n, models)) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    return OutcomeTable(name="low_rank", models=tuple(f"m{j}" for j in range(models)), scores=scores, vectors=vectors)
