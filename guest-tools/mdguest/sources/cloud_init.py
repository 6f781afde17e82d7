"""What cloud-init has learned at boot and left below /run, or was told to leave for us.

Of Nova's document it keeps a version from before dedicated CPUs (its list of known ones ends at
2018-08-27). So the field is there only where the server puts it in the way of that, and its absence
says nothing about the guest. Then the operator's vendor data may have had it write a file, once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mdguest.errors import BadInput, Unreachable
from mdguest.layout import KEY, Layout, dedicated_cpus
from mdguest.sources.documents import json_object, layout_of, read_file

if TYPE_CHECKING:
    from mdguest.sources.patience import Patience
    from mdguest.system import System

NAME = "cloud-init"
FORM = NAME

_FILES = (
    "/run/cloud-init/instance-data.json",
    "/run/cloud-init/instance-data-sensitive.json",
)
"""For all to read, and with what is left out of that for root."""

WRITTEN = "/etc/mdguest/layout.json"
"""By cloud-init, where the cloud asks mdsvc for its vendor data (``cloud-init@…``)."""

_KEYS = (("ds", "meta_data", KEY), ("ds", "ec2_metadata", "cpu", "dedicated"))
_REDACTED = "redacted for non-root user"
_MAX_BYTES = 16 << 20
"""Vendor data and the like are in it as well."""


def check(argument: str) -> None:
    """Raise BadInput where there is an argument."""
    if argument:
        raise BadInput(f"--source {NAME}: expected {FORM} alone, got {NAME}:{argument}")


def read(argument: str, system: System, patience: Patience) -> Layout:
    """What cloud-init was told of dedicated CPUs. Raises Unreachable where that is not known."""
    missing = []
    for path in _FILES:
        try:
            found = json_object(read_file(system, path, _MAX_BYTES), path)
        except Unreachable as error:  # not there, or not for this user
            missing.append(error)
            continue
        for keys in _KEYS:
            value = _value(found, keys)
            if value not in (None, _REDACTED):
                where = f"{path}, {'.'.join(keys)}"
                return Layout(dedicated_cpus(value, where), NAME)
    try:
        return layout_of(json_object(read_file(system, WRITTEN), WRITTEN), WRITTEN, NAME)
    except Unreachable:
        pass
    if len(missing) == len(_FILES):
        raise missing[0]
    raise Unreachable(f"cloud-init's instance data does not carry {KEY}")


def _value(found: Any, keys: tuple[str, ...]) -> Any:
    """What is at a path of keys; None where the path ends before."""
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found
