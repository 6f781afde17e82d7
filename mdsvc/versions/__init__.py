"""The OpenStack metadata's versions (R22): one module each, and here their order.

Listings and documents come from the same accumulated ``Version``, so what is listed is what is
served.
"""

from itertools import accumulate

from mdsvc.versions import (
    v2012_08_10,
    v2013_04_04,
    v2013_10_17,
    v2015_10_15,
    v2016_06_30,
    v2016_10_06,
    v2017_02_22,
    v2018_08_27,
    v2020_10_14,
    v2025_04_04,
)
from mdsvc.versions.version import ABSENT, CpusFormat, Entropy, Options, Version, View

_CHANGES = (
    v2012_08_10.VERSION,
    v2013_04_04.VERSION,
    v2013_10_17.VERSION,
    v2015_10_15.VERSION,
    v2016_06_30.VERSION,
    v2016_10_06.VERSION,
    v2017_02_22.VERSION,
    v2018_08_27.VERSION,
    v2020_10_14.VERSION,
    v2025_04_04.VERSION,
)

VERSIONS = {v.date: v for v in accumulate(_CHANGES, lambda before, change: change.after(before))}
"""Every version by its date, oldest first, each with all that the ones before it have."""

LATEST = "latest"
BY_NAME = {**VERSIONS, LATEST: next(reversed(VERSIONS.values()))}
"""What a guest may name: the dates, and ``latest`` for the newest."""

_NEWEST = [date for date, version in VERSIONS.items() if "dedicated_cpus" in version.fields]

LISTED = {"nova": [*VERSIONS, LATEST], "newest": [*_NEWEST, LATEST]}
"""What ``/openstack`` lists, by policy. ``newest`` leads cloud-init, which takes the newest
version that it knows and else ``latest``, to a version with ``dedicated_cpus``."""

__all__ = [
    "ABSENT",
    "BY_NAME",
    "LATEST",
    "LISTED",
    "VERSIONS",
    "CpusFormat",
    "Entropy",
    "Options",
    "Version",
    "View",
]
