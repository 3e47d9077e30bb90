import contextlib
from dataclasses import dataclass

import anyio
import pytest

from mar.errors import CallError, ConfigError
from mar.pool import ModelCard, Pool, TelemetryWatcher, WatchedModel, WatchSettings
from mar.pool.metrics import ServerMetrics, Total
from mar.pool.openai_client import OpenAIModel, RetryPolicy
from mar.pool.watcher import Reading, Watched, metrics_url
from mar.testing import ChatServer
from mar.types import ChatRequest, Message

pytestmark = pytest.mark.anyio
QUICK = WatchSettings(interval_s=0.01, timeout_s=0.5, stale_after_s=0.3)


@pytest.fixture
def anyio_backend():
    return "asyncio"


@dataclass
class Figures:
    """What a fake server reports; tests change it while it is watched."""

    running: int = 0
    waiting: int = 0
    e2e_sum: float = 0.0
    e2e_count: int = 0

    def __call__(self):
        return (
            f'vllm:num_requests_running{{model_name="m"}} {self.running}\n'
            f'vllm:num_requests_waiting{{model_name="m"}} {self.waiting}\n'
            f'vllm:e2e_request_latency_seconds_sum{{model_name="m"}} {self.e2e_sum}\n'
            f'vllm:e2e_request_latency_seconds_count{{model_name="m"}} {self.e2e_count}\n'
        )


def card(server, name="m", **fields):
    return ModelCard(name=name, served_name="m", base_url=server.base_url, **fields)


async def until(condition):
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in a server
            await anyio.sleep(0.005)


async def test_a_snapshot_follows_the_server_and_has_an_age():
    figures = Figures(running=1)
    async with ChatServer(metrics=figures) as server, TelemetryWatcher([card(server)], settings=QUICK) as watcher:
        await until(lambda: watcher.snapshot()["m"].running == 1)
        figures.running, figures.waiting = 8, 30
        await until(lambda: watcher.snapshot()["m"].waiting == 30)
        seen = watcher.snapshot()["m"]
        assert (seen.running, seen.stale) == (8, False)
        assert 0 <= seen.age_s < QUICK.stale_after_s
        assert watcher.problems() == {}


async def test_means_are_of_what_was_answered_while_watching():
    figures = Figures(e2e_sum=1000.0, e2e_count=10)  # before: 100 s each
    async with ChatServer(metrics=figures) as server, TelemetryWatcher([card(server)], settings=QUICK) as watcher:
        await until(lambda: watcher.snapshot()["m"].running == 0)
        assert watcher.snapshot()["m"].e2e_s is None
        figures.e2e_sum, figures.e2e_count = 1003.0, 12  # 3 s more over 2 more
        await until(lambda: watcher.snapshot()["m"].e2e_s is not None)
        assert watcher.snapshot()["m"].e2e_s == pytest.approx(1.5)


async def test_a_server_that_falls_silent_is_stale_and_keeps_its_last_figures_instead_of_looking_idle():
    figures = Figures(running=5, waiting=7)
    async with ChatServer(metrics=figures) as server, TelemetryWatcher([card(server)], settings=QUICK) as watcher:
        await until(lambda: watcher.snapshot()["m"].running == 5)
        await server.__aexit__(None, None, None)
        await until(lambda: watcher.snapshot()["m"].stale)
        seen = watcher.snapshot()["m"]
        assert (seen.running, seen.waiting) == (5, 7)
        assert seen.age_s > QUICK.stale_after_s
        assert "m" in watcher.problems()


async def test_a_server_that_never_answered_is_stale_with_nothing_known():
    dead = ModelCard(name="dead", base_url="http://127.0.0.1:9/v1")
    async with TelemetryWatcher([dead], settings=QUICK) as watcher:
        await until(lambda: watcher.problems()["dead"] != "not asked yet")
        seen = watcher.snapshot()["dead"]
        assert (seen.running, seen.waiting, seen.stale) == (None, None, True)


@pytest.mark.parametrize("status", [307, 401, 403, 404, 405])
@pytest.mark.parametrize("answered_before", [False, True])
async def test_a_server_that_shows_its_metrics_to_others_only_is_not_taken_for_busy(status, answered_before):
    figures = Figures(running=5)
    server = ChatServer(metrics=figures, metrics_status=200 if answered_before else status)
    async with server, TelemetryWatcher([card(server)], settings=QUICK) as watcher:
        if answered_before:
            await until(lambda: watcher.snapshot()["m"].running == 5)
            server.metrics_status = status
        await until(lambda: "m" not in watcher.snapshot())  # the client's own counts stand in
        server.metrics_status = 200
        await until(lambda: "m" in watcher.snapshot() and not watcher.snapshot()["m"].stale)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_fault_of_the_metrics_may_pass_and_leaves_the_model_stale(status):
    server = ChatServer(metrics=Figures(), metrics_status=status)
    async with server, TelemetryWatcher([card(server)], settings=QUICK) as watcher:
        await until(lambda: str(status) in watcher.problems().get("m", ""))
        assert watcher.snapshot()["m"].stale


