"""Packs mdguest into one file that runs by itself (zipapp, PEP 441): archive.py FILE.

The same sources give the same bytes; SOURCE_DATE_EPOCH is the time of every file inside.
"""

from __future__ import annotations

import os
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "mdguest"
SHEBANG = b"#!/usr/bin/python3 -I\n"
EARLIEST = 315532800
"""1980, where the time of the ZIP format begins."""


def members() -> Iterator[tuple[str, bytes]]:
    """Names and contents. cpuset.py, a link to mdsvc's, is a file like the others here."""
    yield "__main__.py", (PACKAGE / "__main__.py").read_bytes()
    for path in sorted(PACKAGE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(PACKAGE.parent).as_posix(), path.read_bytes()


def write(target: Path, epoch: int) -> None:
    moment = time.gmtime(max(epoch, EARLIEST))[:6]
    with target.open("wb") as file:
        file.write(SHEBANG)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name, content in members():
                info = zipfile.ZipInfo(name, moment)
                info.create_system = 3  # Unix, wherever this runs
                info.external_attr = 0o100644 << 16
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, content)
    target.chmod(0o755)


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(os.environ["SOURCE_DATE_EPOCH"]))
