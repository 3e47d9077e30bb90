"""From a log to a candidate: what is kept, what is said, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mar.controllers.routers import Prompts, load_routed
from mar.errors import ConfigError
from mar.evaluation.statistics import Interval
from mar.learning.progress import Progress
from mar.traffic.learn.candidates import ONE, check_kind
from mar.traffic.learn.run import LearnOptions, run_learn
from mar.traffic.learn.verdict import more
from mar.traffic.records import Arm, Logged, Other, Outcome


class TwoTopics:
    """Texts about sums lie on one axis, others on another."""

    name, width = "two-topics", 2

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([[1.0, 0.0] if "sum" in text else [0.0, 1.0] for text in texts], dtype=np.float32)


def log(n: int, *, explore: float = 0.4) -> list[Logged]:
    """`dear` is right on 0.8 of everything, `cheap` on 0.9 of the sums and 0.1 of the rest."""
    rng, found = np.random.default_rng(0), list[Logged]()
    for i in range(n):
        text = ("a sum", "a fact")[i % 2]
        cheap = bool(rng.random() < explore / 2)
        right = rng.random() < ((0.9, 0.1)[i % 2] if cheap else 0.8)
        arms = (Arm(name="dear", probability=1 - explore / 2), Arm(name="cheap", probability=explore / 2))
        found.append(
            Logged(
                id=str(i),
                at=1e9 + i,
                key="k",
                user=f"u{i % 97}",
                conversation=None,
                text=text,
                embedding=tuple(TwoTopics().encode([text])[0].tolist()),
                controller="cards",
                version="v1",
                arms=arms[::-1] if cheap else arms,
                explored=cheap,
                answer=None,
                prompt_tokens=1,
                completion_tokens=1,
                cost_usd=0.001 if cheap else 0.01,
                seconds=1.0,
                status=200,
                outcomes=(Outcome(kind="rating", value=float(right)),),
            )
        )
    return found


def options(out: Path, *routers: str) -> LearnOptions:
    return LearnOptions(source="the log", out=out, routers=routers or ("pooled(caution=1)",), cost_rate=20.0)


def test_one_model_for_all_gives_way_only_to_a_router_that_the_log_shows_to_be_worth_more(tmp_path: Path):
    candidates = (ONE, "pooled(caution=1)")
    few = run_learn(log(60), options(tmp_path / "few", *candidates), TwoTopics(), Progress(quiet=True))
    many = run_learn(log(1200), options(tmp_path / "many", *candidates), TwoTopics(), Progress(quiet=True))
    assert few is not None
    assert many is not None
    assert few.kept == ONE
    assert many.kept == "pooled(caution=1)"  # 0.9 for sums by `cheap` and 0.8 for the rest by `dear`, against 0.8 alone
    scores = load_routed(tmp_path / "few", TwoTopics()).router.score(Prompts(vectors=np.eye(2, dtype=np.float32)))
    assert np.allclose(
        scores[0] - scores[1], (scores[0] - scores[1])[0], atol=1e-4
    )  # what is asked makes no difference


def test_a_candidate_is_a_checkpoint_that_says_what_it_was_learned_from(tmp_path: Path):
    out = tmp_path / "candidate.safetensors"
    verdict = run_learn(log(1200), options(out), TwoTopics(), Progress(quiet=True))
    assert verdict is not None
    assert verdict.better  # sums by `cheap`: 0.1 more right and 0.18 cheaper on half of the requests
    assert "is worth more than what served" in verdict.sentence
    controller = load_routed(out, TwoTopics())
    scores = controller.router.score(Prompts(vectors=TwoTopics().encode(["sum", "?"])))
    assert (scores[:, 1] > scores[:, 0]).tolist() == [True, False]
    page = out.with_suffix(".md").read_text()
    assert all(name in page for name in ("what served", "dear", "cheap", "any model", verdict.sentence))


def test_what_others_say_about_rated_questions_is_learned_from(tmp_path: Path):
    """Both say the same throughout, so that whatever few ratings say of `cheap`, it is as good."""
    same = tuple(Other(model=name, said="x", single=True, usd=usd) for name, usd in (("dear", 0.01), ("cheap", 0.001)))
    alone = log(100)
    heard = [replace(logged, others=same) for logged in alone]
    apart: list[float] = []
    for name, told in (("alone", alone), ("heard", heard), ("heard", heard)):
        verdict = run_learn(told, options(tmp_path / name, "pooled(special=0)"), TwoTopics(), Progress(quiet=True))
        if verdict is None:  # of this very log already
            continue
        scores = load_routed(tmp_path / name, TwoTopics()).router.score(Prompts(vectors=np.eye(2, dtype=np.float32)))
        apart.append(float(abs(scores[0, 0] - scores[0, 1])))
    assert len(apart) == 2
    assert apart[1] < apart[0] / 5
    assert "what other models said about 100 of the rated questions" in (tmp_path / "heard.md").read_text()
    again = run_learn(alone, options(tmp_path / "heard", "pooled(special=0)"), TwoTopics(), Progress(quiet=True))
    assert again is not None  # without the others it is another log


def test_a_candidate_that_does_what_served_is_said_to_do_so(tmp_path: Path):
    verdict = run_learn(log(300), options(tmp_path / "c", ONE), TwoTopics(), Progress(quiet=True))  # `dear` for all
    assert verdict is not None
    assert not verdict.better
    assert (
        verdict.sentence == f"Nothing that was learned is shown to be worth more than what served; {ONE} does the same"
    )


def test_texts_without_embeddings_are_embedded(tmp_path: Path):
    plain = [replace(one, embedding=None) for one in log(300)]
    run_learn(plain, options(tmp_path / "a"), TwoTopics(), Progress(quiet=True))
    run_learn(log(300), options(tmp_path / "b"), TwoTopics(), Progress(quiet=True))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_same_command_again_learns_nothing_new(tmp_path: Path):
    out = tmp_path / "candidate.safetensors"
    run_learn(log(300), options(out), TwoTopics(), Progress(quiet=True))
    before = out.read_bytes()
    assert run_learn(log(300), options(out), TwoTopics(), Progress(quiet=True)) is None
    assert run_learn(log(299), options(out), TwoTopics(), Progress(quiet=True)) is not None  # somebody was deleted
    assert out.read_bytes() != before


def test_the_same_log_and_seed_give_the_same_candidate(tmp_path: Path):
    for name in "ab":
        run_learn(log(300), options(tmp_path / name), TwoTopics(), Progress(quiet=True))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_a_small_log_cannot_tell_is_not_ranked(tmp_path: Path):
    verdict = run_learn(log(60), options(tmp_path / "c"), TwoTopics(), Progress(quiet=True))
    assert verdict is not None
    assert not verdict.better
    assert verdict.sentence.startswith("This log cannot tell")
    assert "more requests" in verdict.sentence


def test_a_log_that_never_explored_teaches_nothing(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"by what was done: dear 50, cheap 0.*without exploration"):
        run_learn(log(50, explore=0.0), options(tmp_path / "c"), TwoTopics(), Progress(quiet=True))
    assert not (tmp_path / "c").exists()


def test_another_encoders_embeddings_are_refused(tmp_path: Path):
    turned = [replace(one, embedding=(one.embedding or ())[::-1]) for one in log(50)]
    with pytest.raises(ConfigError, match="embeddings that two-topics does not make"):
        run_learn(turned, options(tmp_path / "c"), TwoTopics(), Progress(quiet=True))
    wide = [replace(one, embedding=(1.0, 0.0, 0.0)) for one in log(50)]
    with pytest.raises(ConfigError, match="width 3; two-topics makes 2"):
        run_learn(wide, options(tmp_path / "c"), TwoTopics(), Progress(quiet=True))


@pytest.mark.parametrize("name", ["sequential", "cascal", "gmt", "masrouter"])
def test_controllers_that_a_log_cannot_teach_are_refused_in_one_line(name: str):
    with pytest.raises(ConfigError, match=f"--router {name}: {name} .*expected a router"):
        check_kind(name)


def test_how_many_more_requests_would_tell_is_rounded_up_to_two_figures():
    assert more(Interval(mean=0.1, low=-0.02, high=0.22), 10_000) == "about 4,400 more requests like these would"
    assert more(Interval(mean=0.0, low=-1.0, high=1.0), 100) == "no number of requests that anybody waits for would"
