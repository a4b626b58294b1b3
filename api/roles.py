"""Who may do what, and the refusals that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from metering.errors import RequestError


class Role(IntEnum):
    """Each may do all that those below it may. Stored by lower-case name."""

    VIEWER = 1
    OPERATOR = 2
    ENGINEER = 3
    ADMINISTRATOR = 4

    @property
    def label(self) -> str:
        return self.name.lower()

    @classmethod
    def of(cls, label: str) -> Role:
        """Raises RequestError for an unknown role."""
        try:
            return cls[label.upper()]
        except KeyError as error:
            raise RequestError(f"a role is one of {', '.join(role.label for role in cls)}") from error


@dataclass(frozen=True, slots=True)
class Principal:
    """`via`: 'session' (a person's browser; cross-site checks apply) or 'token'."""

    login: str
    role: Role
    via: str
    must_change: bool = False
    """Has a one-time password and may do nothing but change it."""


class CredentialsError(RequestError):
    """Login and password do not belong together. Says no more, whatever was wrong."""

    label = "credentials"
    http = 401


class UnauthenticatedError(RequestError):
    """Nobody known is asking."""

    label = "unauthenticated"
    http = 401


class ForbiddenError(RequestError):
    """The one who asks may not do this."""

    label = "forbidden"
    http = 403


class ThrottledError(RequestError):
    """Too many failures; `retry_after_s` says when to try again."""

    label = "throttled"
    http = 429

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"too many failed logins: try again in {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s
