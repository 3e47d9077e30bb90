import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mar.pool.reasoning import Split, Splitter, split

HARMONY = "<|channel|>analysis<|message|>6*7<|end|><|start|>assistant<|channel|>final<|message|>42<|return|>"

OPENED = [  # text, reasoning, answer
    ("plain", "", "plain"),
    ("<think>why</think>\n\nbecause", "why", "because"),
    ("\n<think>\nwhy\n</think>because", "why", "because"),
    ("<think></think>x", "", "x"),
    ("<think>never closed", "never closed", ""),
    ("<thinking>why</thinking>because", "why", "because"),
    ("<Think>why</Think>because", "why", "because"),
    ("<thought>why</thought>\nbecause", "why", "because"),
    ("<reasoning>why</reasoning>because", "why", "because"),
    ("[THINK]why[/THINK]because", "why", "because"),
    ("<think>why</thinking>because", "why", "because"),  # closed with another tag only
    ("<think>a</think>\n<think>b</think>c", "a\nb", "c"),
    ("<think>the `</think>` tag</think>it ends", "the `</think>` tag", "it ends"),
    ("<think>an inner </thinking> one</think>it ends", "an inner </thinking> one", "it ends"),
    ("a <think>b</think> c", "", "a <think>b</think> c"),  # only at the start
    ("<thin", "", "<thin"),
    ("  indented", "", "  indented"),
    ("analysis of a poem", "", "analysis of a poem"),
    (HARMONY, "6*7", "42"),
    ("<|start|>assistant<|channel|>final<|message|>42", "", "42"),
    ("<|channel|>analysis<|message|>cut in the mid", "cut in the mid", ""),
    ("<|channel|>final <|constrain|>json<|message|>{}", "", "{}"),
    ("analysisWe need 6*7.assistantfinal42", "We need 6*7.", "42"),  # the markup was dropped by the server
]
UNOPENED = [
    ("6 times 7 is 42.\n</think>\n\n42", "6 times 7 is 42.", "42"),
    ("6 times 7 is 42.</think>42", "6 times 7 is 42.", "42"),
    ("6 times 7 is 42 </think> The answer is 42", "6 times 7 is 42", "The answer is 42"),
    ("a\n[/THINK]\nb", "a", "b"),
    ("a\n</thinking>\nb", "a", "b"),
    ("a\n</think>\nwrite `</think>` at the end", "a", "write `</think>` at the end"),
    ("it ends there</think>", "it ends there", ""),
]
LATER = [  # reasoning after the answer, or within it
    ("The answer is B <think>Perhaps C. The answer is C</think>", "Perhaps C. The answer is C", "The answer is B"),
    ("The answer is B\n<think>\nor C?\n</think>\n", "or C?", "The answer is B"),
    ("The answer is B\n<think>\nor C, so the answer is", "or C, so the answer is", "The answer is B"),
    ("The answer is B. <think>Or C", "Or C", "The answer is B."),
    ("The answer is B [THINK]or C[/THINK]", "or C", "The answer is B"),
    ("The answer is B <think>a</think>\n<think>b</think>", "a\nb", "The answer is B"),
    ("<think>a</think>The answer is B<think>b</think>", "a\nb", "The answer is B"),
    ("<think>a</think>Perhaps A.\n<think>b</think>\nThe answer is B", "a\nb", "Perhaps A.\nThe answer is B"),
    ("a</think>The answer is B\n<think>b", "a\nb", "The answer is B"),
    ("<think>a</think>Write <think>b</think> first.", "a", "Write <think>b</think> first."),
]
MENTIONED = [
    "The tag `</think>` ends the block.",
    'Look for "</think>" in the text.',
    "The closing </think> tag ends the block.",
    "Everything up to </think>, if there is one, is dropped.",
    "```python\ntext.split(\n    tag,  # \n</think>\n)\n```\nsplits it.",
    "Write\n<think>\nyour thoughts\n</think>\nand then the answer.",
    "Write <think>your thoughts</think>\nand then the answer.",
    "Reasoning begins with the <think> tag.",
    "It ends with `<think>`",
    "```xml\n<think>\n```\nis the tag.",
]


def cut(text: str, places: list[int]) -> list[str]:
    edges = [0, *sorted(p % (len(text) + 1) for p in places), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


def stream(text: str, places: list[int], *, unopened: bool) -> tuple[Split, str]:
    splitter = Splitter(unopened=unopened)
    handed_on = "".join(splitter.feed(piece) for piece in cut(text, places))
    whole, rest = splitter.finish()
    return whole, handed_on + rest


@pytest.mark.parametrize(("text", "reasoning", "answer"), OPENED + UNOPENED)
def test_reasoning_is_told_from_the_answer(text, reasoning, answer):
    found = split(text)
    assert (found.reasoning, found.answer) == (reasoning, answer)
    assert found.unopened == ((text, reasoning, answer) in UNOPENED)


@pytest.mark.parametrize(("text", "reasoning", "answer"), LATER)
def test_reasoning_after_the_answer_is_no_answer(text, reasoning, answer):
    found = split(text)
    assert (found.reasoning, found.answer) == (reasoning, answer)
    assert stream(text, [5, 20], unopened=False)[0] == found


@pytest.mark.parametrize(
    "part",
    ["x</think>", "a\n<think>x</think>y", "<think>a</think>", "a <think>", "<think>a</think>b\n", "`</think>`<think>"],
)
def test_thousands_of_tags_take_time_in_proportion(part):
    began = time.monotonic()
    split(part * (200_000 // len(part)))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("text", MENTIONED)
def test_a_tag_that_an_answer_mentions_takes_nothing_from_it(text):
    assert split(text) == Split(reasoning="", answer=text)


@pytest.mark.parametrize(("text", "reasoning", "answer"), OPENED)
@settings(max_examples=40)
@given(places=st.lists(st.integers(0, 100), max_size=8))
def test_a_stream_hands_on_the_answer_wherever_the_text_is_cut(text, reasoning, answer, places):
    whole, handed_on = stream(text, places, unopened=False)
    assert (whole.reasoning, whole.answer) == (reasoning, answer)
    assert handed_on == answer


@pytest.mark.parametrize(("text", "reasoning", "answer"), OPENED + UNOPENED)
@settings(max_examples=40)
@given(places=st.lists(st.integers(0, 100), max_size=8))
def test_a_stream_known_to_begin_inside_reasoning_hands_on_only_the_answer(text, reasoning, answer, places):
    whole, handed_on = stream(text, places, unopened=True)
    assert whole.reasoning == reasoning
    assert handed_on == whole.answer == answer


@settings(max_examples=200)
@given(st.text(alphabet="ab \n`<>/|[]", max_size=30), st.lists(st.integers(0, 40), max_size=6))
def test_a_text_without_tags_is_all_answer_and_streams_as_it_is(text, places):
    assert split(text).answer == text
    assert stream(text, places, unopened=False)[1] == text


def test_an_answer_streams_from_its_first_piece():
    splitter = Splitter()
    assert splitter.feed("The answer") == "The answer"
    splitter = Splitter()
    assert [splitter.feed(piece) for piece in ("<think>", "x", "</think>", " ", "a", "b")] == ["", "", "", "", "", "ab"]
