"""Votes as published files: read back as written, and a wrong line is named with what was expected."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mar.controllers.embeddings import HashEncoder
from mar.controllers.gmt.builders.chatbot_arena import build_chatbot_arena
from mar.controllers.gmt.builders.mt_bench import build_mt_bench
from mar.controllers.gmt.comparisons import Comparisons, comparisons_of, names_of
from mar.controllers.gmt.records import as_jsonl, read_groups, write_groups
from mar.errors import DataError
from tests.controllers.gmt_votes import group


def row(**changes):
    given = {
        "question_id": 81,
        "turn": 1,
        "judge": "ann",
        "model": "m0",
        "model_emb": [0.1, 0.2],
        "conversation": [{"query": "q", "query_emb": [0.3, 0.4], "response": "r", "rating": 1}],
    }
    return {k: v for k, v in (given | changes).items() if v is not ...}


def exchange(**changes):
    return {"query": "q", "query_emb": [0.3, 0.4], "response": "r", "rating": 0.0} | changes


def write(path, rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_the_published_fields_are_read(tmp_path):
    path = write(tmp_path / "training_set.jsonl", [row(), row(model="m1", conversation=[exchange()])])
    (found,) = read_groups(path).groups
    assert found.models == ("m0", "m1")
    assert found.user == "ann"
    names = names_of([found], HashEncoder(4))
    votes = comparisons_of([found], names)
    assert names.query_vectors.tolist() == [[pytest.approx(0.3), pytest.approx(0.4)]]
    assert (votes.a.tolist(), votes.b.tolist(), votes.target.tolist()) == ([0], [1], [1.0])


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (row(model="m1", judge=...), "line 2: judge is missing"),
        (row(model="m1", conversation=[exchange(rating=1.5)]), "line 2: conversation.0.rating is 1.5"),
        (row(model="m1", conversation=[exchange(rating=-0.1)]), "line 2: conversation.0.rating is -0.1"),
        (row(model="m1", conversation=[exchange(rating="good")]), "line 2: conversation.0.rating is 'good'"),
        (row(model="m1", conversation=[exchange(), exchange()]), "line 1: m1 has 2 turns and m0 has 1"),
        (row(model="m1", conversation=[exchange(query="other")]), "line 1: m1 was asked something else than m0"),
        (row(conversation=[exchange()]), "line 1: m0 is rated twice"),
        (row(model="m1", judge="ben"), "line 1: a group of one conversation"),
        (row(model="m1", mood="good"), "line 2: mood is 'good': Extra inputs"),
        (row(model="m1", model_emb=[1.0]), "line 2: a vector of 1 numbers; expected 2"),
        (row(model="m1", conversation=[]), "line 2: conversation is"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, second, message):
    path = write(tmp_path / "x.jsonl", [row(), second])
    with pytest.raises(DataError, match=message):
        read_groups(path)


def test_lines_are_counted_as_an_editor_counts_them(tmp_path):
    """Blank lines count, and a byte order mark is no part of the first line."""
    path = tmp_path / "x.jsonl"
    second = json.dumps(row(model="m1", conversation=[exchange()]))
    path.write_text(f"\ufeff{json.dumps(row())}\r\n\r\n{second}\r\n\n{{}}\n")
    with pytest.raises(DataError, match="line 5: question_id is missing"):
        read_groups(path)


def test_a_vote_given_twice_counts_once(tmp_path):
    first = [row(), row(model="m1", conversation=[exchange()])]
    between = [row(judge="ben"), row(judge="ben", model="m1", conversation=[exchange()])]
    found = read_groups(write(tmp_path / "x.jsonl", [*first, *between, *first]))
    assert (len(found.groups), found.duplicates) == (2, 1)


@settings(max_examples=30)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30), rating=st.floats(0, 1))
def test_whatever_was_said_is_read_back_as_written(tmp_path_factory, text, rating):
    path = tmp_path_factory.mktemp("groups") / "x.jsonl"
    groups = [group("ann 🙂", 1, ratings=((rating, 0.5),), queries=(text,)), group("ben", 1)]
    write_groups(path, groups)
    assert list(read_groups(path).groups) == groups


def test_groups_of_one_key_are_kept_apart_and_vectors_are_written(tmp_path):
    groups = [group("ann", 1), group("ann", 1, ("m0", "m2")), group("ben", 1)]
    write_groups(tmp_path / "x.jsonl", groups, HashEncoder(4))
    found = read_groups(tmp_path / "x.jsonl").groups
    assert sorted(g.models for g in found) == [("m0", "m1"), ("m0", "m1"), ("m0", "m2")]
    assert len(found[0].conversations[0].model_emb) == 4
    with pytest.raises(DataError, match="no other vote can stand between"):
        write_groups(tmp_path / "y.jsonl", groups[:2])


def test_votes_that_crowd_at_the_end_are_kept_apart_too(tmp_path):
    """One user's three votes on a question among four others, last of all: there is an order, and it is found."""
    others = [group(u, 1) for u in ("ben", "cyd", "dee")]
    crowd = [group("ann", 1, pair) for pair in (("m0", "m1"), ("m0", "m2"), ("m1", "m2"), ("m0", "m3"))]
    write_groups(tmp_path / "x.jsonl", [*others, *crowd])
    found = read_groups(tmp_path / "x.jsonl")
    assert sorted(g.models for g in found.groups) == sorted(g.models for g in (*others, *crowd))


