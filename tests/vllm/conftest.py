"""Three tiny skilled models on real vLLM servers, started once for all tests that ask for them."""

import os
from pathlib import Path

import pytest

from mar.pool.servers import State, Watch
from mar.testing.tinypool import TinyServers, missing_vllm, serve_tiny_pool, write_pool_file
from tests.vllm.servers import DEVICE

KEEP = "MAR_TINY_POOL"  # a folder: servers are started there, or found running, and are left running


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _every_core():
    """The one thread of other tests is not for the servers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OMP_NUM_THREADS", raising=False)
        yield


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, request):
    reason = missing_vllm(DEVICE)
    if reason is not None:
        pytest.skip(reason)
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(line):
        with capture.global_and_fixture_disabled():
            print(f"\n{line}", flush=True)

    kept = os.environ.get(KEEP)
    if kept is None:
        with serve_tiny_pool(tmp_path_factory.mktemp("vllm"), device=DEVICE, watch=Watch(say=say)) as servers:
            yield servers
    else:
        path = write_pool_file(Path(kept), device=DEVICE)
        servers = TinyServers(pool_file=path, state=State(Path(kept)), device=DEVICE)
        servers.start(watch=Watch(say=say))
        yield servers
