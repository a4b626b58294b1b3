"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from deploy import instance
from deploy.instance import DATA_VARIABLE, DEFAULT_DATA, DEMO_DATA

Command = TypeVar("Command", bound=Callable[..., Any])


def data_option(default: str | None = None) -> Callable[[Command], Command]:
    """`--data DIR`; without `default` the directory of the platform that runs here."""
    return click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        envvar=DATA_VARIABLE,
        default=default or _running_here,
        show_default=default or f"{DEFAULT_DATA}, or {DEMO_DATA} while only the demo runs",
        help=f"Data directory of `nbwater up`; also {DATA_VARIABLE}.",
    )


def _running_here() -> str:
    """Who has the demo running and nothing else means the demo."""
    running = (data for data in (DEFAULT_DATA, DEMO_DATA) if instance.is_locked(Path(data)))
    return next(running, DEFAULT_DATA)
