"""``mdsvc doctor``."""

from __future__ import annotations

import click

from mdsvc.terminal.console import examples, json_option, settings, show

_EXAMPLE = "1f1c2a0e-6a56-4c1c-9a35-0d7f3c7b6f52"

_METADATA = "169.254.169.254:80"
"""Where every guest asks."""


@click.command(
    epilog=examples(
        "mdsvc doctor                               the server of these settings",
        "mdsvc doctor http://169.254.169.254        inside a guest, of any cloud",
        "mdsvc doctor --client cloud-init-22.4 --client mdguest --json",
        f"mdsvc doctor http://10.0.0.2:8775 --instance {_EXAMPLE} --project p1",
    ),
)
@click.argument("url", required=False)
@click.option("--client", "names", multiple=True, metavar="NAME", help="Only this one; repeatable.")
@click.option("--instance", metavar="UUID", help="Ask as this guest, as Neutron's agent would.")
@click.option("--project", metavar="ID", help="The project that the guest is of.")
@json_option
def command(
    url: str | None, names: tuple[str, ...], instance: str | None, project: str | None
) -> int:
    """Replay real guests' boots against a metadata service, and say what each learns of its CPUs.

    cloud-init, Ignition, Afterburn, cloudbase-init, Talos, cloud-provider-openstack, CirrOS,
    systemd-imdsd, the AWS SDKs and mdguest: what they ask is asked, in their order, with a new
    connection each time. The guest is the one that has this machine's address there; with
    --instance and --project requests are signed with MDSVC_SHARED_SECRET. Nothing is changed.
    Exit code 0 where all clients work, 3 where one does not.
    """
    import asyncio

    from mdsvc import doctor
    from mdsvc.nova.addresses import parse_upstream
    from mdsvc.terminal.boots import boots_table

    chosen = settings({})
    clients = [doctor.client_named(name) for name in names] or doctor.CLIENTS
    headers = _signed(instance, project, chosen.shared_secret)
    asked = url or _own(chosen.guest_listeners)
    try:
        parse_upstream(asked, "URL")
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    reports = asyncio.run(doctor.examine(asked, headers, clients))
    show(reports, boots_table(reports))
    return 0 if all(report.works for report in reports) else 3


def _own(listeners: tuple[str, ...]) -> str:
    """Where the server of these settings is asked."""
    where = next(iter(listeners), _METADATA)
    return where if where.startswith("unix:") else f"http://{where}"


def _signed(instance: str | None, project: str | None, secrets: tuple[str, ...]) -> dict[str, str]:
    from mdsvc.identity.neutron import signed
    from mdsvc.names import canonical_uuid

    if (instance is None) is not (project is None):
        raise click.UsageError("expected --instance and --project together")
    if instance is None or project is None:
        return {}
    if not secrets:
        raise click.UsageError("--instance: expected MDSVC_SHARED_SECRET, to sign requests with")
    return signed(canonical_uuid(instance), project, secrets[0])
