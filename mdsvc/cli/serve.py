"""``mdsvc serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mdsvc.terminal.console import examples, settings, store_option


@click.command(
    epilog=examples(
        "mdsvc serve",
        "mdsvc serve --guest 169.254.169.254:80 --network net-a",
        "mdsvc serve --guest '[fe80::a9fe:a9fe%eth1]:80' --netns qrouter-1",
        "MDSVC_SHARED_SECRET=s3cret mdsvc serve --identity neutron --guest 10.0.0.2:8775",
        "MDSVC_SHARED_SECRET=s3cret mdsvc serve --identity neutron --upstream http://nova:8775",
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
@click.option("--netns", metavar="NAME", help="Listen for guests in this network namespace.")
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
    "--version-list", type=click.Choice(["nova", "newest"]), help="What /openstack lists."
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Settings in TOML.")
def command(config: Path | None, **flags: Any) -> None:
    """Run the server until SIGTERM.

    Every setting can stand in the TOML file, as MDSVC_NAME in the environment, or here; the later
    wins. Defaults: guests on 127.0.0.1:8775, operators on 127.0.0.1:8776, identity by address.
    """
    import asyncio
    import gc

    from mdsvc import server
    from mdsvc.logs import configure

    for name in ("upstream", "vendordata_dynamic_targets"):
        flags[name] = ",".join(flags[name]) or None  # each may be several
    chosen = settings(flags, config)
    configure(chosen.log_level)
    gc.set_threshold(700, 10, 10)  # Python's own: what runs for long tidies up as it goes

    def ready(lines: list[str]) -> None:
        for line in lines:
            click.echo(f"mdsvc: {line}", err=True)
        click.echo("mdsvc: ready", err=True)

    asyncio.run(server.serve(chosen, ready))
