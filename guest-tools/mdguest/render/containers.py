"""Containers on dedicated CPUs without Kubernetes: Docker, Podman, and compose files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdguest.render import systemd
from mdguest.render.heading import Guide, heading

if TYPE_CHECKING:
    from mdguest.render.split import Split

DOCKER = "/etc/default/mdguest-docker"
PODMAN = "/etc/containers/systemd/NAME.container.d/50-dedicated.conf"
COMPOSE = "compose.override.yaml"

PINNING = """
Do not add a CPU set (--cpuset-cpus, cpuset): Docker has read at its own start which CPUs there are,
and refuses the pool's since. Inside, the program sees all of CPUs {dedicated}, and pins its threads
itself, or by taskset. Containers share the pool with one another and with what `mdguest run`
starts: let each have CPUs of its own.
"""

DRIVER = """
It needs cgroup version 2 and the systemd cgroup driver, the default there: `docker info` says
"Cgroup Driver: systemd".
"""

QUADLET = """
For `podman run` it is --cgroup-parent=dedicated.slice. Drop-ins for containers of systemd (Quadlet)
are read by Podman 5.0 and later; in older ones put the lines into NAME.container itself.
"""


def docker(cpus: Split) -> str:
    """A shell variable for ``docker run``."""
    guide = Guide(
        put=DOCKER,
        activate=f"docker run $DOCKER_ARGS IMAGE, after . {DOCKER}, "
        f"or in a unit with EnvironmentFile={DOCKER}",
        undo="remove this file and its uses; start the containers anew",
        notes=DRIVER + PINNING.format(dedicated=cpus.pool) + systemd.spreading(cpus),
    )
    return heading("docker", cpus, guide) + 'DOCKER_ARGS="--cgroup-parent=dedicated.slice"\n'


def podman(cpus: Split) -> str:
    """A drop-in for a container that systemd runs."""
    guide = Guide(
        put=f"{PODMAN}, where NAME.container is yours",
        activate="systemctl daemon-reload; systemctl restart NAME",
        undo="remove this file; systemctl daemon-reload; systemctl restart NAME",
        notes=QUADLET + systemd.spreading(cpus),
    )
    return heading("podman", cpus, guide) + systemd.SETTINGS.format(dedicated=cpus.pool)


def compose(cpus: Split) -> str:
    """An override file for a service of a compose file."""
    guide = Guide(
        put=f"{COMPOSE}, beside your compose.yaml; NAME is the service",
        activate="docker compose up -d",
        undo="remove this file; docker compose up -d",
        notes=DRIVER + PINNING.format(dedicated=cpus.pool) + systemd.spreading(cpus),
    )
    return (
        heading("compose", cpus, guide) + "services:\n  NAME:\n    cgroup_parent: dedicated.slice\n"
    )
