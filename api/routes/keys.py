"""Keys of devices: engineers make, replace and end them; nobody reads them again."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from api.queries.credentials import (
    CredentialRow,
    create_key,
    keys_of_meter,
    revoke_key,
    rotate_key,
)
from api.queries.meters import meter_id_of
from api.queries.paging import INT64_MAX
from api.reasons import MAX_ENDING_REASON_CHARACTERS
from api.routes.asking import Context, Engineer, Serial
from metering.credentials import CredentialKind
from metering.new_keys import KINDS, PlainKey

router = APIRouter(tags=["keys"])

KindName = Literal["oscore", "psk", "mqtt"]
CredentialId = Annotated[int, Path(ge=1, le=INT64_MAX)]


class NewKey(BaseModel):
    kind: KindName


class Rotation(BaseModel):
    overlap_days: float = Field(
        30, ge=0, le=3660, description="The present key ends then, or when the new one is used, whichever is first"
    )


class Revocation(BaseModel):
    reason: str = Field(min_length=1, max_length=MAX_ENDING_REASON_CHARACTERS, examples=["meter stolen"])


class MadeKey(BaseModel):
    """The only answer that ever holds the key."""

    credential_id: int
    kind: KindName
    key_id: str = Field(description="OSCORE: Sender ID in hexadecimal; PSK identity; MQTT user name")
    key: str = Field(description="OSCORE master secret or PSK in hexadecimal; MQTT password. Shown only here")
    salt: str = Field(description="OSCORE master salt in hexadecimal")
    server_id: str = Field(description="OSCORE: the platform's Sender ID in hexadecimal")


@router.get("/meters/{serial}/keys", summary="Keys of the device on a meter, without their secrets")
async def keys(context: Context, _engineer: Engineer, serial: Serial) -> list[CredentialRow]:
    await meter_id_of(context.read, serial)
    return await keys_of_meter(context.read, serial)


@router.post("/meters/{serial}/keys", status_code=201, summary="A new key; it is shown only in this answer")
async def add_key(context: Context, engineer: Engineer, serial: Serial, body: NewKey) -> MadeKey:
    kind: CredentialKind = KINDS[body.kind]
    return _shown(*await create_key(context.write, context.master_keys, serial, kind, actor=engineer.login))


@router.post("/keys/{credential_id}/rotate", status_code=201, summary="A key that takes over from this one")
async def rotate(context: Context, engineer: Engineer, credential_id: CredentialId, body: Rotation) -> MadeKey:
    overlap = timedelta(days=body.overlap_days)
    made = await rotate_key(context.write, context.master_keys, credential_id, overlap, actor=engineer.login)
    return _shown(*made)


@router.post("/keys/{credential_id}/revoke", status_code=204, summary="End a key now, at all gateways within seconds")
async def revoke(context: Context, engineer: Engineer, credential_id: CredentialId, body: Revocation) -> None:
    await revoke_key(context.write, credential_id, body.reason, actor=engineer.login)


def _shown(credential_id: int, key: PlainKey) -> MadeKey:
    return MadeKey(
        credential_id=credential_id,
        kind=key.kind.name.lower(),  # type: ignore[arg-type]  # of KINDS
        key_id=key.shown_id,
        key=key.shown_key,
        salt=key.salt.hex(),
        server_id=key.server_id.hex(),
    )
