"""``mdsvc serve``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from mdsvc.terminal.console import examples, settings, store_option

_TIDY = 5_000, 10, 200
"""When Python looks for what holds itself in being (``gc.set_threshold``). Hardly anything does,
and a look at all that is there takes a tenth of a second where thousands wait.
"""


@click.command(
    epilog=examples(
        "mdsvc serve",
        "mdsvc serve --guest 169.254.169.254:80 --network net-a",
        "mdsvc serve --guest '[fe80::a9fe:a9fe%eth1]:80' --netns metadata",
        "mdsvc serve --netns blue=net-a --netns green=net-b --netns-add-addresses 'tap*'",
        "mdsvc serve --netns-prefix ovnmeta-",
        "MDSVC_SHARED_SECRET=s3cret mdsvc serve --identity neutron --guest 10.0.0.2:8775",
        "MDSVC_SHARED_SECRET=s3cret mdsvc serve --identity neutron --upstream http://nova:8775",
        "mdsvc serve --vendordata 10.0.0.2:8777 --cloud mycloud",
    )
)
@store_option
@click.option(
    "--guest",
    multiple=True,
    metavar="ADDR:PORT",
    help="Where guests ask, or unix:/PATH; repeatable.",
)
@click.option(
    "--operator", metavar="ADDR:PORT", help="Where operators and monitoring ask, or unix:/PATH."
)
@click.option(
    "--tls-certificate", metavar="FILE", help="The operators' listener speaks TLS; read at SIGHUP."
)
@click.option("--tls-key", metavar="FILE", help="Its key, where that is in a file of its own.")
@click.option("--identity", type=click.Choice(["address", "neutron"]), help="How to know a guest.")
@click.option(
    "--upstream",
    multiple=True,
    metavar="URL",
    help="Nova's metadata service, in front of which this is: http://HOST:PORT, https://… or "
    "unix:/PATH; repeatable. Needs no store.",
)
@click.option("--network", metavar="NAME", help="The network that the guest listener is on.")
@click.option(
    "--netns",
    multiple=True,
    metavar="NAME=NETWORK",
    help="Listen for that network's guests in this namespace of /run/netns, once it is there; "
    "repeatable. NAME alone: where --guest is.",
)
@click.option(
    "--netns-prefix",
    metavar="P",
    help="Listen in each namespace that is called P and a network's name.",
)
@click.option(
    "--netns-add-addresses",
    metavar="PATTERN",
    help="Add 169.254.169.254 and fe80::a9fe:a9fe to interfaces of such names there, like 'tap*'.",
)
@click.option(
    "--vendor-data", metavar="FILE", help="Static vendor data, a JSON object; read at SIGHUP too."
)
@click.option(
    "--vendordata-dynamic-targets",
    multiple=True,
    metavar="NAME@URL",
    help="A service of yours that is asked for vendor data, as by Nova; repeatable.",
)
@click.option(
    "--vendordata",
    metavar="ADDR:PORT",
    help="Where Nova asks for vendor data, or unix:/PATH: the target of its DynamicJSON.",
)
@click.option(
    "--vendordata-layouts",
    type=click.Choice(["store", "cloud"]),
    help="Who knows the layouts for it: our store, or Nova, the default where there is a --cloud.",
)
@click.option(
    "--cloud", metavar="NAME", help="The cloud that Nova is of, by its entry in clouds.yaml."
)
@click.option(
    "--version-list", type=click.Choice(["nova", "newest"]), help="What /openstack lists."
)
@click.option("--workers", metavar="N", type=int, help="How many processes answer guests.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--log-format", type=click.Choice(["text", "json"]), help="JSON: an object a line.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Settings in TOML.")
def command(config: Path | None, **flags: Any) -> None:
    """Run the server until SIGTERM.

    Every setting can stand in the TOML file, as MDSVC_NAME in the environment, or here; the later
    wins. Defaults: guests on 127.0.0.1:8775, operators on 127.0.0.1:8776, identity by address.
    """
    import gc
    from contextlib import ExitStack

    from mdsvc.logs import configure, said
    from mdsvc.workers import Failed, shared_figures

    for name in ("upstream", "vendordata_dynamic_targets"):
        flags[name] = ",".join(flags[name]) or None  # each may be several
    chosen = settings(flags, config)
    configure(chosen.log_level, chosen.log_format)
    gc.set_threshold(*_TIDY)

    def ready(lines: list[str]) -> None:
        gc.freeze()  # what is there now stays, and need not be looked through again
        for line in (*lines, "ready"):
            click.echo(said(line, chosen.log_format), err=True)

    with ExitStack() as stack:
        if chosen.workers > 1:
            stack.enter_context(shared_figures())
        from mdsvc import processes  # imports prometheus-client

        try:
            processes.run(chosen, ready)
        except Failed as error:
            sys.exit(error.code)
