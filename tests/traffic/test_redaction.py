"""What is blotted out of texts."""

from __future__ import annotations

import pytest

from mar.errors import ConfigError
from mar.traffic.redaction import Redaction, Rule

ALL = Redaction(["email", "card", "phone", Rule(name="customer", pattern=r"C-\d+")])


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("write to ann.b+c@example.co.uk now", "write to [email] now"),
        ("card 4111 1111 1111 1111.", "card [card]."),  # 8+1+2+1+2+1+2+1+2+1+2+1+2+1+2+1 = 30
        ("number 4111111111111112", "number 4111111111111112"),  # 31: no card's
        ("call +49 30 1234567 or (030) 1234 5678, 555-123-4567", "call [phone] or [phone], [phone]"),
        ("of customer C-12", "of customer [customer]"),
        ("1234567890 + 9876543210 = 11111111100 on 2024-05-06", "1234567890 + 9876543210 = 11111111100 on 2024-05-06"),
        ("the sum of 100 200 300; pi is 3.14159265358979", "the sum of 100 200 300; pi is 3.14159265358979"),
    ],
)
def test_addresses_and_numbers_of_cards_and_phones_go_and_sums_stay(text, kept):
    assert ALL.of(text) == kept


def test_texts_are_found_wherever_they_lie_and_names_of_the_trace_stay():
    trace = {"event": "C-1", "text": "of C-1", "prompt": [{"role": "C-1", "content": ["C-2"]}], "n": 3, "none": None}
    assert ALL.of(trace) == {
        "event": "C-1",
        "text": "of [customer]",
        "prompt": [{"role": "C-1", "content": ["[customer]"]}],
        "n": 3,
        "none": None,
    }


def test_a_rule_that_never_ends_is_ended():
    with pytest.raises(TimeoutError):
        Redaction([Rule(name="x", pattern=r"(?:a|aa)+$")]).of("a" * 90 + "!", within_s=0.05)


@pytest.mark.parametrize("name", ["email", "card", "phone"])
@pytest.mark.parametrize("piece", ["a", "1", "1 ", "a@", "a.", "+1 ", "(123) ", "a@a."])
def test_mars_own_rules_take_little_time_on_hostile_texts(name, piece):
    Redaction([name]).of(piece * 20_000, within_s=5.0)


def test_a_rule_that_is_no_regular_expression_is_named():
    with pytest.raises(ConfigError, match=r"the rule 'x': .*expected a regular expression"):
        Redaction([Rule(name="x", pattern="(")])
