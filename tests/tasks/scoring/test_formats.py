"""Replies in JSON: the answer is read from the field that holds it, and the rest of the object is not."""

from __future__ import annotations

import json
import time

import pytest

from mar.tasks.scoring.formats import Choice, Expression, Number

PLANETS = Choice(options=("Mercury", "Venus", "Earth", "The red planet Mars"))


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ('{"answer": "B"}', "B"),
        ('{"reasoning": "The answer is A at first sight.", "answer": "B"}', "B"),
        ('{"answer": "B", "explanation": "Since C is too cold, the answer is C in no case"}', "B"),
        ('I weighed A and C.\n\n```json\n{"final_answer": "(B)"}\n```\n', "B"),
        ('```json\n{"Final Answer": "venus"}\n```', "B"),
        ('{"answer": {"letter": "B", "text": "Venus"}}', "B"),
        ('{"choice": ["B"]}', "B"),
        ('```\n{"answer": "A"}\n```\nWait, the answer is (B).', "B"),
        ('{"answer": 1}', None),  # nobody says whether positions begin at 0 or 1
        ('{"answer": null}', None),
        ('{"answer": ["A", "B"]}', None),
        ('{"A": false, "B": true}', None),
        ('{"answer": "Venus or Earth"}', None),
    ],
)
def test_the_letter_of_a_json_reply_is_its_answer_field(reply, letter):
    assert PLANETS.extract(reply) == letter


@pytest.mark.parametrize(
    ("reply", "number"),
    [
        ('{"answer": 42}', "42"),
        ('{"final_answer": 42, "check": "42 + 1 = 43"}', "42"),
        ('{"steps": ["6 * 7", "7 more"], "answer": "$1,234.50"}', "1234.5"),
        ('Here it is:\n{"answer": [42], "confidence": 0.9}', "42"),
        ('```json\n{"answer": 42}\n```\nI used 3 steps.', "42"),
        ('{"work": "line 1\nline 2", "answer": 42}', "42"),  # as it is written, and no JSON
    ],
)
def test_the_number_of_a_json_reply_is_its_answer_field(reply, number):
    assert Number().extract(reply) == number


@pytest.mark.parametrize(
    ("reply", "expression"),
    [
        (json.dumps({"answer": r"\frac{1}{2}"}), r"\frac{1}{2}"),
        (r'{"answer": "\frac{1}{2}"}', r"\frac{1}{2}"),  # one backslash would begin a form feed
        (r'{"answer": "2 \times \text{m}"}', r"2 \times \text{m}"),  # and a tabulator
        (r'{"answer": "$\pi$"}', r"$\pi$"),
        (r'{"answer": "The final answer is \\boxed{x+1}."}', "x+1"),
        ('{"answer": 0.5, "note": "$x$"}', "0.5"),
    ],
)
def test_the_expression_of_a_json_reply_is_its_answer_field(reply, expression):
    assert Expression().extract(reply) == expression


def test_a_set_in_braces_is_no_json():
    assert Expression().extract(r"The answer is $\{1, 2\}$") == r"\{1, 2\}"
    assert PLANETS.extract('The set {"a"} is small. The answer is (C).') == "C"


@pytest.mark.parametrize(("number", "value"), [("[3]", "3"), ("So it is [3].", "3"), ("[Answer: 3]", "3")])
def test_a_number_in_square_brackets_is_the_number(number, value):
    assert Number().extract(number) == value


def test_what_stands_after_an_answer_in_tags_is_no_answer():
    assert Number().extract("<answer>3</answer>\nSteps used: 5") == "3"
    assert PLANETS.extract("<answer>(B)</answer>\nC is too cold.") == "B"


@pytest.mark.parametrize("part", ['{"', '{"a": ', "{" * 50, '{"\\', '"', '{"a":"b"}'])
def test_enormous_replies_are_read_quickly(part):
    began = time.monotonic()
    Number().extract(part * (100_000 // len(part)) + "}")
    assert time.monotonic() - began < 5
