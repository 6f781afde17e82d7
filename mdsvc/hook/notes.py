"""The notes that libvirt's hook leaves, oldest first; and the script that leaves them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from mdsvc.discovery.domains import guest_from_domain
from mdsvc.errors import BadInput
from mdsvc.hook import script
from mdsvc.running import RunningGuest

SPOOL = Path(script.SPOOL)


class Note(msgspec.Struct, frozen=True):
    """What became of a guest, by libvirt's word."""

    path: Path
    name: str
    operation: str
    xml: bytes

    @property
    def way(self) -> Literal["in", "out"]:
        """Whether the guest comes or goes."""
        return "out" if self.operation in script.GOES else "in"

    def guest(self) -> RunningGuest:
        """The guest. Raises BadInput."""
        return guest_from_domain(self.xml)

    def done(self) -> None:
        """It is carried out."""
        self.path.unlink(missing_ok=True)


class _Header(msgspec.Struct, frozen=True):
    guest: str
    operation: str


def notes(spool: Path) -> list[Note]:
    """All that are there. One that cannot be read is moved aside. Raises OSError."""
    read = (_note(path) for path in sorted(spool.glob("*.note")))
    return [note for note in read if note is not None]


def _note(path: Path) -> Note | None:
    header, _, xml = path.read_bytes().partition(b"\n")
    try:
        of = msgspec.json.decode(header, type=_Header)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        path.rename(path.with_suffix(".odd"))
        return None
    return Note(path, of.guest, of.operation, xml)


def refused(spool: Path) -> Path:
    """Where notes wait that the books could not take."""
    folder = spool / "refused"
    folder.mkdir(exist_ok=True)
    return folder


def script_text(spool: Path) -> str:
    """The hook, for notes in this folder. Raises BadInput for one that is no absolute path."""
    if not spool.is_absolute():
        raise BadInput(f"--spool: expected an absolute path, got {spool}")
    source = Path(script.__file__).read_text(encoding="utf-8")
    return source.replace(f'SPOOL = "{script.SPOOL}"', f"SPOOL = {str(spool)!r}", 1)
