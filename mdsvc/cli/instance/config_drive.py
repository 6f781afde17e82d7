"""``mdsvc instance config-drive``."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING

import click

from mdsvc.cli.instance import UUID
from mdsvc.cli.where import operator, where_options
from mdsvc.terminal.console import examples, json_option, settings, show

if TYPE_CHECKING:
    from mdsvc.instance import PlacedInstance


@click.command(
    epilog=examples(
        f"mdsvc instance config-drive {UUID} -o guest.iso",
        "qemu-system-x86_64 … -drive file=guest.iso,format=raw,if=virtio,readonly=on",
        f"mdsvc instance config-drive {UUID} -o - | ssh h1 'cat > /var/lib/guests/drive.iso'",
    ),
)
@click.argument("uuid")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, allow_dash=True, dir_okay=False),
    metavar="FILE",
    required=True,
    help="Where to write it, a whole file at once; - is stdout.",
)
@where_options
@json_option
def command(uuid: str, output: Path) -> None:
    """Write what a guest is served as a config drive, an ISO 9660 image labelled config-2.

    It is as the guest is now: `generation` in mdsvc/v1/layout on it says of which change. Make it
    anew before the guest starts again. The settings of the documents are those of `mdsvc serve`.
    """
    from mdsvc.documents import config_drive

    to_stdout = str(output) == "-"
    if to_stdout and sys.stdout.isatty():
        raise click.UsageError("-o -: expected stdout to be a file or a pipe, not a terminal")
    guest = operator().get_instance(uuid)
    image = config_drive.image(_files(guest))
    if to_stdout:
        sys.stdout.buffer.write(image)
        return
    _write(output, image)
    written = {"uuid": guest.uuid, "generation": guest.generation, "file": str(output)}
    show(written, f"{output}: generation {guest.generation} of {guest.uuid}")


def _files(guest: PlacedInstance) -> Mapping[str, bytes]:
    """As they are served with these settings; the operator's own services are asked as there."""
    import asyncio

    from mdsvc.app import document_options, vendordata_targets
    from mdsvc.documents import Documents, config_drive

    chosen = settings({})

    async def files() -> Mapping[str, bytes]:
        documents = Documents(document_options(chosen))
        async with vendordata_targets(chosen, []) as vendordata:
            parts = await vendordata.of(guest) if vendordata else {}
        return config_drive.files(guest, documents, parts)

    return asyncio.run(files())


def _write(output: Path, image: bytes) -> None:
    """A file is whole or as it was; a device is written to. Raises BadInput."""
    try:
        if _is_special(output):
            output.write_bytes(image)
        else:
            _put(output.resolve(), image)
    except OSError as error:
        from mdsvc.errors import BadInput

        raise BadInput(f"-o: {output}: {error.strerror}") from None


def _is_special(output: Path) -> bool:
    """Whether it is a device, a pipe, or the like. Raises OSError where it cannot be looked at."""
    try:
        return not stat.S_ISREG(output.stat().st_mode)
    except FileNotFoundError:
        return False


def _put(file: Path, image: bytes) -> None:
    """In place of what was there, which keeps its owner and mode; a new file is for its owner
    alone, as user data are on it.
    """
    before = file.stat() if file.exists() else None
    descriptor, name = mkstemp(".part", f"{file.name[:200]}.", file.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as written:
            written.write(image)
            if before:
                with suppress(PermissionError):
                    os.fchown(written.fileno(), before.st_uid, before.st_gid)
                os.fchmod(written.fileno(), stat.S_IMODE(before.st_mode))
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
