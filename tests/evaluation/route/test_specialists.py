"""Two plainly different kinds of questions, two cheap specialists, one dear model that can do both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mar import load_controller
from mar.controllers.base import PlanSpace
from mar.evaluation.route.agreement import by_agreement
from mar.evaluation.route.calls import Calls
from mar.evaluation.route.kinds import CascadeKind, Router, SequentialKind, kinds_for
from mar.evaluation.route.play import play
from mar.evaluation.route.validation import cost_rates, validate
from mar.evaluation.route.verdict import kept_way, verdict_of
from mar.evaluation.routereval.files import read_csv_table
from mar.learning.progress import Progress
from mar.runtime import PromptLibrary
from tests.evaluation.route.worlds import CARDS, Words, able, asked, calls, queries

SPACE = PlanSpace(cards=CARDS, prompts=PromptLibrary.load(), alone=True, max_agents=3)
ENCODER = Words()


def test_a_hundred_graded_rows_are_enough_to_find_the_specialists():
    known = calls(range(100))
    kinds = [Router(router=name, encoder=ENCODER, domain="Math") for name in ("knn(k=10)", "shrunken")]

    validated = validate(known, kinds, SPACE, Progress(quiet=True))
    verdict = verdict_of(validated, None)
    kept = kept_way(validated.outcomes, verdict.reference)
    controller = next(k for k in kinds if k.name == kept.kind).fit(known)
    controller.cost_rate = kept.cost_rate
    plans = controller.plan(queries(range(100, 300)), SPACE)

    specialists = [p.intent.agents[0].model == ("sums" if i % 2 == 0 else "places") for i, p in enumerate(plans)]
    assert np.mean(specialists) >= 0.95
    assert verdict.worth
    assert verdict.reference.model == "dear"
    assert verdict.same.saving.low > 0.9  # a specialist costs a twenty-fifth
    assert known.usd.sum() < 1.0


def test_a_cascade_and_the_sequential_controller_are_learned_from_the_same_calls(tmp_path):
    known, new = calls(range(60)), calls(range(60, 90))
    for kind in (
        CascadeKind(cards=CARDS, encoder=ENCODER, domain="Math"),
        SequentialKind(cards=CARDS, encoder=ENCODER, domain="Math"),
    ):
        controller = kind.fit(known)
        controller.cost_rate = 0.0
        lavish = play(controller, new, SPACE)
        controller.cost_rate = 1000 * cost_rates(known)[-1]
        thrifty = play(controller, new, SPACE)
        assert lavish.quality.mean() >= 0.9, kind.name
        assert thrifty.usd.mean() < 0.2 * lavish.usd.mean(), kind.name
        assert lavish.calls.max() <= len(CARDS), kind.name
        kind.save(tmp_path / "kept", controller, {"data": "made up"}, simulated=False)
        again = load_controller(tmp_path / "kept", encoder=ENCODER)
        assert np.allclose(play(again, new, SPACE).usd, thrifty.usd), kind.name
        again.cost_rate = 0.0
        assert np.allclose(play(again, new, SPACE).usd, lavish.usd), kind.name


def test_where_two_that_agree_are_right_they_are_a_team_and_the_dear_one_is_asked_where_they_do_not(tmp_path):
    # Each cheap model is wrong on a third of the rows, on other ones than the other: they agree on the last third.
    def knows(model, i):
        return model == "dear" or i % 3 != ("sums", "places").index(model)

    known, new = calls(range(60), knows=knows), calls(range(60, 90), knows=knows)
    (kind,) = kinds_for(["teams"], known, CARDS, ENCODER, "Math")
    controller = kind.fit(known)
    controller.cost_rate = 0.1 / known.usd[:, 2].mean()
    played = play(controller, new, SPACE)
    assert played.quality.min() == 1.0
    assert sorted(played.calls.tolist()) == [2.0] * 10 + [3.0] * 20
    kind.save(tmp_path / "kept", controller, {"data": "made up"}, simulated=False)
    again = load_controller(tmp_path / "kept", encoder=ENCODER)
    assert again.name == controller.name
    assert np.allclose(play(again, new, SPACE).usd, played.usd)


def test_where_one_model_is_best_at_everything_and_cheapest_nothing_is_promised():
    known = calls(range(60), knows=lambda model, i: model == "sums" or i % 3 == 0)
    kinds = [Router(router="knn(k=10)", encoder=ENCODER, domain="Math")]

    verdict = verdict_of(validate(known, kinds, SPACE, Progress(quiet=True)), None)

    assert not verdict.worth
    assert verdict.sentence.startswith("Nothing that was learned beats a single model beyond chance: use sums (")


def test_without_grades_agreement_tells_who_is_right():
    def knows(model, i):
        return able(model, i) or (model != "dear" and i % 5 == 0)

    rows = range(40)
    found = by_agreement(asked(rows, knows=knows, graded=False), queries(rows), CARDS, "Math", ENCODER)

    assert all(0 <= call.quality <= 1 for a in found for call in a.calls)
    quality = Calls.of(queries(rows), found, CARDS).quality
    assert quality[:, 2].mean() > max(quality[:, 0].mean(), quality[:, 1].mean())


def test_rows_that_lack_a_call_or_its_grade_are_left_out():
    whole, ungraded = asked([0, 1]), asked([3], graded=False)
    lacking = [replace(a, calls=a.calls[:2]) for a in asked([2])]

    found = Calls.of(queries(range(4)), [*whole, *lacking, *ungraded], CARDS)

    assert [q.id for q in found.queries] == ["0", "1"]


def test_the_table_that_is_written_is_read_again(tmp_path):
    known = calls(range(5))
    known.save(tmp_path / "calls.csv")

    again = Calls.of_scores(read_csv_table(tmp_path / "calls.csv"), "Math")

    assert again.models == known.models
    assert [q.text for q in again.queries] == [q.text for q in known.queries]
    assert np.array_equal(again.quality, known.quality)
    assert np.allclose(again.usd, known.usd)
    assert [k.name for k in kinds_for(["knn", "cascade"], again, CARDS, ENCODER, "Math")] == ["knn"]
