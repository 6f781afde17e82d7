"""2018-08-27 (Rocky): whether a network interface is a trusted virtual function."""

from mdsvc.instance import Nic
from mdsvc.versions.version import Version

VERSION = Version("2018-08-27", devices={Nic: {"vf_trusted": lambda nic: nic.vf_trusted}})
