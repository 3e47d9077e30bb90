"""How the conversation between judge and candidate can fail. Neither is an `Exception`: tests let both through."""

from __future__ import annotations


class Gone(BaseException):
    """The other side ended, or spoke something that is no frame of ours."""


class Unsupported(BaseException):
    """A value or an operation that cannot be carried soundly; says which."""
