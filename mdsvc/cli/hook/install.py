"""``mdsvc hook install``."""

from __future__ import annotations

from pathlib import Path

import click

from mdsvc.cli.hook.options import spool_option
from mdsvc.terminal.console import examples, json_option, show, tell


@click.command(epilog=examples("mdsvc hook install"))
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    default=Path("/etc/libvirt/hooks/qemu.d"),
    show_default=True,
    metavar="DIR",
    help="Where libvirt looks for hooks.",
)
@spool_option
@json_option
def command(directory: Path, spool: Path) -> None:
    """Put the hook where libvirt runs it. It neither delays a guest nor keeps one from starting.

    libvirt looks for hooks when it starts: restart it once. Guests run on meanwhile.
    """
    from mdsvc.hook.notes import script_text

    text = script_text(spool)
    directory.mkdir(parents=True, exist_ok=True)
    file, new = directory / "mdsvc", directory / ".mdsvc.new"
    new.write_text(text, encoding="utf-8")
    new.chmod(0o755)
    new.replace(file)
    tell("restart libvirt once, so that it sees the hook: systemctl restart libvirtd")
    show({"path": str(file)}, str(file))
