"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from deploy.instance import DATA_VARIABLE, DEFAULT_DATA

Command = TypeVar("Command", bound=Callable[..., Any])


def data_option(default: str = DEFAULT_DATA) -> Callable[[Command], Command]:
    """`--data DIR`."""
    return click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        envvar=DATA_VARIABLE,
        default=default,
        show_default=True,
        help=f"Data directory of `nbwater up`; also {DATA_VARIABLE}.",
    )
