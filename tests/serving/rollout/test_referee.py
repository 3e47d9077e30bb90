"""Two answers are compared by the grader there is, else by a judge; whoever says nothing is a reason."""

from __future__ import annotations

import re

import pytest

from mar.errors import ServerFault
from mar.pool import ModelCard, Pool, ScriptedModel
from mar.runtime import Ledger
from mar.serving.graders import GRADERS
from mar.serving.rollout.referee import Referee
from mar.serving.settings import OutcomeSettings

pytestmark = pytest.mark.anyio


def length(question, answer):
    return len(answer) / 10


def never(question, answer):
    raise ValueError("no")


@pytest.fixture(autouse=True)
def graders(monkeypatch):
    monkeypatch.setattr(GRADERS, "_known", {**GRADERS._known, "length": length, "never": never})


def verdicts(first, second):
    """A judge that gives two verdicts, one for each order."""
    said = [first, second]
    return lambda prompt: f"Verdict {re.search(r'Verdict (.+?):', prompt)[1]}: {said.pop(0)}"


async def compared(say=lambda prompt: "?", served="old", other="newer", *, judge="judge", keep="text", **fields):
    """What is said of two answers, and the prompts that the judge saw."""
    seen = []

    def answer(request):
        seen.append(request.messages[-1].text)
        return say(seen[-1])

    cards = [ModelCard(name="judge", price_in=1.0, price_out=1.0)]
    async with Pool(cards, ScriptedModel(answer), kind="scripted") as pool:
        referee = Referee(pool, judge, OutcomeSettings(grader=fields.get("grader")))
        purse = fields.get("purse", Ledger())
        may = fields.get("may", {"judge"})
        return await referee.compare("q?", served, other, keep=keep, may=may, purse=purse), seen


@pytest.mark.parametrize(("both", "value"), [(("1", "2"), 1.0), (("2", "1"), -1.0), (("1", "tie"), 0.5)])
async def test_the_judge_says_how_much_better_the_one_in_shadow_is(both, value):
    found, seen = await compared(verdicts(*both))
    assert (found.value, found.by, found.reason) == (value, "judge judge", "")
    assert found.word == ("better" if value > 0 else "worse")
    assert len(seen) == 2


async def test_the_judge_is_not_told_which_answer_was_served():
    _, seen = await compared(verdicts("1", "2"))
    firsts = [re.search(r"<answer 1 \w+>\n(.*?)\n</answer", prompt, re.DOTALL)[1] for prompt in seen]
    assert sorted(firsts) == ["newer", "old"]  # each stands first once
    assert not any("shadow" in prompt or "served" in prompt for prompt in seen)


async def test_a_judge_that_goes_by_the_order_makes_a_tie_that_says_so():
    found, _ = await compared(verdicts("1", "1"))
    assert (found.value, found.reason, found.word) == (0.0, "by the order", "by the order")


async def test_equal_texts_tie_and_nobody_is_asked():
    found, seen = await compared(served="the same", other=" the\nsame ")
    assert (found.value, found.by, found.word, seen) == (0.0, "equal texts", "alike", [])


async def test_a_grader_comes_before_a_judge_and_its_values_differ_by_what_the_answers_are_worth():
    found, seen = await compared(grader="length")  # 5 letters and 3
    assert (found.value, found.by, seen) == (pytest.approx(0.2), "grader length", [])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"judge": None}, "nobody to ask"),
        ({"keep": "features"}, "texts are not kept"),
        ({"keep": "features", "grader": "length"}, "texts are not kept"),
        ({"may": ()}, "this model may not be asked"),
        ({"grader": "never"}, "the grader failed"),
        ({"purse": Ledger(1e-9)}, "the call was not paid"),
    ],
)
async def test_why_nothing_is_said_is_kept_and_nobody_was_asked(fields, reason):
    found, seen = await compared(**fields)
    assert (found.value, found.reason, found.word, seen) == (None, reason, reason, [])


async def test_a_judge_that_fails_or_cannot_be_read_is_a_reason():
    def ill(prompt):
        raise ServerFault("it is ill")

    assert (await compared(ill))[0].reason == "the call failed"
    assert (await compared(lambda prompt: "the second is better"))[0].reason == "unreadable"


async def test_a_judge_is_paid_from_the_purse_in_both_orders():
    purse = Ledger(1.0)
    _, seen = await compared(verdicts("1", "2"), purse=purse)
    assert len(seen) == 2
    assert 0 < purse.spent_usd < 0.01
