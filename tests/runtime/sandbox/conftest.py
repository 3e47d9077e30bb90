"""Shared by the sandbox's tests."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from mar.errors import SandboxUnavailable
from mar.runtime.sandbox import Sandbox
from tests.tasks.benchmarks import real


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def mbpp_rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in real("mbpp/mbpp.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="session")
def namespaces_work() -> bool:
    async def probe() -> bool:
        try:
            async with Sandbox(workers=1, isolation="namespaces"):
                return True
        except SandboxUnavailable:
            return False

    return anyio.run(probe)
