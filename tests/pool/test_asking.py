"""An answer of which a part was shown does not begin anew, whoever answers."""

import pytest

from mar.errors import BrokenOff, Charge, LimitReached, RateLimited
from mar.pool.asking import ask, unbroken
from mar.types import ChatReply, ChatRequest, Delta, Message

pytestmark = pytest.mark.anyio
ASK = ChatRequest(model="m", messages=(Message(speaker="user", text="q"),))
REPLY = ChatReply(text="whole", model="m")
CHARGE = Charge(charged="yes", completion_tokens=3)


class Says:
    """A model that says some pieces, and then fails where it is told to."""

    def __init__(self, *pieces, error=None):
        self.pieces, self.error = pieces, error

    async def chat(self, request, on_delta=None):
        for piece in self.pieces if on_delta else ():
            on_delta(Delta(text=piece))
        if self.error is not None:
            raise self.error
        return REPLY


async def heard(model):
    """What comes of asking a model, and the pieces."""
    pieces = []
    try:
        return await ask(model, ASK, lambda delta: pieces.append(delta.text)), pieces
    except (RateLimited, BrokenOff, LimitReached) as error:
        return error, pieces


async def test_what_goes_well_is_handed_on():
    assert await heard(Says("wh", "ole")) == (REPLY, ["wh", "ole"])
    assert await unbroken(lambda listen: Says("x").chat(ASK, listen), None) is REPLY


async def test_what_fails_before_a_piece_is_what_it_is_and_may_be_tried_again():
    error = RateLimited("wait")
    assert await heard(Says(error=error)) == (error, [])
    with pytest.raises(RateLimited):  # nobody listens
        await ask(Says("unheard", error=error), ASK, None)


async def test_what_fails_after_a_piece_has_broken_off_at_the_same_price():
    cause = RateLimited("wait", retry_after_s=3.0, charge=CHARGE)
    error, pieces = await heard(Says("half", error=cause))
    assert isinstance(error, BrokenOff)
    assert (str(error), error.charge, error.retryable, error.__cause__) == (
        "the answer broke off: wait",
        CHARGE,
        False,
        cause,
    )
    assert pieces == ["half"]


async def test_a_limit_stays_one():
    error = LimitReached("spent")
    assert await heard(Says("half", error=error)) == (error, ["half"])
