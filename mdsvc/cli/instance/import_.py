"""``mdsvc instance import``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mdsvc import terminal
from mdsvc.cli.project import project_option
from mdsvc.cli.where import operator, where_options
from mdsvc.terminal.console import HOST_NAME, INPUT, examples, json_option, read, show, tell

if TYPE_CHECKING:
    from mdsvc.control.adoption import Adopted
    from mdsvc.running import RunningGuest

T = TypeVar("T")


@click.command(
    "import",
    epilog=examples(
        "virsh dumpxml web | mdsvc instance import --domain -",
        "mdsvc instance import --domain dumps/*.xml --host h1",
        "virsh net-dumpxml default > net.xml; "
        "mdsvc instance import --domain web.xml --network net.xml",
    ),
)
@click.option(
    "--domain",
    "domains",
    type=INPUT,
    multiple=True,
    required=True,
    metavar="XML",
    help="What `virsh dumpxml` prints; repeatable, or several files after it.",
)
@click.argument("more", type=INPUT, nargs=-1, metavar="[XML]...")
@click.option(
    "--host",
    "host_name",
    type=HOST_NAME,
    metavar="NAME",
    help="Where they run. [default: the only one]",
)
@click.option(
    "--network",
    "networks",
    type=INPUT,
    multiple=True,
    metavar="XML",
    help="What `virsh net-dumpxml` prints: the addresses that it keeps; repeatable.",
)
@project_option("")
@click.option("--replace", is_flag=True, help="What runs counts more than what is stored of it.")
@where_options
@json_option
def command(
    domains: tuple[Path, ...],
    more: tuple[Path, ...],
    host_name: str | None,
    networks: tuple[Path, ...],
    **how: Any,
) -> None:
    """Take in guests that run on a registered host, with their CPUs as they run.

    All of them, or none: what contradicts the books is named. A guest that is stored as it runs is
    left alone; one that is stored otherwise is a conflict, but for --replace.
    """
    from mdsvc.control.adoption import Terms
    from mdsvc.discovery.domains import guest_from_domain
    from mdsvc.discovery.networks import network_from_xml

    texts = [(file, read(file)) for file in (*domains, *more)]
    guests = [_parsed(file, text, guest_from_domain) for file, text in texts]
    leases = dict(_parsed(file, read(file), network_from_xml) for file in networks)
    terms = Terms(leases=leases, **how)
    adopted = operator().import_guests([text for _, text in texts], host_name, terms)
    _tell_adopted(adopted, guests)
    instances = [each.instance for each in adopted]
    show(instances, lambda: terminal.tables.instances_table(instances))


def _parsed(file: Path, text: bytes, parse: Callable[[bytes], T]) -> T:
    from mdsvc.errors import BadInput

    try:
        return parse(text)
    except BadInput as error:
        message = str(error)
        raise error if message.startswith(f"{file}:") else BadInput(f"{file}: {message}") from None


def _tell_adopted(adopted: Iterable[Adopted], guests: Iterable[RunningGuest]) -> None:
    """What became of each; and who cannot be known by its address, for want of one."""
    running = {guest.uuid: guest for guest in guests}
    for each in adopted:
        instance = each.instance
        tell(f"{each.outcome} {instance.name} ({instance.uuid})")
        networks = {port.network for port in running[instance.uuid].ports if port.network}
        for network in sorted(networks - {address.network for address in instance.addresses}):
            tell(
                f"{instance.name}: no address on {network} is known, so metadata by address does "
                "not know it there; a reservation in --network tells one"
            )
