"""The look: one stylesheet and one small script. Served to strangers too, since the login wears it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fastapi import APIRouter, HTTPException, Response

_DIRECTORY = Path(__file__).parent
_TYPES = {"theme.css": "text/css; charset=utf-8", "live.js": "text/javascript; charset=utf-8"}
_CONTENT = {name: (_DIRECTORY / name).read_bytes() for name in _TYPES}
_FOR_EVER = "public, max-age=31536000, immutable"

router = APIRouter(include_in_schema=False)


def path_of(name: str) -> str:
    """Address of a file; it changes with the content, so that browsers may keep it for ever."""
    return f"/theme/{name}?v={hashlib.sha256(_CONTENT[name]).hexdigest()[:12]}"


@router.get("/theme/{name}")
async def themed(name: str) -> Response:
    if name not in _CONTENT:
        raise HTTPException(404)
    return Response(_CONTENT[name], media_type=_TYPES[name], headers={"Cache-Control": _FOR_EVER})