def test_a_query_of_100_kb_and_emoji_is_a_vote_like_any_other():
    long = "🙂" * 50_000
    votes = comparisons_of(*[(g := [group("ann", 1, queries=(long,))]), names_of(g, HashEncoder(4))])
    assert len(votes) == 1
    assert json.loads(as_jsonl(g).splitlines()[0])["conversation"][0]["query"] == long


def test_a_group_of_three_gives_its_three_pairs_and_each_answer_counts_once():
    groups = [group("ann", 1, ("m0", "m1", "m2"), ((1.0, 0.5, 0.0),))]
    votes = comparisons_of(groups, names_of(groups, HashEncoder(4)))
    assert list(zip(votes.a, votes.b, votes.target, votes.weight, strict=True)) == [
        (0, 1, 1.0, 0.5),
        (0, 2, 1.0, 0.5),
        (1, 2, 1.0, 0.5),
    ]
    joined = Comparisons.joined(votes, votes)
    assert joined.group.tolist() == [0, 0, 0, 1, 1, 1]


# Builders -----------------------------------------------------------------------------------------------------


def raw_mt_bench(folder, votes):
    questions = [{"question_id": 81, "category": "writing", "turns": ["one", "two"]}]
    (folder / "question.jsonl").write_text("".join(json.dumps(q) + "\n" for q in questions))
    write(folder / "human_judgments.jsonl", votes)
    return folder


def vote(turn, winner, a="x", b="y", **changes):
    return {"judge": "j", "model_a": a, "model_b": b, "question_id": 81, "turn": turn, "winner": winner} | changes


def test_two_votes_of_a_judge_become_one_conversation_whichever_llm_is_called_a(tmp_path):
    folder = raw_mt_bench(tmp_path, [vote(1, "model_a"), vote(2, "model_a", a="y", b="x"), vote(1, "tie", judge="k")])
    found = build_mt_bench(folder)
    (one,) = found.groups
    assert {c.model: [e.rating for e in c.conversation] for c in one.conversations} == {"x": [1, 0], "y": [0, 1]}
    assert one.queries == ("one", "two")
    assert (found.duplicates, found.incomplete) == (0, 1)


def test_a_second_vote_on_the_same_answers_is_counted_and_left_out(tmp_path):
    found = build_mt_bench(raw_mt_bench(tmp_path, [vote(1, "model_a"), vote(2, "tie"), vote(1, "model_b")]))
    assert found.duplicates == 1
    assert found.groups[0].conversations[0].conversation[0].rating == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"winner": "x"}, "winner is 'x'"),
        ({"turn": 3}, "turn is 3"),
        ({"judge": ""}, "judge is ''"),
        ({"question_id": 1}, "question_id 1 is in no row"),
    ],
)
def test_a_wrong_vote_is_named(tmp_path, changes, message):
    with pytest.raises(DataError, match=f"line 2: {message}"):
        build_mt_bench(raw_mt_bench(tmp_path, [vote(1, "tie"), vote(2, "tie") | changes]))


def test_a_question_without_two_turns_is_named(tmp_path):
    folder = raw_mt_bench(tmp_path, [vote(1, "tie"), vote(2, "tie")])
    next(tmp_path.rglob("question.jsonl")).write_text('{"question_id": 81, "turns": ["one", 2]}')
    with pytest.raises(DataError, match=r"question.jsonl, line 1: turns is \['one', 2\]; expected the texts of 2"):
        build_mt_bench(folder)


def arena(**changes):
    said = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    row = {"question_id": "h1", "judge": "arena_user_1", "model_a": "x", "model_b": "y", "winner": "tie (bothbad)"}
    return row | {"conversation_a": said, "conversation_b": said} | changes


def test_an_arena_vote_rates_every_turn_of_a_conversation(tmp_path):
    said = [
        {"role": r, "content": c} for r, c in (("user", "q"), ("assistant", "a"), ("user", "p"), ("assistant", "b"))
    ]
    other = arena(question_id="h2", winner="model_b", conversation_a=said, conversation_b=said)
    broken = arena(question_id="h3", conversation_b=said)
    found = build_chatbot_arena(write(tmp_path / "x.jsonl", [arena(), other, broken, arena()]))
    assert (len(found.groups), found.duplicates, found.incomplete) == (2, 1, 1)
    assert [e.rating for e in found.groups[0].conversations[0].conversation] == [0.5]
    assert [e.rating for e in found.groups[1].conversations[1].conversation] == [1, 1]
    with pytest.raises(DataError, match="line 1: conversation_a is str"):
        build_chatbot_arena(write(tmp_path / "y.jsonl", [arena(conversation_a="q")]))
