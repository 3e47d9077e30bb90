"""What came of requests as rows of a database: the tables, and entries on their way into them and back.

What is looked for lies in columns of short rows, so that a hundred thousand of them are filtered in milliseconds; what
is only shown once a request is found (plan, arms, embedding, texts) lies in a table beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from mar.runtime import episode_from_json, episode_to_json
from mar.serving.keys.key import without_secrets
from mar.serving.lines import opening_of
from mar.serving.money import nearest, usd
from mar.serving.record import Entry
from mar.serving.store.database import Database, Row, prepare
from mar.traffic.records import Arm, Outcome
from mar.types import Plan, Query, Usage

VERSION = 2
SCHEMA = (
    """
CREATE TABLE mar_requests (
    id TEXT PRIMARY KEY,
    at DOUBLE PRECISION NOT NULL,
    guest TEXT NOT NULL,
    keep TEXT NOT NULL,
    person TEXT,
    conversation TEXT,
    turn BIGINT NOT NULL,
    question TEXT,
    answer TEXT,
    opening TEXT,
    asked TEXT NOT NULL,
    controller TEXT NOT NULL,
    version TEXT NOT NULL,
    mode TEXT NOT NULL,
    label TEXT NOT NULL,
    arm TEXT NOT NULL,
    probability DOUBLE PRECISION,
    explored BIGINT NOT NULL,
    status BIGINT NOT NULL,
    reason TEXT NOT NULL,
    calls BIGINT NOT NULL,
    cached BIGINT NOT NULL,
    prompt_tokens BIGINT,
    completion_tokens BIGINT,
    cost_nano BIGINT,
    uncertain_nano BIGINT NOT NULL,
    models TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    decision_s DOUBLE PRECISION NOT NULL,
    seconds DOUBLE PRECISION NOT NULL,
    first_s DOUBLE PRECISION,
    deadline_s DOUBLE PRECISION
)""",
    "CREATE INDEX mar_requests_at ON mar_requests (at, id)",
    "CREATE INDEX mar_requests_keep ON mar_requests (keep, at)",
    "CREATE INDEX mar_requests_guest ON mar_requests (guest, at)",
    "CREATE INDEX mar_requests_version ON mar_requests (version, at) WHERE version <> ''",
    "CREATE INDEX mar_requests_person ON mar_requests (person) WHERE person IS NOT NULL",
    "CREATE INDEX mar_requests_conversation ON mar_requests (conversation, at) WHERE conversation IS NOT NULL",
    # The embedding of the question as 16-bit floats; as JSON the plan, what else was decided, what was said.
    "CREATE TABLE mar_details (id TEXT PRIMARY KEY, embedding BYTEA, plan TEXT, detail TEXT NOT NULL, texts TEXT)",
    """
CREATE TABLE mar_outcomes (
    episode TEXT NOT NULL,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    value DOUBLE PRECISION NOT NULL,
    note TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (episode, kind, source)
)""",
    "CREATE INDEX mar_outcomes_at ON mar_outcomes (at)",
    "CREATE INDEX mar_outcomes_source ON mar_outcomes (source) WHERE source <> ''",
    # Users and conversations whose requests were deleted on request, by hash: what is trained on the log drops them.
    "CREATE TABLE mar_deletions (what TEXT NOT NULL, hash TEXT NOT NULL, at DOUBLE PRECISION NOT NULL)",
    "CREATE TABLE mar_seal (secret BYTEA NOT NULL)",  # of the hashes of users, conversations and texts
)
# What models say about rated questions, those asked in shadow among them: keyed hashes, no texts. A part of its own, so
# that stores which are older than it stay what they are.
OTHERS_VERSION = 1
OTHERS_SCHEMA = (
    """
