"""What people decide of a candidate, whatever is shown of it: `mar rollout promote|rollback`, and the page."""

from __future__ import annotations

from mar.errors import ConfigError
from mar.serving.rollout.store import RolloutStore
from mar.traffic.rollout import Rollout, Verdict

TRIES = 3  # since a worker may decide something at the same moment


async def promote(store: RolloutStore, controller: str, because: str, *, only: str | None = None) -> Rollout:
    """Let the candidate on its way answer everybody, within two seconds at every worker.

    Args:
        store: The rollouts.
        controller: Whose place it takes.
        because: Who wants it, for the event.
        only: The rollout that is meant; None: whichever is on its way.

    Raises:
        ConfigError: None is, or another one.
        StoreUnavailable: The store gives no answer.
    """
    for _ in range(TRIES):
        rollout = await _under_way(store, controller)
        if rollout is None:
            raise ConfigError(f"{controller}: no candidate is on its way; mar rollout start FILE --for {controller}")
        _check(rollout, only)
        if await store.move(rollout, "promoted", 1.0, Verdict(step="promote", because=because)):
            return rollout
    raise _restless(controller)


async def roll_back(store: RolloutStore, controller: str, because: str, *, only: str | None = None) -> Rollout:
    """Take the candidate on its way back; where there is none, the latest promotion. As `promote`.

    Raises:
        ConfigError: There is neither, or another one.
        StoreUnavailable: The store gives no answer.
    """
    for _ in range(TRIES):
        rollout = await _under_way(store, controller)
        if rollout is None:
            for latest in await promotions(store):
                if latest.controller == controller:
                    _check(latest, only)
            return await store.take_back(controller, because)
        _check(rollout, only)
        if await store.move(rollout, "rolled back", 0.0, Verdict(step="roll back", because=because)):
            return rollout
    raise _restless(controller)


async def promotions(store: RolloutStore) -> list[Rollout]:
    """The latest promotion of each controller, which a rollback takes back where no candidate is on its way."""
    found: dict[str, Rollout] = {}
    for rollout in sorted(await store.rollouts(), key=lambda r: r.since):
        if rollout.stage == "promoted":
            found[rollout.controller] = rollout
    return list(found.values())


async def _under_way(store: RolloutStore, controller: str) -> Rollout | None:
    known = await store.known()
    assert known is not None  # it knows of every revision
    return next((rollout for rollout in known.under_way if rollout.controller == controller), None)


def _check(rollout: Rollout, only: str | None) -> None:
    if only is not None and rollout.id != only:
        raise ConfigError(f"{rollout.controller}: things have changed since; it is {rollout.id} now, not {only}")


def _restless(controller: str) -> ConfigError:
    return ConfigError(f"{controller}: its rollout changes all the time; try again")
