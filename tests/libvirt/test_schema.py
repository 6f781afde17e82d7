"""libvirt's own schema accepts what `mdsvc` writes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mdsvc.libvirt import domain_xml
from tests.libvirt.daemon import require_programs
from tests.libvirt.guests import KINDS, SHARED, guests, host, placed

SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")
DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(autouse=True)
def programs() -> None:
    require_programs()


def validated(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_every_combination_is_valid(kind: str, tmp_path: Path) -> None:
    """`virt-xml-validate` takes one file at a time; this is what it does with it."""
    files = [tmp_path / f"{guest.uuid}.xml" for guest in guests(kind).values()]
    for file, guest in zip(files, guests(kind).values(), strict=True):
        file.write_text(domain_xml(guest, host()))
    out = validated(["xmllint", "--noout", "--relaxng", str(SCHEMA), *map(str, files)])
    assert out.split() == " ".join(f"{file} validates" for file in files).split()


@pytest.mark.parametrize("file", sorted(DATA.glob("domain.*.xml")), ids=lambda file: file.name)
def test_virt_xml_validate_accepts_the_golden_ones(file: Path) -> None:
    assert validated(["virt-xml-validate", str(file), "domain"]) == f"{file} validates\n"


@pytest.mark.parametrize("name", ["a<b&\"c'>]]>", "  ", "a\ufffe\uffff", "süd/ost\U0001f600"])
def test_any_name_is_valid(name: str, tmp_path: Path) -> None:
    file = tmp_path / "guest.xml"
    file.write_text(domain_xml(placed(SHARED, name=name), host()))
    validated(["virt-xml-validate", str(file), "domain"])
