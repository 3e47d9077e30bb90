"""The live router: ratings kept through crashes and writers, next decisions moved by them, follow-ups that stay."""

import sqlite3
import subprocess
import sys
import threading

import pytest

from mar import remembered
from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import HashEncoder
from mar.controllers.gmt import GmtRouter, InteractionStore, PersonalSettings, fit_personal, stars, thumb
from mar.controllers.gmt.comparisons import comparisons_of, names_of
from mar.errors import ConfigError, DataError
from mar.pool.cards import ModelCard
from mar.runtime.prompts import PromptLibrary
from mar.types import Query, Turn
from tests.controllers.gmt_votes import opposite_users

MODELS = ("m0", "m1", "m2")
SPACE = PlanSpace(cards=tuple(ModelCard(name=m) for m in MODELS), prompts=PromptLibrary.load())


@pytest.fixture
def store(tmp_path):
    opened = InteractionStore(tmp_path / "interactions.sqlite")
    yield opened
    opened.close()


def router(store, **options):
    return GmtRouter(store, HashEncoder(8), **{"exploration": "none"} | options)


def said(store, user, model, rating, *, n=1, conversation="c"):
    for i in range(n):
        text = f"question {i} to {model}"
        number = store.record(
            user, conversation=f"{conversation}{i}", turn=0, model=model, opening=text, query=text, response="answer"
        )
        if rating is not None:
            store.rate(number, rating)
    return number


def choice(a_router, user="ann", text="what now?", **more):
    return a_router.choose([Query(text=text, user_id=user, **more)], SPACE)[0]


# The store ----------------------------------------------------------------------------------------------------


