"""libvirt's XML: of a host, which is read, and of a guest, which is written."""

from __future__ import annotations

from mdsvc.libvirt.capabilities import host_from_capabilities
from mdsvc.libvirt.domain import PARTS, VirtType, domain_xml

__all__ = ["PARTS", "VirtType", "domain_xml", "host_from_capabilities"]
