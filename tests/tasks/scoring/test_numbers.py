"""Numbers as answers: found wherever models put them, compared by value."""

import time

import pytest

from mar.tasks.scoring.numbers import extract_number, same_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("She has 3 left.\n#### 1,234", "1234"),
        ("The answer is $1,234.50.", "1234.5"),
        ("The answer is 3 * 4 = 12 apples.", "12"),
        ("**Answer:** \\$1,080", "1080"),
        ("Answer = 5 + 6 = 11", "11"),
        (r"So we get \boxed{\frac{3}{4}} of it, out of 9.", "0.75"),
        (r"\boxed{1{,}000}", "1000"),
        ("\\boxed{12\\text{ km}}", "12"),
        ("It is 50%", "50"),
        ("The answer is 20 percent", "20"),
        ("That takes 2 1/2 hours.", "2.5"),
        ("The answer is 2/3.", "2/3"),
        ("The final answer is -$5", "-5"),
        ("The answer is \u22124 degrees", "-4"),
        ("10-5", "5"),
        ("10 - 5", "5"),
        ("The answer is 1\u202f000", "1000"),
        ("It weighs 5km and 7kg", "7"),
        ("The answer is 7. There were 8 of them before.", "7"),
        ("The answer is three. 4 + 5 = 9", "3"),
        ("The answer is 18. Check: 18 + 2 = 20.", "18"),
        ("The answer is 18, since 9 * 2 = 18, and 3 are left.", "18"),
        ("#### Step 1\n5 + 3 = 8\n\n#### Step 2\nThe answer is 8.", "8"),
        ("He has 18.\n#### 18\n\nQuestion: Tom has 3. How many?\nAnswer: 7\n#### 7", "18"),  # it goes on by itself
        ("The answer is 18.\n\nNote: this answer assumes 5 days.", "18"),
        ("To answer this we need 2 steps: 9 eggs, and 2 dollars each, which makes 18", "18"),
        ("The answer is not 20 but 18.", "18"),
        ("The answer is 18. Agent 2 says that the answer is 20.", "18"),
        ("If the answer is 20, nothing is left. The answer is 18.", "18"),
        ("The answer is 5 apples and 3 pears, so 8 in total.", "8"),
        ("The answer is -\\$5", "-5"),
        ("The answer is $\\frac{1}{2}$", "0.5"),
        (r"The answer is $-\frac{1}{2}$", "-0.5"),
        ("The answer is 10^3", "1000"),
        (r"The answer is $2.5 \times 10^{6}$", "2500000"),
        ("The answer is $2.5 million", "2500000"),
        ("The answer is \uff11\uff18", "18"),  # full-width digits
        ("\u7b54\u6848\u662f18", "18"),
        ("The answer is one hundred and twenty-five dollars.", "125"),
        ("18 is the answer.", "18"),
        ("The answer is 4.\nNo, wait. The answer is 6.", "6"),
        ("x = .5", "0.5"),
    ],
)
def test_the_stated_number_is_found(text, number):
    assert extract_number(text) == number


@pytest.mark.parametrize(
    "text", ["", "I do not know.", "9" * 5000, "0/0", "version v1.2.3", "####", "1e999999999", "The answer is 9^999"]
)
def test_without_a_usable_number_there_is_no_answer(text):
    assert extract_number(text) is None


def test_enormous_texts_are_read_quickly():
    began = time.monotonic()
    for part in ("1,", "9", "answer is ", "-", "(", " ", "1 000 ", "\\frac{", "$", "#### ", "9^", "1 1/", "twenty-"):
        extract_number(f"answer is{part * (200_000 // len(part))}")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("1,000", "1000.0", True),
        ("0.333333", "1/3", True),  # off by 3.3e-7, relative 1e-6
        ("0.33", "1/3", False),
        ("50", "0.5", False),  # what is asked for is 50 percent, not a half
        ("-3", "3", False),
        ("50%", "50", True),
        ("2880000", "2880001", False),  # whole numbers are exact, whatever their size
        ("12345678901", "12345678902", False),
        ("1/3", "333333/1000001", False),  # and so are fractions
        ("8.5", "9", False),
        ("1000000.1", "1000000.2", False),
        ("0.0000001", "0.0000002", False),
        ("2.718281828459045", "2.718282", True),  # rounds to it
        ("2.718281828459045", "2.71828", True),
        ("2.718281828459045", "2.7183", False),  # fewer than 6 digits may be anything
        ("17.999999999999996", "18", True),  # a machine's rounding error
        ("17.9999999", "18", False),
    ],
)
def test_numbers_are_compared_by_value(a, b, same):
    assert same_number(a, b) is same


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The answer is negative 18.", "-18"),
        ("The answer is minus 18", "-18"),
        ("He had 20 minus 2", "2"),
        ("The answer is 2½ hours", "2.5"),
        ("The answer is ¾", "0.75"),
        ("The answer is $5k", "5000"),
        ("The answer is $2.5M per year", "2500000"),
        ("The answer is 5 m", "5"),
        ("The answer is 18 = 9 * 2", "18"),
        ("The answer is 9 * 2 = 18 = 20 - 2", "18"),
        ("The answer is 9 + 9, which is 18.", "18"),
        ("The answer is 9 times 2, or 18.", "18"),
        ("The answer is 2**3", "8"),
        (r"\boxed 18", "18"),
    ],
)
def test_a_number_is_what_is_worked_out_with_its_sign_and_scale(text, number):
    assert extract_number(text) == number
