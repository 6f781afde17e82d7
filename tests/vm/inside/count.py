"""Counts in a file: count.py FILE [CPU [PAUSE]], on that CPU alone, as fast as it can or slower."""

import mmap
import os
import sys
import time
from pathlib import Path

if len(sys.argv) > 2:
    os.sched_setaffinity(0, {int(sys.argv[2])})
Path(sys.argv[1]).write_bytes(bytes(8))
with Path(sys.argv[1]).open("r+b") as file, mmap.mmap(file.fileno(), 8) as shared:
    number, pause = 0, float(sys.argv[3]) if len(sys.argv) > 3 else 0
    while True:
        number += 1
        shared[:] = number.to_bytes(8, "little")
        if pause:
            time.sleep(pause)
