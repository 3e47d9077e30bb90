import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mar.controllers.masrouter import Fixes
from mar.errors import CallTimeout, CheckpointError, ConfigError
from mar.learning.policy import advantages
from mar.learning.rundir import RunDir
from mar.pool.cards import ModelCard
from mar.pool.pool import Pool
from mar.pool.scripted import ScriptedModel
from tests.learning import toy

ROOT = Path(__file__).parents[2]


def test_the_controller_learns_to_avoid_the_model_that_fails_and_the_one_that_is_dear(tmp_path):
    router, result, space = toy.train(tmp_path, epochs=25)
    plans = [p.plan for p in router.plan([toy.ToyTask().query(i) for i in toy.ToyTask().items("test")], space)]
    models = [a.model for p in plans for a in p.agents]
    assert result.stopped == "all epochs done"
    assert models.count("good") / len(models) > 0.9


def test_leave_one_out_compares_each_rollout_with_the_others():
    # Utilities 1, 0, 0, 1: the others' means are 1/3, 2/3, 2/3, 1/3.
    advantage = advantages(torch.tensor([[1.0, 0.0, 0.0, 1.0]]), torch.ones(1, 4, dtype=torch.bool), baseline=True)
    assert advantage[0].tolist() == pytest.approx([2 / 3, -2 / 3, -2 / 3, 2 / 3])


def test_rollouts_that_failed_for_outside_reasons_count_for_nothing():
    valid = torch.tensor([[True, True, False], [True, False, False]])
    utility = torch.tensor([[1.0, 0.0, 9.0], [1.0, 9.0, 9.0]])
    advantage = advantages(utility, valid, baseline=True)
    # First query: the others' mean is over the one other valid rollout. Second: nothing to compare with.
    assert advantage.tolist() == [[1.0, -1.0, 0.0], [0.0, 0.0, 0.0]]


def test_without_a_baseline_the_advantage_is_the_utility():
    utility = torch.tensor([[1.0, 0.5]])
    assert advantages(utility, torch.ones(1, 2, dtype=torch.bool), baseline=False).tolist() == [[1.0, 0.5]]


@pytest.mark.parametrize("kind", ["real", "imagined"])
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, kind):
    command = [sys.executable, "-m", "tests.learning.toy", kind]

    def start(folder):
        return subprocess.Popen(
            [*command, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    whole = start(tmp_path / "whole")
    whole.communicate("\n" * 99)
    killed = start(tmp_path / "killed")
    for _ in range(5):  # 3 updates and 1 validation or correction an epoch: the kill falls into the second epoch
        killed.stdout.readline()
        killed.stdin.write("\n")
        killed.stdin.flush()
    killed.stdout.readline()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert killed.returncode == -signal.SIGKILL
    resumed = start(tmp_path / "killed")
    resumed.communicate("\n" * 99)

    for name in ("state.safetensors", "metrics.jsonl"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_finished_run_is_not_trained_again(tmp_path):
    first, result, space = toy.train(tmp_path, epochs=1)
    second, again, _ = toy.train(tmp_path, epochs=1)
    assert again.steps == result.steps
    queries = [toy.ToyTask().query(i) for i in toy.ToyTask().items("test")]
    assert second.plan(queries, space) == first.plan(queries, space)


def test_training_goes_on_when_calls_fail_and_counts_them(tmp_path):
    def answer(request):
        if request.sample[0] in "012":  # three in sixteen samples
            raise CallTimeout("no answer within 1 s")
        return toy.answer(request)

    cards = list(toy.toy_pool().cards.values())
    pool = Pool(cards, ScriptedModel(answer), kind="scripted", virtual_time=True)
    _, result, _ = toy.train(tmp_path, epochs=1, pool=pool)
    metrics = RunDir(tmp_path).metrics()
    assert result.steps == 3
    assert sum(m["failed"] for m in metrics if "failed" in m) > 0
    assert all(torch.isfinite(torch.tensor(m["loss"])) for m in metrics if "loss" in m)


def test_training_on_cost_refuses_a_pool_with_unknown_prices(tmp_path):
    pool = Pool([ModelCard(name="free?")], ScriptedModel(toy.answer), kind="scripted", virtual_time=True)
    with pytest.raises(ConfigError, match=r"no price is known for free\?"):
        toy.train(tmp_path, pool=pool)


def test_the_published_controller_trains_too(tmp_path):
    _, result, _ = toy.train(tmp_path, epochs=1, fixes=Fixes.none())
    assert result.steps == 3


def test_a_run_folder_of_other_arguments_is_not_overwritten(tmp_path):
    RunDir.open(tmp_path, arguments={"lr": 0.1}, prompts="")
    with pytest.raises(ConfigError, match=r"lr = 0.1, not 0.2"):
        RunDir.open(tmp_path, arguments={"lr": 0.2}, prompts="")


def test_a_damaged_state_is_refused_in_one_line(tmp_path):
    toy.train(tmp_path, epochs=1)
    (tmp_path / "state.safetensors").write_bytes(b"junk")
    with pytest.raises(CheckpointError, match=r"state\.safetensors: .*; expected the state of this run"):
        toy.train(tmp_path, epochs=1)
