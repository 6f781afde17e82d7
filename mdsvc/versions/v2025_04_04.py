"""2025-04-04 (Epoxy): shared file systems among the ``devices``."""

from mdsvc.instance import Share
from mdsvc.versions.v2016_06_30 import COMMON
from mdsvc.versions.version import Version

VERSION = Version(
    "2025-04-04",
    devices={
        Share: {
            "type": lambda _share: "share",
            "share_id": lambda share: share.share_id,
            "tag": lambda share: share.tag,
            **COMMON,
        }
    },
)
