"""The page of a gateway: which views it has, in the order of its navigation."""

from __future__ import annotations

from collections.abc import Callable

from mar.serving.answers import Desk
from mar.serving.record import Entry, Record
from mar.serving.state import State
from mar.serving.ui.episode import Episodes
from mar.serving.ui.frame import Frame
from mar.serving.ui.keys import keys_view
from mar.serving.ui.latest import Latest
from mar.serving.ui.live import live_view
from mar.serving.ui.lobby import Lobby
from mar.serving.ui.playground import playground_view
from mar.serving.ui.pool import pool_view
from mar.serving.ui.quality import quality_view
from mar.serving.ui.rollouts import rollouts_view


def page_of(
    desk: Desk, record: Record, state: State | None, newest: Latest, on_feedback: Callable[[Entry, float], None]
) -> Frame:
    """The page of a worker.

    Args:
        desk: What endpoints share.
        record: What is kept of requests.
        state: What workers share; None: nothing is.
        newest: Is given every request that has ended.
        on_feedback: Is told of ratings.
    """
    settings, about = desk.settings, {"simulated": desk.house.pool.simulated}
    lobby = Lobby(
        desk.admission,
        None if state is None else lambda: state.shelf,
        # Whoever is on this machine could read and change the files of state; strangers who were let in may not.
        nobody="admin" if settings.loopback else "observe",
        local=settings.loopback,
        port=settings.port,
    )
    playground = playground_view(desk)
    live = live_view(record, state, desk, newest, *Episodes(record, state, desk, on_feedback).doors)
    if state is None:  # no sums of requests, no keys
        return Frame([live, playground], lobby, about)
    rollouts = rollouts_view(state, desk)
    views = [live, quality_view(state, desk), rollouts, pool_view(state, desk), playground, keys_view(state, desk)]
    return Frame(views, lobby, about)
