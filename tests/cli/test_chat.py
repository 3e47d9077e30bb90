"""`mar chat`: an answer, which LLM and why, and ratings that move the next choice."""

import pytest
from typer.testing import CliRunner

from mar.cli import chat
from mar.cli.chat import rating_of
from mar.cli.main import app
from mar.controllers.embeddings import HashEncoder
from mar.controllers.gmt import InteractionStore, controller
from mar.pool.scripted import scripted_pool
from mar.pool.simulated import EMPTY_WORLD, simulated_pool


@pytest.fixture(autouse=True)
def scripted(tmp_path, monkeypatch):
    """Two LLMs that answer with their names, no encoder to load, a folder of one's own."""
    monkeypatch.setenv("MAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(controller, "MiniLM", HashEncoder)
    pool = scripted_pool(lambda request: f"I am {request.model}", ("first", "second"))
    monkeypatch.setattr(chat, "chosen_pool", lambda *_: pool)


def say(*lines, options=()):
    result = CliRunner().invoke(app, ["chat", "--user", "ann", *options], input="".join(f"{line}\n" for line in lines))
    assert result.exit_code == 0, result.output
    return result.output


def kept(tmp_path):
    store = InteractionStore(tmp_path / "cache" / "interactions.sqlite")
    found = store.since("ann", 0)
    store.close()
    return found


def test_an_answer_comes_with_its_llm_and_the_reason():
    shown = say("hello")
    assert "I am first" in shown
    assert "nothing is known yet" in shown
    assert "you have not rated first yet" in shown


def test_ratings_are_kept_and_move_the_next_conversation(tmp_path):
    say("hello", "-", "/new", "and now?", "5")
    assert [(i.model, i.rating) for i in kept(tmp_path)] == [("first", 0.0), ("second", 1.0)]
    shown = say("again")
    assert "I am second" in shown
    assert "1 of your 2 ratings are of second: 1.00 on average" in shown


def test_a_follow_up_stays_in_its_conversation(tmp_path):
    shown = say("hello", "2", "go on", options=("--margin", "0.5"))
    assert "stays with first" in shown
    assert [(i.turn, i.opening, i.query) for i in kept(tmp_path)] == [(0, "hello", "hello"), (1, "hello", "go on")]


def test_what_cannot_be_done_is_said():
    shown = say("+", "/what", "", "/quit", "never asked")
    assert "there is no answer to rate yet" in shown
    assert "no command /what" in shown
    assert "never asked" not in shown


def test_a_failed_call_is_kept_as_one_and_cannot_be_rated(tmp_path, monkeypatch):
    monkeypatch.setattr(chat, "chosen_pool", lambda *_: simulated_pool(EMPTY_WORLD))
    shown = say("hello", "+")
    assert "Simulated pool: nobody answers" in shown
    assert "there is no answer to rate yet" in shown
    assert [(i.response, i.rating) for i in kept(tmp_path)] == [(None, None)]


def test_everything_about_a_user_is_deleted_on_request(tmp_path):
    say("hello", "+")
    assert "1 interactions of ann deleted" in say(options=("--forget",))
    assert kept(tmp_path) == []


@pytest.mark.parametrize(
    ("line", "rating"), [("+", 1), ("-", 0), ("👍", 1), ("1", 0), ("4", 0.75), ("6", None), ("hi", None)]
)
def test_lines_that_are_ratings(line, rating):
    assert rating_of(line) == rating
