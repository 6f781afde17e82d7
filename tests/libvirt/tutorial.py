"""The commands of docs/libvirt.md as they stand there, and a host to run them on: the namespaces of
a real libvirtd, with stand-ins for what a test cannot have. These are systemd, downloads, KVM, DHCP
and CPUs: sysfs tells of eight, and a guest that starts is only what the hooks are told of.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.libvirt.daemon import Libvirtd
from tests.machines.facts import GIB, Machine
from tests.machines.numbering import cells_of, strides
from tests.machines.sysfs import plant

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/libvirt.md"
EIGHT = Machine(cells_of([0], 8, 1, strides(core=1), memory_kb=16 * GIB))


def blocks(language: str = "") -> Iterator[str]:
    """The document's blocks in this language."""
    text = DOCUMENT.read_text()
    for kind, block in re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", text):
        if kind == language:
            yield block


def commands(block: str, prompt: str = "# ") -> Iterator[str]:
    """What is typed at this prompt, each with the lines that it goes on for; nothing printed."""
    command = ""
    for line in block.splitlines():
        if not command and not line.startswith(prompt):
            continue
        command += f"{line if command else line.removeprefix(prompt)}\n"
        if _is_whole(command) and not command.endswith("\\\n"):
            yield command
            command = ""
    assert not command, f"expected a whole command: {command}"


def _is_whole(command: str) -> bool:
    read = subprocess.run(["bash", "-n"], input=command.encode(), capture_output=True, check=False)
    return read.returncode == 0


DEFAULT_NETWORK = """<network><name>default</name><bridge name='virbr0'/><forward/>
<ip address='192.168.122.1' netmask='255.255.255.0'><dhcp>
<range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip></network>"""

STAND_INS: Mapping[str, str] = {
    "apt-get": "",
    "git": "",
    "make": "",
    "scp": "",
    "ssh": "",
    "wget": 'qemu-img create -q -f qcow2 "${1##*/}" 1M',
    "cloud-localds": 'cp "$2" "$1"',
    "systemctl": """
unit=/etc/systemd/system/mdsvc-hook.service
case $* in "enable --now mdsvc-hook")
    run=$(sed -n "s/^ExecStart=//p" $unit)
    env $(sed -n "s/^Environment=//p" $unit) setsid $run </dev/null >/run/journal 2>&1 & ;;
esac""",
    "journalctl": """
for _ in $(seq 600); do [ "$(grep -c imported /run/journal)" -lt 3 ] || break; sleep 0.1; done
cat /run/journal""",
    "systemd-run": """
shift 2
while [ "$1" = --setenv ]; do export "$2"; shift 2; done
setsid "$@" </dev/null >/run/served 2>&1 &
for _ in $(seq 600); do ! grep -q ready /run/served || break; sleep 0.1; done
grep ready /run/served""",
    "virsh": r"""
real() { /usr/bin/virsh --quiet "$@"; }
case $1 in
    net-start) ip link add virbr0 type bridge; ip address add 192.168.122.1/24 dev virbr0
        ip link set virbr0 up; ip link set lo up ;;
    net-update) config=("$@"); for at in "${!config[@]}"; do
            [ "${config[at]}" != --live ] || unset "config[at]"
        done; real "${config[@]}" ;;
    define) sed "s/type=\"kvm\"/type='qemu'/; s/<cpu mode=\"host-model\" \/>//" "$2" >/run/domain
        real define --validate /run/domain ;;
    start) for operation in prepare start started; do
            real dumpxml "$2" | /etc/libvirt/hooks/qemu.d/mdsvc "$2" $operation begin -
        done ;;
    *) real "$@" ;;
esac""",
}

HOST = """
mount -t tmpfs none /opt; mkdir /opt/mdsvc; mount --bind {root} /opt/mdsvc
mount --bind {folder}/bin /usr/local/bin
mount --bind {folder}/units /etc/systemd/system
mount --bind {folder}/sys/devices/system /sys/devices/system
mkdir -p /var/lib/libvirt/images
export HOME={folder}/home PATH={folder}/played:/usr/local/bin:$PATH
{folder}/played/virsh net-define {folder}/default.xml
"""


def run(libvirtd: Libvirtd, folder: Path, typed: str) -> str:
    """What these commands print on a host that has nothing but Debian. All of them work."""
    plant(EIGHT, folder)
    for name in ("bin", "units", "home/.ssh", "played"):
        (folder / name).mkdir(parents=True)
    (folder / "default.xml").write_text(DEFAULT_NETWORK)
    (unit,) = blocks("ini")
    (folder / "units/mdsvc-hook.service").write_text(unit)
    for name, body in STAND_INS.items():
        file = folder / "played" / name
        file.write_text(f"#!/bin/bash\nset -euo pipefail\n{body}\n")
        file.chmod(0o755)
    script = f"set -euo pipefail\n{HOST.format(root=ROOT, folder=folder)}{typed}"
    done = subprocess.run(
        [*libvirtd.inside, "unshare", "--mount", "bash"],  # libvirtd has the sysfs that is
        input=script,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
