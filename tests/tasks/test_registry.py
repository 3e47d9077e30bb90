"""Tasks by name, and the scripts that run them."""

import importlib.util

import pytest

from mar.errors import ConfigError
from mar.evaluation.options import RunOptions, parse_options
from mar.tasks import sources
from mar.tasks.registry import TASKS, load_task
from mar.tasks.sources import bundled_sample
from mar.tasks.task import Task
from tests.tasks.benchmarks import CHECKOUT, assert_disjoint, sample

PUBLISHED = {"gsm8k": 5, "math": 5, "humaneval": 10, "mmlu": 10, "mmlu_pro": 10}  # epochs


def script(name):
    path = CHECKOUT / "experiments" / f"run_{name}.py"
    spec = importlib.util.spec_from_file_location(f"run_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_task_has_its_own_name_and_a_sample():
    assert set(TASKS) == {"gsm8k", "humaneval", "math", "mbpp", "mmlu", "mmlu_pro"}
    for name, entry in TASKS.items():
        task: Task = entry.load(path=sample(name))
        assert (task.name, entry.name) == (name, name)
        assert task.domain == entry.domain
        assert set(task.notes) >= {"data", "metric"}


def test_an_unknown_name_is_refused():
    with pytest.raises(ConfigError, match=r"no benchmark 'mmlu2'; there are gsm8k, humaneval"):
        load_task("mmlu2")


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_script_loads_its_task_from_the_named_file_with_published_settings(name, monkeypatch):
    ran = []
    module = script(name)
    monkeypatch.setattr(module, "run_experiment", lambda task, options: ran.append((task, options)))
    monkeypatch.setattr("sys.argv", ["run", "--dataset-path", str(sample(name))])
    module.main()
    ((task, options),) = ran
    assert (task.name, task.notes["data"]) == (name, f"file {sample(name)}")
    assert (options.epochs, options.batch_size, options.max_agent) == (PUBLISHED[name], 16, 6)
    assert options.cost_rate == "auto"


def test_a_script_offers_no_option_that_would_do_nothing(monkeypatch):
    monkeypatch.setattr("sys.argv", ["run", "--show_tests", "all"])
    with pytest.raises(ConfigError, match="show_tests"):
        script("gsm8k").main()


@pytest.mark.parametrize("spelling", ["--dataset-root", "--dataset_root", "--data"])
def test_the_folder_has_several_names(spelling):
    options = parse_options(RunOptions, [spelling, "there"], description="")
    assert str(options.data) == "there"


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("gsm8k", {("openai/gsm8k", "main", "train"), ("openai/gsm8k", "main", "test")}),
        ("math", {("HuggingFaceH4/MATH-500", None, "test")}),
        ("humaneval", {("openai/openai_humaneval", None, "test")}),
        ("mmlu", {("cais/mmlu", "all", part) for part in ("dev", "validation", "test")}),
        ("mmlu_pro", {("TIGER-Lab/MMLU-Pro", None, "test")}),
    ],
)
def test_the_hub_is_asked_when_there_is_no_file(name, asked, monkeypatch, tmp_path):
    seen = set()
    rows = [{k: v for k, v in row.items() if k not in ("split", "id")} for row in bundled_sample(name)]

    def load_dataset(data_set, config, *, split):
        seen.add((data_set, config, split))
        return rows

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "hub_reachable", lambda: True)
    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    task = load_task(name)
    assert seen == asked
    assert task.notes["data"] == f"hub {TASKS[name].hub}"
    assert_disjoint(task)
