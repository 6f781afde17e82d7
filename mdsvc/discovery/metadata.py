"""What Nova says of a guest in its domain's ``<metadata>`` (``nova.virt.libvirt.config``).

The flavor's extra specs and the image's properties are there from 2025.2 on. Older domains have the
flavor's name and sizes alone, which say nothing of its CPUs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from xml.etree.ElementTree import Element

import msgspec

from mdsvc.errors import BadInput
from mdsvc.forms import from_store
from mdsvc.policy.flavor import Flavor, Image
from mdsvc.running import RunningPort


class Told(msgspec.Struct, frozen=True):
    """What the metadata says; nothing where there is none, or none that can be understood."""

    name: str = ""
    flavor: Flavor | None = None
    image: Image = Image()
    project_id: str | None = None
    ports: tuple[RunningPort, ...] = ()


_INSTANCE = "metadata/{*}instance"


def of(domain: Element) -> Told:
    """What Nova wrote, whatever version of its namespace; metadata of others is passed over."""
    elements = domain.findall(_INSTANCE)
    nova = next((e for e in elements if e.tag.startswith("{http://openstack.org/")), None)
    if nova is None:
        return Told()
    project = nova.find("{*}owner/{*}project")
    try:
        flavor, image = _flavor(nova.find("{*}flavor")), _image(nova.find("{*}image"))
    except BadInput:
        flavor, image = None, Image()
    return Told(
        name=(nova.findtext("{*}name") or "").strip(),
        flavor=flavor,
        image=image,
        project_id=None if project is None else project.get("uuid"),
        ports=tuple(map(_port, nova.iterfind("{*}ports/{*}port"))),
    )


def _flavor(element: Element | None) -> Flavor | None:
    """None where nothing is told of extra specs."""
    specs = None if element is None else element.find("{*}extraSpecs")
    if element is None or specs is None:
        return None
    sizes = {"vcpus": element.findtext("{*}vcpus"), "memory_mb": element.findtext("{*}memory")}
    form: dict[str, Any] = {key: _int(value) for key, value in sizes.items()}
    form["name"] = element.get("name") or ""
    form["extra_specs"] = _named(specs.iterfind("{*}extraSpec"))
    return from_store(form, Flavor)


def _image(element: Element | None) -> Image:
    if element is None:
        return Image()
    properties = _named(element.iterfind("{*}properties/{*}property"))
    return from_store({"id": element.get("uuid") or "", "properties": properties}, Image)


def _named(elements: Iterable[Element]) -> dict[str, str]:
    return {e.get("name") or "": e.text or "" for e in elements}


def _int(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 16 else None


def _port(port: Element) -> RunningPort:
    ips = (ip for ip in port.iterfind("{*}ip") if ip.get("type") == "fixed")
    return RunningPort(ips=tuple(address for ip in ips if (address := ip.get("address"))))
