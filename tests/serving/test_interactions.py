"""Answers and ratings reach the store of a personal controller, and the next request of that user sees them."""

from mar.controllers.embeddings import HashEncoder
from mar.controllers.gmt import GmtRouter, InteractionStore
from mar.pool import scripted_pool
from mar.serving.interactions import Interactions
from tests.asking import HI, ask


def router(folder):
    return GmtRouter(InteractionStore(folder / "said.sqlite"), HashEncoder(8), exploration="none")


def test_a_rating_over_http_moves_the_next_choice_of_its_user_alone(tmp_path):
    own = router(tmp_path)

    async def main(gateway):
        async def said(user, **more):
            reply = await gateway.post(model="mar/own", messages=HI, user=user, **more)
            return reply.headers["x-mar-episode"], reply.headers["x-mar-models"]

        first, liked = await said("ann", mar={"allow": ["b"]})
        await gateway.post("/v1/feedback", episode=first, thumb="up")
        while not own.store.rated("ann"):
            await gateway.http.get("/healthz")
        # another conversation, so that nothing keeps it with the model that answered last
        return liked, [(await said(user, temperature=0.5))[1] for user in ("ann", "bob")]

    liked, after = ask(scripted_pool(lambda r: "x"), main, {"mar/own": own})
    assert liked == "b"
    assert after == ["b", "a"]


def test_only_answers_of_known_users_to_controllers_that_learn_are_kept(tmp_path):
    own = router(tmp_path)

    async def main(gateway):
        await gateway.post(model="mar/own", messages=HI)
        await gateway.post(model="mar", messages=HI, user="ann")
        await gateway.post(model="mar/own", messages=HI, user="eve")
        while own.store.users() != ["eve"]:
            await gateway.http.get("/healthz")

    ask(scripted_pool(lambda r: "x"), main, {"mar/own": own})


def test_controllers_that_learn_from_nobody_have_nothing_written():
    assert not Interactions({"mar": object()})._stores