async def test_a_server_that_comes_back_is_used_again_and_its_totals_begin_anew():
    figures = Figures(e2e_sum=50.0, e2e_count=10)
    async with ChatServer(metrics=figures) as server, TelemetryWatcher([card(server)], settings=QUICK) as watcher:
        await until(lambda: watcher.snapshot()["m"].running == 0)
        figures.e2e_sum, figures.e2e_count = 2.0, 1  # a new process, whose first request is done
        await anyio.sleep(0.1)
        assert watcher.snapshot()["m"].e2e_s is None
        figures.e2e_sum, figures.e2e_count = 5.0, 2
        await until(lambda: watcher.snapshot()["m"].e2e_s is not None)
        assert watcher.snapshot()["m"].e2e_s == pytest.approx(3.0)


async def test_a_server_that_hangs_delays_no_other():
    figures = Figures(running=2)
    async with ChatServer(metrics=figures) as server:
        hanging = await anyio.create_tcp_listener(local_host="127.0.0.1")  # accepts nothing, answers nothing
        port = hanging.extra(anyio.abc.SocketAttribute.local_port)
        slow = ModelCard(name="slow", base_url=f"http://127.0.0.1:{port}/v1")
        async with TelemetryWatcher([slow, card(server)], settings=QUICK) as watcher:
            await until(lambda: watcher.snapshot()["m"].running == 2)
            await until(lambda: watcher.problems().get("slow") == "no answer in 0.5 s")
            assert watcher.snapshot()["slow"].stale
            assert not watcher.snapshot()["m"].stale
        await hanging.aclose()


async def test_readings_older_than_the_window_are_forgotten():
    watched = Watched(card=ModelCard(name="m"), url="", headers={}, began=0.0)
    for second in range(40):  # each request takes as long as the second's number
        total = Total(sum=sum(range(second + 1)), count=second + 1)
        watched.add(Reading(at=second, metrics=ServerMetrics(running=0, waiting=0, e2e=total)), window_s=10.0)
    # The window reaches from second 29 to 39, so it holds requests 30 to 39: mean 34.5.
    assert watched.telemetry(39.0, WatchSettings()).e2e_s == pytest.approx(34.5)


@pytest.mark.parametrize("given", ["http://h:1/v1", "http://h:1"])
async def test_metrics_lie_beside_the_api(given):
    assert metrics_url(ModelCard(name="m", base_url=given)) == "http://h:1/metrics"


async def test_a_pool_shows_the_servers_figures_where_it_has_them_and_its_own_elsewhere():
    figures = Figures(running=4, waiting=9)
    async with ChatServer(metrics=figures) as server, ChatServer() as hosted:
        cards = [card(server), ModelCard(name="api", base_url=hosted.base_url)]
        model = WatchedModel(OpenAIModel(cards), TelemetryWatcher(cards, settings=QUICK))
        async with Pool(cards, model, kind="live") as pool:
            await pool.chat(ChatRequest(model="api", messages=(Message(speaker="user", text="why"),)))
            await until(lambda: pool.telemetry()["m"].running == 4 and pool.telemetry()["api"].running is not None)
            seen = pool.telemetry()
            assert (seen["m"].waiting, seen["m"].stale) == (9, False)
            assert (seen["api"].waiting, seen["api"].stale) == (0, False)
            assert seen["api"].e2e_s > 0


async def test_a_hosted_api_says_in_its_headers_what_its_limits_leave():
    headers = "x-ratelimit-remaining-requests: 41\r\nX-RateLimit-Remaining-Tokens: 9000\r\n"
    async with ChatServer(headers=headers) as server:
        cards = [card(server), card(server, name="other")]
        async with Pool(cards, OpenAIModel(cards), kind="live") as pool:
            assert pool.telemetry()["m"].requests_left is None
            await pool.chat(ChatRequest(model="m", messages=(Message(speaker="user", text="why"),)))
            seen = pool.telemetry()
            assert (seen["m"].requests_left, seen["m"].tokens_left) == (41, 9000)
            assert seen["other"].requests_left is None


async def test_a_server_without_metrics_that_fails_is_stale_until_it_answers():
    request = ChatRequest(model="m", messages=(Message(speaker="user", text="why"),))
    async with ChatServer() as server:
        cards = [card(server)]
        async with Pool(cards, OpenAIModel(cards, retry=RetryPolicy(attempts=1)), kind="live") as pool:
            for fault, stale in (("server_error", True), (None, False), ("closed", True), ("bad_key", True)):
                server.next_faults.append(fault)
                with contextlib.suppress(CallError):
                    await pool.chat(request)
                assert pool.telemetry()["m"].stale is stale


async def test_an_error_inside_an_open_pool_comes_out_as_itself():
    async with ChatServer(metrics=Figures()) as server:
        with pytest.raises(ConfigError, match="unknown model 'x'"):
            async with TelemetryWatcher([card(server)], settings=QUICK):
                raise ConfigError("unknown model 'x'")
