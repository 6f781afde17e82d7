"""The oracle's `flavor` operation: what Nova makes of extra specs and image properties."""
# mypy: disable-error-code="import-not-found,import-untyped,attr-defined,misc"

from typing import Any

import os_resource_classes

from nova import objects
from nova.api.validation.extra_specs import hw
from nova.virt import hardware

Json = dict[str, Any]


def nova_flavor(form: Json) -> Any:
    """Build the Nova flavor of a flavor in the project's JSON form."""
    return objects.Flavor(
        name=form.get("name", ""),
        flavorid=form.get("name", ""),
        vcpus=form["vcpus"],
        memory_mb=form["memory_mb"],
        root_gb=0,
        ephemeral_gb=0,
        swap=0,
        extra_specs=form.get("extra_specs", {}),
    )


def nova_image(form: Json | None) -> Any:
    """Build the Nova image of an image in the project's JSON form."""
    properties = (form or {}).get("properties", {})
    return objects.ImageMeta.from_dict({"name": "image", "properties": dict(properties)})


def known_keys(_request: Json) -> Json:
    """Every name that Nova knows behind `hw:` and `hw_`, and every resource class."""
    validators = vars(hw).values()
    names = [each.name for rows in validators if isinstance(rows, list) for each in rows]
    fields = objects.ImageMetaProps.fields
    return {
        "flavor": sorted(name.removeprefix("hw:").removesuffix(".{num}") for name in names),
        "image": sorted(name.removeprefix("hw_") for name in fields if name.startswith("hw_")),
        "resources": sorted(os_resource_classes.STANDARDS),
    }


def answer(request: Json) -> Json:
    """Run Nova's own constraint functions over one flavor and one image."""
    flavor = nova_flavor(request["flavor"])
    image = nova_image(request.get("image"))
    topology = hardware.numa_get_constraints(flavor, image)
    cells = topology.cells if topology else []
    return {
        "policy": cells[0].cpu_policy if cells else _policy(flavor, image),
        "thread_policy": cells[0].cpu_thread_policy if cells else None,
        "emulator_threads_policy": hardware.get_emulator_thread_policy_constraint(flavor),
        "realtime": sorted(hardware.get_realtime_cpu_constraint(flavor, image) or ()),
        "cells": [_cell(cell) for cell in cells] if topology else None,
    }


def _policy(flavor: Any, image: Any) -> str | None:
    """Return the policy of a guest without a topology, which Nova stores nowhere."""
    shared, _ = hardware._get_vcpu_pcpu_resources(flavor)
    policy: str | None = hardware.get_cpu_policy_constraint(flavor, image)
    return "shared" if shared else policy


def _cell(cell: Any) -> Json:
    return {
        "id": cell.id,
        "cpuset": sorted(cell.cpuset),
        "pcpuset": sorted(cell.pcpuset),
        "memory_mb": cell.memory,
        # KiB, or Nova's symbols: -1 small, -2 large, -3 any.
        "pagesize": cell.pagesize,
    }
