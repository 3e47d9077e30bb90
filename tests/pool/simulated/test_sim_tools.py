"""Simulated models call the tools that they are offered, and what these find is worth something to them."""

import json
from dataclasses import replace

import pytest
from sim_worlds import SUM, code_item, number_item, pool, profile, request, spread_world

from mar import clock
from mar.pool.simulated import DEFAULT, SimItem, World
from mar.types import TOOL_FAILED, ChatReply, Message, ToolSpec

ONE = {"m": profile()}


def tool(name):
    return ToolSpec(name=name, description="", parameters={"type": "object"})


def fact_item(difficulty=0.0):
    return SimItem(
        domain="Commonsense", benchmark="mmlu", difficulty=difficulty, right=("A",), wrong=("B", "C"), form="choice"
    )


def talk(*names, world=None, item="q0", result="42", **options) -> list[ChatReply]:
    """The replies of one exchange: calls are answered with `result`, until there is an answer."""

    async def main():
        async with pool(world or spread_world(40, number_item), {"m": profile()}, **options) as here:
            asked = replace(request(item, output="answer"), tools=tuple(map(tool, names)))
            replies = [await here.chat(asked)]
            while replies[-1].calls:
                said = Message(speaker="assistant", text="", calls=replies[-1].calls)
                found = [Message(speaker="tool", text=result, call_id=c.id) for c in replies[-1].calls]
                asked = replace(asked, messages=(*asked.messages, said, *found))
                replies.append(await here.chat(asked))
            return replies

    return clock.run(main, virtual=True)


def right(world, *names, **options):
    """The items that are answered rightly, each in an exchange of its own."""

    def answered(item):
        text = talk(*names, world=world, item=item, **options)[-1].text
        return f"answer is {world.get(item).right[0]}" in text

    return {item for item in world.items if answered(item)}


def test_a_fitting_tool_is_called_once_and_answered_after():
    call, answer = talk("calculator")
    assert (call.text, call.finish_reason, [c.name for c in call.calls]) == ("", "tool_calls", ["calculator"])
    assert set(json.loads(call.calls[0].arguments)) == {"expression"}
    assert (answer.calls, answer.finish_reason) == ((), "stop")
    assert "The answer is" in answer.text
    assert call.completion_tokens > 0
    assert answer.prompt_tokens > call.prompt_tokens  # the call and its result are read


@pytest.mark.parametrize(
    ("item", "offered", "called"),
    [
        (number_item, ["calculator", "python", "lookup"], "python"),  # of several the one that is worth most
        (number_item, ["lookup", "mine"], None),
        (code_item, ["calculator", "python"], "python"),
        (code_item, ["calculator", "lookup"], None),
        (fact_item, ["calculator", "lookup"], "lookup"),
    ],
)
def test_which_tool_fits_depends_on_the_domain(item, offered, called):
    first = talk(*offered, world=spread_world(4, item))[0]
    assert [c.name for c in first.calls] == ([] if called is None else [called])


def test_a_program_is_called_with_the_program_that_is_answered():
    world = World.of({"q0": replace(code_item(-5.0), right=(SUM,))})
    call = talk("python", world=world)[0]
    assert json.loads(call.calls[0].arguments) == {"code": SUM}


def test_what_nobody_knows_about_is_answered_as_ever():
    assert [r.calls for r in talk("calculator", item="elsewhere")] == [()]


def test_without_tools_everything_is_as_it_was():
    assert talk()[0].text == talk("mine")[0].text
    assert talk()[0].text == talk("calculator", assumptions=DEFAULT.scaled(0.0))[-1].text


def test_a_tool_turns_wrong_answers_into_right_ones_and_none_the_other_way():
    world = spread_world(150, number_item)
    alone, helped = right(world), right(world, "python")
    assert alone < helped  # the same draws: what was known before is known still
    assert 0.03 < (len(helped) - len(alone)) / 150 < 0.12  # PAL: 6.4 points


def test_a_tool_that_failed_is_worth_nothing():
    world = spread_world(60, number_item)
    assert right(world, "python", result=f"{TOOL_FAILED}no sandbox") == right(world)


def test_half_the_effects_are_half_the_worth():
    assert DEFAULT.scaled(0.5).tools["Math"]["python"] == DEFAULT.tools["Math"]["python"] / 2
