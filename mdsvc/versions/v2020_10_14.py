"""2020-10-14 (Victoria): ``dedicated_cpus``, the vCPUs that the guest has to itself (R21).

A CPU set string (``"2-3,5-7"``), or by setting the list of integers that Nova emits.
"""

from mdsvc.versions.version import Version, View


def _dedicated_cpus(view: View) -> object:
    cpus = view.guest.layout.dedicated_cpus
    return list(cpus) if view.options.dedicated_cpus_format == "list" else str(cpus)


VERSION = Version("2020-10-14", fields={"dedicated_cpus": _dedicated_cpus})
