"""Expressions as answers: the last box, else what is called the answer, else the last formula."""

import time

import pytest

from mar.tasks.scoring.boxed import MAX_ANSWER, extract_expression


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        (r"\boxed{1} and then \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed 7", "7"),
        (r"\boxed 42", "42"),
        ("#### 42", "42"),
        (r"\fbox{x^{2^{3}}}", "x^{2^{3}}"),
        (r"\boxed{} but earlier \boxed{3}", "3"),
        (r"\boxed{5 and it is never closed", None),
        ("The answer is $x + 1$.", "x + 1"),
        ("The answer is 12.", "12"),
        (r"The answer is **\(\frac{3}{4}\)**", r"\frac{3}{4}"),
        ("so that $a = 1$ and hence $b = 2$", "b = 2"),
        (r"The solutions are \boxed{1} and \boxed{-2}.", "1, -2"),
        (r"First \boxed{1}. Then, corrected, \boxed{2}.", "2"),
        ("**Answer:** 4.", "4"),
        ("<answer>7</answer>", "7"),
        ("The answer is p - q.", "p - q"),
        ("The answer is 7 because $2+5=7$", "7"),
        (r"\boxed{7}. Agent 2 says that the answer is $8$.", "7"),
        (r"\boxed{7}. This answer is reasonable.", "7"),
        ("7", "7"),
        ("I cannot say.", None),
        (r"\boxed{" + "9" * (MAX_ANSWER + 1) + "}", None),
    ],
)
def test_the_stated_expression_is_found(text, expression):
    assert extract_expression(text) == expression


def test_enormous_texts_are_read_quickly():
    began = time.monotonic()
    for part in ("\\boxed{", "\\(", "$", "answer is ", " ", "{", "\\[x", "$$"):
        extract_expression(f"answer is{part * (200_000 // len(part))}")
    assert time.monotonic() - began < 10
