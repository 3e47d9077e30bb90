"""Virtual keys: made, shown once, found by their hash, revoked everywhere within two seconds."""

from __future__ import annotations

import logging
import sqlite3

import anyio
import pytest
from pydantic import ValidationError

from mar.concurrency import gather
from mar.errors import ConfigError, StoreUnavailable
from mar.serving.errors import Refusal
from mar.serving.keys.key import PREFIX, Terms, hash_of, new_secret, without_secrets
from mar.serving.keys.ring import STALE_S, KeyRing
from mar.serving.store.keys import KeyStore
from mar.serving.store.places import database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def keys(store_url):
    async with database(store_url, durable=True) as db:
        yield await KeyStore.open(db)


async def test_a_key_is_listed_with_its_terms_and_without_its_secret(keys):
    terms = Terms(models=("small",), usd_day=1.5, requests_per_minute=60, role="observe")
    key, secret = await keys.create("the app", terms)
    assert await keys.all() == [key]
    assert (key.name, key.terms, key.revoked) == ("the app", terms, None)
    assert len(secret.removeprefix(PREFIX)) == 43  # 32 bytes in Base64
    assert secret not in repr(await keys.all())


async def test_only_a_hash_of_the_secret_is_kept(tmp_path):
    async with database(str(tmp_path / "k.sqlite"), durable=True) as db:
        _, secret = await (await KeyStore.open(db)).create("a", Terms())
    everything = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert hash_of(secret) in everything
    assert secret.removeprefix(PREFIX).encode() not in everything
    assert (tmp_path / "k.sqlite").stat().st_mode & 0o777 == 0o600


def test_no_two_secrets_are_alike():
    assert len({new_secret() for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "terms",
    [{"usd_day": -1}, {"usd_total": 1e7}, {"at_once": 0}, {"requests_per_minute": 1.5}, {"role": "root"}, {"usd": 1}],
)
def test_terms_that_make_no_sense_are_refused(terms):
    with pytest.raises(ValidationError):
        Terms(**terms)


async def test_a_key_is_revoked_for_good_by_id_or_name(keys):
    one, _ = await keys.create("one", Terms())
    two, _ = await keys.create("two", Terms())
    revoked = await keys.revoke("one")
    assert (revoked.id, (await keys.revoke(two.id)).id) == (one.id, two.id)
    assert revoked.revoked >= one.created
    assert (await keys.revoke(one.id)).revoked == revoked.revoked  # the first time counts
    with pytest.raises(ConfigError, match="no key has this id or name"):
        await keys.revoke("three")
    with pytest.raises(ConfigError, match=r"\(one\) is revoked; make a new key"):
        await keys.rotate("one")


async def test_a_name_that_several_keys_have_is_refused_with_their_ids(keys):
    made = [(await keys.create("app", Terms()))[0].id for _ in range(2)]
    with pytest.raises(ConfigError, match="several keys are called 'app'; name one by its id: ") as caught:
        await keys.revoke("app")
    assert all(name in str(caught.value) for name in made)
    await keys.revoke(made[0])
    assert (await keys.revoke("app")).id == made[1]  # the one that is left


async def test_several_processes_may_make_the_tables_at_once(store_url):
    async def opened(name):
        async with database(store_url, durable=True) as db:
            await (await KeyStore.open(db)).create(name, Terms())

    await gather([lambda n=n: opened(n) for n in "abcdef"])
    async with database(store_url, durable=True) as db:
        assert sorted(key.name for key in await (await KeyStore.open(db)).all()) == list("abcdef")


# In a worker --------------------------------------------------------------------------------------------------


async def refused(ring, secret):
    """Until a secret is refused; gives why, and after how many seconds."""
    began = anyio.current_time()
    while True:
        try:
            ring.find(secret)
        except Refusal as refusal:
            return refusal, anyio.current_time() - began
        await anyio.sleep(0.01)


async def test_a_revoked_key_is_refused_within_two_seconds_by_every_worker(store_url, keys):
    key, secret = await keys.create("app", Terms())
    async with (
        database(store_url, durable=True) as other,
        KeyRing(keys) as here,
        KeyRing(await KeyStore.open(other)) as there,
    ):
        assert here.find(secret).id == there.find(secret).id == key.id
        began = anyio.current_time()
        await keys.revoke(key.id)
        for ring in (here, there):
            refusal, _ = await refused(ring, secret)
            assert (refusal.status, refusal.code) == (401, "invalid_api_key")
            assert str(refusal) == f"{key.id} has been revoked"
        assert anyio.current_time() - began < 2.0


async def test_a_key_that_is_made_while_a_worker_runs_is_let_in(keys):
    async with KeyRing(keys) as ring:
        _, secret = await keys.create("late", Terms())
        with anyio.fail_after(2):
            while True:
                try:
                    ring.find(secret)
                    break
                except Refusal:
                    await anyio.sleep(0.01)


async def test_a_new_secret_is_good_at_once_and_the_old_one_until_its_time_is_over(keys):
    key, old = await keys.create("app", Terms())
    same, new = await keys.rotate("app", overlap_s=1.5)
    assert (same, new != old) == (key, True)
    async with KeyRing(keys) as ring:
        assert ring.find(new) == ring.find(old) == key
        refusal, after = await refused(ring, old)
        assert str(refusal) == f"{key.id} has a new secret, and this one has ended"
        assert after < 2.0
        assert ring.find(new) == key


async def test_whatever_else_is_shown_is_refused_and_never_repeated(keys, caplog):
    caplog.set_level(logging.DEBUG)
    _, secret = await keys.create("app", Terms())
    async with KeyRing(keys) as ring:
        for shown in ("", "sk-mar-", secret[:-1], secret + "x", secret.upper(), "\ud800", "x" * 100_000):
            with pytest.raises(Refusal) as caught:
                ring.find(shown)
            assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")
            assert not shown or shown not in str(caught.value) or shown == "sk-mar-"
        with pytest.raises(Refusal, match="a key is needed") as caught:
            ring.find(None)
        assert caught.value.code == "missing_api_key"
    assert secret not in caplog.text


async def test_a_store_that_stays_away_lets_nobody_in_after_a_while(keys, monkeypatch):
    _, secret = await keys.create("app", Terms())
    async with KeyRing(keys) as ring:

        async def known(revision):
            raise StoreUnavailable("down")

        monkeypatch.setattr(keys, "known", known)
        assert ring.find(secret)
        ring._looked -= STALE_S
        with pytest.raises(Refusal) as caught:
            ring.find(secret)
        assert caught.value.status == 503


def test_secrets_are_taken_out_of_text():
    secret = new_secret()
    assert without_secrets(f"Bearer {secret}, {secret}") == "Bearer sk-mar-…, sk-mar-…"


async def test_terms_that_another_program_wrote_are_one_clear_line(tmp_path):
    path = tmp_path / "k.sqlite"
    async with database(str(path), durable=True) as db:
        store = await KeyStore.open(db)
        key, _ = await store.create("a", Terms())
        with sqlite3.connect(path) as other:
            other.execute('UPDATE mar_keys SET terms = \'{"usd_day": "much"}\'')
        other.close()
        with pytest.raises(ConfigError, match=f"k.sqlite, key {key.id}: usd_day"):
            await store.all()
