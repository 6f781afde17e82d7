"""2017-02-22 (Ocata): the ``vlan`` of a network interface that is a VLAN-tagged function."""

from mdsvc.instance import Nic
from mdsvc.versions.version import ABSENT, Version

VERSION = Version(
    "2017-02-22",
    devices={Nic: {"vlan": lambda nic: ABSENT if nic.vlan is None else nic.vlan}},
)
