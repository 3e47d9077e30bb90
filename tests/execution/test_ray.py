"""Work on a Ray cluster of two nodes in one machine: the same outcomes, whatever becomes of workers and nodes."""

import json
import os
import threading
from importlib.util import find_spec

import anyio
import httpx
import pytest

from mar.errors import ConfigError, ServerNotStarted
from mar.execution import Workers, executor
from mar.execution.desk import Desk
from mar.execution.ray_cluster import load_ray
from mar.execution.ray_servers import start_on_ray, stop_on_ray
from mar.pool.servers import State
from mar.pool.serving import server_specs
from mar.runtime import Ledger
from tests.execution.paying import COST, WORST, Paying
from tests.execution.sums import Sum, Sums
from tests.execution.test_desk import CARDS
from tests.execution.test_fleet import JOBS, WHOLE
from tests.on_ray import MISSING
from tests.serving import free_port, stand_in_vllm

pytestmark = pytest.mark.ray
if find_spec("ray") is None:
    pytest.skip(MISSING, allow_module_level=True)
PATIENCE_S = 120.0


def started(start):
    """Ray gives a node half a minute to start, which a busy machine may not have."""
    for _ in range(3):
        try:
            return start()
        except Exception as error:
            if "timed out during startup" not in str(error):
                raise
    return start()


@pytest.fixture(scope="module")
def cluster():
    load_ray()
    from ray.cluster_utils import Cluster

    made = started(lambda: Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}))
    made.second = started(lambda: made.add_node(num_cpus=1))
    yield made
    made.shutdown()


@pytest.fixture(scope="module")
def workers(cluster):
    said = []
    with executor(Workers(ray=cluster.address), say=said.append) as found:
        found.said = said
        yield found


def test_a_worker_on_each_node_gives_the_outcomes_of_one_process(workers):
    outcomes = workers.run(Sums(), JOBS)
    assert [s for s, _ in outcomes] == WHOLE
    assert os.getpid() not in {pid for _, pid in outcomes}


def test_a_killed_worker_s_job_is_done_by_another_one(workers, tmp_path):
    jobs = [*JOBS, Sum(a=1, b=1, once=tmp_path / "killed", happens="killed")]
    assert [s for s, _ in workers.run(Sums(), jobs)] == [*WHOLE, 2]
    assert any("was lost" in line for line in workers.said)


def test_what_cannot_be_opened_is_said_in_one_line(workers):
    with pytest.raises(ConfigError, match="no such pool"):
        workers.run(Sums(cannot="no such pool"), JOBS)


def test_workers_of_all_nodes_keep_to_one_limit(workers, tmp_path):
    async def main():
        ledger = Ledger(0.5)
        desk = Desk(ledger, CARDS)
        async with desk.open(workers.host) as address:
            work = Paying(desk=address, folder=tmp_path)
            outcomes = await desk.run(workers, work, range(40))
        return outcomes, ledger

    outcomes, ledger = anyio.run(main)
    # Whoever was killed had up to four tries under way, and each of them is booked at its worst.
    assert WORST + outcomes.count("paid") * COST <= ledger.spent_usd <= 0.5
    assert "may cost 0.5 USD" in ledger.reached


def test_a_removed_node_s_job_is_done_on_another_one_though_no_node_comes_in_its_place(cluster, workers, tmp_path):
    begun = [tmp_path / "one", tmp_path / "other"]  # a worker on each node waits with its first job

    def remove():
        while not all(file.exists() for file in begun):
            threading.Event().wait(0.05)
        cluster.remove_node(cluster.second, allow_graceful=False)
        while len(workers.said) == said:
            threading.Event().wait(0.05)
        (tmp_path / "go").touch()

    said = len(workers.said)
    thread = threading.Thread(target=remove)
    thread.start()
    jobs = [*(Sum(a=i, b=1, once=file, happens="waits") for i, file in enumerate(begun)), *JOBS]
    assert [s for s, _ in workers.run(Sums(), jobs)] == [1, 2, *WHOLE]
    thread.join(PATIENCE_S)


def test_servers_find_nodes_with_free_gpus_and_their_addresses_are_in_the_one_map(cluster, tmp_path, monkeypatch):
    node = started(lambda: cluster.add_node(num_cpus=1, num_gpus=2))  # as it says of itself; there is none
    stand_in_vllm(tmp_path, monkeypatch)
    pool = tmp_path / "pool.toml"
    models = {"large": "devices = [0, 1]", "small": "devices = [0]\nmemory = 0.5"}
    tables = (
        f'[[models]]\nname = "{name}"\ncontext_tokens = 2048\n'
        f'[models.vllm]\nmodel = "org/{name}"\nport = {free_port()}\n{how}\n'
        for name, how in models.items()
    )
    pool.write_text("\n".join(tables))
    large, small = server_specs(pool, device="cuda", host="0.0.0.0")
    assert (large.gpu_share, small.gpu_share) == (2, 0.5)
    state = State(tmp_path / "logs")
    (server,) = start_on_ray(cluster.address, [small], state, timeout_s=PATIENCE_S)
    assert json.loads((state.folder / "model_base_urls.json").read_text()) == {"small": server.url}
    assert httpx.get(server.url.removesuffix("/v1") + "/health").status_code == 200
    with pytest.raises(ServerNotStarted, match=r"large was not ready within 1 s; it needs 2 GPUs .* has 1.5 free of 2"):
        start_on_ray(cluster.address, [large, small], state, timeout_s=1.0)
    assert stop_on_ray(cluster.address, state) == ["small"]
    with pytest.raises(httpx.TransportError):
        httpx.get(server.url.removesuffix("/v1") + "/health")
    assert not (state.folder / "model_base_urls.json").exists()
    cluster.remove_node(node)
