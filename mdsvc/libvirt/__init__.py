"""libvirt's XML of a placed guest."""

from __future__ import annotations

from mdsvc.libvirt.domain import PARTS, domain_xml
from mdsvc.libvirt.machines import VirtType

__all__ = ["PARTS", "VirtType", "domain_xml"]
