"""Answers and ratings reach the store of a personal controller, and the next request of that user sees them."""

import threading
from contextlib import contextmanager

import anyio
import anyio.to_thread

from mar.controllers.embeddings import HashEncoder
from mar.controllers.gmt import GmtRouter, InteractionStore
from mar.pool import scripted_pool
from mar.serving.interactions import Interactions
from mar.types import Query
from tests.asking import HI, ask
from tests.entries import entry


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


def test_a_batch_that_is_being_written_at_a_deletion_is_waited_for_and_deleted(tmp_path):
    class Slow(InteractionStore):
        began, go = threading.Event(), threading.Event()

        @contextmanager
        def together(self):
            with super().together():
                yield
                self.began.set()
                assert self.go.wait(60)

    own = GmtRouter(Slow(tmp_path / "said.sqlite"), HashEncoder(8), exploration="none")
    interactions, counts = Interactions({"own": own}), []

    async def forget():
        counts.append(await interactions.forget("user", lambda name: name == "ann", before=1.0))

    async def main():
        async with anyio.create_task_group() as tasks:
            for number, (user, at) in enumerate([("ann", 1.0), ("bob", 1.0), ("ann", 2.0)]):
                query = Query(text="q", id="q", user_id=user, conversation_id=f"c{number}")
                interactions.add(entry(f"e{number}", asked="own", at=at, query=query))
            tasks.start_soon(interactions.run)
            await anyio.to_thread.run_sync(own.store.began.wait, 60)
            tasks.start_soon(forget)
            await anyio.sleep(0.1)  # a deletion that does not wait finds nobody, or a store that is busy
            own.store.go.set()
            interactions.close()

    anyio.run(main)
    assert counts == [1]
    assert [(i.conversation, i.created) for u in ("ann", "bob") for i in own.store.since(u, 0)] == [
        ("c2", 2.0),
        ("c1", 1.0),
    ]
