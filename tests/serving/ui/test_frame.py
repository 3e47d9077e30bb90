"""The frame of the page: who is let in, from where changes may come, what every response says."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager

import httpx
import pytest

from mar.pool import scripted_pool
from mar.serving.keys.key import Terms
from mar.serving.state import Places, State, key_store
from tests.asking import served

POOL = scripted_pool(lambda request: "x")
HERE = {"sec-fetch-site": "same-origin"}  # what a browser says of a form on the page itself


@asynccontextmanager
async def keyed(tmp_path, *roles):
    """A gateway with a key of each role; gives it, and their secrets."""
    places = Places(store=str(tmp_path / "store.sqlite"))
    async with key_store(places.store) as store:
        secrets = [(await store.create(role, Terms(role=role)))[1] for role in roles]
    async with served(POOL, state=State(places)) as gateway:
        yield gateway, secrets


def token_in(page):
    return re.search(r'name="csrf" value="([0-9a-f]{64})"', page.text)[1]


async def log_in(http, secret):
    page = await http.get("/ui/login")
    return await http.post("/ui/login", data={"key": secret, "csrf": token_in(page)}, headers=HERE)


def run(work):
    return asyncio.run(work)


def test_without_a_key_there_is_the_login_the_static_files_and_nothing_else(tmp_path):
    async def main():
        async with keyed(tmp_path, "admin") as (gateway, _):
            for path in ("/ui", "/ui/keys", "/ui/keys/new"):
                page = await gateway.http.get(path)
                if path == "/ui":
                    page = await gateway.http.get(page.headers["location"])
                assert (page.status_code, page.headers["location"]) == (303, "/ui/login")
            assert (await gateway.http.get("/ui/login")).status_code == 200
            assert (await gateway.http.get("/ui/static/ui.css")).headers["content-type"].startswith("text/css")
            assert (await gateway.http.get("/ui/static/htmx.LICENSE")).status_code == 404
            assert (await gateway.http.post("/ui/keys/new", headers=HERE)).status_code == 303
            part = await gateway.http.get("/ui/keys", headers={"hx-request": "true"})
            assert (part.status_code, part.headers["hx-redirect"]) == (401, "/ui/login")

    run(main())


def test_a_session_is_a_cookie_for_this_page_only_and_holds_nothing_of_the_key(tmp_path):
    async def main():
        async with keyed(tmp_path, "admin") as (gateway, [secret]):
            before = (await gateway.http.get("/ui/login")).headers["set-cookie"]
            answer = await log_in(gateway.http, secret)
            cookie = answer.headers["set-cookie"]
            assert {"HttpOnly", "SameSite=strict", "Path=/ui"} <= set(cookie.split("; "))
            assert cookie.split(";")[0] != before.split(";")[0]  # nobody else can have chosen the session
            assert secret.removeprefix("sk-mar-")[:8] not in cookie
            page = await gateway.http.get("/ui/keys")
            assert page.status_code == 200
            assert secret not in page.text

    run(main())


def test_a_session_ends_with_the_logout_and_with_its_key(tmp_path):
    async def main():
        async with keyed(tmp_path, "use", "admin") as (gateway, [use, admin]):
            await log_in(gateway.http, use)
            page = await gateway.http.get("/ui/keys")
            cookies = dict(gateway.http.cookies)
            out = await gateway.http.post("/ui/logout", data={"csrf": token_in(page)}, headers=HERE)
            assert out.headers["location"] == "/ui/login"
            async with httpx.AsyncClient(base_url=gateway.url, cookies=cookies) as thief:  # who kept the cookie
                assert (await thief.get("/ui/keys")).status_code == 303
            await log_in(gateway.http, admin)
            async with key_store(str(tmp_path / "store.sqlite")) as store:
                await store.revoke("admin")
            async with asyncio.timeout(5):  # within two seconds, on an idle machine
                while (await gateway.http.get("/ui/keys")).status_code == 200:
                    pass

    run(main())


def test_another_worker_knows_the_session(tmp_path):
    async def main():
        async with keyed(tmp_path, "admin") as (one, [secret]):
            await log_in(one.http, secret)
            places = Places(store=str(tmp_path / "store.sqlite"))
            async with served(POOL, state=State(places)) as other:
                other.http.cookies.update(one.http.cookies)
                assert (await other.http.get("/ui/keys")).status_code == 200

    run(main())


def test_a_wrong_key_is_told_so_and_is_not_repeated(tmp_path):
    async def main():
        async with keyed(tmp_path, "admin") as (gateway, _):
            answer = await log_in(gateway.http, "sk-mar-wrong-and-long-enough")
            assert answer.status_code == 401
            assert "there is no such key" in answer.text
            assert "wrong-and-long" not in answer.text

    run(main())


@pytest.mark.parametrize(
    ("headers", "with_token", "status"),
    [
        (HERE, True, 303),
        (HERE, False, 403),
        ({"sec-fetch-site": "cross-site"}, True, 403),
        ({"sec-fetch-site": "same-site"}, True, 403),
        ({"origin": "{url}"}, True, 303),
        ({"origin": "http://evil.example"}, True, 403),
        ({"origin": "null"}, True, 403),
        ({}, True, 403),
    ],
)
def test_a_change_wants_the_pages_token_and_the_pages_origin(tmp_path, headers, with_token, status):
    async def main():
        async with keyed(tmp_path, "admin") as (gateway, [secret]):
            await log_in(gateway.http, secret)
            token = token_in(await gateway.http.get("/ui/keys/new"))
            sent = {name: value.format(url=gateway.url) for name, value in headers.items()}
            data = {"name": "app", "csrf": token if with_token else "0" * 64}
            answer = await gateway.http.post("/ui/keys/new", data=data, headers=sent)
            async with key_store(str(tmp_path / "store.sqlite")) as store:
                made = len(await store.all()) - 1
            assert made == (status == 303)
            assert answer.status_code == (200 if made else status)  # the page that shows the secret

    run(main())


def test_a_token_of_another_session_is_worth_nothing(tmp_path):
    async def main():
        async with keyed(tmp_path, "admin", "admin") as (gateway, [one, two]):
            await log_in(gateway.http, one)
            stolen = token_in(await gateway.http.get("/ui/keys/new"))
            gateway.http.cookies.clear()
            await log_in(gateway.http, two)
            answer = await gateway.http.post("/ui/keys/new", data={"name": "x", "csrf": stolen}, headers=HERE)
            assert answer.status_code == 403

    run(main())


def test_who_only_observes_changes_nothing_and_who_only_uses_sees_their_own_key(tmp_path):
    async def main():
        async with keyed(tmp_path, "use", "observe", "admin") as (gateway, [use, observe, _]):
            for secret, seen in ((use, {"use"}), (observe, {"use", "observe", "admin"})):
                gateway.http.cookies.clear()
                await log_in(gateway.http, secret)
                page = await gateway.http.get("/ui/keys")
                assert set(re.findall(r'<span class="text">(\w+)</span>', page.text)) == seen
                assert (await gateway.http.get("/ui/keys/new")).status_code == 403
                token = token_in(page)  # of the logout
                answer = await gateway.http.post("/ui/keys/new", data={"name": "x", "csrf": token}, headers=HERE)
                assert answer.status_code == 403

    run(main())


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8130", 200),
        ("localhost:1", 200),
        ("[::1]:8130", 200),
        ("evil.example", 421),
        ("evil.example:8130", 421),
        ("127.0.0.1.evil.example", 421),
        ("[", 421),
    ],
)
def test_a_gateway_without_keys_wants_no_login_and_answers_by_this_machines_names_only(tmp_path, host, status):
    async def main():
        async with served(POOL, state=State(Places(store=str(tmp_path / "s.sqlite")))) as gateway:
            page = await gateway.http.get("/ui/keys", headers={"host": host})
            assert page.status_code == status
            assert ("Keys" in page.text) == (status == 200)
            assert (await gateway.http.get("/ui/login")).headers["location"] == "/ui"

    run(main())


def test_a_gateway_without_keys_wants_a_token_with_each_change_too(tmp_path):
    async def main():
        async with served(POOL, state=State(Places(store=str(tmp_path / "s.sqlite")))) as gateway:
            form = await gateway.http.get("/ui/keys/new")
            assert "This is the first key" in form.text
            data = {"name": "app", "csrf": token_in(form)}
            assert (await gateway.http.post("/ui/keys/new", data={"name": "app"}, headers=HERE)).status_code == 403
            assert (await gateway.http.post("/ui/keys/new", data=data)).status_code == 403
            made = await gateway.http.post("/ui/keys/new", data=data, headers=HERE)
            assert (made.status_code, "you log in with it" in made.text) == (200, True)

    run(main())


def test_every_response_forbids_scripts_styles_and_frames_from_elsewhere(tmp_path):
    async def main():
        async with served(POOL, state=State(Places(store=str(tmp_path / "s.sqlite")))) as gateway:
            for path in ("/ui/keys", "/ui/nothing", "/ui/static/ui.js", "/ui/static/nothing.js"):
                found = await gateway.http.get(path)
                policy = found.headers["content-security-policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                assert "frame-ancestors 'none'" in policy
                assert found.headers["x-content-type-options"] == "nosniff"
            page = await gateway.http.get("/ui/keys")
            assert page.headers["cache-control"] == "no-store"
            assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=|javascript:", page.text)
            assert (await gateway.http.get("/ui/static/ui.js")).headers["cache-control"].endswith("immutable")

    run(main())


def test_a_form_that_is_too_long_is_refused(tmp_path):
    async def main():
        async with served(POOL, state=State(Places(store=str(tmp_path / "s.sqlite")))) as gateway:
            long = await gateway.http.post("/ui/keys/new", data={"name": "x" * 2**20}, headers=HERE)
            assert long.status_code == 413
            many = await gateway.http.post("/ui/keys/new", data={f"f{i}": "" for i in range(300)}, headers=HERE)
            assert many.status_code == 400

    run(main())
