"""One connection from the guest: passes standard input to a port of this host, and its answer back.

QEMU starts one for each connection to 169.254.169.254:80, with a socket for both directions.
"""

import socket
import sys
import threading

BLOCK = 65536


def pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(BLOCK):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # either end may go away at any time


def main() -> None:
    guest = socket.socket(fileno=0)
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as server:
        threading.Thread(target=pump, args=(guest, server), daemon=True).start()
        pump(server, guest)


if __name__ == "__main__":
    main()
