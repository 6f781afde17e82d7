"""What libvirt says of a host and its guests, by `virsh --readonly`: a program, so that no binding
has to be installed, and the libvirt that is asked may be of any version, here or far away.
"""

from __future__ import annotations

import os
import re
import subprocess

import msgspec

from mdsvc.errors import BadInput, MdsvcError, Unavailable

SECONDS = 60
"""How long one answer may take, over SSH too."""


class Virsh(msgspec.Struct, frozen=True):
    """A libvirt, by its URI. Every method raises MdsvcError with what virsh says."""

    uri: str

    def hostname(self) -> str:
        """The name of the host."""
        return self._ask("hostname").strip()

    def capabilities(self) -> str:
        """The host's ``<capabilities>``."""
        return self._ask("capabilities")

    def domains(self) -> list[tuple[str, str]]:
        """UUID and XML of every domain, whether it runs or not: one that does not takes its CPUs as
        soon as it does. One that goes meanwhile is left out.
        """
        domains = []
        for uuid in self._uuids():
            try:
                domains.append((uuid, self._ask("dumpxml", uuid)))
            except MdsvcError:
                if uuid in self._uuids():
                    raise
        return domains

    def _uuids(self) -> list[str]:
        return re.findall(r"[0-9a-fA-F-]{36}", self._ask("list", "--all", "--uuid"))

    def _ask(self, *command: str) -> str:
        words = ["virsh", "--quiet", "--readonly", "--connect", self.uri, *command]
        try:
            done = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SECONDS,
                check=False,
                env=os.environ | {"LC_ALL": "C.UTF-8"},
            )
        except FileNotFoundError:
            raise MdsvcError("expected virsh; install the package libvirt-clients") from None
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{self.uri}: no answer within {SECONDS} s") from None
        if done.returncode:
            said = " ".join(done.stderr.decode(errors="replace").split())
            raise _failed(f"{self.uri}: {said.removeprefix('error: ')}")
        return done.stdout.decode(errors="replace")


def _failed(message: str) -> MdsvcError:
    """A URI that cannot be one is bad input; all else may be another way in a moment."""
    wrong = "no connection driver available" in message or "unable to parse" in message.lower()
    return BadInput(message) if wrong else Unavailable(message)
