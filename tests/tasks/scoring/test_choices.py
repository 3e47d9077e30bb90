"""Letters as answers: read where they are stated, never guessed."""

import gzip
import json
import re
import time
from collections import Counter

import pytest

from mar.pool import load_mmlu_pro
from mar.tasks.scoring.choices import extract_choice
from tests.tasks.benchmarks import real

OPTIONS = ("Mercury", "Venus", "Earth", "The red planet Mars")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("The answer is (C).", "C"),
        ("The correct answer is: **B**", "B"),
        ("the answer is option D, since it is red", "D"),
        ("Answer: B", "B"),
        ("**Answer:** (B) Venus", "B"),
        (r"\boxed{C}", "C"),
        (r"\boxed{\text{(C)}}", "C"),
        ("B", "B"),
        ("(B)", "B"),
        ("B. Venus", "B"),
        ("I think about it.\n\nC", "C"),
        ("It has to be option B.", "B"),
        ("The correct option is B.", "B"),
        ("The answer is Venus.", "B"),
        ("Venus", "B"),
        ("The answer is the red planet Mars", "D"),
        ("Probably C", "C"),
        ("The answer is A.", "A"),
        ("The answer is (A). Question: what is next? The answer is (B).", "A"),  # it goes on by itself
        ("answer = 'C'\nprint(answer)", "C"),
        ("The answer is (H).", "H"),  # stated, and wrong
        ("I weighed them all. The answer is A because it is small.", "A"),
        ("So the correct answer is d.", "D"),
        ("b", "B"),
        ("The answer is __B__", "B"),
        ("The answer is <b>B</b>", "B"),
        ('I am done. {"answer": "B"}', "B"),
        ("<answer>B</answer>", "B"),
        ("So B is the answer.", "B"),
        ("Venus is the correct answer.", "B"),
        ("I would pick B over the rest.", "B"),
        ("Ruling out A and C, I am left with one. Therefore, B.", "B"),
        ("The answer is B-Venus", "B"),
        ("La respuesta correcta es B", "B"),
        ("Die richtige Antwort ist B.", "B"),
        ("所以答案是B", "B"),
        ("综上，故选B", "B"),
    ],
)
def test_a_stated_option_is_read(text, letter):
    assert extract_choice(text, OPTIONS) == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("The answer is (A). Wait, I forgot the moons. The answer is (B).", "B"),  # the last one counts
        ("If the answer is A, water boils off. So the answer is (B).", "B"),
        ("The answer is (B). If the answer is A, water boils off.", "B"),
        ("The answer is (B). Agent 2 says that the answer is (C).", "B"),
        ("The answer is (B). One may think that the answer is (C).", "B"),
        ("The answer is (B).\n> The answer is (C).", "B"),
        ("The answer is (B). The other agent's answer is C.", "B"),
        ("I agree with Agent 2 that the answer is (B).", "B"),
        ("The answer is (B). The wrong answer is (C).", "B"),
        ("The answer is B. A is incorrect.", "B"),
        ("Agent 1 says the answer is (C).", None),
        ("The answer is not (C).", None),
        ("Nothing grows there, so (C) is incorrect.", None),
        ("The answer is (A). Wait, that is wrong.", None),
        ("The answer is (B).\n\nNow, let's summarize all the answers: the answer is (C). The answer is (D).", "B"),
    ],
)
def test_the_last_statement_that_a_text_stands_by_counts(text, letter):
    assert extract_choice(text, OPTIONS) == letter


@pytest.mark.parametrize(
    "text",
    ["The answer is (A) and (C).", "Answer: A or B", "The answer is A, B, and D.", r"\boxed{A, C}", "Answer: B/C"],
)
def test_two_letters_at_once_are_unreadable(text):
    assert extract_choice(text, OPTIONS) is None


@pytest.mark.parametrize(
    "text",
    [
        r"It follows that \boxed{B = \mu_0 H} holds for the field that is asked for in this question.",
        r"The gap is \boxed{\Delta E} for the two levels, as was to be shown in the second part of it.",
        "The answer is P(A).",
        "Answer: $E = mc^2$",
        "After a long calculation over many lines the determinant is found to be det(A) = 2 and so \\[det(A) > 0\\]",
        "For odd rolls we find after some time the value that $P(B) = 1/3$ and for even rolls the rest of it",
    ],
)
def test_a_letter_of_a_formula_is_none(text):
    assert extract_choice(text, OPTIONS) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I cannot say.",
        "Therefore, I cannot provide an answer.",
        "The answer is a planet.",
        "The answer is Decreasing.",
        "A planet is meant here",
        "It is either (B) or (C).",
        "A long calculation gives an energy of 12 J per mole, and the speed C of light the work is",
        "Neptune",
        "Answer: Don't know",
        "I. If it has rings, it is large. This is true.\nII. If it has none, it is small. This is false.",
        "(A) We convert first, and find 3.1 of them in it, which is more than there were in the year before the last.\n"
        "(B) We convert again, and find 4.2 of them, and the same for all others that are listed here, one by one",
        "A. It is too hot.\nB. It is too cold.\nC. It has a hot core.\nD",  # cut off
    ],
)
def test_without_a_stated_option_there_is_no_answer(text):
    assert extract_choice(text, OPTIONS) is None


