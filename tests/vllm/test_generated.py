"""Routing with generated data on real servers: one model writes questions, three answer, and no label is seen."""

import pytest

from mar.controllers.embeddings import CachedEncoder, MiniLM
from mar.learning.progress import Progress
from mar.testing.tinygenerated import run_generated
from mar.testing.tinylm import TINY_MODELS
from mar.testing.tinypool import QUIZZERS, missing_vllm, serve_tiny_pool
from tests.vllm.servers import DEVICE

pytestmark = pytest.mark.vllm


def test_routing_learned_from_generated_questions_beats_the_best_single_model(tmp_path):
    reason = missing_vllm(DEVICE)
    if reason is not None:
        pytest.skip(reason)
    with serve_tiny_pool(tmp_path / "servers", QUIZZERS, first_port=8480, device=DEVICE) as servers:
        found = run_generated(servers, tmp_path, CachedEncoder(MiniLM()), progress=Progress(quiet=True))
    assert found.written >= 20
    assert sum(found.routed) / len(found.routed) >= found.best_single + 0.10
    for subject, picks in found.picks.items():
        knowing = sum(count for model, count in picks.items() if subject in TINY_MODELS[model].knows)
        assert knowing / picks.total() >= 0.9
