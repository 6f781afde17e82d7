"""systemd-imdsd's record: systemd's own reader finds it for OpenStack's guests, and for no others.

That systemd-imdsd 262 learns host name, key and user data by these values was tried by hand: no
release that the tests run on has it.
"""

from __future__ import annotations

import os
import re
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.guest.packaging.building import GUEST_TOOLS, ROOT

RECORD = GUEST_TOOLS / "udev/41-imds-mdguest.hwdb"
DROP_INS = GUEST_TOOLS / "drop-ins"
SYSTEMD_HWDB = next((ROOT / ".cache/udev").glob("**/bin/systemd-hwdb"), Path("systemd-hwdb"))

OPENSTACK = {
    "Nova": "dmi:bvnSeaBIOS:bvr1.16:bd04/01/2014:br0.0:svnOpenStackFoundation:pnOpenStackNova:"
    "pvr34.0.0:cvnQEMU:ct1:cvrpc-i440fx:sku:",
    "Red Hat's": "dmi:bvnSeaBIOS:bvr1:svnRedHat:pnOpenStackCompute:pvr17:cvnRedHat:ct1:cvr1:sku:",
    "by its chassis' tag": "dmi:bvnEFI:bvr1:svnX:pnY:pvr1:cvnZ:ct1:cvr1:sku:catOpenStack Nova:",
}
OTHERS = {
    "EC2": "dmi:bvnAmazonEC2:bvr1.0:bd10/16/2017:br1.0:svnAmazonEC2:pnm5.large:pvr:cvnAmazonEC2:",
    "a plain QEMU": "dmi:bvnSeaBIOS:bvr1.16:svnQEMU:pnStandardPC(i440FX+PIIX,1996):pvrpc:cvnQEMU:",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A system with this record, compiled."""
    made = tmp_path_factory.mktemp("root")
    folder = made / "etc/udev/hwdb.d"  # there every release of it looks
    folder.mkdir(parents=True)
    (folder / RECORD.name).write_bytes(RECORD.read_bytes())
    done = hwdb(made, "--strict", "update")
    assert (done.returncode, done.stderr) == (0, "")
    return made


def hwdb(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SYSTEMD_HWDB, f"--root={root}", *arguments],
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def found(root: Path, modalias: str) -> dict[str, str]:
    lines = hwdb(root, "query", modalias).stdout.splitlines()
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("guest", OPENSTACK)
def test_a_guest_of_openstack_s_asks_here(root: Path, guest: str) -> None:
    record = found(root, OPENSTACK[guest])
    assert record["IMDS_VENDOR"] == "openstack"
    assert record["IMDS_DATA_URL"] == "http://169.254.169.254/latest"
    assert record["IMDS_KEY_SSH_KEY"] == "/meta-data/public-keys/0/openssh-key"


@pytest.mark.parametrize("guest", OTHERS)
def test_a_guest_of_another_s_does_not(root: Path, guest: str) -> None:
    assert found(root, OTHERS[guest]) == {}


def test_a_token_s_address_and_headers_are_there_together(root: Path) -> None:
    """imdsd refuses to run with one of them alone."""
    record = found(root, OPENSTACK["Nova"])
    assert {name for name in record if "TOKEN" in name or "REFRESH" in name} == {
        "IMDS_TOKEN_URL",
        "IMDS_REFRESH_HEADER_NAME",
        "IMDS_TOKEN_HEADER_NAME",
    }


def test_each_key_is_a_path_below_the_data(root: Path) -> None:
    record = found(root, OPENSTACK["Nova"])
    keys = {value for name, value in record.items() if name.startswith("IMDS_KEY_")}
    assert len(keys) == 5
    assert all(key.startswith("/") for key in keys)


def test_what_the_settings_offer_is_the_record(root: Path) -> None:
    text = (GUEST_TOOLS / "debian/default").read_text()
    offered = dict(re.findall(r"(?m)^#SYSTEMD_(IMDS_[A-Z0-9_]+)=(.*)$", text))
    assert offered == found(root, OPENSTACK["Nova"])


def drop_in(unit: str) -> ConfigParser:
    read = ConfigParser(interpolation=None)
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read_string((DROP_INS / f"{unit}.d/50-mdguest.conf").read_text())
    return read


@pytest.mark.parametrize(
    "unit", ["systemd-imds-import.service", "systemd-imds-early-network.service"]
)
def test_where_cloud_init_is_at_work_imdsd_changes_nothing(unit: str) -> None:
    condition = drop_in(unit)["Unit"]["ConditionPathExists"]
    assert condition == "!/run/cloud-init/enabled"


@pytest.mark.parametrize("unit", ["systemd-imdsd@.service", "systemd-imds-early-network.service"])
def test_what_asks_takes_the_guest_s_settings(unit: str) -> None:
    assert drop_in(unit)["Service"]["EnvironmentFile"] == "-/etc/default/mdguest"


def test_systemd_takes_the_drop_ins(tmp_path: Path) -> None:
    for folder in DROP_INS.iterdir():
        name = folder.name.removesuffix(".d").replace("@.", "@x.")
        (tmp_path / name).write_text("[Service]\nType=oneshot\nExecStart=/bin/true\n")
        target = tmp_path / f"{name}.d"
        target.mkdir()
        for file in folder.iterdir():
            (target / file.name).write_bytes(file.read_bytes())
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", tmp_path / name],
            env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert "50-mdguest.conf" not in done.stderr
        assert done.returncode == 0, done.stderr
