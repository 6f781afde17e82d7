"""Some busy threads: threads.py COUNT. Hashing does without the lock that Python threads share."""

import hashlib
import sys
import threading

MUCH = bytes(1 << 20)


def work() -> None:
    while True:
        hashlib.sha256(MUCH)


for _ in range(int(sys.argv[1])):
    threading.Thread(target=work).start()
