"""The task classifier's score, on a controller that takes everything for mathematics."""

from mar.controllers.base import PlanSpace
from mar.controllers.baselines import single
from mar.evaluation.domains import domain_rows
from mar.pool.cards import ModelCard
from mar.runtime import PromptLibrary
from mar.types import Query

SPACE = PlanSpace(cards=(ModelCard(name="m"),), prompts=PromptLibrary.load())


def test_rows_count_what_was_told_right_and_what_the_others_were_taken_for():
    sums = [Query(text=str(i), domain="Math") for i in range(3)]
    facts = [Query(text=str(i), domain="Commonsense") for i in range(2)]
    rows = domain_rows(single("m", "Math"), SPACE, {"sums": sums, "facts": facts})
    assert [(r.benchmark, r.n, r.right) for r in rows] == [("sums", 3, 3), ("facts", 2, 0), ("all", 5, 3)]
    assert rows[1].taken_for == {"Math": 2}
    assert rows[2].accuracy.mean == 0.6
