"""The view of keys: what each allows and has spent; whoever has the role admin makes, changes and revokes them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import RedirectResponse, Response

from mar.errors import ConfigError
from mar.reading import validated
from mar.serving.answers import Desk
from mar.serving.errors import Refusal
from mar.serving.keys.key import Key, Terms, named
from mar.serving.money import usd
from mar.serving.state import State
from mar.serving.ui.frame import Asking, Door, View
from mar.serving.ui.lobby import ROLES

NUMBERS = {  # fields of a form that hold a number, with what they are called
    "usd_day": "USD a day (UTC)",
    "usd_month": "USD a month",
    "usd_total": "USD in all",
    "requests_per_minute": "requests a minute",
    "tokens_per_minute": "tokens a minute",
    "at_once": "requests at once",
}


def keys_view(state: State, desk: Desk) -> View:
    """The view.

    Args:
        state: Where keys are, and what they have spent.
        desk: Knows what can be asked for.
    """
    keys = Keys(state, desk)
    return View(
        title="Keys",
        path="/keys",
        doors=(
            Door(path="/keys", handler=keys.all),
            Door(path="/keys/new", handler=keys.new, least="admin"),
            Door(path="/keys/new", handler=keys.create, method="POST", least="admin"),
            Door(path="/keys/{id}", handler=keys.one, least="admin"),
            Door(path="/keys/{id}", handler=keys.limit, method="POST", least="admin"),
            Door(path="/keys/{id}/rotate", handler=keys.rotate, method="POST", least="admin"),
            Door(path="/keys/{id}/revoke", handler=keys.revoke, method="POST", least="admin"),
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """A key and what it has spent, with what it holds for calls under way, in USD."""

    key: Key
    day: float
    month: float
    total: float

    def of(self, period: str) -> float:
        """In one period."""
        return {"day": self.day, "month": self.month, "total": self.total}[period]


async def spending(state: State, keys: list[Key]) -> list[Spent]:
    """What keys have spent by now."""
    ids, now = [key.id for key in keys], time.time()
    day, month, total = [await state.spent(ids, period=period, now=now) for period in ("day", "month", "total")]
    return [
        Spent(
            key=key,
            day=usd(day.get(key.id, 0)),
            month=usd(month.get(key.id, 0)),
            total=usd(total.get(key.id, 0)),
        )
        for key in keys
    ]


class Keys:
    """Lists and changes keys."""

    def __init__(self, state: State, desk: Desk) -> None:
        self._state, self._desk = state, desk

    async def all(self, ask: Asking) -> Response:
        """The list: whoever only uses the gateway sees their own key."""
        found = [key for key in await self._state.keys.all() if ask.who.sees(key.id)]
        rows = await spending(self._state, sorted(found, key=lambda k: (k.revoked is not None, -k.created)))
        return ask.page("keys.html.j2", rows=rows, done=ask.one("done"))

    async def new(self, ask: Asking) -> Response:
        """The form for a new key."""
        first = not await self._state.keys.all()  # from which on nobody changes anything without one
        return self._form(ask, _stated(Terms(role="admin" if first else "use")), {})

    async def create(self, ask: Asking) -> Response:
        """Make a key and show its secret, this once."""
        try:
            name, terms = named(ask.one("name")), self._terms(ask, Terms())
        except ConfigError as error:
            return self._form(ask, _written(ask.form), ask.form, wrong=str(error))
        key, secret = await self._state.keys.create(name, terms)
        return ask.page("keys_secret.html.j2", key=key, secret=secret)

    async def one(self, ask: Asking) -> Response:
        """The form that changes a key."""
        key = await self._found(ask)
        chosen = {"models": key.terms.models or (), "controllers": key.terms.controllers or ()}
        return self._form(ask, _stated(key.terms), chosen, key=key)

    async def limit(self, ask: Asking) -> Response:
        """Change what a key allows."""
        key = await self._found(ask)
        try:
            terms = self._terms(ask, key.terms)
        except ConfigError as error:
            return self._form(ask, _written(ask.form), ask.form, key=key, wrong=str(error))
        await self._state.keys.limit(key.id, terms)
        return RedirectResponse("/ui/keys?done=changed", 303)

    async def rotate(self, ask: Asking) -> Response:
        """Give a key a new secret and show it, this once."""
        key = await self._found(ask)
        key, secret = await self._state.keys.rotate(key.id)
        return ask.page("keys_secret.html.j2", key=key, secret=secret)

    async def revoke(self, ask: Asking) -> Response:
        """Revoke a key for good."""
        key = await self._found(ask)
        await self._state.keys.revoke(key.id)
        return RedirectResponse("/ui/keys?done=revoked", 303)

    # What is there ---------------------------------------------------------------------------------------------

    async def _found(self, ask: Asking) -> Key:
        id = ask.request.path_params["id"]
        found = next((key for key in await self._state.keys.all() if key.id == id), None)
        if found is None:
            raise Refusal("there is no key of this id", status=404, code="key_not_found")
        return found

    # Forms -----------------------------------------------------------------------------------------------------

    def _form(
        self,
        ask: Asking,
        shown: Mapping[str, str],
        chosen: Mapping[str, tuple[str, ...]],
        *,
        key: Key | None = None,
        wrong: str = "",
    ) -> Response:
        house = self._desk.house
        return ask.page(
            "keys_form.html.j2",
            status=400 if wrong else 200,
            key=key,
            shown=shown,
            chosen={name: chosen.get(name, ()) for name in ("models", "controllers")},
            models=house.pool.names,
            controllers=tuple(house.controllers),
            numbers=NUMBERS,
            roles=ROLES,
            wrong=wrong,
        )

    def _terms(self, ask: Asking, before: Terms) -> Terms:
        """What a form says a key allows; what it does not speak of stays.

        Raises:
            ConfigError: A field has a value that cannot be.
        """
        given: dict[str, Any] = {name: ask.one(name) or None for name in NUMBERS}
        given |= {name: ask.form.get(name) or None for name in ("models", "controllers")}
        given |= {"role": ask.one("role") or before.role, "log": ask.one("log") or before.log}
        given |= {"explore": ask.one("explore") == "yes"}
        return validated(Terms, {**before.model_dump(), **given}, "the form", error=ConfigError)


def _written(form: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Fields as a form sent them."""
    return {name: values[0] for name, values in form.items()}


def _stated(terms: Terms) -> dict[str, str]:
    """The fields of terms as a form shows them."""
    fields = terms.model_dump()
    numbers = {name: f"{fields[name]:.12g}" for name in NUMBERS if fields[name] is not None}
    return {**numbers, "role": terms.role, "log": terms.log, "explore": "yes" if terms.explore else ""}
