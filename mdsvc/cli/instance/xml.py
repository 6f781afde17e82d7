"""``mdsvc instance xml``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mdsvc.cli.instance import UUID
from mdsvc.cli.where import operator, where_options
from mdsvc.terminal.console import examples

if TYPE_CHECKING:
    from mdsvc.libvirt import VirtType

PARTS = ("memoryBacking", "vcpu", "iothreads", "cputune", "numatune", "cpu")
"""Those of ``libvirt``, which a ``--help`` need not wait for."""


@click.command(
    epilog=examples(
        f"mdsvc instance xml {UUID} | virsh define /dev/stdin",
        f"mdsvc instance xml {UUID} --only cputune",
    ),
)
@click.argument("uuid")
@click.option("--only", type=click.Choice(PARTS), help="This element alone, if there is one.")
@click.option("--type", "kind", type=click.Choice(["kvm", "qemu"]), default="kvm")
@where_options
def command(uuid: str, only: str | None, kind: VirtType) -> None:
    """Print a guest as a libvirt domain, pinned to where it is. Disks and networks are yours."""
    from mdsvc.libvirt import domain_xml

    guest, where = operator().get_instance_with_host(uuid)
    xml = domain_xml(guest, where, kind, only)
    click.echo(xml or f"mdsvc: this guest needs no <{only}>", nl=not xml, err=not xml)
