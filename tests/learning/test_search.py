import torch

from mar.controllers.masrouter import Candidates
from mar.learning.correction import Errors, width
from mar.learning.imagination import Questions
from mar.learning.search import Search, _needed
from tests.learning.test_imagined import imagination


def test_only_plans_that_are_worth_it_are_kept():
    # One price, two questions. The first plan is best on average, the second adds .1 on one question (.05 in the mean),
    # the third .001 on the other (.0005).
    utility = torch.tensor([[[0.5, 0.6, 0.0], [0.5, 0.0, 0.501]]])
    assert _needed(utility) == [0, 1]


def searched(theta, prices, **tensors):
    imagined, _ = imagination(theta=theta, **tensors)
    nothing = torch.zeros(3, 12, dtype=torch.bool)
    nothing[0] = True  # mathematics has twelve roles
    candidates = Candidates(
        domains=torch.zeros(3, 4),
        modes=torch.zeros(2, 4),
        roles=torch.zeros(3, 12, 4),
        role_mask=nothing,
        llms=torch.zeros(2, 4),
    )
    search = Search(
        imagination=imagined,
        candidates=candidates,
        domain=0,
        questions=Questions(vectors=torch.zeros(8, 4), tokens=torch.full((8,), 10.0), choices=torch.full((8,), 8.0)),
        prices=prices,
        generations=2,
        seed="s",
    )
    return search.repertoire(Errors(width(candidates)).correction())


def test_where_money_is_dear_the_cheap_model_is_asked_alone_and_where_it_is_not_the_good_one_takes_part():
    dear = searched((0.0, 6.0), (1000.0, 1000.0))  # a call of the second costs .0035 USD, of the first .0007
    assert (dear.choices.count.tolist(), dear.choices.llms[:, 0].tolist()) == ([1], [0])
    free = searched((0.0, 6.0), (0.0, 0.0))
    assert 1 in free.choices.llms[0, : int(free.choices.count[0])].tolist()


def test_a_range_of_prices_keeps_plans_for_both_ends():
    both = searched((0.0, 6.0), (1.0, 1000.0))
    llms = [set(row[:n]) for row, n in zip(both.choices.llms.tolist(), both.choices.count.tolist(), strict=True)]
    assert {0} in llms
    assert any(1 in team for team in llms)


def test_a_search_that_is_made_again_finds_the_same():
    first, second = (searched((1.0, 3.0), (1.0, 100.0)) for _ in range(2))
    assert torch.equal(first.choices.llms, second.choices.llms)
    assert torch.equal(first.worth.quality, second.worth.quality)
