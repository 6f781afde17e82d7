"""2013-10-17 (Havana): vendor_data.json, the same static document for every guest."""

from mdsvc.versions.version import Version

VERSION = Version(
    "2013-10-17", files={"vendor_data.json": lambda view: dict(view.options.vendor_data)}
)
