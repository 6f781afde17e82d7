"""``mdsvc audit``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from mdsvc import survey
from mdsvc.auditing import Facts, audit
from mdsvc.cpuset import EMPTY
from mdsvc.discovery.host_settings import isolcpus, nova_conf, pmd_mask
from mdsvc.errors import BadInput
from mdsvc.terminal.console import INPUT, examples, json_option, read, show, tell
from mdsvc.terminal.findings import findings_report

T = TypeVar("T")

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
    hosts = _hosts(host_file, bool(said.pop("local")))
    given = _given(**said)
    fleet = [survey.with_given(facts, given) for facts in _fleet(domains, libvirt, cloud, hosts)]
    _tell_unknown(fleet)
    findings = audit(fleet)
    guests = sum(len(facts.guests) for facts in fleet)
    looked_at = f"{guests} guest{'s' * (guests != 1)} on {len(fleet)} host{'s' * (len(fleet) != 1)}"
    tell(f"{len(findings) or 'nothing'} found: {looked_at} looked at")
    show({"findings": findings}, findings_report(findings))
    return FOUND if findings else 0


def _given(nova: Sequence[Path], pmd: str | None, cmdline: Path | None) -> survey.Given:
    """What the operator says of the host. Raises BadInput naming the file or option."""
    texts = [_read(file, _nova_text) for file in nova]
    return survey.Given(
        nova=nova_conf(*texts) if texts else None,
        pmd=pmd_mask(pmd) if pmd else EMPTY,
        isolated=_read(cmdline, lambda text: isolcpus(_text(text))) if cmdline else EMPTY,
    )


def _nova_text(data: bytes) -> str:
    """Each of them is right by itself too, or the error could not name it. Raises BadInput."""
    text = _text(data)
    nova_conf(text)
    return text


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")


def _read(file: Path, parse: Callable[[bytes], T]) -> T:
    try:
        return parse(read(file))
    except BadInput as error:
        message = str(error)
        raise error if message.startswith(f"{file}:") else BadInput(f"{file}: {message}") from None


def _hosts(file: Path | None, local: bool) -> list[Facts]:
    if file and local:
        raise click.UsageError("expected one of --host and --local, not both")
    if file:
        return _read(file, survey.hosts_from_json)
    return [survey.this_host()] if local else []


def _fleet(
    domains: Path | None, libvirt: str | None, cloud: str | None, hosts: Sequence[Facts]
) -> list[Facts]:
    if domains is not None:
        return survey.from_folder(domains, hosts)
    if libvirt is not None:
        return survey.from_libvirt(libvirt, hosts)
    assert cloud is not None, "one of the three is given"
    return survey.from_cloud(cloud, hosts, os.environ)


def _tell_unknown(fleet: Sequence[Facts]) -> None:
    """Silence must not be taken for more than it is. One line for all hosts: there may be many."""
    sets = [facts.name for facts in fleet if facts.shared is None and facts.dedicated is None]
    cells = [facts.name for facts in fleet if facts.topology is None]
    if sets:
        tell(
            f"{_hosts_named(sets)} sets are not known, so each vCPU that is pinned to one "
            "pCPU counts as dedicated; --host or --nova-conf tell them"
        )
    if cells:
        tell(
            f"{_hosts_named(cells)} cells are not known, so siblings and memory are not "
            "looked at; --host or --local tell them"
        )


_NAMED = 5


def _hosts_named(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"host {names[0]}: its"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"hosts {', '.join(names[:_NAMED])}{more}: their"
