"""What answers say, apart from how they say it."""

from __future__ import annotations

import pytest

from mar.traffic.saying import saying_of

SUM = 'Sure:\n```python\ndef add(a: int, b: int) -> int:\n    """Add."""\n    return a + b\n\nprint(add(1, 2))\n```'


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I think so. The answer is (B).", "Answer: B"),
        ("So 3 + 4 = 7. The answer is 7.", "The answer is 7.0"),
        (SUM, "```python\nimport math\ndef plus(x, y):\n    return x + y\n```"),
        ("Yes,  it is.", "yes, it\nis."),
    ],
)
def test_the_same_in_other_words(one: str, other: str):
    assert saying_of(one) == saying_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The answer is (B).", "The answer is (C)."),
        ("The answer is 7.", "The answer is 8."),
        (SUM, SUM.replace("a + b", "a - b")),
        ("```python\ndef f(x):\n    return len(x)\n```", "```python\ndef f(x):\n    return max(x)\n```"),
        ("Yes.", "No."),
    ],
)
def test_something_else(one: str, other: str):
    assert saying_of(one) != saying_of(other)


def test_only_what_is_stated_as_the_answer_is_right_in_one_way():
    assert saying_of("The answer is (B).").single
    assert saying_of("The answer is 7.").single
    assert not saying_of(SUM).single
    assert not saying_of("A poem has 7 lines, and so has this one.").single
