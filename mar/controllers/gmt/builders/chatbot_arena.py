"""Chatbot Arena's conversations as groups: real people, two anonymous LLMs, one vote on a whole conversation.

Source: lmsys/chatbot_arena_conversations on the hub (its terms have to be accepted there). A row holds question_id,
judge, model_a, model_b, winner (model_a, model_b, tie, tie (bothbad)), and conversation_a and conversation_b as lists
of {role, content}. The vote is about the whole conversation, so it rates each of its turns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from mar.controllers.gmt.builders.mt_bench import RATINGS, TIES, Votes
from mar.controllers.gmt.records import Conversation, Exchange, Group, first_of_each
from mar.errors import DataError
from mar.tasks.readers import Row, read_located

WINNERS = (*RATINGS, *TIES, "tie (bothbad)")


def build_chatbot_arena(path: Path) -> Votes:
    """Groups from a file of the hub's rows (JSONL, JSON or Parquet).

    Conversations in which the user said different things to the two LLMs, or a turn is missing, are counted as
    incomplete.

    Raises:
        DataError: The file is missing or a row is wrong; names file and line or row.
    """
    groups, incomplete = list[Group](), 0
    for where, row in read_located(path):
        group = _group(row, where)
        if group is None:
            incomplete += 1
        else:
            groups.append(group)
    kept = first_of_each(groups)
    return Votes(groups=kept, duplicates=len(groups) - len(kept), incomplete=incomplete)


def _group(row: Row, where: str) -> Group | None:
    for name in ("question_id", "judge", "model_a", "model_b"):
        if not isinstance(row.get(name), str) or not row[name]:
            raise DataError(f"{where}: {name} is {row.get(name)!r}; expected a name")
    if row.get("winner") not in WINNERS:
        raise DataError(f"{where}: winner is {row.get('winner')!r}; expected {', '.join(WINNERS)}")
    sides = [_turns(row.get(f"conversation_{side}"), f"{where}: conversation_{side}") for side in "ab"]
    asked = [[query for query, _ in turns] for turns in sides]
    if not asked[0] or asked[0] != asked[1] or row["model_a"] == row["model_b"]:
        return None
    ratings = RATINGS.get(row["winner"], (0.5, 0.5))
    return Group(
        tuple(
            Conversation(
                question_id=row["question_id"],
                turn=len(turns),
                judge=row["judge"],
                model=row[f"model_{side}"],
                conversation=tuple(Exchange(query=q, response=a, rating=rating) for q, a in turns),
            )
            for side, turns, rating in zip("ab", sides, ratings, strict=True)
        )
    )


def _turns(messages: Any, where: str) -> list[tuple[str, str]]:
    """Queries with their answers; an empty list where they do not alternate."""
    if not isinstance(messages, list):
        raise DataError(f"{where} is {type(messages).__name__}; expected a list of messages")
    said = list[tuple[str, str]]()
    for message in cast("list[Any]", messages):
        fields = cast("dict[str, Any]", message) if isinstance(message, dict) else dict[str, Any]()
        role, content = fields.get("role"), fields.get("content")
        if not isinstance(role, str) or not isinstance(content, str):
            raise DataError(f"{where}: a message without role or content; expected both")
        said.append((role, content))
    roles = [role for role, _ in said]
    if roles != ["user", "assistant"] * (len(roles) // 2) or any(not content for _, content in said[::2]):
        return []
    return [(said[i][1], said[i + 1][1]) for i in range(0, len(said), 2)]
