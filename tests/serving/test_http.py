"""What a gateway does with bytes that are no good: too many, too slow, malformed; and its smaller endpoints."""

from __future__ import annotations

import asyncio
import json

import pytest

from mar.controllers.baselines import vote
from mar.errors import ServerFault
from mar.pool import scripted_pool
from mar.serving.errors import Refusal
from tests.asking import HI, ask

LIMITS = {"body_bytes": 2000, "head_bytes": 2000, "head_seconds": 0.2, "body_seconds": 0.2, "write_seconds": 0.2}


def pool_of(fn=lambda request: "x"):
    return scripted_pool(fn)


def raw(data, **settings):
    """What comes back for some bytes on a connection of their own, until it is closed."""

    async def main(gateway):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(data)
        found = await reader.read()
        writer.close()
        return found

    return ask(pool_of(), main, limits=LIMITS, **settings)


def told(reply):
    """Status and error of a raw reply."""
    head, _, body = reply.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"]["message"]


POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("data", "status", "said"),
    [
        (POST + b"Content-Length: 3\r\n\r\n{x}", 400, "the body is no JSON: line 1, column 2"),
        (POST + b"Content-Length: 2\r\n\r\n[]", 400, "the body is no JSON object; expected { ... }"),
        (POST + b"Content-Length: 0\r\n\r\n", 400, "the body is no JSON: line 1, column 1"),
        (POST + b"Content-Length: 3\r\n\r\n\xff\xfe\xfd", 400, "the body is no JSON"),
        (POST + b"Content-Length: 6000\r\n\r\n" + b"[" * 6000, 413, "the body is longer than 2,000 bytes"),
        (POST + b"Content-Length: 99999\r\n\r\n", 413, "the body is longer than 2,000 bytes"),
        (
            POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"100\r\n" + 256 * b" " + b"\r\n",
            408,
            "the body did not come",
        ),
        (POST + b"Content-Length: 100\r\n\r\n{", 408, "the body did not come within 0.2 s"),
        (POST + b"X: " + b"x" * 5000 + b"\r\n", 431, "more than 2,000 bytes of headers"),
        (POST + b"X: y\r\n" * 1000, 431, "more than 2,000 bytes of headers"),
        (b"POST /v1/chat/completions HTTP/1.1\r\nHo", 408, "no request within 0.2 s"),
        (b"", 408, "no request within 0.2 s"),
    ],
    ids=range(12),
)
def test_bytes_that_are_no_request_are_answered_and_the_connection_is_closed(data, status, said):
    found_status, message = told(raw(data))
    assert found_status == status
    assert message.startswith(said)


def test_a_chunked_body_beyond_the_limit_is_refused_too():
    chunk = b"400\r\n" + b" " * 1024 + b"\r\n"
    assert told(raw(POST + b"Transfer-Encoding: chunked\r\n\r\n" + 3 * chunk))[0] == 413


def test_a_connection_that_is_kept_waits_for_further_requests_and_a_slow_next_head_ends_it():
    async def main(gateway):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        for _ in range(3):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200 OK" in await reader.readuntil(b"ok\n")
        writer.write(b"GET /hea")
        return await reader.read()

    assert told(ask(pool_of(), main, limits=LIMITS))[0] == 408


def test_a_client_that_does_not_read_its_stream_is_left():
    class Floods:
        async def chat(self, request, on_delta=None):
            from mar.types import Delta

            while True:
                on_delta(Delta(text="x" * 100_000))
                await asyncio.sleep(0.001)

    pool = pool_of()
    pool.model = Floods()

    async def main(gateway):
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1)
        body = json.dumps({"model": "a", "stream": True, "messages": HI}).encode()
        writer.write(POST + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return (await gateway.kept.next()).status

    assert ask(pool, main, limits=LIMITS) == 499


def test_an_answer_that_takes_too_long_is_given_up():
    async def main(gateway):
        return await gateway.post(model="a", messages=HI)

    async def never(request):
        await asyncio.Event().wait()

    reply = ask(pool_of(never), main, limits={"answer_seconds": 0.1})
    assert reply.status_code == 504
    assert reply.json()["error"]["message"] == "no answer within 0.1 s"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nothing", 404), ("GET", "/v1/chat/completions", 405), ("DELETE", "/v1/models", 405)],
)
def test_what_there_is_not_is_said_in_the_usual_shape(method, path, status):
    async def main(gateway):
        return await gateway.http.request(method, path)

    reply = ask(pool_of(), main)
    assert reply.status_code == status
    assert reply.json()["error"]["type"] == "invalid_request_error"


