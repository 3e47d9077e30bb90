"""A worker's part in rollouts: it serves the versions that the store says, and one worker of all decides.

The store is looked at every second. What answers from then on is one record that is put in the place of another, so a
change reaches every worker within two seconds and no request sees half of it; those under way end with the version that
they began with. A candidate is loaded while its rollout begins, beside what is served, so that no later change waits
for files.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib import import_module

import anyio
import anyio.to_thread

from mar.controllers.base import Controller
from mar.controllers.careful import plan_carefully
from mar.errors import MarError, StoreUnavailable
from mar.service import space_of
from mar.serving.house import House
from mar.serving.rollout.drifts import Drifts
from mar.serving.rollout.evidence import seen_of
from mar.serving.rollout.store import Known, RolloutStore
from mar.serving.settings import ControllerSettings
from mar.serving.staff import Serving, Staff, Trial
from mar.traffic.rollout import Rollout, Rules, Seen, Stage, Step, Verdict, decide
from mar.types import Query

log = logging.getLogger(__name__)
LOOK_S = 1.0  # between looks: half of what a change may take
DRIFT_S = 60.0  # between looks for what has drifted
LEASE_S = 5.0  # after which another worker decides, where the one that did is gone
IDLE = 20  # so many times what deciding took of the processor, it pauses
TRIAL = Query(text="What is 17*23?", id="rollout/trial")
NEXT: Mapping[Step, Stage] = {"go on": "canary", "promote": "promoted", "roll back": "rolled back"}


class Keeper:
    """Keeps a worker's staff as the store says. `look` once, then let `watch`, `lead` and `notice` run.

    Args:
        store: The rollouts.
        house: Whose staff it is; at first those that the settings tell.
        rules: How careful rollouts are.
        load: Makes a controller; takes its time.
        on_drift: Is told of what has drifted.
    """

    def __init__(
        self,
        store: RolloutStore,
        house: House,
        rules: Rules,
        load: Callable[[ControllerSettings], Controller],
        on_drift: Callable[[str], None],
    ) -> None:
        self._store, self._house, self._rules, self._load = store, house, rules, load
        prices = {card.name: (card.price_in, card.price_out) for card in house.pool.cards.values()}
        self._drifts = Drifts(store, prices, on_drift)
        self._told = dict(house.staff.serving)
        self._loaded = {serving.version: serving for serving in self._told.values()}
        self._broken: dict[str, str] = {}  # why versions cannot be loaded
        self._known = Known(revision=-1, under_way=(), promoted={})
        self._name = secrets.token_hex(8)
        self._took_s = 0.0  # of the processor, that the latest decisions took

    async def look(self) -> None:
        """Serve what the store says.

        Raises:
            StoreUnavailable: It gives no answer.
        """
        known = await self._store.known(self._known.revision)
        if known is None:
            return
        self._known = known
        self._house.staff = self._staff()  # what is loaded serves at once; the rest takes its time
        for version in self._wanted() - self._loaded.keys() - self._broken.keys():
            await self._fetch(version)
        self._house.staff = self._staff()

    async def watch(self) -> None:
        """Look again and again."""
        await _again_and_again(self.look, lambda: LOOK_S)

    async def lead(self) -> None:
        """Decide again and again, where this worker is the one who does."""
        await _again_and_again(self._decide, lambda: max(LOOK_S, IDLE * self._took_s))

    async def notice(self) -> None:
        """Look for what has drifted again and again, where this worker is the one who does."""
        await _again_and_again(self._notice, lambda: DRIFT_S)

    async def _notice(self) -> None:
        if await self._store.lease("drift", self._name, 3 * DRIFT_S):
            await self._drifts.look()

    # What is served ---------------------------------------------------------------------------------------------

    def _staff(self) -> Staff:
        serving = {name: self._loaded.get(self._version(name), told) for name, told in self._told.items()}
        trials = {
            rollout.controller: Trial(candidate=self._loaded[rollout.candidate], share=rollout.share, salt=rollout.id)
            for rollout in self._known.under_way
            if rollout.candidate in self._loaded and self._fits(rollout)
        }
        return Staff(serving=serving, trials=trials)

    def _version(self, controller: str) -> str:
        """The version that answers under a name: what was promoted in place of what the settings tell."""
        told, promoted = self._told[controller].version, self._known.promoted.get(controller)
        return promoted.version if promoted is not None and promoted.told == told else told

    def _fits(self, rollout: Rollout) -> bool:
        """Whether a candidate is compared with what answers here."""
        return rollout.controller in self._told and rollout.base == self._version(rollout.controller)

    def _wanted(self) -> set[str]:
        return {self._version(name) for name in self._told} | {r.candidate for r in self._known.under_way}

    async def _fetch(self, id: str) -> None:
        try:
            settings = (version := await self._store.version(id)).settings
            controller = await anyio.to_thread.run_sync(self._made, settings)
        except StoreUnavailable:
            raise
        except (MarError, OSError) as error:
            log.error("version %s cannot be used: %s", id, error)
            self._broken[id] = str(error)
        else:
            log.info("version %s (%s) is loaded", id, version.label)
            self._loaded[id] = Serving(controller=controller, version=id)

    def _made(self, settings: ControllerSettings) -> Controller:
        """A controller that has made a plan on this pool: what does not fit shows now, and its encoder is there."""
        controller, service = self._load(settings), self._house.service
        plan_carefully(controller, [TRIAL], space_of(controller, service.pool, service.space.prompts))
        return controller

    # What is decided --------------------------------------------------------------------------------------------

    async def _decide(self) -> None:
        under_way, self._took_s = self._known.under_way, 0.0
        if not under_way or not await self._store.lease("rollouts", self._name, LEASE_S):
            return
        for rollout in under_way:
            await self._one(rollout)
        await self.look()

    async def _one(self, rollout: Rollout) -> None:
        verdict = self._unfit(rollout)
        if verdict is None and not rollout.base:
            told = self._told[rollout.controller].version
            await self._store.take_up(rollout, told=told, base=self._version(rollout.controller))
            return
        if verdict is None:
            seen = await seen_of(self._store.db, rollout)
            verdict, took_s = await anyio.to_thread.run_sync(partial(_decided, rollout, seen, self._rules))
            self._took_s += took_s
        if verdict.step != "stay":
            stage, share = NEXT[verdict.step], verdict.share if verdict.step != "roll back" else 0.0
            if await self._store.move(rollout, stage, share, verdict):
                log.info("%s (%s): %s, %s", rollout.id, rollout.controller, stage, verdict.because)

    def _unfit(self, rollout: Rollout) -> Verdict | None:
        """Why a rollout has no meaning here; None: it has one."""
        if rollout.controller not in self._told:
            because = f"there is no controller {rollout.controller} here"
        elif rollout.candidate in self._broken:
            because = f"it cannot be used: {self._broken[rollout.candidate]}"
        elif rollout.base and not self._fits(rollout):
            because = "another version answers now than the one that it was compared with"
        elif rollout.candidate == self._version(rollout.controller):
            because = "it is what answers already"
        else:
            return None
        return Verdict(step="roll back", because=because)


def _decided(rollout: Rollout, seen: Seen, rules: Rules) -> tuple[Verdict, float]:
    """What is done with a candidate, and the seconds of the processor that this took.

    On the clock it may have waited for others, and by that a busy machine would put off all further decisions.
    """
    import_module("mar.traffic.confidence")  # NumPy, once: what that takes says nothing of the next decision
    began = time.thread_time()
    return decide(rollout, seen, rules, time.time()), time.thread_time() - began


async def _again_and_again(work: Callable[[], Awaitable[None]], pause_s: Callable[[], float]) -> None:
    while True:
        try:
            await work()
        except StoreUnavailable as down:
            log.warning("%s", down)
        await anyio.sleep(pause_s())
