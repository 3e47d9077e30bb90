"""Serving, with a stand-in for vLLM: the same command line, health, chat and metrics. The real one is in tests/vllm."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from mar.cli.main import app
from mar.errors import ConfigError, ServerNotStarted
from mar.pool.servers import Key, State, Watch, born_of, start, stop
from mar.pool.serving import server_specs
from tests.serving import free_port, stand_in_vllm


@pytest.fixture(autouse=True)
def environment(tmp_path, monkeypatch):
    """An environment whose Python runs the stand-in."""
    stand_in_vllm(tmp_path, monkeypatch)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def state(tmp_path):
    state = State(tmp_path / "logs")
    yield state
    stop(state)


def pool_file(folder, *models, **more):
    """A pool file that serves models on free ports; `more` are further lines by model."""
    path = folder / "pool.toml"
    path.write_text(
        "\n".join(
            f'[[models]]\nname = "{name}"\ncontext_tokens = 2048\n[models.vllm]\nmodel = "org/{name}"\n'
            f"port = {free_port()}\n{more.get(name, '')}\n"
            for name in models
        )
    )
    return path


def specs(folder, *models, **more):
    return server_specs(pool_file(folder, *models, **more), device="cpu")


def names_alive(state):
    return sorted(name for name, server in state.read().items() if server.alive)


def test_servers_start_together_answer_and_stop(tmp_path, state):
    said = []
    started = start(specs(tmp_path, "a", "b"), state, timeout_s=30, watch=Watch(say=said.append))
    assert [s.name for s in started] == ["a", "b"]
    assert names_alive(state) == ["a", "b"]
    urls = json.loads((state.folder / "model_base_urls.json").read_text())
    assert {name: httpx.get(f"{url}/models").status_code for name, url in urls.items()} == {"a": 200, "b": 200}
    assert "stand-in" in (state.folder / "a.log").read_text()
    assert any("a: ready" in line for line in said)
    assert [s.name for s in stop(state)] == ["a", "b"]
    assert [s.alive for s in started] == [False, False]
    assert not (state.folder / "model_base_urls.json").exists()


def test_servers_that_share_a_gpu_start_one_after_another_and_others_at_once(tmp_path, state):
    said = []
    gpus = {"a": "devices = [0]", "b": "devices = [1, 0]", "c": "devices = [2]", "d": ""}  # none named: the first
    wanted = server_specs(pool_file(tmp_path, *gpus, **gpus), device="cuda")
    start(wanted, state, timeout_s=60, watch=Watch(say=said.append))
    order = [line.split()[:2] for line in said]
    begins = {name: order.index([f"{name}:", "starting"]) for name in gpus}
    ready = {name: order.index([f"{name}:", "ready"]) for name in gpus}
    assert max(begins["a"], begins["c"]) < min(ready["a"], ready["c"])
    assert max(ready["a"], ready["c"]) < begins["b"] < ready["b"] < begins["d"]


def test_a_second_start_changes_nothing(tmp_path, state):
    wanted = specs(tmp_path, "a")
    first = start(wanted, state, timeout_s=30)
    assert start(wanted, state, timeout_s=30) == []
    assert state.read()["a"] == first[0]


def test_a_server_that_died_is_started_again_beside_those_that_run(tmp_path, state):
    wanted = specs(tmp_path, "a", "b")
    first = start(wanted, state, timeout_s=30)
    os.killpg(first[1].pid, signal.SIGKILL)
    while first[1].alive:
        time.sleep(0.01)
    assert [s.name for s in start(wanted, state, timeout_s=30)] == ["b"]
    assert state.read()["a"] == first[0]


def test_other_settings_for_a_server_that_runs_are_refused(tmp_path, state):
    path = pool_file(tmp_path, "a")
    start(server_specs(path, device="cpu"), state, timeout_s=30)
    path.write_text(path.read_text() + 'dtype = "float32"\n')
    with pytest.raises(ConfigError, match="a already runs with other settings"):
        start(server_specs(path, device="cpu"), state, timeout_s=30)


def test_a_failed_start_stops_what_it_started_and_shows_the_log(tmp_path, state):
    wanted = specs(tmp_path, "good", "bad", bad='flags = ["--stand-in-fails"]')
    with pytest.raises(ServerNotStarted, match=r"(?s)bad ended before it was ready.*the device has no such memory"):
        start(wanted, state, timeout_s=30)
    assert state.read() == {}
    assert httpx_refuses(wanted[0].url)


def test_the_first_error_of_a_long_log_is_shown_before_its_end(tmp_path, state):
    wanted = specs(tmp_path, "bad", bad='flags = ["--stand-in-fails-at-length"]')
    with pytest.raises(ServerNotStarted) as failed:
        start(wanted, state, timeout_s=30)
    lines = str(failed.value).splitlines()
    assert lines[1] == "(engine) ValueError: No memory is left for the cache"
    assert len(lines) == 22  # the sentence, the cause, the log's last twenty lines


def test_a_failed_start_leaves_those_that_ran_before(tmp_path, state):
    path = pool_file(tmp_path, "good", "bad", bad='flags = ["--stand-in-fails"]')
    start(server_specs(path, device="cpu", only=["good"]), state, timeout_s=30)
    with pytest.raises(ServerNotStarted):
        start(server_specs(path, device="cpu"), state, timeout_s=30)
    assert names_alive(state) == ["good"]


def test_a_server_that_is_never_ready_is_given_up(tmp_path, state):
    wanted = specs(tmp_path, "slow", slow='flags = ["--stand-in-never-ready"]')
    with pytest.raises(ServerNotStarted, match=r"slow was not ready within 1 s"):
        start(wanted, state, timeout_s=1)
    assert state.read() == {}


def test_a_port_that_is_taken_is_said_before_anything_starts(tmp_path, state):
    wanted = specs(tmp_path, "a", "b")
    with socket.socket() as other:
        other.bind(("127.0.0.1", wanted[1].port))
        other.listen()
        with pytest.raises(ConfigError, match=f"b: port {wanted[1].port} is taken"):
            start(wanted, state, timeout_s=30)
    assert state.read() == {}


def test_only_our_own_processes_are_stopped(tmp_path, state):
    start(specs(tmp_path, "a"), state, timeout_s=30)
    ours = state.read()["a"]
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        # The note names a process id that has since been given to somebody else.
        row = json.loads((state.folder / "servers.json").read_text())[0]
        (state.folder / "servers.json").write_text(json.dumps([row | {"pid": other.pid}]))
        assert stop(state) == []
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
        os.killpg(ours.pid, signal.SIGKILL)


def test_a_process_is_told_from_a_later_one_of_its_number():
    assert born_of(os.getpid()) == born_of(os.getpid())
    assert born_of(1) != born_of(os.getpid())
    assert born_of(2**22 + 1) is None


def test_a_key_is_asked_for_and_written_nowhere(tmp_path, state):
    wanted = specs(tmp_path, "a")
    start(wanted, state, key=Key(variable="MY_KEY", value=SecretStr("s3cret")), timeout_s=30)
    assert httpx.get(f"{wanted[0].url}/models").status_code == 401
    assert httpx.get(f"{wanted[0].url}/models", headers={"Authorization": "Bearer s3cret"}).status_code == 200
    urls = json.loads((state.folder / "model_base_urls.json").read_text())
    assert urls == {"key_env": "MY_KEY", "model_base_urls": {"a": wanted[0].url}}
    command = Path(f"/proc/{state.read()['a'].pid}/cmdline").read_text()
    assert "s3cret" not in command + "".join(p.read_text() for p in state.folder.iterdir())


def test_the_command_line_says_what_the_pool_file_does(tmp_path):
    path = pool_file(
        tmp_path, "a", a='devices = [2, 3]\nmemory = 0.4\ndtype = "bfloat16"\nflags = ["--max-num-seqs", "16"]'
    )
    (spec,) = server_specs(path, device="cuda", host="0.0.0.0")
    line = " ".join(spec.command[1:])
    port = spec.port
    assert line == (
        f"-m vllm.entrypoints.openai.api_server --model org/a --served-model-name a --host 0.0.0.0 --port {port} "
        "--max-model-len 2048 --dtype bfloat16 --scheduling-policy priority "
        "--disable-uvicorn-access-log --gpu-memory-utilization 0.4 "
        "--tensor-parallel-size 2 --max-num-seqs 16"
    )
    assert spec.environment["CUDA_VISIBLE_DEVICES"] == "2,3"


def test_a_processor_gets_settings_of_its_own(tmp_path):
    (spec,) = specs(tmp_path, "a", a="memory = 0.4\nkv_cache_gib = 2\nthreads = 1")
    assert "--enforce-eager" in spec.command
    assert "--gpu-memory-utilization" not in spec.command
    assert (spec.environment["VLLM_CPU_KVCACHE_SPACE"], spec.environment["OMP_NUM_THREADS"]) == ("2", "1")


def test_a_checkpoint_beside_the_pool_file_is_found(tmp_path):
    (tmp_path / "org" / "a").mkdir(parents=True)
    (spec,) = specs(tmp_path, "a")
    assert str(tmp_path / "org" / "a") in spec.command
    assert spec.environment["HF_HUB_OFFLINE"] == "1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[models]]\nname = "a"\nbase_url = "http://h/v1"\n', "no model has a table `vllm`"),
        ('[[models]]\nname = "a"\n[models.vllm]\nmodel = "x"\n', r"models\[0\].vllm.port: Field required"),
        ('[[models]]\nname = "a"\n[models.vllm]\nmodel = "x"\nport = 1\ngpus = 2\n', "vllm.gpus: unknown field"),
        ('{"a": "http://h/v1"}', "models: Field required"),
    ],
)
def test_a_pool_file_that_serves_nothing_is_refused(tmp_path, text, said):
    path = tmp_path / ("pool.json" if text.startswith("{") else "pool.toml")
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        server_specs(path, device="cpu")


def test_one_port_for_two_models_is_refused(tmp_path):
    path = tmp_path / "pool.toml"
    path.write_text("".join(f'[[models]]\nname = "{n}"\n[models.vllm]\nmodel = "x"\nport = 8001\n' for n in "ab"))
    with pytest.raises(ConfigError, match="'a' and 'b' both want port 8001"):
        server_specs(path, device="cpu")


def test_an_environment_without_vllm_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.delenv("MAR_VLLM_ENV")
    monkeypatch.setenv("MAR_CACHE", str(tmp_path / "nothing"))
    with pytest.raises(
        ConfigError, match=r"vLLM for cpu is not installed in .*; scripts/vllm/install_cpu.sh installs it"
    ):
        specs(tmp_path, "a")


def test_the_commands_serve_show_and_stop(tmp_path):
    pool_file(tmp_path, "a")
    run = CliRunner().invoke
    try:
        served = run(app, ["vllm", "serve", "--device", "cpu", "--timeout", "30"], catch_exceptions=False)
        assert "a: ready" in served.output
        assert "already run" in run(app, ["vllm", "serve", "--device", "cpu"], catch_exceptions=False).output
        shown = run(app, ["vllm", "status"], catch_exceptions=False)
        assert shown.exit_code == 0
        # The stand-in reports 2 running, 5 waiting, a quarter of its cache, and 40 tokens more at every look.
        assert all(text in shown.output for text in ("up", " 2 ", " 5 ", "25%"))
    finally:
        stopped = run(app, ["vllm", "stop"], catch_exceptions=False)
    assert "a: stopped" in stopped.output
    assert "No server was started here" in run(app, ["vllm", "status"]).output


def test_a_key_given_for_the_name_of_its_variable_is_not_repeated(tmp_path):
    pool_file(tmp_path, "a")
    result = CliRunner().invoke(app, ["vllm", "serve", "--device", "cpu", "--api-key", "sk-123"])
    assert isinstance(result.exception, ConfigError)
    assert "sk-123" not in str(result.exception)


def httpx_refuses(url):
    try:
        httpx.get(f"{url}/models", timeout=2)
    except httpx.ConnectError:
        return True
    return False


def test_ctrl_c_between_a_servers_start_and_its_record_leaves_nothing_running(tmp_path, state, monkeypatch):
    spawned = []

    def popen(*args, **kwargs):
        spawned.append(subprocess.Popen(*args, **kwargs))
        signal.raise_signal(signal.SIGINT)
        return spawned[-1]

    monkeypatch.setattr("mar.pool.servers.subprocess", SimpleNamespace(**{**vars(subprocess), "Popen": popen}))
    with pytest.raises(KeyboardInterrupt):
        start(specs(tmp_path, "a"), state, timeout_s=30)
    assert len(spawned) == 1
    assert born_of(spawned[0].pid) is None
    assert names_alive(state) == []


def test_a_damaged_record_of_servers_is_one_line(state):
    state.folder.mkdir()
    for content in (b"\xff", b"[" * 100_000, b'[{"name": 1}]', b'{"a": 9', b'[{"pid": ' + b"9" * 5000 + b"}]"):
        (state.folder / "servers.json").write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            state.read()
        assert len(str(caught.value).splitlines()) == 1
    (state.folder / "servers.json").unlink()
