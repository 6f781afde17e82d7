"""``mdsvc hook print``."""

from __future__ import annotations

from pathlib import Path

import click

from mdsvc.cli.hook.options import spool_option
from mdsvc.terminal.console import examples


@click.command(epilog=examples("mdsvc hook print | ssh h1 'cat > /etc/libvirt/hooks/qemu.d/mdsvc'"))
@spool_option
def command(spool: Path) -> None:
    """Print the hook: a Python script that needs Python alone.

    libvirt runs it as /etc/libvirt/hooks/qemu.d/mdsvc, which has to be executable.
    """
    from mdsvc.hook.notes import script_text

    click.echo(script_text(spool), nl=False)
