"""A machine as libvirt tells of it: what `virsh capabilities` prints there."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from tests.machines.facts import Cell, Cpu, Machine

_KINDS = {"data": "data", "instruction": "code", "unified": "both"}
_LEAST_LEVEL = 3
"""Of smaller caches libvirt does not tell."""


def capabilities(machine: Machine) -> str:
    """The document, without what it says of guests."""
    root = Element("capabilities")
    host = SubElement(root, "host")
    _cpu(host, machine)
    cells = _add(_add(host, "topology"), "cells", num=len(machine.cells))
    for at, cell in enumerate(machine.cells):
        _cell(cells, machine, at, cell)
    _caches(host, machine)
    indent(root)
    return tostring(root, encoding="unicode")


def _cpu(host: Element, machine: Machine) -> None:
    """What all CPUs have in common; of their topology it knows no cells."""
    cpu = _add(host, "cpu")
    _add(cpu, "arch", machine.arch)
    threads = max((len(cpu.siblings) for cpu in machine.running()), default=1)
    _add(cpu, "topology", sockets=1, cores=len(machine.online) // threads, threads=threads)
    for size_kb in sorted({machine.page_kb, *(kb for c in machine.cells for kb, _ in c.huge)}):
        _add(cpu, "pages", unit="KiB", size=size_kb)


def _cell(cells: Element, machine: Machine, at: int, cell: Cell) -> None:
    """libvirt leaves the memory out where there is none."""
    element = _add(cells, "cell", id=cell.id)
    if cell.memory_kb and "memory" not in machine.untold:
        _add(element, "memory", cell.memory_kb, unit="KiB")
    if "pages" not in machine.untold:
        for size_kb, count in ((machine.page_kb, cell.base_kb // machine.page_kb), *cell.huge):
            _add(element, "pages", count, unit="KiB", size=size_kb)
    if machine.distances:
        distances = _add(element, "distances")
        for other, distance in zip(machine.cells, machine.distances[at], strict=True):
            _add(distances, "sibling", id=other.id, value=distance)
    cpus = _add(element, "cpus", num=len(cell.cpus))
    for cpu in cell.cpus:
        _thread(cpus, machine, cpu)


def _thread(cpus: Element, machine: Machine, cpu: Cpu) -> None:
    """An offline CPU has its number alone, and is nobody's sibling."""
    element = _add(cpus, "cpu", id=cpu.number)
    if cpu.number in machine.offline:
        return
    die = {} if cpu.die is None else {"die_id": cpu.die}
    siblings = cpu.siblings - machine.offline
    _set(element, socket_id=cpu.socket, **die, core_id=cpu.core, siblings=siblings)


def _caches(host: Element, machine: Machine) -> None:
    banks = [cache for cache in machine.caches if cache.level >= _LEAST_LEVEL]
    if not banks:
        return
    element = _add(host, "cache")
    for at, cache in enumerate(banks):
        bank = _add(element, "bank", id=at, level=cache.level, type=_KINDS[cache.kind])
        _set(bank, size=cache.size_kb, unit="KiB", cpus=cache.cpus - machine.offline)


# ---- XML ----


def _add(parent: Element, tag: str, text: object = None, **attributes: object) -> Element:
    element = SubElement(parent, tag)
    element.text = None if text is None else str(text)
    _set(element, **attributes)
    return element


def _set(element: Element, **attributes: object) -> None:
    for name, value in attributes.items():
        element.set(name, str(value))
