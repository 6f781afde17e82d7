"""What the owner of this guest decides: /etc/default/mdguest, then MDGUEST_*, then flags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from mdguest.cpuset import EMPTY, CpuSet
from mdguest.errors import BadInput
from mdguest.exemption import Exempt, parse

if TYPE_CHECKING:
    from mdguest.system import System

FILE = "/etc/default/mdguest"
MODES = ("partition", "kubernetes", "fence", "raw")
PARTITIONS = ("isolated", "root")
NAMES = ("source", "mode", "partition", "housekeeping", "exempt", "interval", "ignore")
"""The settings, as flags; in capitals and after MDGUEST_, as variables."""


@dataclass(frozen=True)
class Settings:
    """One value, made once a command."""

    source: str | None = None
    """Where to read the layout, in the form of ``--source``; None: each in turn."""
    mode: str | None = None
    """One of MODES; None: what suits this guest."""
    partition: Literal["isolated", "root"] = "isolated"
    """One of PARTITIONS: without or with load balancing among the dedicated CPUs."""
    housekeeping: str = "first"
    """What stays for the rest of the guest, come what may: ``first`` or ``last`` CPU if otherwise
    none would, or a CPU list that always stays."""
    exempt: str = ""
    """Slices with dedicated CPUs of their own: ``ovs.slice=2-3 fast.slice=5``."""
    interval: float = 60.0
    """Seconds between two looks at a source that cannot be waited on, at least 15."""
    ignore: str = ""
    """Units, cgroups or programs that may ask for dedicated CPUs in vain, as shell patterns with
    commas between them."""
    kept: str | None = None
    """The mode that is in force, where none was asked for."""
    flags: frozenset[str] = frozenset()
    """The names of those that a flag gave: they hold also where others were applied."""
    where: Mapping[str, str] = field(default_factory=dict, compare=False)
    """The place that each was read from, for messages."""

    def reserved(self) -> CpuSet:
        """The CPUs that stay for housekeeping always."""
        return EMPTY if self.housekeeping in KEEP_ONE else CpuSet.parse(self.housekeeping)

    def exempted(self) -> Exempt:
        """What ``exempt`` says."""
        return parse(self.exempt)

    def place(self, name: str) -> str:
        """Where a setting was read, for messages: ``MDGUEST_EXEMPT in /etc/default/mdguest``."""
        return self.where.get(name) or _variable(name)

    def ignored(self) -> tuple[str, ...]:
        """The patterns of ``ignore``."""
        return tuple(pattern.strip() for pattern in self.ignore.split(",") if pattern.strip())


_TWO_UNITS = re.compile(r"\.(?:service|scope|slice|socket|mount|swap)\s")
"""In a pattern: units with spaces between them, which are no name of anything."""
KEEP_ONE = ("first", "last")
_PREFIX = "MDGUEST_"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_LINES = "expected lines like MDGUEST_MODE=partition"
_BYTE_ORDER_MARK = "\ufeff"
"""What some editors put before a text."""


def _variable(name: str) -> str:
    return _PREFIX + name.upper()


def _one_of(*names: str) -> str:
    return f"expected {', '.join(names[:-1])} or {names[-1]}"


def _checked(settings: Settings, where: Mapping[str, str]) -> Settings:
    """The settings, or BadInput naming the flag or variable that is wrong."""
    if settings.mode is not None and settings.mode not in MODES:
        raise BadInput(f"{where['mode']}: {settings.mode!r}: {_one_of(*MODES)}")
    if settings.partition not in PARTITIONS:
        raise BadInput(f"{where['partition']}: {settings.partition!r}: {_one_of(*PARTITIONS)}")
    try:
        empty = settings.housekeeping not in KEEP_ONE and not settings.reserved()
    except ValueError as error:
        raise BadInput(f"{where['housekeeping']}: {error}; or first or last") from error
    if empty:
        raise BadInput(f"{where['housekeeping']}: expected first, last or a CPU list, like 0-1")
    try:
        settings.exempted()
    except ValueError as error:
        raise BadInput(f"{where['exempt']}: {error}") from error
    if any(map(_TWO_UNITS.search, settings.ignored())):
        raise BadInput(f"{where['ignore']}: {settings.ignore!r}: expected commas between patterns")
    if not 15 <= settings.interval <= 86400:
        raise BadInput(f"{where['interval']}: expected 15 to 86400 seconds")
    return settings


def load(system: System, environment: Mapping[str, str], flags: Mapping[str, object]) -> Settings:
    """Lay the three over one another. Raises BadInput naming what is wrong."""
    values: dict[str, object] = {}
    where = {name: f"--{name}" for name in NAMES}
    for source, texts in ((FILE, _file(system)), ("the environment", environment)):
        for name in NAMES:
            text = texts.get(_variable(name), "")
            if text:
                values[name] = text
                where[name] = f"{_variable(name)} in {source}"
    for name in NAMES:
        if flags.get(name) is not None:
            values[name] = flags[name]
            where[name] = f"--{name}"
    if "interval" in values:
        values["interval"] = _seconds(str(values["interval"]), where["interval"])
    values["where"] = where
    values["flags"] = frozenset(name for name in NAMES if flags.get(name) is not None)
    return _checked(replace(Settings(), **values), where)  # type: ignore[arg-type]  # by name


def _seconds(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadInput(f"{where}: {text!r}: expected a number of seconds") from None


def _file(system: System) -> dict[str, str]:
    """``NAME=value`` lines, as systemd's EnvironmentFile= and a shell read them."""
    import shlex

    if not system.exists(FILE):
        return {}
    try:
        words = shlex.split(system.read(FILE).removeprefix(_BYTE_ORDER_MARK), comments=True)
    except ValueError as error:
        raise BadInput(f"{FILE}: {error}: {_LINES}") from error
    for word in words:
        if not _VARIABLE.match(word) and word != "export":
            raise BadInput(f"{FILE}: {word!r}: {_LINES}, and quotes around a value with spaces")
    texts = {name: value for name, _, value in (word.partition("=") for word in words)}
    for name in texts:
        if name.startswith(_PREFIX) and name not in map(_variable, NAMES):
            raise BadInput(f"{name} in {FILE}: {_one_of(*map(_variable, NAMES))}")
    return texts
