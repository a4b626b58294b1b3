"""A command that plays: run to its end, with errors that tell a person what to do."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import asyncpg
import click
import uvloop
from rich.console import Console

from metering.errors import NbwaterError
from simulators.admission import TargetError, reach
from simulators.target import Target

T = TypeVar("T")
console = Console(stderr=True)


def run(target: Target, work: Coroutine[Any, Any, T]) -> T:
    """Run to the end on uvloop; raises ClickException (exit code 1)."""

    async def reached() -> T:
        try:
            await reach(target.coap_host, target.coap_port)
        except TargetError:
            work.close()
            raise
        return await work

    try:
        return uvloop.run(reached())
    except (TargetError, ValueError, NbwaterError) as error:
        raise click.ClickException(str(error)) from error
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise click.ClickException(f"the database does not answer: {str(error) or type(error).__name__}") from error
