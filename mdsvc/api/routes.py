"""The table of routes: routing, the OpenAPI document, the documentation's table and what read-only
tokens may do are derived from it.
"""

from __future__ import annotations

from typing import Any

from mdsvc.api import events, fit, hosts, instances, openapi, probes
from mdsvc.api.examples import FIT, HOST, IMPORT, INSTANCE, MIGRATE, REBUILD, RESIZE
from mdsvc.api.pages import HostsQuery, InstancesQuery
from mdsvc.api.route import BYTES, EVENTS, XML, Route
from mdsvc.control.adoption import Imported
from mdsvc.instance import Instance, PlacedInstance
from mdsvc.locking import UserDataLock
from mdsvc.metrics import KIND as METRICS
from mdsvc.placing.what_if import Fits, OpenQuestion, Refusal
from mdsvc.reports.drift import GuestStatus
from mdsvc.topology import Host, described

ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/healthz",
        handler=probes.get_healthz,
        answers={200: probes.Status},
        reads=True,
        is_open=True,
    ),
    Route(
        method="GET",
        path="/readyz",
        handler=probes.get_readyz,
        answers={200: probes.Status},
        reads=True,
        is_open=True,
    ),
    Route(
        method="GET",
        path="/metrics",
        handler=probes.get_metrics,
        answers={200: bytes},
        kind=METRICS,
        reads=True,
    ),
    Route(
        method="GET",
        path="/openapi.json",
        handler=openapi.get_openapi,
        answers={200: dict[str, Any]},
        reads=True,
    ),
    # ---- hosts ----
    Route(
        method="GET",
        path="/v1/hosts",
        handler=hosts.list_hosts,
        query=HostsQuery,
        answers={200: hosts.Hosts},
        reads=True,
    ),
    Route(
        method="POST",
        path="/v1/hosts",
        handler=hosts.create_host,
        body=Host,
        answers={200: Host, 201: Host},
        errors=("conflict",),
        example=HOST,
    ),
    Route(
        method="GET",
        path="/v1/hosts/{name}",
        handler=hosts.get_host,
        answers={200: Host},
        errors=("not_found",),
        reads=True,
    ),
    Route(
        method="PUT",
        path="/v1/hosts/{name}",
        handler=hosts.put_host,
        body=Host,
        reader=described,
        answers={200: Host, 201: Host},
        errors=("not_found", "conflict", "precondition_failed"),
        header="If-Match",
        example=HOST,
    ),
    Route(
        method="DELETE",
        path="/v1/hosts/{name}",
        handler=hosts.delete_host,
        answers={204: None},
        errors=("not_found", "conflict", "precondition_failed"),
        header="If-Match",
    ),
    Route(
        method="PUT",
        path="/v1/hosts/{name}/drain",
        handler=hosts.put_drain,
        answers={200: Host},
        errors=("not_found", "conflict"),
    ),
    Route(
        method="DELETE",
        path="/v1/hosts/{name}/drain",
        handler=hosts.delete_drain,
        answers={200: Host},
        errors=("not_found", "conflict"),
    ),
    Route(
        method="POST",
        path="/v1/hosts/{name}/import",
        handler=hosts.import_guests,
        body=hosts.Import,
        answers={200: Imported},
        errors=("not_found", "conflict"),
        example=IMPORT,
    ),
    # ---- instances ----
    Route(
        method="GET",
        path="/v1/instances",
        handler=instances.list_instances,
        query=InstancesQuery,
        answers={200: instances.Instances},
        reads=True,
    ),
    Route(
        method="POST",
        path="/v1/instances",
        handler=instances.create_instance,
        query=instances.WhereQuery,
        body=Instance,
        answers={200: PlacedInstance, 201: PlacedInstance},
        errors=("not_found", "invalid_request", "conflict", "does_not_fit"),
        placed=(201,),
        example=INSTANCE,
    ),
    Route(
        method="GET",
        path="/v1/instances/{uuid}",
        handler=instances.get_instance,
        answers={200: PlacedInstance},
        errors=("not_found",),
        reads=True,
    ),
    Route(
        method="PUT",
        path="/v1/instances/{uuid}",
        handler=instances.put_instance,
        body=Instance,
        answers={200: PlacedInstance},
        errors=("not_found", "conflict", "precondition_failed"),
        header="If-Match",
        example=INSTANCE,
    ),
    Route(
        method="DELETE",
        path="/v1/instances/{uuid}",
        handler=instances.delete_instance,
        answers={204: None},
        errors=("not_found", "conflict", "precondition_failed"),
        header="If-Match",
    ),
    Route(
        method="POST",
        path="/v1/instances/{uuid}/resize",
        handler=instances.resize_instance,
        body=instances.Resize,
        answers={200: PlacedInstance},
        errors=("not_found", "invalid_request", "conflict", "does_not_fit"),
        placed=(200,),
        example=RESIZE,
    ),
    Route(
        method="POST",
        path="/v1/instances/{uuid}/migrate",
        handler=instances.migrate_instance,
        body=instances.Migrate,
        answers={200: PlacedInstance},
        errors=("not_found", "invalid_request", "conflict", "does_not_fit"),
        placed=(200,),
        example=MIGRATE,
    ),
    Route(
        method="POST",
        path="/v1/instances/{uuid}/rebuild",
        handler=instances.rebuild_instance,
        body=instances.Rebuild,
        answers={200: PlacedInstance},
        errors=("not_found", "invalid_request", "conflict", "does_not_fit"),
        example=REBUILD,
    ),
    Route(
        method="GET",
        path="/v1/instances/{uuid}/status",
        handler=instances.get_status,
        answers={200: GuestStatus},
        errors=("not_found",),
        reads=True,
    ),
    Route(
        method="GET",
        path="/v1/instances/{uuid}/password",
        handler=instances.get_password,
        answers={200: bytes},
        errors=("not_found",),
        kind=BYTES,
        reads=True,
    ),
    Route(
        method="DELETE",
        path="/v1/instances/{uuid}/password",
        handler=instances.delete_password,
        answers={204: None},
        errors=("not_found",),
    ),
    Route(
        method="GET",
        path="/v1/instances/{uuid}/lock",
        handler=instances.get_lock,
        answers={200: UserDataLock},
        errors=("not_found",),
        reads=True,
    ),
    Route(
        method="PUT",
        path="/v1/instances/{uuid}/lock",
        handler=instances.put_lock,
        answers={200: UserDataLock},
        errors=("not_found",),
    ),
    Route(
        method="DELETE",
        path="/v1/instances/{uuid}/lock",
        handler=instances.delete_lock,
        answers={200: UserDataLock},
        errors=("not_found",),
    ),
    Route(
        method="GET",
        path="/v1/instances/{uuid}/domain",
        handler=instances.get_domain,
        answers={200: bytes},
        errors=("not_found", "conflict"),
        kind=XML,
        reads=True,
    ),
    # ---- what-if, events ----
    Route(
        method="GET",
        path="/v1/events",
        handler=events.follow_events,
        answers={200: bytes},
        kind=EVENTS,
        header="Last-Event-ID",
        reads=True,
    ),
    Route(
        method="POST",
        path="/v1/fit",
        handler=fit.ask_fit,
        body=OpenQuestion,
        answers={200: (Fits, Refusal)},
        reads=True,
        example=FIT,
    ),
)
