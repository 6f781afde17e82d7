"""2016-10-06 (Newton): vendor_data2.json, a part for each source; the static file is ``static``."""

from mdsvc.versions.version import Version

VERSION = Version(
    "2016-10-06",
    files={"vendor_data2.json": lambda view: {"static": dict(view.options.vendor_data)}},
)
