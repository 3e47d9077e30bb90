"""The view of rollouts: candidates beside what they are to replace, what happened on what evidence, what drifted."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

import anyio.to_thread
from starlette.responses import RedirectResponse, Response

from mar.errors import ConfigError
from mar.serving.answers import Desk
from mar.serving.errors import Refusal
from mar.serving.rollout.evidence import seen_of
from mar.serving.rollout.hand import promote, promotions, roll_back
from mar.serving.rollout.sides import Sides, sides_of
from mar.serving.state import State
from mar.serving.store.summary import DAY_S
from mar.serving.ui.frame import Asking, Door, View
from mar.serving.ui.money import Choice, choices
from mar.traffic.rollout import Finding, Rollout, Rules, decide

EVENTS = 100  # that are shown, the latest


def rollouts_view(state: State, desk: Desk) -> View:
    """The view of a worker."""
    doors = _Doors(state, desk.settings.rollout)
    return View(
        title="Rollouts",
        path="/rollouts",
        least="observe",
        doors=(
            Door(path="/rollouts", handler=doors.whole),
            Door(path="/rollouts/promote", handler=doors.promote, method="POST", least="admin"),
            Door(path="/rollouts/rollback", handler=doors.roll_back, method="POST", least="admin"),
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A rollout, and how it stands."""

    rollout: Rollout
    base: Choice | None  # how the version beside it did since the day on which it began; None: nobody asked it
    candidate: Choice | None
    shadow: Sides
    findings: Sequence[Mapping[str, Any]]  # what is shown of it by now
    next: str  # why it stays where it is


class _Doors:
    def __init__(self, state: State, rules: Rules) -> None:
        self._state, self._rules = state, rules

    async def whole(self, ask: Asking) -> Response:
        """The page."""
        store = self._state.rollouts
        rollouts, events = await store.rollouts(), await store.events(EVENTS)
        promoted = await promotions(store)
        under_way = [rollout for rollout in rollouts if not rollout.over]
        busy = {rollout.controller for rollout in under_way}
        shown = [await self._shown(rollout) for rollout in (*under_way, *promoted)]
        return ask.page(
            "rollouts.html.j2",
            shown=shown,
            ended=[r for r in rollouts if r.over and r not in promoted],
            back={rollout.id for rollout in promoted if rollout.controller not in busy},
            labels=await store.labels(),
            rules=self._rules,
            events=[event for event in events if event.kind == "rollout"],
            drifts=[event for event in events if event.kind == "drift"],
            done=ask.one("done"),
        )

    async def promote(self, ask: Asking) -> Response:
        """Let a candidate answer everybody."""
        return await self._moved(ask, promote, "promoted")

    async def roll_back(self, ask: Asking) -> Response:
        """Take a candidate, or a promotion, back."""
        return await self._moved(ask, roll_back, "rolled back")

    async def _moved(self, ask: Asking, move: Any, done: str) -> Response:
        key = ask.who.key
        because = f"told to on the page{f' by {key.name} ({key.id})' if key is not None else ''}"
        try:
            await move(self._state.rollouts, ask.one("controller"), because, only=ask.one("rollout"))
        except ConfigError as error:
            raise Refusal(str(error), status=409, code="rollout_changed") from None
        return RedirectResponse(f"/ui/rollouts?{urlencode({'done': done})}", 303)

    async def _shown(self, rollout: Rollout) -> Shown:
        state = self._state
        found = await choices(state.sums, since=rollout.began // DAY_S * DAY_S)
        mine = {one.version: one for one in found if one.name == rollout.controller}
        findings, why = ((), "") if rollout.over else await self._by_now(rollout)
        return Shown(
            rollout=rollout,
            base=mine.get(rollout.base),
            candidate=mine.get(rollout.candidate),
            shadow=await sides_of(state.look, rollout.id),
            findings=[finding.to_json() for finding in findings],
            next=why,
        )

    async def _by_now(self, rollout: Rollout) -> tuple[Sequence[Finding], str]:
        """What is shown of a rollout by now, as the worker that decides sees it, and what it would say."""
        seen = await seen_of(self._state.look, rollout)
        verdict = await anyio.to_thread.run_sync(partial(decide, rollout, seen, self._rules, time.time()))
        return verdict.findings, verdict.because
