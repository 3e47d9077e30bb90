"""Stores of all kinds."""

import pytest

from tests import stores


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_url():
    """A server with a database for nobody else; tests take databases of their own."""
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    with stores.postgres() as url:
        yield url


@pytest.fixture(scope="session")
def redis_url():
    pytest.importorskip("redis", reason="the extra `redis` is not installed")
    with stores.redis() as url:
        yield url


@pytest.fixture
def own_postgres(postgres_url):
    """An empty database."""
    import secrets

    import psycopg

    name = f"t{secrets.token_hex(6)}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return postgres_url.removesuffix("/postgres") + f"/{name}"


@pytest.fixture
def own_redis(redis_url):
    """An empty database."""
    import redis

    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    return redis_url


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def limits_url(request, tmp_path):
    """The address of an empty store of limits, of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "limits.sqlite")
    return request.getfixturevalue("own_postgres" if request.param == "postgresql" else "own_redis")


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request, tmp_path):
    """The address of an empty store of keys and records, of each kind."""
    return str(tmp_path / "store.sqlite") if request.param == "sqlite" else request.getfixturevalue("own_postgres")
