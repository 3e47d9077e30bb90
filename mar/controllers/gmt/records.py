"""What users said about answers: conversations in the published JSONL, read with validation that names the line.

One line is one conversation of one user with one LLM. Consecutive lines with the same (question_id, turn, judge) are a
group: the same queries put to two or more LLMs, each exchange rated from 0 to 1.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mar.controllers.embeddings import Encoder
from mar.errors import DataError
from mar.files import write_atomically
from mar.tasks.readers import read_located

Vector = tuple[float, ...]
Rating = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Exchange(BaseModel):
    """One query, its answer, and what the user thought of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    query: Annotated[str, Field(min_length=1)]
    query_emb: Vector = ()  # empty: to be computed by the encoder
    response: str = ""
    rating: Rating


class Conversation(BaseModel):
    """One line of a file: a user's conversation with one LLM."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    question_id: int | str
    turn: int
    judge: Annotated[str, Field(min_length=1)]  # the user
    model: Annotated[str, Field(min_length=1)]
    model_emb: Vector = ()  # empty: to be computed by the encoder
    encoder: str | None = None  # which encoder made the vectors
    conversation: Annotated[tuple[Exchange, ...], Field(min_length=1)]

    @property
    def key(self) -> tuple[int | str, int, str]:
        """What conversations of one group have in common."""
        return self.question_id, self.turn, self.judge


@dataclass(frozen=True, slots=True)
class Group:
    """The same queries, by the same user, to two or more LLMs."""

    conversations: tuple[Conversation, ...]

    @property
    def user(self) -> str:
        """Who asked and rated."""
        return self.conversations[0].judge

    @property
    def question_id(self) -> str:
        """The question, which other users may have been asked as well."""
        return str(self.conversations[0].question_id)

    @property
    def models(self) -> tuple[str, ...]:
        """The LLMs that answered."""
        return tuple(c.model for c in self.conversations)

    @property
    def queries(self) -> tuple[str, ...]:
        """The queries, turn by turn."""
        return tuple(e.query for e in self.conversations[0].conversation)

    @property
    def decided(self) -> bool:
        """Whether any turn was rated differently, so that there is a preference to predict."""
        turns = range(len(self.queries))
        return any(len({c.conversation[t].rating for c in self.conversations}) > 1 for t in turns)

    @property
    def item(self) -> tuple[str, frozenset[str]]:
        """Question and LLMs: votes of two users on one item are about the same answers."""
        return self.question_id, frozenset(self.models)

    @property
    def identity(self) -> tuple[object, ...]:
        """What two votes have in common when one repeats the other."""
        return self.user, self.question_id, frozenset(self.models), self.queries


def check_group(conversations: Sequence[Conversation], where: str) -> Group:
    """Conversations as a group.

    Raises:
        DataError: They are no group; `where` names the line.
    """
    if len(conversations) < 2:
        raise DataError(f"{where}: a group of one conversation; expected at least two LLMs that answer the same query")
    first = conversations[0]
    for other in conversations[1:]:
        n, expected = len(other.conversation), len(first.conversation)
        if n != expected:
            raise DataError(f"{where}: {other.model} has {n} turns and {first.model} has {expected}; expected as many")
        if any(a.query != b.query for a, b in zip(first.conversation, other.conversation, strict=True)):
            raise DataError(
                f"{where}: {other.model} was asked something else than {first.model}; expected equal queries"
            )
    models = [c.model for c in conversations]
    if twice := next((m for i, m in enumerate(models) if m in models[:i]), None):
        raise DataError(f"{where}: {twice} is rated twice in one group; expected each LLM once")
    return Group(tuple(conversations))


def parse_conversation(row: object, where: str) -> Conversation:
    """One row of a file.

    Raises:
        DataError: A field is missing, unknown or wrong; names it.
    """
    try:
        # JSON knows lists only; in strict mode tuples are read from JSON alone
        return Conversation.model_validate_json(json.dumps(row))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing":
            raise DataError(f"{where}: {field} is missing") from None
        raise DataError(f"{where}: {field} is {repr(first['input'])[:60]}: {first['msg']}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFile:
    """What a file of conversations holds."""

    groups: tuple[Group, ...]
    duplicates: int  # groups that repeat an earlier vote of the same user and were left out


def read_groups(path: Path) -> GroupFile:
    """Read a file of conversations.

    Raises:
        DataError: The file is missing, or a line is wrong; names file and line.
    """
    lines = [(where, parse_conversation(row, where)) for where, row in read_located(path)]
    _same_widths(lines)
    groups = list[Group]()
    for _, members in groupby(lines, key=lambda line: line[1].key):
        group = list(members)
        groups.append(check_group([c for _, c in group], group[0][0]))
    kept = first_of_each(groups)
    return GroupFile(groups=kept, duplicates=len(groups) - len(kept))


def first_of_each(groups: Iterable[Group]) -> tuple[Group, ...]:
    """Groups without those that repeat an earlier vote: the first one counts."""
    seen = dict[tuple[object, ...], Group]()
    for group in groups:
        seen.setdefault(group.identity, group)
    return tuple(seen.values())


def frequent(groups: Iterable[Group], at_least: int) -> tuple[Group, ...]:
    """The groups of users with at least so many of them: of others there is nothing to learn a taste from."""
    given = tuple(groups)
    count = Counter(g.user for g in given)
    return tuple(g for g in given if count[g.user] >= at_least)


def _same_widths(lines: Sequence[tuple[str, Conversation]]) -> None:
    """All vectors of a file have to be as long as the first, or be left out."""
    width: int | None = None
    for where, line in lines:
        for vector in (line.model_emb, *(e.query_emb for e in line.conversation)):
            if width is None:
                width = len(vector)
            if len(vector) != width:
                raise DataError(f"{where}: a vector of {len(vector)} numbers; expected {width}")


def as_jsonl(groups: Iterable[Group], encoder: Encoder | None = None) -> str:
    """Groups as text, one conversation a line, with the encoder's vectors where one is given."""
    given = list(groups)
    known = _vectors(given, encoder)
    lines = list[str]()
    for conversation in (c for g in given for c in g.conversations):
        row: dict[str, Any] = conversation.model_dump(mode="json", exclude_none=True)
        if encoder is not None:
            row |= {"encoder": encoder.name, "model_emb": known[conversation.model]}
            for exchange in row["conversation"]:
                exchange["query_emb"] = known[exchange["query"]]
        lines.append(json.dumps(row, ensure_ascii=False))
    return "".join(line + "\n" for line in lines)


