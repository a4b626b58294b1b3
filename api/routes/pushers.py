"""Which push products may speak for the device of a meter: engineers say so."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from api.queries.meters import meter_id_of
from api.queries.paging import INT64_MAX
from api.queries.pushers import BindingRow, bind_meter, bindings_of_meter, end_binding
from api.reasons import MAX_ENDING_REASON_CHARACTERS
from api.routes.asking import Context, Engineer, Serial
from metering.pushers import PRODUCT_NAME

router = APIRouter(tags=["pushers"])

BindingId = Annotated[int, Path(ge=1, le=INT64_MAX)]


class NewBinding(BaseModel):
    product: str = Field(pattern=PRODUCT_NAME, description="Its name in push.products_file", examples=["east"])
    beside_others: bool = Field(False, description="Products that may speak for the device already keep that right")


class Made(BaseModel):
    binding_id: int


class End(BaseModel):
    reason: str = Field(min_length=1, max_length=MAX_ENDING_REASON_CHARACTERS, examples=["meter left the platform"])


@router.get("/meters/{serial}/pushers", summary="Push products that may speak for the device on a meter, or might")
async def pushers(context: Context, _engineer: Engineer, serial: Serial) -> list[BindingRow]:
    await meter_id_of(context.read, serial)
    return await bindings_of_meter(context.read, serial)


@router.post("/meters/{serial}/pushers", status_code=201, summary="Bind the device on a meter to a push product")
async def bind(context: Context, engineer: Engineer, serial: Serial, body: NewBinding) -> Made:
    made = await bind_meter(
        context.write, serial, body.product, beside=body.beside_others, actor=engineer.login
    )  # fmt: skip
    return Made(binding_id=made)


@router.post("/pushers/{binding_id}/end", status_code=204, summary="End a binding now, at all gateways within seconds")
async def end(context: Context, engineer: Engineer, binding_id: BindingId, body: End) -> None:
    await end_binding(context.write, binding_id, body.reason, actor=engineer.login)
