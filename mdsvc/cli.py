"""The operator's command: arguments to a use of the parts below, and no rules of its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click
from click.shell_completion import get_completion_class

from mdsvc import __version__
from mdsvc.control.hosts import (
    Replaced,
    add_host,
    get_host,
    list_hosts,
    remove_host,
    replace_found_host,
    replace_host,
)
from mdsvc.control.instances import (
    clear_password,
    create_instance,
    delete_instance,
    get_instance,
    get_instance_with_host,
    get_password,
    list_instances,
)
from mdsvc.cpuset import CpuSet
from mdsvc.discovery.capabilities import host_from_capabilities
from mdsvc.discovery.sysfs import local_host
from mdsvc.forms import from_json
from mdsvc.instance import Instance, content_of
from mdsvc.libvirt import PARTS, VirtType, domain_xml
from mdsvc.logs import configure
from mdsvc.names import canonical_uuid
from mdsvc.placing import what_if
from mdsvc.policy.unknown_keys import warnings
from mdsvc.terminal import answers, tables
from mdsvc.terminal.console import (
    CPUS,
    INPUT,
    examples,
    json_option,
    open_input,
    read,
    run,
    settings,
    show,
    show_bytes,
    store_option,
    strict_option,
    tell,
    terminal,
    unknown_keys,
    use,
)
from mdsvc.terminal.host_map import host_map
from mdsvc.topology import Host, described


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "mdsvc demo                              see all of it work, in a minute",
        "mdsvc host import h1 --local --shared 0 --dedicated 1-3",
        "mdsvc instance create guest.json        place a guest; prints where it is",
        "mdsvc serve --guest 169.254.169.254:80  answer guests",
        "mdsvc fit what-if.jsonl                 would it fit? touches no store",
    ),
)
@click.version_option(__version__, prog_name="mdsvc")
def cli() -> None:
    """The instance metadata service for guests whose CPUs matter.

    Results are on stdout, messages on stderr. Exit codes: 0 done, 2 bad usage or input, 3 refused
    (does not fit, conflict), 4 not found, 1 anything else.
    """


# ---- serve ----


@cli.command(
    epilog=examples(
        "mdsvc serve",
        "mdsvc serve --guest 169.254.169.254:80 --network net-a",
        "mdsvc serve --guest '[fe80::a9fe:a9fe%eth1]:80' --netns qrouter-1",
        "MDSVC_SHARED_SECRET=s3cret mdsvc serve --identity neutron --guest 10.0.0.2:8775",
    )
)
@store_option
@click.option("--guest", multiple=True, metavar="ADDR:PORT", help="Where guests ask; repeatable.")
@click.option("--operator", metavar="ADDR:PORT", help="Where operators and monitoring ask.")
@click.option("--identity", type=click.Choice(["address", "neutron"]), help="How to know a guest.")
@click.option("--network", metavar="NAME", help="The network that the guest listener is on.")
@click.option("--netns", metavar="NAME", help="Listen for guests in this network namespace.")
@click.option("--vendor-data", metavar="FILE", help="Static vendor data, a JSON object.")
@click.option(
    "--version-list", type=click.Choice(["nova", "newest"]), help="What /openstack lists."
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Settings in TOML.")
def serve(config: Path | None, **flags: Any) -> None:
    """Run the server until SIGTERM.

    Every setting can stand in the TOML file, as MDSVC_NAME in the environment, or here; the later
    wins. Defaults: guests on 127.0.0.1:8775, operators on 127.0.0.1:8776, identity by address.
    """
    chosen = settings(flags, config)
    configure(chosen.log_level)
    from mdsvc import server  # what only this command needs is slow to import

    def ready(lines: list[str]) -> None:
        for line in lines:
            click.echo(f"mdsvc: {line}", err=True)
        click.echo("mdsvc: ready", err=True)

    asyncio.run(server.serve(chosen, ready))


# ---- hosts ----


@cli.group(epilog=examples("mdsvc host add h1.json", "mdsvc host show h1"))
def host() -> None:
    """Register hosts, and see what is used of them."""


@host.command(
    "add",
    epilog=examples(
        "mdsvc host add h1.json",
        "mdsvc host show h1 --json | jq '.service_version = 2' | mdsvc host add - --replace",
    ),
)
@click.argument("file", type=INPUT)
@click.option("--replace", is_flag=True, help="Describe a registered host anew; guests stay.")
@store_option
@json_option
def host_add(file: Path, replace: bool) -> None:
    """Register the host that FILE describes in JSON (- reads stdin)."""
    if replace:
        described_anew, keeps = described(read(file))
        _show_replaced(use(lambda s: replace_host(s, described_anew, keeps)))
        return
    new = from_json(read(file), Host)
    added = use(lambda s: add_host(s, new))
    show(added, tables.host_detail(added))


def _show_replaced(replaced: Replaced) -> None:
    """Guests that run are not touched by what is written here, so whoever runs them is told."""
    for guest in replaced.renewed:
        who = f"{guest.name} ({guest.uuid}), generation {guest.generation}"
        tell(f"renewed {who}: it floats over other pCPUs now; see `mdsvc instance xml`")
    show(replaced.host, tables.host_detail(replaced.host))


@host.command(
    "import",
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
@store_option
@json_option
def host_import(
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
        _show_replaced(use(lambda s: replace_found_host(s, new, **sets)))
        return
    added = use(lambda s: add_host(s, new))
    show(added, tables.host_detail(added))


@host.command("list", epilog=examples("mdsvc host list --json | jq -r '.[].name'"))
@store_option
@json_option
def host_list() -> None:
    """List the hosts with their use."""
    hosts = use(list_hosts)
    show(hosts, tables.hosts_table(hosts))


@host.command("show", epilog=examples("mdsvc host show h1"))
@click.argument("name")
@store_option
@json_option
def host_show(name: str) -> None:
    """Draw a host: which guest has which CPU."""
    shown, guests = use(lambda s: get_host(s, name))
    show(shown, tables.host_detail(shown), host_map(shown, guests))


@host.command("remove", epilog=examples("mdsvc host remove h1"))
@click.argument("name")
@store_option
def host_remove(name: str) -> None:
    """Forget a host that has no guests."""
    use(lambda s: remove_host(s, name))


# ---- instances ----

_UUID = "1f1c2a0e-6a56-4c1c-9a35-0d7f3c7b6f52"  # in examples


@cli.group(epilog=examples("mdsvc instance create guest.json", "mdsvc instance list"))
def instance() -> None:
    """Place guests, and see where they are."""


@instance.command(
    "create",
    epilog=examples("mdsvc instance create guest.json", "mdsvc instance create - --host h1 --json"),
)
@click.argument("file", type=INPUT)
@click.option("--host", "host_name", metavar="NAME", help="Place it there, and nowhere else.")
@strict_option
@store_option
@json_option
def instance_create(file: Path, host_name: str | None) -> None:
    """Place the guest that FILE describes in JSON (- reads stdin), and print it with its layout.

    Keys of flavor and image that nobody knows are warned of on stderr.
    """
    new, on_unknown = from_json(read(file), Instance), unknown_keys()
    for text in warnings(new.flavor, new.image) if on_unknown == "warn" else ():
        tell(f"warning: {text}")
    placed = use(lambda s: create_instance(s, new, host_name, on_unknown))
    show(placed, tables.instance_detail(placed))


@instance.command("list", epilog=examples("mdsvc instance list --json | jq -r '.[].uuid'"))
@store_option
@json_option
def instance_list() -> None:
    """List the guests with their CPUs."""
    guests = use(list_instances)
    show(guests, tables.instances_table(guests))


@instance.command("show", epilog=examples(f"mdsvc instance show {_UUID}"))
@click.argument("uuid")
@store_option
@json_option
def instance_show(uuid: str) -> None:
    """Show a guest and its layout."""
    guest = use(lambda s: get_instance(s, uuid))
    show(guest, tables.instance_detail(guest))


@instance.command(
    "xml",
    epilog=examples(
        f"mdsvc instance xml {_UUID} | virsh define /dev/stdin",
        f"mdsvc instance xml {_UUID} --only cputune",
    ),
)
@click.argument("uuid")
@click.option("--only", type=click.Choice(list(PARTS)), help="This element alone, if there is one.")
@click.option("--type", "kind", type=click.Choice(["kvm", "qemu"]), default="kvm")
@store_option
def instance_xml(uuid: str, only: str | None, kind: VirtType) -> None:
    """Print a guest as a libvirt domain, pinned to where it is. Disks and networks are yours."""
    guest, where = use(lambda s: get_instance_with_host(s, uuid))
    xml = domain_xml(guest, where, kind, only)
    click.echo(xml or f"mdsvc: this guest needs no <{only}>", nl=not xml, err=not xml)


@instance.command("delete", epilog=examples(f"mdsvc instance delete {_UUID}"))
@click.argument("uuid")
@store_option
def instance_delete(uuid: str) -> None:
    """Remove a guest, and free what it used."""
    use(lambda s: delete_instance(s, uuid))


@instance.command(
    "password",
    epilog=examples(
        f"mdsvc instance password {_UUID} | base64 -d | openssl pkeyutl -decrypt -inkey key.pem",
        f"mdsvc instance password {_UUID} --clear",
    ),
)
@click.argument("uuid")
@click.option("--clear", is_flag=True, help="Forget it, so that the guest can store one again.")
@store_option
@json_option
def instance_password(uuid: str, clear: bool) -> None:
    """Print the encrypted password that a guest has stored, byte for byte as it sent it."""
    if clear:
        use(lambda s: clear_password(s, uuid))
        show_bytes(b"", {"uuid": canonical_uuid(uuid), "deleted": True})
    else:
        password = use(lambda s: get_password(s, uuid))
        show_bytes(password, {"uuid": canonical_uuid(uuid), "password": content_of(password)})


# ---- fit, demo, completion ----


@cli.command(
    epilog=examples(
        """echo '{"host": {…}, "flavor": {…}}' | mdsvc fit""",
        "mdsvc fit questions.jsonl | jq -c 'select(.fits | not) | .message'",
        "mdsvc fit questions.jsonl --explain",
        "mdsvc host list --json > hosts.json; mdsvc fit flavors.jsonl --hosts hosts.json",
        "mdsvc fit questions.jsonl --placement",
    )
)
@click.argument("file", type=INPUT, default="-")
@click.option("--explain", is_flag=True, help="Answer in words, for people.")
@click.option("--hosts", type=INPUT, metavar="HOSTS", help="Choose among these, a JSON list.")
@click.option("--placement", is_flag=True, help="What it is to OpenStack's Placement.")
@strict_option
@json_option
def fit(file: Path, explain: bool, hosts: Path | None, placement: bool) -> None:
    """Answer what-if questions: JSON lines in, one JSON line out for each. Touches no store.

    A question is {"host": HOST, "flavor": FLAVOR, "image": IMAGE}. The image may be left out; with
    --hosts there is no host in it, and with --placement there may be none. These two answer in
    words unless --json is given. Keys that nobody knows are in an answer's warnings. The exit code
    is 0 whatever the answers are.
    """
    if hosts and placement:
        raise click.UsageError("expected one of --hosts and --placement, not both")
    on_unknown = unknown_keys()
    ask: Callable[..., what_if.Answer] = what_if.answer
    if hosts:
        ask = partial(what_if.choice_answer, hosts=from_json(read(hosts), list[Host]))
    elif placement:
        ask = what_if.placement_answer
    in_words = explain or hosts or placement
    with open_input(file) as lines:
        for line in lines:
            answer = ask(line, unknown_keys=on_unknown)
            show(answer, *([answers.in_words(answer)] if in_words else []))


@cli.command(epilog=examples("mdsvc demo", "mdsvc demo --serve"))
@click.option("--serve", is_flag=True, help="Stay up, to be asked by hand, until interrupted.")
def demo(serve: bool) -> None:
    """See it work: real hosts, guests placed, and a real cloud-init that learns its CPUs."""
    from mdsvc.demo.run import run as run_demo

    run_demo(terminal(), stay=serve)


@cli.command(epilog=examples('eval "$(mdsvc completion bash)"', "mdsvc completion fish | source"))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes mdsvc's arguments in your shell."""
    kind = get_completion_class(shell)
    assert kind, "click knows the shells of the choice above"
    click.echo(kind(cli, {}, "mdsvc", "_MDSVC_COMPLETE").source())


def main() -> NoReturn:
    """The ``mdsvc`` command."""
    sys.exit(run(cli))
