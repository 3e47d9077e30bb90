"""What graded calls become, and what is left out."""

from dataclasses import replace

import numpy as np
import pytest

from mar.controllers.cascades import Table
from mar.controllers.cascades.table import NOTHING, numbers, signs
from mar.errors import ConfigError
from tests.controllers.cascades.questions import ENCODER, answered, call, cards, question, table


def test_a_row_has_what_each_model_did_alone():
    found = table({"a": "yn", "b": "n."}, cost_rate=2.0, a=0.1, b=0.01)

    assert found.models == ("a", "b")
    assert found.quality.tolist() == [[1, 0], [0, 0]]
    assert found.price.tolist() == [[0.2, 0.02], [0.2, 0.0]]
    assert found.heard.tolist() == [[True, True], [True, False]]
    assert found.answer.tolist() == [[0, 1], [0, NOTHING]]
    assert found.worth.tolist() == [[0.8, -0.02], [-0.2, 0.0]]


def test_only_first_calls_that_read_nothing_count_and_those_without_a_strategy_come_first():
    calls = [
        call("a", "2", 0.0, strategy="Flash"),
        call("a", "1", 1.0, message_id="plain"),
        call("a", "2", 0.0, message_id="again"),
        call("b", "2", 0.0, message_id="reader", read=("plain",)),
        call("b", "1", 1.0, strategy="Flash", message_id="only"),
    ]

    found = Table.of([question("?", calls)], cards(a=0.0, b=0.0), ENCODER, 1.0)

    assert found.quality.tolist() == [[1.0, 1.0]]


def test_models_without_a_price_are_left_out_where_money_counts():
    asked = answered({"a": "yy", "b": "yy", "c": "yy"})

    assert Table.of(asked, cards(a=0.1, b=None), ENCODER, 1.0).models == ("a",)
    free = Table.of(asked, cards(a=0.1, b=None), ENCODER, 0.0)
    assert (free.models, free.price.tolist()) == (("a", "b"), [[0, 0], [0, 0]])


def test_a_cost_that_was_not_recorded_is_the_models_mean():
    asked = answered({"a": "yyy"})
    last = replace(asked[2], calls=(replace(asked[2].calls[0], completion_tokens=None),))
    longer = replace(asked[1], calls=(replace(asked[1].calls[0], completion_tokens=3),))

    found = Table.of([asked[0], longer, last], cards(a=0.1), ENCODER, 1.0)

    assert found.price[:, 0].tolist() == pytest.approx([0.1, 0.3, 0.2])


def test_nothing_to_learn_from_is_said_in_one_line():
    with pytest.raises(ConfigError, match="no graded call"):
        Table.of([], cards(a=0.1), ENCODER, 1.0)
    with pytest.raises(ConfigError, match="no graded call"):
        Table.of(answered({"a": "y"}), cards(b=0.1), ENCODER, 1.0)


def test_models_of_a_pool_are_ranked_by_what_they_are_worth_alone():
    found = table({"a": "nn", "b": "yy", "c": "yn"}, a=0.0, b=0.0, c=0.0)

    assert found.among(cards(c=1.0, b=1.0, new=1.0)) == (1, 2)
    with pytest.raises(ConfigError, match="knows none of new"):
        found.among(cards(new=1.0))


def test_signs_are_measured_against_what_is_usual_for_the_model_and_unknown_ones_are_usual():
    # Sureness is minus the logarithm of nats per token: 0, -2, -4 have mean -2 and spread sqrt(8 / 3).
    sure = [call("a", "1", 1.0, mean_logprob=-np.exp(x)) for x in (0.0, 2.0, 4.0)]
    asked = [question(f"{i}", [c, call("b", "1", 1.0)]) for i, c in enumerate(sure)]

    found = Table.of(asked, cards(a=0.0, b=0.0), ENCODER, 0.0)

    spread = (8 / 3) ** 0.5
    assert found.signs[:, 0, 3].tolist() == pytest.approx([2 / spread, 0, -2 / spread])
    assert found.signs[:, 0, 4].tolist() == [0, 0, 0]  # all of one length
    assert found.signs[:, 1].tolist() == [[0] * 5] * 3
    assert found.seen(0, call("a", None, mean_logprob=-1.0, feedback="failed")).tolist() == pytest.approx(
        [0, 1, 1, 2 / spread, 0]
    )


def test_a_silent_answer_is_seen_as_one():
    assert signs(call("a", None, feedback="passed"))[:3].tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("form", "calls", "expected"),
    [
        ("open", [("1", ""), ("1.0", ""), (None, ""), ("7", "")], [0, 0, NOTHING, 1]),
        ("programs", [("p", "passed"), ("q", "failed"), ("r", "passed"), (None, "")], [0, NOTHING, 0, NOTHING]),
        ("programs", [("p", ""), ("p", "")], [1, 2]),
    ],
)
def test_answers_agree_if_they_say_the_same_and_programs_if_they_pass(form, calls, expected):
    asked = question("?", [call(str(i), a, feedback=f) for i, (a, f) in enumerate(calls)], form)

    assert numbers(asked) == expected
