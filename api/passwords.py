"""Passwords: argon2id hashes, computed beside the event loop and never more than a few at a time."""

from __future__ import annotations

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from metering.errors import RequestError

MIN_CHARACTERS = 10
MAX_CHARACTERS = 256
PARALLEL_HASHES = 2

_hasher = PasswordHasher()
_nobody = _hasher.hash(secrets.token_urlsafe(16))
_slots = asyncio.Semaphore(PARALLEL_HASHES)


async def hash_password(password: str) -> str:
    async with _slots:
        return await asyncio.to_thread(_hasher.hash, password)


async def password_matches(stored: str | None, password: str) -> bool:
    """`stored` None (no such user) costs the same time as a wrong password."""
    if len(password) > MAX_CHARACTERS:
        return False
    async with _slots:
        return await asyncio.to_thread(_matches, stored, password)


def _matches(stored: str | None, password: str) -> bool:
    try:
        return _hasher.verify(stored or _nobody, password) and stored is not None
    except (VerificationError, InvalidHashError, UnicodeError):
        return False


def check_new_password(password: str) -> None:
    """Raises RequestError when it is too short, too long or not text."""
    if not MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS:
        raise RequestError(f"a password has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters")
    if any("\ud800" <= character <= "\udfff" for character in password):
        raise RequestError("the password holds characters that are not text")


def new_password() -> str:
    """One that can be read out and typed: 20 characters without look-alikes, over 100 bits."""
    alphabet = "abcdefghijkmnpqrstuvwxyzACDEFGHJKLMNPQRSTUVWXYZ2345679"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(5)) for _ in range(4))