def test_what_was_said_is_there_after_a_crash(tmp_path):
    path = tmp_path / "interactions.sqlite"
    script = f"""
import os
from pathlib import Path
from mar.controllers.gmt.store import InteractionStore
store = InteractionStore(Path({str(path)!r}))
n = store.record("ann", conversation="c", turn=0, model="m0", opening="q", query="q", response="a")
store.rate(n, 1.0)
os._exit(9)  # no closing, no flushing
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    again = InteractionStore(path)
    (kept,) = again.since("ann", 0)
    assert (kept.model, kept.rating) == ("m0", 1.0)
    again.close()


def test_writers_at_once_lose_nothing(tmp_path):
    path = tmp_path / "interactions.sqlite"
    InteractionStore(path).close()

    def write(name):
        own = InteractionStore(path)
        said(own, "ann", name, 1.0, n=20, conversation=name)
        own.close()

    threads = [threading.Thread(target=write, args=(f"m{i}",)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    store = InteractionStore(path)
    assert len(store.since("ann", 0)) == 80
    assert store.standing("ann").revision == 160  # each recording and each rating is one change
    store.close()


def test_deleting_a_user_leaves_nothing_of_them_in_the_file(tmp_path):
    path = tmp_path / "interactions.sqlite"
    store = InteractionStore(path)
    text = "a secret that nobody else says"
    store.record("ann", conversation="c", turn=0, model="m0", opening=text, query=text, response=text)
    said(store, "ben", "m1", 1.0)
    assert store.forget("ann") == 1
    assert store.users() == ["ben"]
    assert store.since("ann", 0) == []
    everything = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert text.encode() not in everything
    assert b"question 0 to m1" in everything
    store.close()


def test_deleting_a_conversation_leaves_the_others_and_is_seen_by_who_has_read_it(store):
    said(store, "ann", "m0", 1.0, n=3, conversation="c")
    said(store, "ann", "m1", 0.0, conversation="d")
    said(store, "ben", "m0", 1.0, conversation="e")
    talking = router(store)
    before = choice(talking)
    assert len(talking._users[MODELS]._known["ann"].ratings) == 4
    assert [store.forget_conversation(name) for name in ("c0", "c1", "nobody's")] == [1, 1, 0]
    assert store.conversations() == ["c2", "d0", "e0"]
    assert (store.rated("ann"), store.rated("ben")) == (2, 1)
    after = choice(talking)
    assert len(talking._users[MODELS]._known["ann"].ratings) == 2
    assert after.personal["m0"] < before.personal["m0"]


def test_what_is_remembered_of_users_is_dropped_and_read_again(store):
    said(store, "ann", "m0", 1.0)
    talking = router(store)
    before = choice(talking).score
    remembered.forget_all()
    assert talking._users[MODELS]._known == {}
    assert choice(talking).score == before


@pytest.mark.parametrize("rating", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_rating_out_of_range_is_refused_and_nothing_changes(store, rating):
    number = said(store, "ann", "m0", 0.5)
    before = store.standing("ann")
    with pytest.raises(DataError, match="expected 0 to 1"):
        store.rate(number, rating)
    assert store.standing("ann") == before


def test_stars_and_thumbs_are_ratings():
    assert [stars(n) for n in (1, 3, 5)] == [0.0, 0.5, 1.0]
    assert (thumb(up=True), thumb(up=False)) == (1.0, 0.0)
    with pytest.raises(DataError, match="expected 1 to 5"):
        stars(6)


def test_rating_again_replaces_and_rating_nothing_is_an_error(store):
    number = said(store, "ann", "m0", 0.0)
    store.rate(number, 1.0)
    assert [i.rating for i in store.since("ann", 0)] == [1.0]
    with pytest.raises(DataError, match="no interaction 99"):
        store.rate(99, 1.0)
    with pytest.raises(DataError, match="name is empty"):
        store.record("", conversation="c", turn=0, model="m", opening="q", query="q", response="a")


def test_emoji_100_kb_and_half_a_surrogate_pair_are_stored(store):
    for n, text in enumerate(("🙂" * 50_000, "broken \ud83d")):
        store.record("ann 🙂", conversation=str(n), turn=0, model="m0", opening=text, query=text, response=text)
    long, broken = store.since("ann 🙂", 0)
    assert long.query == "🙂" * 50_000
    assert broken.query == "broken ?"
    assert choice(router(store), user="ann 🙂", text="🙂" * 50_000).model in MODELS


def test_what_was_said_before_episodes_were_kept_is_still_there(store):
    said(store, "ann", "m0", 0.5)
    store.close()
    db = sqlite3.connect(store.path)
    db.executescript("DROP INDEX by_episode; ALTER TABLE interactions DROP COLUMN episode; PRAGMA user_version=1")
    db.close()
    after = InteractionStore(store.path)
    assert [i.rating for i in after.since("ann", 0)] == [0.5]
    said(after, "ann", "m1", 1.0)
    assert after.rated("ann") == 2
    after.close()


def test_a_file_that_is_no_store_is_one_clear_line(tmp_path):
    (tmp_path / "x").write_text("this is no database, and it is longer than a header" * 10)
    with pytest.raises(ConfigError, match="expected a writable SQLite file"):
        InteractionStore(tmp_path / "x")
    db = sqlite3.connect(tmp_path / "y")
    db.execute("PRAGMA user_version=7")
    db.close()
    with pytest.raises(ConfigError, match="schema version 7, expected 2"):
        InteractionStore(tmp_path / "y")
    db = sqlite3.connect(tmp_path / "z")
    db.execute("CREATE TABLE vectors (key)")
    db.close()
    with pytest.raises(ConfigError, match="a database of something else"):
        InteractionStore(tmp_path / "z")


def test_changes_together_are_kept_as_one_and_one_that_fails_leaves_the_others(store):
    with store.together():
        first = said(store, "ann", "m0", 1.0)
        with pytest.raises(DataError):
            store.rate(99, 1.0)
        said(store, "ben", "m1", 0.0)
        assert InteractionStore(store.path).users() == []  # nothing is there yet
    assert InteractionStore(store.path).users() == ["ann", "ben"]

    def broken():
        with store.together():
            store.rate(first, 0.0)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    assert [i.rating for i in store.since("ann", 0)] == [1.0]


def test_whoever_reads_waits_for_nobody_who_writes(store):
    said(store, "ann", "m0", 1.0)
    with store.together():
        said(store, "ann", "m1", 0.0)
        seen = []
        reader = threading.Thread(target=lambda: seen.append(store.rated("ann")))
        reader.start()
        reader.join(30)
        assert seen == [1]
    assert store.rated("ann") == 2


def test_only_its_owner_reads_what_people_said(store):
    said(store, "ann", "m0", 1.0)
    assert {p.stat().st_mode & 0o777 for p in store.path.parent.iterdir()} == {0o600}


def test_deleting_while_another_process_reads_says_that_bytes_remain(store, monkeypatch):
    monkeypatch.setattr("mar.controllers.gmt.store.BUSY_S", 0.0)
    impatient = InteractionStore(store.path)
    said(store, "ann", "m0", 1.0)
    reader = sqlite3.connect(store.path)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM users").fetchall()
    with pytest.raises(ConfigError, match="1 interactions deleted, but another process reads"):
        impatient.forget("ann")
    reader.close()
    assert impatient.forget("ann") == 0
    impatient.close()


# Decisions ----------------------------------------------------------------------------------------------------


def test_an_unknown_user_is_a_cold_start_and_no_error(store):
    first = choice(router(store), user="somebody new")
    assert first.model in MODELS
    assert first.evidence == (f"you have not rated {first.model} yet",)
    assert choice(router(store), user=None).model == first.model


def test_a_new_rating_changes_the_next_decision_without_training(store):
    live = router(store)
    before = choice(live).model
    said(store, "ann", before, 0.0, n=2)
    after = choice(live)
    assert after.model != before
    said(store, "ann", after.model, 0.0, n=2)
    assert choice(live).model not in (before, after.model)
    assert choice(live, user="ben").model == before


def test_an_incremental_update_is_what_starting_anew_would_find(store):
    live = router(store)
    for n, (model, rating) in enumerate((("m0", 1.0), ("m1", 0.0), ("m2", 0.75), ("m0", 0.25))):
        said(store, "ann", model, rating, conversation=f"c{n}")
        seen = choice(live).score
    fresh = choice(router(store)).score
    assert seen == pytest.approx(fresh, abs=1e-4)


def test_changed_and_deleted_ratings_are_forgotten(store):
    live = router(store)
    number = said(store, "ann", "m1", 1.0)
    assert choice(live).model == "m1"
    store.rate(number, 0.0)
    assert choice(live).model != "m1"
    store.forget("ann")
    assert set(choice(live).score.values()) == {0.0}
    said(store, "ann", "m2", 1.0)  # back with as few changes as before: another incarnation, so nothing old is used
    assert choice(live).model == "m2"


def test_a_follow_up_stays_with_its_llm_unless_the_gain_is_beyond_the_margin(store):
    live = router(store)
    said(store, "ann", "m1", 1.0, n=3)
    text = "begin"
    store.record("ann", conversation="talk", turn=0, model="m0", opening=text, query=text, response="answer")
    follow_up = {"conversation_id": "talk", "history": (Turn(query=text, answer="answer"),)}
    score = choice(live).score
    gain = 1 / (1 + 2.718281828 ** (score["m0"] - score["m1"])) - 0.5
    assert 0.05 < gain < 0.45
    store.set_margin("ann", round(gain + 0.03, 3))
    kept = choice(live, **follow_up)
    assert kept.model == "m0"
    assert kept.why.startswith("stays with m0")
    store.set_margin("ann", round(gain - 0.03, 3))
    assert choice(live, **follow_up).model == "m1"
    assert choice(live).model == "m1"  # a new conversation is free
    with pytest.raises(DataError, match=r"a margin of 0\.9"):
        store.set_margin("ann", 0.9)


def test_a_plan_is_one_agent_with_its_reason(store):
    (planned,) = router(store).plan([Query(text="q", user_id="ann", domain="Code")], SPACE)
    assert len(planned.plan.agents) == 1
    assert planned.plan.agents[0].model in MODELS
    assert planned.notes["why"]
    assert router(store).plan([], SPACE) == []


def test_evidence_is_this_users_history(store):
    said(store, "ann", "m1", 1.0, n=3)
    said(store, "ann", "m0", 0.0)
    shown = choice(router(store))
    assert shown.model == "m1"
    assert shown.evidence[0] == "3 of your 4 ratings are of m1: 1.00 on average, 0.75 over all LLMs"
    assert "question 2 to m1" in shown.evidence[1]
    assert shown.personal["m1"] > shown.personal["m2"] > shown.personal["m0"]


def test_exploration_is_the_default_and_tries_what_is_unknown(store):
    """Twelve ratings say that m0 is hardly better than others and leave more doubt about m1 than about m0."""
    said(store, "ann", "m0", 0.52, n=12)
    guess = choice(router(store))
    assert guess.model == "m0"
    tried = choice(GmtRouter(store, HashEncoder(8)))
    assert tried.model == "m1"
    assert tried.score["m1"] + tried.sd["m1"] > tried.score["m0"] + tried.sd["m0"]
    assert tried.why == "m1: tried since too little is known of how you like it (m0 leads so far)"


def test_a_trained_router_serves_other_llms_too(store):
    groups = opposite_users(users=6, each=15)
    model = fit_personal(
        comparisons_of(groups, names_of(groups, HashEncoder(8))), PersonalSettings(contexts=2, rounds=3)
    )
    cards = tuple(ModelCard(name=m) for m in ("m2", "newcomer"))
    space = PlanSpace(cards=cards, prompts=SPACE.prompts)
    live = router(store, model=model)
    said(store, "ann", "newcomer", 1.0, n=3)
    assert live.choose([Query(text="q", user_id="ann")], space)[0].model == "newcomer"


# A prior for other controllers ----------------------------------------------------------------------------------


def test_who_liked_a_model_is_expected_to_be_served_better_by_it_and_a_stranger_is_not(store):
    said(store, "ann", "m1", 1.0, n=6)
    said(store, "ann", "m2", 0.0, n=6, conversation="d")

    (ann, stranger) = router(store).likes([Query(text="q", user_id="ann"), Query(text="q", user_id="bob")], SPACE)

    assert ann["m1"] > ann["m0"] > ann["m2"]
    assert list(stranger.values()) == pytest.approx([0.0] * 3)
