"""What each mode wants, area by area: functions of the facts that yield steps in order."""

from __future__ import annotations

from mdguest.isolation.wants.exempt import exempt, partitions, pods, released
from mdguest.isolation.wants.groups import fence, siblings
from mdguest.isolation.wants.kernel import KERNEL
from mdguest.isolation.wants.kubelet import KUBELET_FILE, kubelet
from mdguest.isolation.wants.pool import (
    NATIVE_FILE,
    SLICE_FILE,
    partition,
    pool,
    raw_pool,
    subsets,
)
from mdguest.isolation.wants.scene import Want
from mdguest.isolation.wants.tasks import tasks

WANTS: dict[str, tuple[Want, ...]] = {
    "partition": (
        *(siblings, *KERNEL),
        *(released, pool, exempt, partition, partitions),
        *(subsets, tasks),
    ),
    "kubernetes": (fence, pods, *KERNEL, exempt, kubelet, tasks),
    "fence": (fence, *KERNEL, released, pool, exempt, subsets, tasks),
    "raw": (
        *(siblings, *KERNEL),
        *(released, raw_pool, exempt, partition, partitions),
        *(subsets, tasks),
    ),
}

FILES = (SLICE_FILE, KUBELET_FILE, NATIVE_FILE)
"""The files that mdguest writes for others to read, or has systemd write."""
