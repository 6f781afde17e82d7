"""A program with a thread on CPUs of its own: pinned.py CPUS, like the pmd threads of OVS."""

import os
import sys
import threading
import time


def work() -> None:
    os.sched_setaffinity(threading.get_native_id(), set(map(int, sys.argv[1].split(","))))
    while True:
        time.sleep(60)


threading.Thread(target=work).start()
