"""Debian's cloud-init decides by the guest's DMI whether to ask us: `ds-identify`, unchanged."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mdsvc.libvirt import domain_xml
from tests.libvirt.checks import parse
from tests.libvirt.guests import SHARED, host, placed

_CHECK = """
. "$0"
DI_UNAME_MACHINE=x86_64 DI_VIRT=kvm DI_DMI_PRODUCT_NAME=$1
check_configdrive_v2() { return 1; }
dscheck_OpenStack
"""


def _is_asked(product: str, packages: Path) -> bool:
    script = packages.parents[1] / "cloud-init/ds-identify"
    done = subprocess.run(
        ["sh", "-c", _CHECK, script, product],
        env={"DI_MAIN": "noop", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        check=False,
        timeout=60,
    )
    return done.returncode == 0


def test_a_guest_of_ours_asks_for_openstacks_metadata(packages: Path) -> None:
    xml = parse(domain_xml(placed(SHARED), host()))
    product = xml.findtext("sysinfo/system/entry[@name='product']")
    assert product
    assert _is_asked(product, packages)


@pytest.mark.parametrize("product", ["", "Standard PC (Q35 + ICH9, 2009)"])
def test_one_with_qemus_own_words_does_not(product: str, packages: Path) -> None:
    assert not _is_asked(product, packages)
