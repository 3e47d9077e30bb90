"""Answers are graded off the path of requests, by an operator's function and by a model."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from mar.errors import ConfigError
from mar.pool import scripted_pool
from mar.runtime import Runtime
from mar.serving.graders import GRADERS, Graders
from mar.serving.settings import OutcomeSettings
from mar.types import Query
from tests.entries import entry
from tests.runtime.episodes import ASK, FREE_TOOLS, PROMPTS, plan_of

pytestmark = pytest.mark.anyio


def length(question, answer):
    return len(answer) / 10


def never(question, answer):
    raise ValueError("no")


def says(text):
    def reply(request):
        prompt = request.messages[-1].text
        code = re.search(r"Grade (\w+):", prompt)
        return text if code is None else f"Well.\nGrade {code[1]}: 6"

    return reply


async def graded(*entries, **told):
    """What is said of answers."""
    found = []

    async def tell(episode, outcome):
        found.append((episode, outcome.kind, outcome.value, outcome.by))

    async with scripted_pool(says("four"), names=("m",)) as pool:
        graders = Graders(OutcomeSettings(**told), pool, tell)
        for each in entries:
            graders.add(each)
        graders._send.close()  # nothing comes any more, and what waits is graded
        await graders.run()
    return found


@pytest.fixture
async def answered():
    async with scripted_pool(lambda _: "four") as pool:
        episode = await Runtime(pool, prompts=PROMPTS, tools=FREE_TOOLS).run(ASK, plan_of("IO", 1))
    return entry(query=Query(text="2+2?", id="q"), episode=episode)


@pytest.fixture(autouse=True)
def graders():
    for name, grade in (("length", length), ("never", never)):
        GRADERS.register(name, grade)


async def test_a_function_of_the_operators_says_what_an_answer_is_worth(answered):
    assert await graded(answered, grader="length") == [("e1", "grader", 0.4, "length")]


async def test_a_model_grades_a_share_of_the_answers(answered):
    assert await graded(answered, judge="m", judge_share=1.0) == [("e1", "judge", 0.6, "m")]


async def test_a_grader_that_fails_says_nothing_and_is_named_once(answered, caplog):
    assert await graded(answered, answered, grader="never") == []
    assert caplog.text.count("the grader never gave ValueError('no'); expected 0 to 1") == 1


async def test_what_logs_nothing_or_has_no_answer_is_not_graded(answered):
    others = [replace(answered, keep="nothing"), replace(answered, status=502), replace(answered, query=None)]
    assert await graded(*others, grader="length") == []


async def test_what_waits_at_the_end_holds_nobody_up(answered):
    async with scripted_pool(says("four"), names=("m",)) as pool:
        graders = Graders(OutcomeSettings(grader="length"), pool, tell=None)
        graders.add(answered)
        graders.close()
        await graders.run()


async def test_what_is_not_there_is_refused_at_the_start():
    for told in ({"grader": "nobody"}, {"judge": "nobody"}):
        with pytest.raises(ConfigError, match="nobody"):
            await graded(**told)
