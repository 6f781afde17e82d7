"""``mdsvc instance xml``."""

from __future__ import annotations

import click

from mdsvc.cli.instance import UUID
from mdsvc.control.instances import get_instance_with_host
from mdsvc.libvirt import PARTS, VirtType, domain_xml
from mdsvc.terminal.console import examples, store_option, use


@click.command(
    epilog=examples(
        f"mdsvc instance xml {UUID} | virsh define /dev/stdin",
        f"mdsvc instance xml {UUID} --only cputune",
    ),
)
@click.argument("uuid")
@click.option("--only", type=click.Choice(list(PARTS)), help="This element alone, if there is one.")
@click.option("--type", "kind", type=click.Choice(["kvm", "qemu"]), default="kvm")
@store_option
def command(uuid: str, only: str | None, kind: VirtType) -> None:
    """Print a guest as a libvirt domain, pinned to where it is. Disks and networks are yours."""
    guest, where = use(lambda s: get_instance_with_host(s, uuid))
    xml = domain_xml(guest, where, kind, only)
    click.echo(xml or f"mdsvc: this guest needs no <{only}>", nl=not xml, err=not xml)
