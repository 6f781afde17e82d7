"""Where a guest learns which of its vCPUs are dedicated: one module for each source.

``--source`` names one. Without it they are asked in turn, and the first that is there is the one
that counts, also where it says nothing of dedicated CPUs: what an older source still says must not
come in through the gap. For the same reason one that is there but cannot be read ends the turn.

Only the vendor data of the very same server or drive may speak where its own document says nothing:
a Nova that does not tell the dedicated CPUs may have an operator who does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mdguest.errors import BadInput, Unavailable, Unreachable
from mdguest.layout import Layout
from mdguest.sources import cloud_init, config_drive, file, metadata, vendordata
from mdguest.sources.client import Refusal
from mdguest.sources.documents import shown
from mdguest.sources.patience import PATIENCE, Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mdguest.system import System

__all__ = ["FORMS", "PATIENCE", "SOURCES", "Patience", "Source", "check", "read", "report", "wait"]


@dataclass(frozen=True)
class Source:
    """One way to learn the layout. Both functions are given what stands behind the colon.

    ``check`` raises BadInput; ``read`` also Unreachable, or Unavailable where another source must
    not be asked in its place.
    """

    form: str
    check: Callable[[str], None]
    read: Callable[[str, System, Patience], Layout]
    in_turn: bool = True


SOURCES: Mapping[str, Source] = {
    metadata.NAME: Source(metadata.FORM, metadata.check, metadata.read),
    config_drive.NAME: Source(config_drive.FORM, config_drive.check, config_drive.read),
    vendordata.NAME: Source(vendordata.FORM, vendordata.check, vendordata.read, in_turn=False),
    cloud_init.NAME: Source(cloud_init.FORM, cloud_init.check, cloud_init.read),
    file.NAME: Source(file.FORM, file.check, file.read, in_turn=False),
}
"""In the order in which they are asked; vendor data are beside the server's or drive's own."""

_FLAG = "--source"
"""How messages name the choice."""

FORMS = ", ".join(source.form for source in SOURCES.values())


def check(choice: str | None, place: str = _FLAG) -> None:
    """Raise BadInput, naming the ``place`` that says it, where the choice is none of the forms."""
    if choice is not None:
        try:
            _chosen(choice)
        except BadInput as error:
            if place == _FLAG:
                raise
            said = str(error).removeprefix(_FLAG).lstrip(": ")
            raise BadInput(f"{place}: {said}") from None


def read(choice: str | None, system: System, patience: Patience = PATIENCE) -> Layout:
    """What the chosen source says; without a choice, what the first says that is there.

    Raises BadInput, or Unreachable with one message that says what became of each.
    """
    if choice is not None:
        source, argument = _chosen(choice)
        return source.read(argument, system, patience)
    said = []
    quick = replace(patience, knocks=1)  # most guests lack some source, and boot waits for this
    for name, source in SOURCES.items():
        if source.in_turn:
            try:
                return _or_beside(source.read("", system, quick), system, quick)
            except Unavailable:
                raise
            except Unreachable as error:
                said.append(f"{name}: {error}")
    raise Unreachable(f"no source is there ({'; '.join(said)})")


def read_drive(system: System, patience: Patience = PATIENCE) -> Layout:
    """What a config drive says: the one source that needs no network."""
    return _or_beside(read(config_drive.NAME, system, patience), system, patience)


def _or_beside(layout: Layout, system: System, patience: Patience) -> Layout:
    """The layout, or what the vendor data beside it say where it says nothing."""
    source = vendordata.beside(layout.source)
    if layout.dedicated is not None or not source:
        return layout
    try:
        found = read(source, system, patience)
    except Unavailable:
        raise
    except (Unreachable, Refusal):  # a proxy may know but the usual documents
        return layout
    return layout if found.dedicated is None else found


def wait(layout: Layout, seconds: float, system: System, patience: Patience = PATIENCE) -> Layout:
    """The layout once it is another, or when about ``seconds`` are over; it may be the same.

    A source that gives no ``etag`` cannot wait, and is read again at once. Nor do all servers wait
    as long as they are asked to, so it is for the caller to leave time between calls.
    """
    if layout.etag:
        return metadata.wait(layout, seconds, patience)
    return read(layout.source, system, patience)


def report(
    layout: Layout, status: dict[str, object], system: System, patience: Patience = PATIENCE
) -> bool:
    """Tell the layout's source how things stand in the guest; whether it took that.

    Nothing is raised for a source that does not.
    """
    return metadata.report(layout, status, patience)


def _chosen(choice: str) -> tuple[Source, str]:
    name, _, argument = choice.partition(":")
    source = SOURCES.get(name)
    if source is None:
        raise BadInput(f"--source: expected one of {FORMS}, got {shown(choice)}")
    source.check(argument)
    return source, argument
