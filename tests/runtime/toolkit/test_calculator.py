from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mar.runtime.toolkit import ToolError
from mar.runtime.toolkit.calculator import calculate


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("17 * 23", "391"),
        ("2^3 + 1", "9"),  # ^ binds as a power does
        ("2 ** -1", "0.5"),
        ("(1 + 2) × 3 ÷ 4 − 1", "1.25"),
        ("7 // 2 + 7 % 2", "4"),
        ("-3 + +2", "-1"),
        ("2^200", str(2**200)),
        ("1^1000000000", "1"),
        ("sqrt(16) + abs(-2)", "6.0"),
        ("comb(10, 3) + factorial(5) + perm(5, 2)", "260"),
        ("round(2.345, 1) + floor(1.9) + ceil(1.1)", "5.3"),
        ("max(1, 2, 3) - min(4, 5)", "-1"),
        ("gcd(12, 18) * lcm(4, 6)", "72"),
        ("cos(pi)", "-1.0"),
        ("0.1 + 0.2", "0.30000000000000004"),
    ],
)
def test_arithmetic_is_worked_out(expression, value):
    assert calculate(expression) == value


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("1 / 0", "it has no value: division by zero"),
        ("sqrt(-1)", "it has no value"),
        ("(-8) ^ 0.5", "no real number"),
        ("9^9^9", "too large"),
        ("2^99999999999999999999", "too large"),
        ("factorial(100000)", "too large"),
        ("comb(1000000, 500000)", "too large"),
        ("round(5, -1000000000)", "at most 300 places"),
        ("1e999", "a number is inf"),
        ("exp(1000)", "it has no value"),
        ("sqrt()", "it has no value"),
        ("min()", "it has no value"),
        ("factorial(2.5)", "no whole number"),
        ("seventeen times 3", "no arithmetic expression"),
        ("x + 1", "'x' is no arithmetic"),
        ("__import__('os').system('x')", "is no arithmetic"),
        ("().__class__", "is no arithmetic"),
        ("open('x')", "'x'\\\" is no arithmetic"),
        ("open(1)", "no function is called open; there are: abs"),
        ("[1][0]", "is no arithmetic"),
        ("True + 1", "is no arithmetic"),
        ("1 < 2", "is no arithmetic"),
        ("1+" * 300 + "1", "more than 500 characters"),
        ("", "no arithmetic expression"),
    ],
)
def test_what_is_no_arithmetic_or_too_large_is_refused(expression, says):
    with pytest.raises(ToolError) as caught:
        calculate(expression)
    assert says.replace("\\", "") in str(caught.value)


@settings(max_examples=300)
@given(st.text(alphabet="0123456789.+-*/%^()e, factorialcomb", max_size=40) | st.text(max_size=20))
def test_any_text_has_a_value_or_a_reason_why_not(text):
    with suppress(ToolError, OverflowError):  # float() of a large integer
        assert float(calculate(text)) is not None
