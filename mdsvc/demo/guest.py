"""Playing the guest: Debian's own cloud-init, unchanged, in the guest's network namespace."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from mdsvc.demo.network import enter
from mdsvc.errors import MdsvcError

_PYTHON = "/usr/bin/python3"
_SECONDS = 60


def cloud_init() -> Path | None:
    """Where `make setup` has unpacked cloud-init; None where it has not."""
    path = Path(__file__).parents[2] / ".cache/cloud-init/usr/lib/python3/dist-packages"
    return path if path.is_dir() else None


async def boot(namespace: str, packages: Path) -> dict[str, Any]:
    """What cloud-init makes of the metadata that it finds from inside the namespace.

    The keys are those of ``crawl.py``. Raises MdsvcError when it finds none.
    """
    with tempfile.TemporaryDirectory(prefix="mdsvc-boot-") as directory:  # it may be killed
        process = await asyncio.create_subprocess_exec(
            _PYTHON,
            "-P",
            str(Path(__file__).with_name("crawl.py")),
            env={**os.environ, "PYTHONPATH": str(packages), "TMPDIR": directory},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=partial(enter, namespace),
        )
        out, errors = await _communicate(process)
    if process.returncode:
        raise MdsvcError(f"cloud-init found no metadata: {errors.decode().strip()}")
    learned: dict[str, Any] = json.loads(out)
    return learned


async def _communicate(process: asyncio.subprocess.Process) -> tuple[bytes, bytes]:
    try:
        async with asyncio.timeout(_SECONDS):
            return await process.communicate()
    except TimeoutError:
        raise MdsvcError(f"cloud-init found no end within {_SECONDS} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
