#!/usr/bin/python3 -IS
"""libvirt's hook for mdsvc: notes what becomes of a guest, and returns.

libvirt runs it as /etc/libvirt/hooks/qemu.d/mdsvc GUEST OPERATION SUB-OPERATION EXTRA, with the
domain on stdin. Where it failed, a guest would not start; where it asked libvirt anything, that
would wait for it. So it writes one small file, asks nobody, says nothing on stdout, and ends with 0
whatever happens. `mdsvc hook run` reads the files.

It needs Python and nothing else, as it is copied to hosts: it imports nothing of mdsvc.
"""

import json
import os
import sys
import time

SPOOL = "/run/mdsvc/hook"
MAX_XML = 16 * 1024 * 1024
COMES = ("prepare", "start", "started", "restore", "reconnect", "attach", "migrate")
GOES = ("stopped", "release")


def note(guest: str, operation: str, xml: bytes) -> None:
    """Write the note whole or not at all; names sort by the time since the machine started, which
    nobody sets back.
    """
    os.makedirs(SPOOL, mode=0o700, exist_ok=True)
    path = f"{SPOOL}/{time.monotonic_ns():020}-{os.getpid()}"
    try:
        with open(path + ".new", "wb") as file:
            file.write(json.dumps({"guest": guest, "operation": operation}).encode() + b"\n" + xml)
        os.rename(path + ".new", path + ".note")
    except OSError:
        if os.path.exists(path + ".new"):
            os.unlink(path + ".new")  # the disk is full enough
        raise


def main() -> None:
    """What libvirt says, noted."""
    try:
        xml = sys.stdin.buffer.read(MAX_XML + 1)
        guest, operation = sys.argv[1:3]
        if operation in COMES + GOES and len(xml) <= MAX_XML:
            note(guest, operation, xml)
    except Exception as error:  # noqa: BLE001  # nothing may keep a guest from starting
        print(f"mdsvc hook: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
