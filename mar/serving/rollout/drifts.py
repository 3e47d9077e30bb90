"""What has drifted under a gateway, noticed by the worker that decides: an event in the store for each, and a count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import anyio.to_thread

from mar.serving.rollout.evidence import TRUST
from mar.serving.rollout.store import RolloutStore
from mar.serving.store.database import Ask, Row, Steps, Tell, insert, marks
from mar.traffic.drift import Drifted, Prices, changed_pool, fallen, moved

DAYS_S = 30 * 86400.0  # how far back values count
MOST = 20_000  # requests that are looked at
QUESTIONS = 500  # that show what is usual
MARGIN = 0.1  # by which a model's answers may become worse before it is said
FAILING = 0.05  # by which more of its requests may fail


class Drifts:
    """Looks for what has drifted.

    Args:
        store: Where events are kept.
        prices: Of the models of the pool.
        on_drift: Is told of what was noticed.
    """

    def __init__(self, store: RolloutStore, prices: Prices, on_drift: Callable[[str], None]) -> None:
        self._store, self._prices, self._on_drift = store, prices, on_drift

    async def look(self) -> None:
        """Look once, and keep what is new.

        Raises:
            StoreUnavailable: The store gives no answer.
        """
        db = self._store.db
        found = await db.do(self._pool)
        outcomes, ended, vectors = await db.do(self._read)
        found += await anyio.to_thread.run_sync(_noticed, outcomes, ended, vectors)
        for one in found:
            self._on_drift(one.what)
            await self._store.noticed(one.subject or "questions", one.what, one.because, {"seen": one.seen})

    def _pool(self) -> Steps[list[Drifted]]:
        """Compare the pool with what it was when it was last looked at; a pool that is seen first is no news."""
        rows = yield Ask("SELECT name, price_in, price_out FROM mar_models")
        before = {row[0]: (row[1], row[2]) for row in rows}
        found = changed_pool(before, self._prices) if before else []
        if before != dict(self._prices):
            yield Tell("DELETE FROM mar_models", [()])
            yield from insert("mar_models", [(name, *prices) for name, prices in self._prices.items()])
        return found

    def _read(self) -> Steps[tuple[list[Row], list[Row], list[Row]]]:
        """Values of models that answered alone, and questions' vectors, since each was last an event."""
        since = "(SELECT COALESCE(MAX(at), 0) FROM mar_events WHERE kind = 'drift' AND subject = {} AND what = '{}')"
        recent = f"r.at > {self._store.db.now} - {DAYS_S}"
        alone = "'[\"' || e.name || '\"]'"
        outcomes = yield Ask(
            f"SELECT e.name, o.value FROM mar_models e JOIN mar_requests r ON r.models = {alone} "
            f"JOIN mar_outcomes o ON o.episode = r.id WHERE {recent} AND r.at > {since.format('e.name', 'worse')} "
            f"AND o.kind IN {marks(len(TRUST))} ORDER BY o.at LIMIT {MOST}",
            TRUST,
        )
        ended = yield Ask(
            f"SELECT e.name, r.status FROM mar_models e JOIN mar_requests r ON r.models = {alone} WHERE {recent} "
            f"AND r.at > {since.format('e.name', 'failing')} AND r.status <> 499 ORDER BY r.at LIMIT {MOST}"
        )
        usual = since.format("'questions'", "questions")
        vectors = yield Ask(
            "SELECT d.embedding FROM mar_details d JOIN mar_requests r ON r.id = d.id "
            f"WHERE {recent} AND r.at > {usual} AND d.embedding IS NOT NULL ORDER BY r.at LIMIT 5000"
        )
        return outcomes, ended, vectors


def _noticed(outcomes: Sequence[Row], ended: Sequence[Row], vectors: Sequence[Row]) -> list[Drifted]:
    found: list[Drifted] = []
    for name, values in _by_model(outcomes).items():
        if (fell := fallen(values, MARGIN)) is not None:
            because = f"its answers were worth {fell[0]:.2f}; noticed after {fell[1]} more of them"
            found.append(Drifted(what="worse", subject=name, because=because, seen=fell[1]))
    for name, values in _by_model([(name, float(status < 500)) for name, status in ended]).items():
        if (fell := fallen(values, FAILING)) is not None:
            because = f"{1 - fell[0]:.1%} of its requests failed; noticed after {fell[1]} more of them"
            found.append(Drifted(what="failing", subject=name, because=because, seen=fell[1]))
    if len(vectors) > QUESTIONS:
        import numpy as np  # of a worker that keeps questions as vectors

        width = len(vectors[-1][0])
        same = [np.frombuffer(bytes(row[0]), "<f2") for row in vectors if len(row[0]) == width]
        number = moved(np.array(same, dtype=np.float64), QUESTIONS)
        if number is not None:
            because = f"questions are of another kind than {QUESTIONS} before; noticed after {number} more of them"
            found.append(Drifted(what="questions", subject="", because=because, seen=number))
    return found


def _by_model(rows: Sequence[Row]) -> Mapping[str, list[float]]:
    found: defaultdict[str, list[float]] = defaultdict(list)
    for name, value in rows:
        found[name].append(value)
    return found