@pytest.mark.parametrize(
    ("text", "options", "letter"),
    [
        ("The answer is 2 apples", ("2", "2 apples"), "B"),
        ("The answer is 2.", ("2", "2 apples"), "A"),
        ("The answer is 2 1/2 hours.", ("2", "3"), None),
        ("The answer is -2", ("2", "-2"), "B"),
        ("The answer is 2 m/s", ("2 m/s", "2 m/s"), None),  # which of the two?
        ("The answer is r", ("R", "r"), "B"),
        ("The answer is A and C", ("gold", "A and C"), "B"),
        ("The answer is E. coli", ("A. niger", "E. coli"), "B"),
        ("The answer is C = 5", ("C = 4", "C = 5"), "B"),
        ("The answer is unclear to me.", ("[1, 2]", "[]"), None),
        ("None of the above", ("gold", "none of the above"), "B"),
        ("The answer is bread and butter", ("bread", "cheese"), None),
    ],
)
def test_the_text_of_one_option_stands_for_its_letter(text, options, letter):
    assert extract_choice(text, options) == letter


ORGANELLES = ("Mitochondria", "The nucleus", "An endosome", "Nuclear envelope")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("nucleus", "B"),
        ("Nucleus.", "B"),
        ("the Nucleus", "B"),
        ("**Nucleus**", "B"),
        ("It's the nucleus.", "B"),
        ("The mitochondria.", "A"),
        ("THE MITOCHONDRIA!", "A"),
        ("A mitochondria", "A"),  # the article, and no letter
        ("endosome", "C"),
        ("The answer is endosome.", "C"),
        ("The nucleus; mitochondria have membranes of their own.", "B"),
        ("Nucleus, mitochondria", None),
        ("The nucleus or an endosome", None),
        ("Not the nucleus", None),
        ("nuclear", None),
    ],
)
def test_a_short_reply_that_only_names_an_option_is_its_letter(text, letter):
    assert extract_choice(text, ORGANELLES) == letter


def test_an_option_that_differs_by_its_article_only_is_taken_as_it_is_written():
    options = ("The nucleus", "A nucleus", "nothing")
    assert extract_choice("A nucleus.", options) == "B"
    assert extract_choice("nucleus", options) is None  # which of the two?


def test_enormous_texts_are_read_quickly():
    began = time.monotonic()
    for part in ("answer ", "(", "A ", "answer is ", " ", "*", "\\boxed{", "answer is" + " " * 1000):
        extract_choice(f"answer is{part * (200_000 // len(part))}", OPTIONS)
    assert time.monotonic() - began < 10


STATED = re.compile(r"answer is \(?([A-J])(?!\w)")


def test_recorded_answers_that_state_one_letter_are_read_as_they_were_recorded():
    """All recorded outputs of eight LLMs on MMLU-Pro, 96,224 texts.

    Where a text says "answer is (X)" with one letter only, of all that it states, the reading is X in all but 0.3 per
    thousand: those go on "(X) and (Y)", which is unreadable. `benchmarks/answer_reading.py` counts the other forms.
    """
    options = {}
    with gzip.open(real("mmlu_pro/test.jsonl.gz"), "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            options[row["question_id"]] = row["options"]
    found = Counter()
    for path in sorted(real("outcomes/mmlu_pro/responses").glob("*.jsonl.gz")):
        for answer in load_mmlu_pro(path):
            stated = set(STATED.findall(answer.text))
            if len(stated) == 1 and not re.search(
                r"answer is \(?[A-J]\)?,? (?:and|or|\()|answer is \(?[A-J], ", answer.text
            ):
                found[extract_choice(answer.text, options[answer.question_id]) in stated] += 1
    assert found[False] / found.total() < 0.0003
    assert found.total() > 80_000


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("My previous answer was (A). Having read the others, I change my answer to (C).", "C"),
        ("I revise my answer from A to C.", "C"),
        ("At first glance, the answer seems to be A. On reflection it's C.", "C"),
        ("As I initially said, the answer is C.", "C"),
        ("The first reading is tempting. You said the answer is (A). The answer is (C).", "C"),
        ("Es la tercera. La respuesta correcta es la C.", "C"),
        ("É a terceira. A resposta correta é a letra C.", "C"),
        ("The first two are too hot.\n\n#### C", "C"),
    ],
)
def test_an_answer_that_is_changed_or_only_a_first_impression_gives_way(text, letter):
    assert extract_choice(text, OPTIONS) == letter
