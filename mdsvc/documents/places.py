"""Where the documents are that are more than read: by their paths."""

from __future__ import annotations

from mdsvc.documents.answer import Path
from mdsvc.versions import BY_NAME


def is_user_data(path: Path) -> bool:
    """Of each version, in both trees."""
    return path[1:] == ("user-data",) or (path[:1], path[2:]) == (("openstack",), ("user_data",))


def is_password(path: Path) -> bool:
    """Of each version that has one."""
    match path:
        case ("openstack", version, "password") if version in BY_NAME:
            return "password" in BY_NAME[version].files
    return False
