"""2015-10-15 (Liberty): ``project_id``; network_data.json."""

from mdsvc.versions.version import Version

VERSION = Version(
    "2015-10-15",
    fields={"project_id": lambda view: view.guest.project_id},
    files={"network_data.json": lambda view: view.guest.network_data or {}},
)
