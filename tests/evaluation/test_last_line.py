from mar.evaluation.last_line import FEWEST, last_line
from mar.evaluation.results import ItemResult, Row

N = 40


def row(name, group, usd, right, *, n=N, draws=1, failure=None):
    """Right on every item but every `right`-th, 0: on all."""
    results = [
        ItemResult(
            query_id=f"q{i}",
            value=float(not right or i % right > 0),
            solved=not right or i % right > 0,
            cost_usd=usd,
            calls=0 if failure else 1,
            latency_s=1.0,
            failure=failure,
        )
        for _ in range(draws)
        for i in range(n)
    ]
    return Row(name=name, group=group, results=tuple(results))


def said(*rows):
    return last_line(rows, measure="accuracy")


CHEAP, DEAR = row("cheap", "single LLM", 0.1, 2), row("dear", "single LLM", 1.0, 4)


def test_what_is_as_accurate_and_costs_half_is_fifty_percent_cheaper():
    # The dear model is right on 30 of 40; so is the controller, for half the money on every item.
    found = said(row("ours", "learned", 0.5, 4), CHEAP, DEAR)
    assert found.startswith("At the accuracy of dear (75.0%): 50% cheaper (95% interval 50% to 50%;")


def test_several_draws_of_an_item_are_one_item():
    rows = [row("ours", "learned", 0.5, 4, draws=3), row("dear", "single LLM", 1.0, 4, draws=3)]
    assert said(*rows) == said(row("ours", "learned", 0.5, 4), DEAR)


def test_what_no_controller_reaches_is_left_to_a_single_model():
    found = said(row("ours", "learned", 2.0, 2), CHEAP, DEAR)
    assert found.startswith("Nothing that was learned beats a single model beyond chance: use dear")


def test_what_was_not_learned_here_is_not_counted():
    found = said(row("sequential, from cards", "untrained", 0.1, 0), row("packaged", "packaged", 0.1, 0), DEAR)
    assert found.startswith("Nothing was learned")


def test_what_cannot_be_said_is_not_said():
    ours = row("ours", "learned", 0.5, 4)
    assert said(ours).startswith("No model was tested alone")
    assert "a cost is not known" in said(row("ours", "learned", None, 4), DEAR)
    cut = row("ours", "learned", None, 4, failure="limit")
    assert "Not everything was run" in said(cut, DEAR)
    few = [row("ours", "learned", 0.5, 4, n=FEWEST - 1), row("dear", "single LLM", 1.0, 4, n=FEWEST - 1)]
    assert "19 test items are too few" in said(*few)
