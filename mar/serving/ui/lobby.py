"""Who looks at the page, and whether what they send comes from it.

A session is a random name in a cookie that scripts cannot read and that other sites' requests do not carry. What it
stands for, the hash of a key's secret, lies where workers share things for a while: any worker knows it, and it ends
with the key or with that secret. A gateway without keys is for this machine: there is no login, everybody is
`NOBODY`, and only what is addressed to this machine by its own names is answered, so that no site's name can be made
to mean it (DNS rebinding).

A change needs two things: a token that only a page of ours could show, made from the session's name; and the
browser's word that the request comes from a page of this origin. The second one holds where others on this machine can
set cookies, which do not know of ports.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from mar.serving.admission import Admission
from mar.serving.errors import Refusal
from mar.serving.keys.key import Key, Role, hash_of
from mar.serving.origin import check_host, from_here
from mar.serving.store.shelf import Shelf

SESSION_S = 12 * 3600  # from the login
ROLES: tuple[Role, ...] = ("use", "observe", "admin")  # each may what those before it may
SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Somebody who looks at the page."""

    session: str  # a random name that the browser sends back
    role: Role
    key: Key | None = None  # None: the gateway asks for none
    digest: bytes | None = None  # of the key's secret, for `Admission.visit`

    @property
    def guest(self) -> str:
        """As requests call them."""
        return "" if self.key is None else self.key.id

    @property
    def token(self) -> str:
        """What a change has to show."""
        return hmac.new(self.session.encode(), b"csrf", hashlib.sha256).hexdigest()

    def may(self, least: Role) -> bool:
        """Whether they have a role, or one that may more."""
        return ROLES.index(self.role) >= ROLES.index(least)

    def sees(self, guest: str) -> bool:
        """Whether they may see what somebody asked."""
        return self.may("observe") or guest == self.guest


class Lobby:
    """Knows who looks at the page.

    Args:
        admission: Knows keys.
        shelf: Where sessions lie; None: there are no keys to begin one with.
        nobody: What whoever comes may where no keys are needed.
        local: Whether only this machine can connect.
        port: Of the gateway; those of one machine have cookies of their own.
    """

    def __init__(
        self, admission: Admission, shelf: Callable[[], Shelf] | None, *, nobody: Role, local: bool, port: int
    ) -> None:
        self._admission, self._shelf, self._local = admission, shelf, local
        self._nobody: Role = nobody
        self.cookie = f"mar_ui_{port}"

    @property
    def open(self) -> bool:
        """Whether nobody needs a key."""
        return self._admission.open

    def check_host(self, request: Request) -> None:
        """Answer only what is meant for this gateway.

        Raises:
            Refusal: A gateway without keys is asked by a name that is not this machine's.
        """
        if self.open and self._local:
            check_host(request.headers)

    async def who(self, request: Request) -> Who | None:
        """Who sends a request; None: nobody who has shown a key.

        Raises:
            StoreUnavailable: Sessions cannot be looked up.
        """
        session = _named(request.cookies.get(self.cookie, ""))
        if self.open:
            return Who(session=session or secrets.token_urlsafe(32), role=self._nobody)
        digest = await self._digest(session) if session else None
        if digest is None:
            return None
        try:
            key = self._admission.holder(digest)
        except Refusal as refusal:
            if refusal.status != 401:
                raise
            return None
        return None if key is None else Who(session=session, role=key.terms.role, key=key, digest=digest)

    def stranger(self, request: Request) -> Who:
        """Whoever has shown no key, as far as the login needs them to be somebody."""
        session = _named(request.cookies.get(self.cookie, ""))
        return Who(session=session or secrets.token_urlsafe(32), role="use")

    def check_change(self, request: Request, who: Who, token: str) -> None:
        """Let a change through only if a page of ours asks for it.

        Raises:
            Refusal: It comes from elsewhere, or from a page that is too old.
        """
        if not hmac.compare_digest(token.encode(), who.token.encode()):
            raise Refusal("this page is too old; open it again", status=403, code="wrong_token")
        if not from_here(request.headers):
            raise Refusal("a change may come from this page only", status=403, code="wrong_origin")

    # Sessions --------------------------------------------------------------------------------------------------

    async def begin(self, secret: str) -> str:
        """A session of whoever has a key; gives its name.

        Raises:
            Refusal: There is no such key.
            StoreUnavailable: It cannot be kept.
        """
        digest = hash_of(secret)
        self._admission.holder(digest)
        session = secrets.token_urlsafe(32)
        if self._shelf is not None:
            await self._shelf().put(_place(session), digest, SESSION_S)
        return session

    async def end(self, who: Who) -> None:
        """End a session for good."""
        if self._shelf is not None:
            await self._shelf().put(_place(who.session), b"", 1)

    async def _digest(self, session: str) -> bytes | None:
        found = None if self._shelf is None else await self._shelf().get(_place(session))
        return found or None

    def remember(self, request: Request, response: Response, session: str) -> None:
        """Have the browser send a session's name with what it asks of the page."""
        if request.cookies.get(self.cookie) != session:
            safe = request.headers.get("origin", "").startswith("https:") or request.url.scheme == "https"
            response.set_cookie(self.cookie, session, path="/ui", httponly=True, samesite="strict", secure=safe)


def _place(session: str) -> bytes:
    """Where a session lies; from what lies there nobody could make the cookie."""
    return hashlib.sha256(b"ui session " + session.encode()).digest()


def _named(session: str) -> str:
    """A session's name as we make them; "": it is none."""
    return session if len(session) == 43 and SAFE.issuperset(session) else ""