# Smaller endpoints -------------------------------------------------------------------------------------------------


def test_controllers_and_models_are_listed():
    async def main(gateway):
        listed = [m.id async for m in gateway.client.models.list()]
        return listed, (await gateway.client.models.retrieve("mar/vote")).controller

    listed, name = ask(pool_of(), main, {"mar/vote": vote(["a"], "Math")})
    assert listed == ["mar", "mar/vote", "a", "b"]
    assert name == "vote of the 1 best"


def test_an_episode_says_how_an_answer_came_about():
    async def main(gateway):
        reply = await gateway.post(model="mar", messages=HI)
        found = await gateway.http.get(f"/v1/episodes/{reply.headers['x-mar-episode']}")
        return found.json(), (await gateway.http.get("/v1/episodes/ep_none")).status_code

    episode, unknown = ask(pool_of(), main)
    assert episode["plan"]["agents"][0]["model"] == "a"
    assert episode["why"] == {"why": "best value by card"}
    assert episode["trace"]["events"][-1]["event"] == "Decided"
    assert (episode["status"], episode["models"], episode["controller"]) == (200, ["a"], "cards")
    assert unknown == 404


def test_texts_are_not_kept_where_they_are_not_to_be():
    async def main(gateway):
        reply = await gateway.post(model="mar", messages=[{"role": "user", "content": "my secret"}])
        return (await gateway.http.get(f"/v1/episodes/{reply.headers['x-mar-episode']}")).text, gateway.kept.entries

    text, entries = ask(pool_of(lambda r: "so secret"), main, episodes={"keep": "nothing"})
    assert "secret" not in text + repr(entries)


def test_feedback_is_kept_with_its_episode_and_replaced_by_what_is_said_later():
    async def main(gateway):
        id = (await gateway.post(model="mar", messages=HI)).headers["x-mar-episode"]
        rated = await gateway.post("/v1/feedback", episode=id, rating=0.25, comment="meh")
        thumb = await gateway.post("/v1/feedback", episode=id, thumb="up")
        bad = [
            await gateway.post("/v1/feedback", **body)
            for body in ({"episode": id}, {"episode": id, "rating": 2}, {"episode": "x", "rating": 1}, {"rating": 1})
        ]
        return rated.json(), thumb.json(), bad, (await gateway.http.get(f"/v1/episodes/{id}")).json()["outcomes"]

    rated, thumb, bad, kept = ask(pool_of(), main)
    assert (rated["rating"], thumb["rating"]) == (0.25, 1.0)
    assert [(said["kind"], said["value"], said["note"]) for said in kept] == [("rating", 1.0, "")]
    assert [b.status_code for b in bad] == [400, 400, 404, 400]
    assert bad[1].json()["error"]["message"] == "rating: input should be less than or equal to 1"
    assert bad[3].json()["error"]["message"] == "episode: this field is missing"


def test_figures_count_what_was_answered_and_what_was_not():
    def answer(request):
        if request.model == "a":
            raise ServerFault("it is ill")
        return "x"

    async def main(gateway):
        await gateway.post(model="mar", messages=HI)
        await gateway.post(model="c", messages=HI)
        return (await gateway.http.get("/metrics")).text

    text = ask(pool_of(answer), main)
    assert 'mar_requests_total{asked="mar",status="200"} 1.0' in text
    assert 'mar_attempts_total{asked="mar"} 2.0' in text
    assert 'mar_model_requests_total{model="b"} 1.0' in text
    assert 'mar_plans_total{controller="cards",mode="IO"} 1.0' in text
    assert 'mar_refusals_total{status="404"} 1.0' in text


def test_a_worker_says_that_it_lives_and_is_ready():
    async def main(gateway):
        return [(await gateway.http.get(path)).status_code for path in ("/healthz", "/readyz")]

    assert ask(pool_of(), main) == [200, 200]


def test_who_is_not_let_in_is_told_so_everywhere():
    class Nobody:
        open = False

        def visit(self, key, *, tokens):
            raise Refusal("no such key", status=401, code="invalid_api_key")

    async def main(gateway):
        replies = [await gateway.post(model="mar", messages=HI), await gateway.http.get("/v1/models")]
        replies.append(await gateway.post("/v1/messages", model="mar", max_tokens=1, messages=HI))
        return replies, (await gateway.http.get("/healthz")).status_code

    (chat, models, messages), health = ask(pool_of(), main, admission=Nobody())
    assert [r.status_code for r in (chat, models, messages)] == [401] * 3
    assert chat.json()["error"]["type"] == messages.json()["error"]["type"] == "authentication_error"
    assert health == 200