CREATE TABLE mar_others (
    episode TEXT NOT NULL,
    model TEXT NOT NULL,
    said TEXT NOT NULL,
    single BIGINT NOT NULL,
    usd DOUBLE PRECISION,
    seconds DOUBLE PRECISION NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (episode, model)
)""",
)
COLUMNS = (
    "id, at, guest, keep, person, conversation, turn, asked, controller, version, label, explored, status, reason, "
    "calls, cached, prompt_tokens, completion_tokens, cost_nano, uncertain_nano, models, attempts, decision_s, "
    "seconds, first_s, deadline_s, embedding, plan, detail, texts"
)
ENTRY = f"SELECT {COLUMNS} FROM mar_requests JOIN mar_details USING (id)"  # rows for `entry_of`
OUTCOMES = "SELECT kind, source, value, at, note FROM mar_outcomes WHERE episode = ? ORDER BY at"  # and its second ones


async def prepare_requests(db: Database) -> None:
    """Make the tables of requests, and of what others say about them, where there are none.

    Raises:
        ConfigError: The database holds something else.
        StoreUnavailable: It gives no answer.
    """
    await prepare(db, "requests", VERSION, SCHEMA)
    await prepare(db, "others", OTHERS_VERSION, OTHERS_SCHEMA)


def row_of(entry: Entry) -> Row:
    """What is looked for of an entry."""
    used, query, marks = entry.usage, entry.query, entry.marks
    asked, controller, label, reason = map(storable, (entry.asked, entry.controller, entry.label, entry.reason))
    opening = None if query is None else storable(opening_of(query.text))
    hashes = (None, None) if marks is None else (marks.question, marks.answer)
    who = (storable(entry.id), entry.at, storable(entry.guest), entry.keep, entry.person, entry.conversation)
    drawn = (storable(entry.arms[0].name), entry.arms[0].probability) if entry.arms else (label, None)
    how = (asked, controller, entry.version, entry.mode, label, *drawn, int(entry.explored))
    cost = None if used.cost_usd is None else nearest(used.cost_usd)
    counted = (used.calls, entry.cached, used.prompt_tokens, used.completion_tokens, cost, nearest(used.uncertain_usd))
    times = (entry.decision_s, entry.seconds, entry.first_s, entry.deadline_s)
    said = (entry.turn, *hashes, opening)
    return (*who, *said, *how, entry.status, reason, *counted, json.dumps(entry.models), entry.attempts, *times)


def detail_of(entry: Entry) -> Row:
    """What is shown of an entry once it is found."""
    query, plan = entry.query, entry.plan
    detail = {"why": dict(entry.why), "arms": [arm_to_json(arm) for arm in entry.arms]}
    texts = None
    if query is not None:
        episode = None if entry.episode is None else episode_to_json(entry.episode)
        texts = without_secrets(json.dumps({"query": {"text": query.text, "id": query.id}, "episode": episode}))
    shape = None if plan is None else without_secrets(json.dumps(plan.to_json()))
    return (storable(entry.id), entry.embedding, shape, without_secrets(json.dumps(detail)), texts)


def entry_of(row: Row, said: Sequence[Row]) -> Entry:
    """An entry from its row of `ENTRY` and those of its `OUTCOMES`."""
    id, at, guest, keep, person, conversation, turn, asked, controller, version, label, explored, status = row[:13]
    reason, calls, cached, prompt, completion, cost, uncertain, models, attempts, decision_s, seconds = row[13:24]
    first_s, deadline_s, embedding, shape, text, texts = row[24:]
    detail, spoken = json.loads(text), None if texts is None else json.loads(texts)
    return Entry(
        id=id,
        at=at,
        guest=guest,
        keep=keep,
        asked=asked,
        query=None if spoken is None else _query(spoken["query"], person, conversation),
        person=person,
        conversation=conversation,
        turn=turn,
        embedding=None if embedding is None else bytes(embedding),
        controller=controller,
        plan=None if shape is None else Plan.from_json(json.loads(shape)),
        label=label,
        version=version,
        arms=tuple(Arm(**arm) for arm in detail["arms"]),
        explored=bool(explored),
        why=detail["why"],
        status=status,
        reason=reason,
        usage=Usage(
            calls=calls,
            prompt_tokens=prompt,
            completion_tokens=completion,
            cost_usd=None if cost is None else usd(cost),
            uncertain_usd=usd(uncertain),
        ),
        models=tuple(json.loads(models)),
        attempts=attempts,
        cached=cached,
        decision_s=decision_s,
        seconds=seconds,
        first_s=first_s,
        deadline_s=deadline_s,
        episode=None if spoken is None or spoken["episode"] is None else episode_from_json(spoken["episode"]),
        outcomes=tuple(outcome_of(row) for row in said),
    )


def _query(said: Mapping[str, str], person: str | None, conversation: str | None) -> Query:
    return Query(text=said["text"], id=said["id"], user_id=person, conversation_id=conversation)


def arm_to_json(arm: Arm) -> dict[str, str | float]:
    """A plain dictionary."""
    known = {"probability": arm.probability, "right": arm.right, "usd": arm.usd, "seconds": arm.seconds}
    return {"name": arm.name} | {name: value for name, value in known.items() if value is not None}


def outcome_of(row: Row) -> Outcome:
    """An outcome from its row of `OUTCOMES`."""
    kind, source, value, at, note = row
    return Outcome(kind=kind, by=source, value=value, at=at, note=note)


def storable(text: str) -> str:
    """Text that every database can hold, in which no key can be read."""
    return without_secrets(text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd"))
