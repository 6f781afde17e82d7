"""Dividing a guest's CPUs: what will be isolated, and what is left for everything else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mdguest.cpuset import EMPTY, CpuSet
from mdguest.errors import BadInput, Refused
from mdguest.exemption import Exempt, cpus_of, shown

if TYPE_CHECKING:
    from mdguest.facts import Facts
    from mdguest.settings import Settings


@dataclass(frozen=True)
class Share:
    """``dedicated`` may name CPUs that are offline; ``housekeeping`` is online, and not empty."""

    dedicated: CpuSet
    housekeeping: CpuSet
    notes: tuple[str, ...] = ()
    exempt: Exempt = field(default_factory=dict)
    """Of the dedicated CPUs those that slices have for themselves."""
    lacking: Exempt = field(default_factory=dict)
    """What slices should have, and the layout has no longer."""
    elsewhere: CpuSet = EMPTY
    """What is online in a partition of somebody else's."""

    @property
    def pool(self) -> CpuSet:
        """What is left for the pool, or for pods."""
        return self.dedicated - cpus_of(self.exempt)

    def cut(self, cpus: CpuSet) -> CpuSet:
        """What is left of a set for work that is not the pool's."""
        return cpus - self.dedicated or self.housekeeping

    def cut_affinity(self, cpus: CpuSet) -> CpuSet:
        """The same for a task, which can have only what is online."""
        return self.cut(cpus & (self.dedicated | self.housekeeping | self.elsewhere))


def share(asked: CpuSet, facts: Facts, settings: Settings, exempt_until_now: str = "") -> Share:
    """Divide the CPUs as the metadata ``asked``, for this boot.

    Raises BadInput as ``divide``, Refused where nothing would be left that can run the rest of
    the guest.
    """
    cpus = divide(asked, facts, settings, exempt_until_now)
    if not cpus.housekeeping:
        raise Refused(
            f"CPUs {cpus.dedicated} cannot be isolated: no other CPU is online, and the settings "
            f"keep CPU {settings.reserved()} for housekeeping"
        )
    if not cpus.housekeeping - facts.boot_isolated - facts.nohz_full:
        # Linux 6.1 crashes and 6.12 hangs where a partition takes the last CPU that the kernel's
        # command line left to the scheduler.
        taken = (facts.boot_isolated | facts.nohz_full) & cpus.housekeeping
        raise Refused(
            f"CPUs {cpus.dedicated} cannot be isolated: of the others, {cpus.housekeeping}, the "
            f"kernel command line takes {taken} (isolcpus=, nohz_full=), so that none is left to "
            "run the guest; correct it and reboot"
        )
    return cpus


def divide(asked: CpuSet, facts: Facts, settings: Settings, exempt_until_now: str = "") -> Share:
    """The same, whatever this boot's kernel command line says: it may be about to be corrected.

    Raises BadInput where the metadata, or the settings, name CPUs that this guest cannot have.
    Where just these slices were exempt until now, it is the layout that has changed: each has what
    is left of its CPUs.
    """
    impossible = asked - facts.possible
    if impossible:
        raise BadInput(
            f"dedicated_cpus {asked}: this guest has no CPU {impossible}, only {facts.possible}"
        )
    reserved = settings.reserved()
    missing = reserved - facts.possible
    if missing:
        raise BadInput(
            f"housekeeping {reserved}: this guest has no CPU {missing}, only {facts.possible}"
        )
    exempt = settings.exempted()
    _check_pods(exempt, facts, settings)
    if shown(exempt) != exempt_until_now:
        _check_dedicated(exempt, asked, settings)
    _check_housekeeping(exempt, settings)
    dedicated = (asked & facts.present) - reserved
    kept = dedicated & _kept(dedicated, facts, settings)
    dedicated = dedicated - kept
    lacking = {name: lost for name, cpus in exempt.items() if (lost := cpus - asked | cpus & kept)}
    there = {name: left for name, cpus in exempt.items() if (left := cpus & dedicated)}
    notes = tuple(_notes(asked, kept, facts, settings))
    return Share(dedicated, facts.open - dedicated, notes, there, lacking, facts.elsewhere)


def _check_pods(exempt: Exempt, facts: Facts, settings: Settings) -> None:
    """Raise BadInput where a slice has Kubernetes' pods in it, be it further down."""
    for name in exempt:
        if any(f"/{name}/" in pods for pods in facts.pods):
            where = settings.place("exempt")
            raise BadInput(f"{where}: {name}: pods are in it; expected a slice beside theirs")


def _check_dedicated(exempt: Exempt, asked: CpuSet, settings: Settings) -> None:
    """Raise BadInput where a slice is to have CPUs that are not dedicated."""
    for name, cpus in exempt.items():
        if not cpus <= asked:
            raise BadInput(
                f"{settings.place('exempt')}: {name}={cpus}: CPU {cpus - asked} is not dedicated; "
                f"expected some of CPU {asked}"
            )


def _check_housekeeping(exempt: Exempt, settings: Settings) -> None:
    """Raise BadInput where a slice is to have CPUs that always stay for the rest of the guest."""
    for name, cpus in exempt.items():
        stays = cpus & settings.reserved()
        if stays:
            raise BadInput(
                f"{settings.place('exempt')}: {name}={cpus}: CPU {stays} stays for housekeeping, "
                f"as {settings.place('housekeeping')} says"
            )


def _kept(dedicated: CpuSet, facts: Facts, settings: Settings) -> CpuSet:
    """The one CPU that stays where every CPU is dedicated."""
    if facts.open - dedicated or settings.reserved():
        return CpuSet()
    able = facts.online - facts.boot_isolated - facts.nohz_full
    usable = list(able - cpus_of(settings.exempted()) or able)
    if not usable:
        return CpuSet()
    return CpuSet.of([usable[0 if settings.housekeeping == "first" else -1]])


def _notes(asked: CpuSet, kept: CpuSet, facts: Facts, settings: Settings) -> list[str]:
    absent, offline = asked - facts.present, (asked & facts.present) - facts.online
    reserved = asked & settings.reserved()
    notes = {
        f"CPU {absent} is dedicated, but not plugged in; it will be isolated once it is": absent,
        f"CPU {offline} is dedicated, but offline; it joins once it is online": offline,
        f"CPU {reserved} is dedicated, but stays for housekeeping, as the settings say": reserved,
        f"all CPUs are dedicated; CPU {kept} stays for housekeeping": kept,
    }
    return [text for text, cpus in notes.items() if cpus]
