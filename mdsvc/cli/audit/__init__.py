"""``mdsvc audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mdsvc import terminal
from mdsvc.terminal.console import INPUT, examples, json_option, show, tell

FOUND = 3
"""The exit code where something is wrong."""


@click.command(
    epilog=examples(
        "mdsvc audit --libvirt qemu:///system --nova-conf /etc/nova/nova.conf",
        "mdsvc audit --libvirt qemu+ssh://root@h1/system --host h1.json",
        "mdsvc audit --domains /run/libvirt/qemu --local --cmdline /proc/cmdline",
        "mdsvc audit --cloud mycloud --host hosts.json",
        "mdsvc audit --domains dumps/ --host h1.json --pmd-mask 0x6 --json | jq .findings[].code",
    )
)
@click.option(
    "--domains",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A folder of domain XML; or of folders of it, each named for its host.",
)
@click.option("--libvirt", metavar="URI", help="A libvirt, asked by `virsh --readonly`.")
@click.option("--cloud", metavar="NAME", help="An OpenStack cloud, by its entry in clouds.yaml.")
@click.option(
    "--host", "host_file", type=INPUT, metavar="FILE", help="The host, or a list, in JSON."
)
@click.option("--local", is_flag=True, help="The host is this machine, by its sysfs.")
@click.option(
    "--nova-conf",
    "nova",
    type=INPUT,
    multiple=True,
    metavar="FILE",
    help="The host's nova.conf; repeatable, and the last one counts most, as with Nova.",
)
@click.option("--pmd-mask", "pmd", metavar="HEX", help="Open vSwitch's other_config:pmd-cpu-mask.")
@click.option("--cmdline", type=INPUT, metavar="FILE", help="The kernel's command line.")
@json_option
def command(
    domains: Path | None,
    libvirt: str | None,
    cloud: str | None,
    host_file: Path | None,
    **said: Any,
) -> int:
    """Find what is wrong with the CPUs of a fleet that somebody else placed. Changes nothing.

    Each fault, worst first: who suffers, on which pCPUs, and what mends it. The exit code is 0
    where nothing is found, and 3 where something is.
    """
    if [domains, libvirt, cloud].count(None) != 2:
        raise click.UsageError("expected one of --domains DIR, --libvirt URI and --cloud NAME")
    from mdsvc.auditing import audit
    from mdsvc.cli.audit.looking import look, tell_unknown

    fleet = look(domains, libvirt, cloud, host_file, **said)
    tell_unknown(fleet)
    findings = audit(fleet)
    guests = sum(len(facts.guests) for facts in fleet)
    looked_at = f"{guests} guest{'s' * (guests != 1)} on {len(fleet)} host{'s' * (len(fleet) != 1)}"
    tell(f"{len(findings) or 'nothing'} found: {looked_at} looked at")
    show({"findings": findings}, lambda: terminal.findings.findings_report(findings))
    return FOUND if findings else 0
