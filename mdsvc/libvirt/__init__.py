"""libvirt's XML of a placed guest."""

from __future__ import annotations

from mdsvc.libvirt.domain import PARTS, VirtType, domain_xml

__all__ = ["PARTS", "VirtType", "domain_xml"]
