"""What the commands of ``mdsvc hook`` share."""

from __future__ import annotations

from pathlib import Path

import click

from mdsvc.hook import script

spool_option = click.option(
    "--spool",
    type=click.Path(path_type=Path),
    default=Path(script.SPOOL),
    show_default=True,
    metavar="DIR",
    help="Where the hook leaves its notes.",
)