def _vectors(groups: Sequence[Group], encoder: Encoder | None) -> dict[str, list[float]]:
    if encoder is None:
        return {}
    texts = list(dict.fromkeys(t for g in groups for t in (*g.models, *g.queries)))
    return {t: [round(float(x), 6) for x in v] for t, v in zip(texts, encoder.encode(texts), strict=True)}


def write_groups(path: Path, groups: Iterable[Group], encoder: Encoder | None = None) -> None:
    """Write a file of conversations that `read_groups` reads back as it was."""
    write_atomically(path, as_jsonl(kept_apart(groups), encoder))


def kept_apart(groups: Iterable[Group]) -> list[Group]:
    """Groups in an order in which no two neighbours share a key, since neighbours with one key are read as one group.

    The keys with most groups first, on every second place and then on those between: neighbours differ unless one
    key has more than half of all groups, rounded up.

    Raises:
        DataError: One key has; the format cannot tell these votes apart.
    """
    given = [(g.conversations[0].key, g) for g in groups]
    count = Counter(key for key, _ in given)
    first = {key: place for place, key in enumerate(count)}
    given.sort(key=lambda entry: (-count[entry[0]], first[entry[0]]))
    ordered = list(given)
    ordered[::2], ordered[1::2] = given[: (len(given) + 1) // 2], given[(len(given) + 1) // 2 :]
    for (before, _), (key, _) in pairwise(ordered):
        if before == key:
            raise DataError(
                f"user {key[2]} has several votes on question {key[0]} that no other vote can stand between"
            )
    return [group for _, group in ordered]
