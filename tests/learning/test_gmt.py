"""Training of the published router: what is visible is never predicted, ties and first users, groups, resuming."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mar.controllers.embeddings import HashEncoder
from mar.controllers.gmt.comparisons import comparisons_of, names_of
from mar.controllers.gmt.graph import CHAIN, INTO_USERS, NODES, graph_of, hgt
from mar.controllers.gmt.published import Published, PublishedSettings, pair_scores, predict_published
from mar.learning.gmt import PublishedTraining, loss_of, train_published, visible_and_predicted
from mar.learning.progress import Progress
from mar.learning.rundir import RunDir
from tests.controllers.gmt_votes import group, opposite_users

WIDTH = 16
SHAPE = PublishedSettings(width=WIDTH, hidden=16)
SHORT = PublishedTraining(epochs=4, record_per_user=6, prediction_count=40, eval_every=2, save_every=1)
QUIET = Progress(quiet=True)


@pytest.fixture(scope="module")
def votes():
    groups = opposite_users(users=6, each=16, turns=2)
    names = names_of(groups, HashEncoder(WIDTH))
    train, test = [g for i, g in enumerate(groups) if i % 4], groups[::4]
    return comparisons_of(train, names), comparisons_of(test, names)


def test_conversations_are_visible_or_predicted_as_a_whole_and_the_first_user_counts(votes):
    train, _ = votes
    predicted_users = set()
    for epoch in range(10):
        visible, predicted = visible_and_predicted(train, SHORT, epoch)
        assert not set(visible.group) & set(predicted.group)
        assert len(predicted) == 40
        assert predicted.decided.all()
        assert np.bincount(visible.user[visible.turn == 0], minlength=6).tolist() == [6] * 6
        predicted_users |= set(predicted.user.tolist())
    assert predicted_users == set(train.user.tolist())


def test_ties_take_no_place_among_the_predicted():
    groups = [group("u", f"q{n}", ratings=((0.5, 0.5),) if n % 2 else ((1.0, 0.0),)) for n in range(20)]
    train = comparisons_of(groups, names_of(groups, HashEncoder(WIDTH)))
    _, predicted = visible_and_predicted(train, PublishedTraining(record_per_user=2, prediction_count=8), 0)
    assert len(predicted) == 8


def test_predictions_do_not_depend_on_the_outcomes_of_predicted_votes(votes):
    """Poisoned: every predicted outcome is turned round and every predicted rating is made absurd."""
    train, test = votes
    torch.manual_seed(0)
    network = Published(SHAPE)
    before = predict_published(network, train, test)
    poisoned = replace(test, target=1 - test.target, rating_a=1e3 + test.rating_b, rating_b=-1e3 - test.rating_a)
    assert np.array_equal(before, predict_published(network, train, poisoned))
    assert not np.array_equal(
        before, predict_published(network, replace(train, rating_a=train.rating_b, rating_b=train.rating_a), test)
    )


def test_the_chain_of_turns_runs_forward_in_time(votes):
    """A change of a later turn's rating reaches nobody's earlier turn: edges lead from turn 0 to turn 1 only."""
    train, _ = votes
    graph = graph_of(train, multi_turn=True)
    plain = graph_of(train, multi_turn=False)
    source, target = graph.edges[CHAIN]
    first_turns = set(source.tolist())
    assert first_turns
    assert not first_turns & set(target.tolist())
    assert CHAIN not in plain.edges


def test_merged_turns_leave_users_as_they_were_with_a_node_per_interaction():
    """Two users who saw the same and one who saw it twice: the merged graph gives equals equal vectors."""
    groups = [group("a", "q1"), group("b", "q1"), group("c", "q1"), group("c", "q2")]
    votes = comparisons_of(groups, names_of(groups, HashEncoder(WIDTH)))
    torch.manual_seed(0)
    network = Published(SHAPE).eval()
    users = network.users(graph_of(votes, multi_turn=True))
    assert torch.equal(users[0], users[1])
    assert not torch.allclose(users[0], users[2], atol=1e-5)
    alone = comparisons_of(groups[:1], votes.names)
    assert torch.allclose(network.users(graph_of(alone, multi_turn=True))[0], users[0], atol=1e-5)


@pytest.mark.parametrize("multi_turn", [False, True])
def test_layers_give_what_hgtconv_gives_and_so_do_their_gradients(multi_turn):
    """In double precision: users of one to nine conversations, so rows of several lengths, and one who said nothing."""
    rng = np.random.default_rng(0)
    groups = [
        group(f"u{u}", f"q{rng.integers(12)}", ratings=((1.0, 0.0), (0.0, 1.0))[: 1 + n % 2])
        for u in range(9)
        for n in range(u + 1)
    ]
    votes = comparisons_of(groups, names_of([*groups, group("quiet", "q0")], HashEncoder(WIDTH)))
    torch.manual_seed(0)
    network = Published(replace(SHAPE, multi_turn=multi_turn)).double()
    graph = graph_of(votes, multi_turn=multi_turn)
    x = {name: values.double() for name, values in graph.x.items()}
    for layer, conv in enumerate(network.convs):
        last = layer == len(network.convs) - 1
        if layer:
            x |= {name: torch.randn(len(x[name]), WIDTH, dtype=torch.double) for name in ("user", "turn")}
        into, nodes = (("user",), ("turn", "user")) if last else (("user", "turn"), NODES)
        edges = {INTO_USERS: graph.edges[INTO_USERS]} if last else graph.edges
        found, expected = hgt(conv, x, graph, into), conv({name: x[name] for name in nodes}, edges)
        for name in into:
            assert torch.allclose(found[name], expected[name], rtol=0, atol=1e-12)
        slopes = [
            torch.autograd.grad(sum(out[n].pow(3).sum() for n in into), list(conv.parameters()), allow_unused=True)
            for out in (found, expected)
        ]
        for (name, _), one, other in zip(conv.named_parameters(), *slopes, strict=True):
            assert (one is None or not one.any()) == (other is None or not other.abs().max() > 1e-12), name
            assert one is None or other is None or torch.allclose(one, other, rtol=0, atol=1e-10), name


def test_candidates_are_scored_as_multihead_attention_scores_them():
    torch.manual_seed(0)
    network = Published(SHAPE).eval()
    vectors = {name: torch.randn(5, WIDTH) for name in ("user", "query", "llm")}
    rows = {name: torch.randint(5, (20,)) for name in vectors}
    user, query, llm = (network.project[n](vectors[n])[rows[n]] for n in ("user", "query", "llm"))
    context = torch.stack([user, query], dim=1)
    heard, _ = network.attention(llm[:, None], context, context)
    expected = network.score(F.relu(torch.cat([heard[:, 0], llm], dim=1)))[:, 0]
    assert torch.allclose(network(vectors, rows), expected, atol=1e-6)


def test_pairs_are_scored_by_softplus_and_groups_by_cross_entropy_or_binary(votes):
    groups = [group("u", "q0"), group("u", "q1", ("m0", "m1", "m2"), ((1.0, 0.5, 0.0),)), group("u", "q2")]
    rows = comparisons_of(groups, names_of(groups, HashEncoder(WIDTH)))
    visible, predicted = rows.where(rows.group == 2), rows.where(rows.group < 2)
    torch.manual_seed(0)
    network = Published(SHAPE).eval()
    a, b = pair_scores(network, graph_of(visible, multi_turn=True), predicted)
    three = torch.stack([a[1], b[1], b[2]])  # of m0, m1 and m2: the pairs are (0, 1), (0, 2), (1, 2)
    pair = F.softplus(b[0] - a[0])
    best = torch.logsumexp(three, 0) - three[0]
    apart = F.binary_cross_entropy_with_logits(three, torch.tensor([1.0, 0.0, 0.0]), reduction="sum")
    assert loss_of(network, visible, predicted, binary=False).item() == pytest.approx(
        ((pair + best) / 2).item(), rel=1e-4
    )
    assert loss_of(network, visible, predicted, binary=True).item() == pytest.approx(
        ((pair + apart) / 4).item(), rel=1e-4
    )


def test_an_interrupted_training_goes_on_bit_for_bit(votes, tmp_path):
    train, test = votes

    def run(folder, *lengths):
        for epochs in lengths:
            where = RunDir.open(tmp_path / folder, arguments={}, prompts="")
            trained = train_published(train, test, SHAPE, replace(SHORT, epochs=epochs), progress=QUIET, run=where)
        return predict_published(trained.network, train, test), trained.best_epoch

    straight, best = run("one", 4)
    resumed, again = run("two", 2, 4)
    assert np.array_equal(straight, resumed)
    assert best == again
