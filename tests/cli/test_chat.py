"""`mar chat`: an answer, which LLM and why, and ratings that move the next choice."""

import pytest
from typer.testing import CliRunner

from mar.cli import chat
from mar.cli.chat import rating_of
from mar.cli.main import app
from mar.controllers import embeddings
from mar.controllers.embeddings import HashEncoder
from mar.controllers.gmt import InteractionStore
from mar.errors import BadKey
from mar.pool.scripted import scripted_pool
from mar.pool.simulated import EMPTY_WORLD, simulated_pool


class Hashed(HashEncoder):
    """An encoder that takes no time to load, under the name of the one that the packaged router was trained with."""

    name = "all-MiniLM-L6-v2"


@pytest.fixture(autouse=True)
def scripted(tmp_path, monkeypatch):
    """Two LLMs that answer with their names, no encoder to load, a folder of one's own."""
    monkeypatch.setenv("MAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(embeddings, "MiniLM", Hashed)
    pool = scripted_pool(lambda request: f"I am {request.model}", ("first", "second"))
    monkeypatch.setattr(chat, "chosen_pool", lambda *_: pool)


def say(*lines, options=(), router="blank"):
    arguments = ["chat", "--user", "ann", "--router", router, *options]
    result = CliRunner().invoke(app, arguments, input="".join(f"{line}\n" for line in lines))
    assert result.exit_code == 0, result.output
    return result.output


def kept(tmp_path, name="interactions.sqlite"):
    store = InteractionStore(tmp_path / "cache" / name)
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


def test_roles_call_the_tools_of_a_file(tmp_path, monkeypatch):
    tools = tmp_path / "tools.toml"
    tools.write_text('[roles]\nKnowledgeExpert = ["calculator"]\nMathSolver = ["calculator"]\n')
    offered = []

    def answer(request):
        offered.append([tool.name for tool in request.tools])
        return "an answer"

    monkeypatch.setattr(chat, "chosen_pool", lambda *_: scripted_pool(answer, ("first", "second")))
    say("17*23?", options=("--tools", str(tools)))
    say("17*23?")
    assert offered == [["calculator"], []]


def test_what_cannot_be_done_is_said():
    shown = say("+", "/what", "", "/quit", "never asked")
    assert "there is no answer to rate yet" in shown
    assert "no command /what" in shown
    assert "never asked" not in shown


@pytest.mark.parametrize("line", ["7", "0", "-1", "3.5", "4/5", "++"])
def test_a_rating_out_of_range_is_no_question(tmp_path, line):
    shown = say("hello", line)
    assert f"{line} is no rating; expected 1 to 5, + or -" in shown
    assert [i.rating for i in kept(tmp_path)] == [None]


def test_what_looks_like_a_rating_can_be_asked(tmp_path):
    say("how many?", "/say 7", "/say")
    assert [i.query for i in kept(tmp_path)] == ["how many?", "7"]


def test_bytes_that_are_no_text_do_not_end_the_chat(tmp_path):
    result = CliRunner().invoke(
        app, ["chat", "--user", "ann", "--router", "blank"], input=b"caf\xe9\n" + "🙂".encode() * 25_000 + b"\n+\n"
    )
    assert result.exit_code == 0, result.output
    assert [(len(i.query), i.rating) for i in kept(tmp_path)] == [(4, None), (25_000, 1.0)]


def test_interrupting_an_answer_keeps_the_chat_and_nothing_of_the_answer(tmp_path, monkeypatch):
    def interrupt(request):
        if "wait" in str(request.messages[-1]):
            raise KeyboardInterrupt
        return "an answer"

    monkeypatch.setattr(chat, "chosen_pool", lambda *_: scripted_pool(interrupt, ("first", "second")))
    shown = say("wait", "and now?", "+")
    assert "stopped; /quit ends" in shown
    assert [(i.query, i.rating) for i in kept(tmp_path)] == [("and now?", 1.0)]


def test_the_packaged_router_knows_the_simulated_pool_and_says_what_it_learned_from(monkeypatch):
    monkeypatch.setattr(chat, "chosen_pool", lambda *_: simulated_pool(EMPTY_WORLD))
    shown = say("hello", "+", "/new", "and now?", router="gmt", options=("--explore", "none"))
    assert "11 LLMs, 11 of them known to the GMT router (trained on simulated users). ann is new here." in shown
    assert "simulated people in general prefer" in shown
    assert "1 ratings of ann count" in say(router="gmt")


def test_a_pool_of_other_llms_starts_alike():
    shown = say("hello", router="gmt")
    assert "2 LLMs, 0 of them known" in shown
    assert "nothing is known yet" in shown


def test_one_llm_is_no_choice(monkeypatch):
    monkeypatch.setattr(chat, "chosen_pool", lambda *_: scripted_pool(lambda _: "yes", ("only",)))
    assert "only: the only LLM of this pool" in say("hello", router="gmt")


def test_a_failed_call_is_kept_as_one_and_cannot_be_rated(tmp_path, monkeypatch):
    def refuse(request):
        raise BadKey("no key for this server")

    monkeypatch.setattr(chat, "chosen_pool", lambda *_: scripted_pool(refuse, ("first", "second")))
    shown = say("hello", "+")
    assert "no key for this server" in shown
    assert "there is no answer to rate yet" in shown
    assert [(i.response, i.rating) for i in kept(tmp_path)] == [(None, None)]


def test_what_a_simulated_pool_said_is_kept_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(chat, "chosen_pool", lambda *_: simulated_pool(EMPTY_WORLD))
    assert "Simulated pool: answers are made up" in say("hello", "+")
    assert not (tmp_path / "cache" / "interactions.sqlite").exists()
    assert "1 interactions of ann deleted from interactions-simulated.sqlite" in say(options=("--forget",))


def test_everything_about_a_user_is_deleted_on_request(tmp_path):
    say("hello", "+")
    assert "1 interactions of ann deleted" in say(options=("--forget",))
    assert kept(tmp_path) == []


def test_what_was_deleted_meanwhile_is_not_kept_again_by_a_chat_that_goes_on(tmp_path, monkeypatch):
    calls = []

    def answer(request):
        calls.append(request)
        if len(calls) == 2:
            store = InteractionStore(tmp_path / "cache" / "interactions.sqlite")
            store.forget("ann")
            store.close()
        return "an answer"

    monkeypatch.setattr(chat, "chosen_pool", lambda *_: scripted_pool(answer, ("first", "second")))
    shown = say("a secret", "forget me", "and now?", "+")
    assert "everything kept of you was deleted meanwhile" in shown
    assert [(i.opening, i.query) for i in kept(tmp_path)] == [("forget me", "forget me"), ("forget me", "and now?")]


def test_nothing_to_delete_is_said():
    assert "nothing is kept of ann" in say(options=("--forget",))


@pytest.mark.parametrize(
    ("line", "rating"), [("+", 1), ("-", 0), ("👍", 1), ("1", 0), ("4", 0.75), ("6", None), ("hi", None)]
)
def test_lines_that_are_ratings(line, rating):
    assert rating_of(line) == rating
