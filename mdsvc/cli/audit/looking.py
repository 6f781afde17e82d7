"""What ``mdsvc audit`` looks at: a fleet, with what is said of its hosts."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from mdsvc import survey
from mdsvc.auditing import Facts
from mdsvc.cpuset import EMPTY
from mdsvc.discovery.host_settings import isolcpus, nova_conf, pmd_mask
from mdsvc.errors import BadInput
from mdsvc.terminal.console import read, tell

T = TypeVar("T")


def look(
    domains: Path | None,
    libvirt: str | None,
    cloud: str | None,
    host_file: Path | None,
    **said: Any,
) -> list[Facts]:
    """The fleet of one of the three, and of its hosts what the other options say."""
    hosts = _hosts(host_file, bool(said.pop("local")))
    given = _given(**said)
    return [survey.with_given(facts, given) for facts in _fleet(domains, libvirt, cloud, hosts)]


def _given(nova: Sequence[Path], pmd: str | None, cmdline: Path | None) -> survey.Given:
    """What the operator says of the host. Raises BadInput naming the file or option."""
    texts = [_read(file, _nova_text) for file in nova]
    return survey.Given(
        nova=nova_conf(*texts) if texts else None,
        pmd=EMPTY if pmd is None else pmd_mask(pmd),
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


def tell_unknown(fleet: Sequence[Facts]) -> None:
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
