"""Comparisons: resumable, with intervals, over any router and any program; datasets and controllers they leave."""

import csv
import json
import sys

import numpy as np
import pytest

from mar.cli.routereval import routereval
from mar.controllers.embeddings import HashEncoder
from mar.controllers.routers import load_routed, make_router
from mar.errors import ConfigError, DataError
from mar.evaluation.options import parse_options
from mar.evaluation.routereval import run
from mar.evaluation.routereval.construct import split_of
from mar.evaluation.routereval.external import run_program
from mar.evaluation.routereval.keep import fitted_controller, problems
from mar.evaluation.routereval.published import read_router_dataset
from mar.evaluation.routereval.results import run_router
from mar.evaluation.routereval.state import digest_of_files, own_files
from mar.learning.progress import Progress
from tests.evaluation.routereval.tables import two_kinds

QUIET = Progress(quiet=True)
CUSTOM = '''\
import numpy as np

class Nearest:
    """The scores of the nearest training prompt."""

    def fit(self, train, validation):
        self.vectors_, self.scores_ = train.vectors, train.scores

    def score(self, prompts):
        return self.scores_[(prompts.vectors @ self.vectors_.T).argmax(axis=1)]
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    two_kinds(1500).save(tmp_path / "kinds")
    (tmp_path / "custom_router.py").write_text(CUSTOM)
    monkeypatch.delitem(sys.modules, "custom_router", raising=False)  # of another test's folder
    monkeypatch.chdir(tmp_path)
    return tmp_path


def options(*words):
    words = ("--table", "kinds", "--sizes", "3", "--groups", "all_weak", *words)
    return parse_options(run.RoutingOptions, words, description="")


def lines_of(folder):
    with (folder / "runs" / "routereval" / "results.csv").open() as file:
        return {row["router"]: row for row in csv.DictReader(file)}


def test_a_comparison_gives_one_table_with_intervals_and_verdicts(folder):
    page = run.run_routing(options("--routers", "oracle", "random", "knn", "custom_router:Nearest"), QUIET)
    lines = lines_of(folder)
    assert list(lines) == ["best single", "oracle", "random", "knn", "custom_router:Nearest"]
    assert float(lines["knn"]["gain_low"]) > 0
    assert float(lines["random"]["gain_high"]) < 0
    assert float(lines["oracle"]["mu"]) > float(lines["knn"]["mu"]) > float(lines["best single"]["mu"])
    text = page.read_text()
    assert "| two_kinds/all_weak/3 | knn |" in text
    assert "| above |" in text
    assert "E_p" in text
    assert (page.parent / "routers.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_goes_on_where_it_was_interrupted_and_repeats_nothing(folder, monkeypatch):
    measured = []

    def counting(router, problem, *, name, **rest):
        if name == "svm" and "svm" not in measured:
            measured.append("svm")
            raise KeyboardInterrupt
        measured.append(name)
        return run_router(router, problem, name=name, **rest)

    monkeypatch.setattr(run, "run_router", counting)
    asked = options("--routers", "knn", "svm", "mf")
    with pytest.raises(KeyboardInterrupt):
        run.run_routing(asked, Progress(quiet=True))
    run.run_routing(asked, Progress(quiet=True))
    assert measured == ["knn", "svm", "svm", "mf"]
    before = (folder / "runs" / "routereval" / "results.csv").read_bytes()
    run.run_routing(asked, Progress(quiet=True))
    assert (folder / "runs" / "routereval" / "results.csv").read_bytes() == before
    with pytest.raises(ConfigError, match=r"holds a run with routers = \['knn', 'svm', 'mf'\]"):
        run.run_routing(options("--routers", "knn"), Progress(quiet=True))


def test_what_changed_since_is_measured_again(folder, monkeypatch):
    def measured():
        done = []
        monkeypatch.setattr(run, "_measure", lambda job, *more: done.append(job.router) or measure(job, *more))
        run.run_routing(options("--routers", "knn", "--program", f"{sys.executable} theirs.py {{problem}}"), QUIET)
        return done

    measure = run._measure
    (folder / "theirs.py").write_text("print(0.5, 0.9, 1.0)")
    everything = measured()
    assert everything[:2] == ["best single", "knn"]
    assert measured() == []
    (folder / "theirs.py").write_text("print(0.6, 0.9, 1.0)")
    assert measured() == everything[2:]
    two_kinds(1500, seed=1).save(folder / "kinds")
    assert measured() == everything


def test_a_router_that_was_rewritten_has_another_state(folder):
    before = digest_of_files(own_files(make_router("custom_router:Nearest")))
    (folder / "custom_router.py").write_text(CUSTOM.replace("argmax", "argmin"))
    assert digest_of_files(own_files(make_router("custom_router:Nearest"))) != before
    assert own_files(make_router("knn")) == []


def test_routers_that_draw_run_with_every_seed(folder):
    run.run_routing(options("--routers", "knn", "linear(epochs=2)", "--seeds", "3"), Progress(quiet=True))
    lines = lines_of(folder)
    assert (lines["knn"]["seeds"], lines["linear(epochs=2)"]["seeds"]) == ("1", "3")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--routers", "nothing"), "unknown router 'nothing'"),
        (("--sizes", "1"), "expected 2 or more candidates"),
        (("--sizes", "50"), "none of the sizes 50 fits"),
        (("--table", "nowhere"), "no table 'nowhere'"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_written(folder, words, message):
    with pytest.raises(ConfigError, match=message):
        run.run_routing(options("--routers", "knn", *words), Progress(quiet=True))
    assert not (folder / "runs").exists()


def test_a_router_of_the_wrong_shape_is_named():
    class Wrong:
        def fit(self, train, validation): ...

        def score(self, prompts):
            return np.zeros((len(prompts), 2))

    (problem,) = problems(two_kinds(60), [3], ["all_weak"])
    with pytest.raises(DataError, match=r"router wrong: scores of shape \((\d+), 2\); expected \(\1, 3\)"):
        run_router(Wrong(), problem, name="wrong")


def test_any_program_that_prints_the_metrics_last_is_a_router(tmp_path):
    (problem,) = problems(two_kinds(60), [3], ["all_weak"])
    script = tmp_path / "theirs.py"
    script.write_text(
        "import pickle, sys\nfound = pickle.load(open(sys.argv[1], 'rb'))\n"
        "scores = found['easy'][3]['all_weak']['data']['test_score']\n"
        "print('loaded')\nprint('mu', scores[:, 0].mean(), 'vb', 0.5, 'ep', 1e-1)\n"
    )
    found = run_program(f"{sys.executable} {script} {{problem}}", problem)
    assert found.metrics.mu == pytest.approx(problem.test.scores[:, 0].mean())
    assert (found.metrics.vb, found.metrics.ep) == (0.5, 0.1)
    script.write_text("print('no idea')\n")
    with pytest.raises(DataError, match="ended with the line 'no idea'; expected mu, vb and ep"):
        run_program(f"{sys.executable} {script} {{problem}}", problem)
    script.write_text("raise SystemExit('out of luck')\n")
    with pytest.raises(DataError, match="status 1 on two_kinds/all_weak/3: out of luck"):
        run_program(f"{sys.executable} {script} {{problem}}", problem)
    with pytest.raises(ConfigError, match=r"expected \{problem\} in it"):
        run_program("true", problem)
    with pytest.raises(ConfigError, match="cannot be started"):
        run_program("no-such-program {problem}", problem)


def test_build_writes_router_datasets_that_can_be_compared_on(folder, capsys):
    routereval(["build", "--table", "kinds", "--sizes", "3", "1000", "--out", "made"])
    sets = read_router_dataset(folder / "made" / "two_kinds.pkl")
    assert [one.group for one in sets] == ["all_strong", "all_weak", "strong_to_weak"]
    words = ["--table", "made/two_kinds.pkl", "--sizes", "3", "--groups", "all_weak", "--routers", "knn"]
    routereval(words)
    assert "| two_kinds/all_weak/3 | knn |" in capsys.readouterr().out


def test_fit_writes_a_controller(folder, monkeypatch):
    monkeypatch.setattr("mar.evaluation.routereval.keep.named_encoder", lambda name: HashEncoder(16))
    routereval(["fit", "--table", "kinds", "--router", "knn(k=7)", "--models", "left", "right"])
    found = load_routed(folder / "router.safetensors", HashEncoder(16))
    assert (found.models, found.router.k, found.name) == (("left", "right"), 7, "knn router")


def test_a_controller_is_fitted_on_the_training_part_alone():
    table = two_kinds(100)
    controller = fitted_controller(table, ("left", "right"), "knn", HashEncoder(16))
    assert np.array_equal(controller.router.vectors_, table.vectors[split_of(table).train])


def test_an_unknown_word_is_refused():
    with pytest.raises(ConfigError, match="has no 'biuld'; expected options, or build or fit"):
        routereval(["biuld"])


def test_any_number_of_workers_measures_the_same_and_a_run_is_gone_on_with_by_others(folder):
    routers = ("--routers", "knn", "mlp", "random", "custom_router:Nearest")
    alone = run.run_routing(options(*routers), QUIET)
    kept = {path.name: path for path in (alone.parent / "results").iterdir()}
    words = ("--out", "spread", "--workers", "2")
    assert run.run_routing(options(*routers, *words), QUIET).parent.name == "spread"
    for path in (folder / "spread" / "results").iterdir():
        here, there = np.load(kept.pop(path.name)), np.load(path)
        assert here["values"].tobytes() == there["values"].tobytes()
        timed = [json.loads(str(found["about"])) | {"fit_s": 0, "score_s": 0} for found in (here, there)]
        assert timed[0] == timed[1]
    assert not kept
    run.run_routing(options(*routers, "--out", "spread"), QUIET)
