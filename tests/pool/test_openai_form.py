"""OpenAI's form of replies: whole ones from chunks, chunks from whole ones, both from what has no form."""

import anyio
import pytest

from mar.pool import scripted_pool
from mar.pool.openai_form import Joined, chunks, completion
from mar.types import ChatReply, ChatRequest, Message, ToolCall

WHOLE = {
    "id": "x",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "system_fingerprint": "fp",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": f"call_{i}", "type": "function", "function": {"name": "f", "arguments": f'{{"x":{i}}}'}}
                    for i in range(2)
                ],
            },
            "finish_reason": "tool_calls",
        },
        {"index": 1, "message": {"role": "assistant", "content": "four", "refusal": None}, "finish_reason": "stop"},
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}


def without_indices(whole):
    for choice in whole["choices"]:
        for call in choice["message"].get("tool_calls") or ():
            del call["index"]
    return whole


def joined(parts):
    one = Joined()
    for part in parts:
        one.add(part)
    return one.whole()


def chunk(delta, **choice):
    return {"id": "x", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, **choice}]}


def test_a_completion_cut_into_chunks_and_joined_again_is_itself():
    assert without_indices(joined(chunks(WHOLE))) == WHOLE


def test_pieces_of_texts_and_of_arguments_are_joined_and_what_is_repeated_is_not():
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}}
    whole = joined(
        [
            chunk({"role": "assistant", "content": ""}, finish_reason=None),
            chunk({"role": "assistant", "content": "fo", "reasoning_content": "2"}, finish_reason=None),
            chunk({"content": "ur", "reasoning_content": "+2"}, logprobs={"content": [{"token": "ur"}]}),
            chunk({"tool_calls": [call]}, logprobs={"content": [{"token": "{"}]}),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}),
            chunk({}, finish_reason="stop"),
            {"id": "x", "choices": [], "usage": {"total_tokens": 3}},
        ]
    )
    (choice,) = whole["choices"]
    assert choice["message"] == {
        "role": "assistant",
        "content": "four",
        "reasoning_content": "2+2",
        "tool_calls": [{**call, "function": {"name": "f", "arguments": "{}"}}],
    }
    assert (choice["finish_reason"], whole["usage"]["total_tokens"], whole["id"]) == ("stop", 3, "x")
    assert choice["logprobs"] == {"content": [{"token": "ur"}, {"token": "{"}]}


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 1000])
def test_chunks_of_any_number_are_joined_in_their_order(count):
    whole = joined(chunk({"content": f"{i} "}) for i in range(count))
    assert whole["choices"][0]["message"]["content"] == "".join(f"{i} " for i in range(count))


@pytest.mark.parametrize("wrong", [None, 7, "text", [None, 7, []], [{"index": []}], [{"delta": 3}], [{"delta": None}]])
def test_chunks_that_are_none_are_no_error(wrong):
    assert joined([{"choices": wrong}, chunk({"content": "x"}), {"choices": wrong}]) is not None


def test_nothing_joined_is_nothing():
    assert joined([]) is None


def test_a_reply_is_told_with_its_calls_and_its_usage():
    calls = (ToolCall(id="c", name="f", arguments="{}"),)
    reply = ChatReply(
        text="", model="m", calls=calls, finish_reason="tool_calls", reasoning="so", prompt_tokens=1,
        completion_tokens=2,
    )  # fmt: skip
    whole = completion(reply)
    (choice,) = whole["choices"]
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "so",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    assert whole["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    assert "usage" not in completion(ChatReply(text="x", model="m"))  # unknown, not 0


@pytest.mark.parametrize("calls", [(), (ToolCall(id="c", name="f", arguments="{}"),)])
def test_a_pool_that_knows_no_form_answers_in_it_whole_and_in_chunks(calls):
    said = ChatReply(text="four", model="a", calls=calls, prompt_tokens=3, completion_tokens=1)
    pool = scripted_pool(lambda _: said)
    body = {"model": "mar", "messages": [{"role": "user", "content": "q"}]}
    request = ChatRequest(model="a", messages=(Message(speaker="user", text="q"),), verbatim=body)

    async def main():
        heard = []
        async with pool:
            return await pool.chat(request), await pool.chat(request, heard.append), heard

    plain, streamed, heard = anyio.run(main)
    assert plain.verbatim["choices"][0]["message"]["content"] == "four"
    assert all(delta.chunk is not None for delta in heard)
    assert "".join(delta.text for delta in heard) == "four"
    again = joined(delta.chunk for delta in heard)
    assert again["object"] == "chat.completion"
    assert again["usage"] == plain.verbatim["usage"] == streamed.verbatim["usage"]
    (choice,) = again["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("four", "stop")
    assert len(choice["message"].get("tool_calls", ())) == len(calls)


def test_a_request_of_our_own_gets_no_form():
    pool = scripted_pool(lambda _: "four")

    async def main():
        async with pool:
            return await pool.chat(ChatRequest(model="a", messages=(Message(speaker="user", text="q"),)))

    assert anyio.run(main).verbatim is None
