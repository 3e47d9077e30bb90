import pytest
import torch

from mar.controllers.masrouter import Cascade, NetworkSettings
from mar.learning.domains import Lessons
from tests.learning import toy

SETTINGS = NetworkSettings(embedding=8, hidden=4, max_agents=2)


def lessons(n=90):
    """Queries around three directions, one per domain, at several prices of money."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.arange(n) % 3
    queries = torch.eye(8)[truth] + 0.3 * torch.randn(n, 8, generator=generator)
    prices = torch.rand(n, generator=generator) * 3 + 0.5
    return Lessons(queries=queries, prices=prices, truth=truth, domains=torch.eye(8)[3:6])


def network():
    torch.manual_seed(0)
    return Cascade(SETTINGS)


def accuracy(network, known):
    with torch.no_grad():
        logits = network.domain_logits(network.query_context(known.queries, known.prices), known.domains)
    return (logits.argmax(-1) == known.truth).float().mean().item()


def test_the_classifier_is_fitted_to_convergence():
    cascade, known = network(), lessons()
    before = accuracy(cascade, known)
    known.begin(cascade)
    assert before < 0.9
    assert accuracy(cascade, known) == 1.0


def test_after_the_policy_has_moved_the_contexts_a_refresh_tells_the_domains_apart_again():
    cascade, known = network(), lessons()
    known.begin(cascade)
    with torch.no_grad():
        cascade.query_projection.weight.copy_(cascade.query_projection.weight.flip(0))  # another basis: nothing is lost
    assert accuracy(cascade, known) < 0.9
    known.refresh(cascade)
    assert accuracy(cascade, known) > 0.98


def test_a_refresh_moves_no_weight_that_the_policy_uses():
    cascade, known = network(), lessons()
    before = {name: value.clone() for name, value in cascade.state_dict().items()}
    known.refresh(cascade)
    moved = {name for name, value in cascade.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"domain_projection.weight", "domain_projection.bias", "task_stage.log_scale"}


def test_a_fitted_classifier_stays_where_it_is():
    cascade, known = network(), lessons()
    known.begin(cascade)
    first = known.refresh(cascade)
    assert known.refresh(cascade) == pytest.approx(first, abs=1e-3)


def test_queries_of_one_domain_teach_nothing_new(tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("nothing to tell apart")

    monkeypatch.setattr(Lessons, "begin", refuse)
    monkeypatch.setattr(Lessons, "refresh", refuse)
    toy.train(tmp_path, epochs=1)


def test_the_controller_that_is_kept_knows_the_domains_of_its_training_queries(tmp_path):
    router, _, space = toy.train(tmp_path, epochs=2, task=toy.TwoDomains(), imagined=toy.FEW)
    queries = [toy.TwoDomains().query(i) for i in toy.TwoDomains().items("train")]
    assert [p.plan.domain for p in router.plan(queries, space)] == [q.domain for q in queries]
