"""docs/libvirt.md is followed word by word, on a host that is played as far as it has to be."""

from __future__ import annotations

from pathlib import Path

from tests.libvirt.daemon import Libvirtd
from tests.libvirt.tutorial import blocks, commands, run

GUEST = """
ip address add 192.168.122.12/32 dev lo
echo "guest: $(curl -s --interface 192.168.122.12 {url})"
"""
LEFT = 'echo "left: $(ls /etc/libvirt/hooks/qemu.d)"\n'


def test_three_guests_are_known_and_learn_their_cpus_by_what_the_tutorial_says(
    libvirtd: Libvirtd, tmp_path: Path
) -> None:
    """Up to what is typed in a guest; `tests/vm` has real ones, in which `mdguest verify` says what
    it says here.
    """
    *there, back = [each for block in blocks() if (each := "".join(commands(block)))]
    curl, *_, verify = [each for block in blocks() for each in commands(block, "$ ")]
    assert verify == "sudo mdguest verify\n"
    guest = GUEST.format(url=curl.removeprefix("curl ").strip())
    printed = run(libvirtd, tmp_path, "".join([*there, guest, back, LEFT])).splitlines()
    assert set(expected("journalctl")) <= set(printed)
    assert [f"guest: {line}" for line in expected("curl")] == ["guest: 1-3"]
    assert {"guest: 1-3", "left: "} <= set(printed)


def expected(command: str) -> list[str]:
    """What the tutorial says that this prints."""
    (block,) = [each for each in blocks() if f" {command} " in each]
    _, _, after = block.partition(f" {command} ")
    lines = after.splitlines()[1:]
    end = next((at for at, line in enumerate(lines) if line.startswith(("# ", "$ "))), len(lines))
    return lines[:end]
