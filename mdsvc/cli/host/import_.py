"""``mdsvc host import``."""

from __future__ import annotations

from pathlib import Path

import click

from mdsvc import terminal
from mdsvc.cli.host.replaced import show_replaced
from mdsvc.cli.where import operator, where_options
from mdsvc.cpuset import CpuSet
from mdsvc.terminal.console import CPUS, INPUT, examples, json_option, read, show, tell


@click.command(
    epilog=examples(
        "virsh capabilities | mdsvc host import h1 --capabilities - --shared 0-3 --dedicated 4-31",
        "mdsvc host import me --local --dedicated 1",
        "virsh capabilities | mdsvc host import h1 --capabilities - --replace",
    ),
)
@click.argument("name")
@click.option("--capabilities", type=INPUT, metavar="XML", help="What `virsh capabilities` prints.")
@click.option("--local", is_flag=True, help="This machine itself, from its sysfs.")
@click.option("--shared", type=CPUS, help="cpu_shared_set, like 0-3,8. [default: all, or none]")
@click.option("--dedicated", type=CPUS, help="cpu_dedicated_set. [default: none]")
@click.option("--replace", is_flag=True, help="Look at a registered host anew; guests stay.")
@where_options
@json_option
def command(
    name: str,
    capabilities: Path | None,
    local: bool,
    replace: bool,
    **sets: CpuSet | None,
) -> None:
    """Register host NAME with the topology that libvirt or this machine's kernel reports.

    Without --shared and --dedicated every CPU is shared; with one of them the other is empty. With
    --replace a registered host keeps its sets where they are not given, and all its settings.
    """
    from mdsvc.discovery.capabilities import host_from_capabilities
    from mdsvc.discovery.sysfs import local_host

    if (capabilities is None) is not local:
        raise click.UsageError("expected one of --capabilities XML and --local")
    if capabilities:
        found = host_from_capabilities(read(capabilities), name, **sets)
    else:
        found = local_host(name, sets["shared"], sets["dedicated"])
    for note in found.notes:
        tell(note)
    new = found.host
    if replace:
        show_replaced(operator().replace_found_host(new, **sets))
        return
    added = operator().add_host(new)
    show(added, lambda: terminal.tables.host_detail(added))
