"""Counts as fast as it can, in a file: count.py FILE [CPU], on that CPU alone."""

import mmap
import os
import sys
from pathlib import Path

if len(sys.argv) > 2:
    os.sched_setaffinity(0, {int(sys.argv[2])})
Path(sys.argv[1]).write_bytes(bytes(8))
with Path(sys.argv[1]).open("r+b") as file, mmap.mmap(file.fileno(), 8) as shared:
    number = 0
    while True:
        number += 1
        shared[:] = number.to_bytes(8, "little")
