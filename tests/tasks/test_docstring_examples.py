"""Examples of docstrings become tests where they are certain, in whatever way they are written."""

import pytest

from mar.tasks.docstring_examples import shown_assertions


def read(text, signature="x"):
    """The examples of a docstring, without the word assert."""
    body = text.replace("\n", "\n    ")
    found = shown_assertions(f'import math\n\ndef f({signature}):\n    """Do.\n    {body}\n    """\n', "f")
    return [a.removeprefix("assert ") for a in found]


@pytest.mark.parametrize(
    "text",
    [
        ">>> f(1)\n2",
        ">>> f(1)  # a comment\n2\n\nMore follows.",
        ">>> f(1) == 2",
        "f(1) == 2",
        "f(1) = 2",
        "f(1)=2",
        "f(1) => 2",
        "f(1) ==> 2",
        "f(1) -> 2",
        "f(1) --> 2",
        "f(1) → 2",
        "f(1) ➞ 2",
        "f(1) # => 2",
        "f(1)   # returns 2",
        "f(1) == 2  # since one is odd",
        "f(1) == 2 (one is odd)",
        "f(1) returns 2.",
        "* f(1) should return 2",
        "f(1) should return\n2, of course",
        "`f(1)` gives `2`",
        "For example, f(1) is 2.",
        "f(1) is equal to 2",
        "(f(1) == 2)",
        "assert f(1) == 2",
        "f(1) = 7 - 5 = 2",
        "f(1), the output should be 2",
        "Input: f(1)\nOutput: 2",
        "For x = 1 the output should be 2.",
        "For x = 1, the digits are few and the result is 2",
        "Input: x = 1\nOutput: 2",
        "Example:\n\n  Input: 1\n  Output: 2\n  Explanation: 2 follows 1.",
        "Given x = 1, the answer is 2",
    ],
)
def test_an_example_is_read_in_every_way_of_writing_it(text):
    assert read(text) == ["f(1) == 2"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("f('a') -> 'b'", ["f('a') == 'b'"]),
        ('>>> f("it\'s (a", 1)\n"]"', ["f(\"it's (a\", 1) == ']'"]),
        ("f([1, 2]) is true", ["f([1, 2]) == True"]),
        ("f([]) => none", ["f([]) == None"]),
        ("f({'a': 1}) == {'b': (2, 3)}", ["f({'a': 1}) == {'b': (2, 3)}"]),
        ("f(-1) == -2.50", ["f(-1) == -2.5"]),
        ("f(1, y=2) == 3", ["f(1, y=2) == 3"]),
        (">>> f('a\\nb')\n'b\\na'", ["f('a\\nb') == 'b\\na'"]),  # the docstring is not raw
        (">>> round(f(1), 2) # f is smooth\n0.5", ["round(f(1), 2) == 0.5"]),
        (">>> f(1) == 2\nFalse", ["(f(1) == 2) == False"]),
        ("f(1) == 2, f(2) == 3", ["f(1) == 2", "f(2) == 3"]),
        ("f(1) == 2   f(2) == 3", ["f(1) == 2", "f(2) == 3"]),
        ("f(1) is 2 and f(2) is 3", ["f(1) == 2", "f(2) == 3"]),
        ("f(0) = 1 and f(n) = n f(n - 1)", ["f(0) == 1"]),
        ("f([\n  [1, 2],\n  [3]\n], 1) == [(0, 0),\n  (1, 1)]", ["f([[1, 2], [3]], 1) == [(0, 0), (1, 1)]"]),
        (">>> f([1,\n...    2])\n[3,\n 4]", ["f([1, 2]) == [3, 4]"]),
        ("f(2) == 3\n>>> f(1)\n2\nf(2) == 3", ["f(2) == 3"]),  # what is printed has two lines; one example twice
    ],
)
def test_values_and_calls_are_read_whole_and_in_order(text, found):
    assert read(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "f(n) == 2",
        "f(a) => True",
        "f(1) == n",
        "f(1) == 2 + n",
        "f(1) == 2 * f(0)",
        "f(1) is 2 times as large",
        "f(1) is 2% of it",
        "f(1) -> 1, 2",
        "f(1) is not 2",
        "f(1) != 2",
        "f(1) >= 2",
        "not f(1) == True",
        "2 * f(1) == 4",
        "f(1) + f(2) == 3",
        "g(1) == 2",
        "obj.f(1) == 2",
        "f(f(1)) == 2",
        "f(1)\n2",
        "f(1: == 2",
        ">>> print(f(1))\n2",
        ">>> y = f(1)\n2",
        ">>> f(1)\n<object>",
        ">>> f(1)\n2\n3",
        "For y = 1 the output should be 2",
        "For x = 1 + y the output should be 2",
        "For x = 1 there is nothing to do",
    ],
)
def test_what_is_not_certain_is_left(text):
    assert read(text) == []


def test_arguments_go_to_their_parameters():
    assert read('For b = "x", a = [1, 2] the result should be (1, False)', "a, b") == ["f([1, 2], 'x') == (1, False)"]
    assert read("Input: a = 1, b = 2\nOutput: [3, 4]", "a, b") == ["f(1, 2) == [3, 4]"]
    assert read("For a = 1 the output should be 2", "a, b") == []


def test_a_text_behind_the_first_statement_counts_and_a_missing_one_gives_nothing():
    assert shown_assertions('def f(x):\n    import math\n    """f(1) == 2"""\n', "f") == ("assert f(1) == 2",)
    assert shown_assertions("def f(x):\n    'f(1) == 2'\n", "f") == ("assert f(1) == 2",)
    assert shown_assertions("def f(x):\n", "f") == ()
    assert shown_assertions("def f(:", "f") == ()
    assert shown_assertions('def g(x):\n    """f(1) == 2"""\n', "f") == ()


def test_doubled_backslashes_are_read_as_python_reads_them():
    assert shown_assertions('def f(x):\n    """f(\'a\\\\nb\') == 2"""\n', "f") == ("assert f('a\\nb') == 2",)
