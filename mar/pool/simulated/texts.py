"""The texts of simulated models: a real answer, right or wrong, in the form that the task reads; or prose without one.

Prose has no digit, no capital letter standing alone and no code, so that no short gold answer can occur in it by
chance. Only an answer contains an answer.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from mar.pool.simulated.world import AnswerForm, SimItem

UNKNOWN = (
    "This is a simulated pool: no language model was asked, and the simulator knows nothing about this question. "
    "Configure an API key or a vLLM server to get a real answer."
)

_OPENINGS: dict[str, tuple[str, ...]] = {
    "Code": (
        "The task comes down to one clear pass over the input.",
        "Read the statement first and fix what goes in and what comes out.",
        "The function has to treat empty input and repeated values with care.",
        "This is best solved with the simplest data structure that keeps the order.",
    ),
    "Math": (
        "Set down what is given and name the unknown.",
        "The quantities depend on each other step by step.",
        "Translate the statement into relations and work through them in order.",
        "Keep the units in view while going through the steps.",
    ),
    "Commonsense": (
        "The question tests one fact and how it applies here.",
        "Compare the options with what is well established on the subject.",
        "Two of the options can be set aside quickly.",
        "The wording of the question narrows down what is meant.",
    ),
}
_BODIES: tuple[str, ...] = (
    "The decisive step is to keep the intermediate results apart and to check each of them before going on.",
    "The usual mistake is to stop one step too early, so the borders deserve a second look.",
    "Whoever answers should follow the statement to the letter and leave out what it does not ask for.",
    "Work from the given facts, and confirm the outcome against the statement at the end.",
)
_CLOSINGS: tuple[str, ...] = (
    "That is all that is needed to finish.",
    "The rest follows from there.",
    "With that in place the answer can be written down.",
)


def _pick(choices: Sequence[str], unit: float) -> str:
    return choices[min(int(unit * len(choices)), len(choices) - 1)]


def prose(item: SimItem, phrase: float) -> str:
    """An analysis without the answer: a few sentences; `phrase` in (0, 1) chooses among them."""
    opening = _pick(_OPENINGS[item.domain], phrase)
    body = _pick(_BODIES, phrase * 7 % 1)
    return f"{opening} {body} {_pick(_CLOSINGS, phrase * 31 % 1)}"


def program_answer(item: SimItem, answer: str, phrase: float) -> str:
    """A program in a fenced block; for a task that does not ask for code, a program that computes the answer."""
    code = answer.strip("\n") if item.form == "code" else f"answer = {_literal(answer)}\nprint(answer)"
    return f"{_pick(_OPENINGS[item.domain], phrase)}\n\n```python\n{code}\n```\n"


def final_answer(item: SimItem, answer: str, phrase: float) -> str:
    """The answer in the task's own form, after a sentence of prose."""
    if item.form == "code":
        return program_answer(item, answer, phrase)
    if item.form == "text":
        return answer
    return f"{_pick(_OPENINGS[item.domain], phrase)} {_pick(_BODIES, phrase * 7 % 1)}\n\n{_closing(item.form, answer)}"


def tool_arguments(tool: str, item: SimItem, answer: str | None) -> dict[str, str]:
    """What a simulated model gives a tool of mar: its own answer as far as the tool takes such.

    Whoever looks something up is not told what the question is, so the benchmark's name stands for it.
    """
    if tool == "calculator":
        number = "" if answer is None else _literal(answer)
        return {"expression": "1 + 1" if number[:1] in ("", "'", '"') else f"{number} + 0"}
    if tool == "python":
        return {"code": answer if item.form == "code" and answer else f"print({_literal(answer or '')})"}
    return {"words": item.benchmark}


def silence(item: SimItem, phrase: float) -> str:
    """An answer that gives none."""
    return f"{_pick(_OPENINGS[item.domain], phrase)} What is given does not settle it, so no answer can be stood by."


def cut_off(item: SimItem, phrase: float) -> str:
    """What is left of an answer that max_tokens cut off before it was given."""
    return f"{_pick(_OPENINGS[item.domain], phrase)} {_pick(_BODIES, phrase * 7 % 1)[:-1]} and"


def pieces(text: str, count: int) -> list[str]:
    """The text in `count` pieces (fewer when it is shorter), for streaming; joined they give the text."""
    size = max(1, -(-len(text) // count))
    return [text[i : i + size] for i in range(0, len(text), size)]


def _closing(form: AnswerForm, answer: str) -> str:
    if form == "boxed":
        return f"The answer is \\boxed{{{answer}}}"
    return f"The answer is ({answer})" if form == "choice" else f"The answer is {answer}"


def _literal(answer: str) -> str:
    """The answer as a Python literal: itself where it is a number, else a string."""
    try:
        number = isinstance(ast.literal_eval(answer), int | float)
    except (ValueError, SyntaxError):
        number = False
    return answer.strip() if number else repr(answer)
