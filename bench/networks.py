"""A thousand network namespaces: one process for all of them, beside one haproxy for each.

    .venv/bin/python -m bench.networks [NAMESPACES]     as root

Makes the namespaces, each with a bridge where OVN's have a tap, and removes them in the end. Of the
process it prints, for each namespace, the memory (private pages, as smaps_rollup has them; what
the kernel has for sockets is beside that, for both) and the file descriptors; the CPU while nobody
asks; how soon a namespace that comes is answered in; and the CPU of a guest's requests, each over
a new connection, with a MAC address that is asked for each time, beside those on loopback.

The haproxy is Debian's, with the settings that Neutron's agent for OVN writes; where there is none
it is fetched and unpacked. A few are started, and their memory is measured in the same way.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import takewhile
from pathlib import Path

from pyroute2 import netns

from bench.servers import HOST, MDSVC
from mdsvc.demo.network import can_make_namespaces

PREFIX = f"mdsvc-bench-{os.getpid()}-"
IPV4 = "169.254.169.254"
NOTICES, HAPROXIES, REQUESTS, ROUNDS = 20, 20, 500, 5
IDLE_SECONDS = 20
MAC = "fa:16:3e:00:00:01"
GUEST = f"""{{"uuid": "11111111-2222-4333-8444-555555555555", "project_id": "p", "name": "g",
 "flavor": {{"name": "m", "vcpus": 1, "memory_mb": 64}},
 "addresses": [{{"network": "0", "ip": "10.0.0.5", "mac": "{MAC}"}},
               {{"network": "0", "ip": "127.0.0.1", "mac": "{MAC}"}}]}}"""
CACHE = Path(".cache/haproxy")
HAPROXY = """global
  maxconn 1024
defaults
  mode http
  option http-server-close
  option forwardfor
  retries 3
  timeout http-request 30s
  timeout connect 30s
  timeout client 32s
  timeout server 32s
  timeout http-keep-alive 30s
listen listener
  bind 169.254.169.254:80
  server metadata FOLDER/metadata_proxy
  http-request add-header X-OVN-Network-ID NUMBER
"""


def main(count: int) -> None:
    """Measure, and print it."""
    print(f"load before: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder, removed():
        make(0)
        with mdsvc(folder) as (pid, port):
            one = memory(pid), files(pid)
            began = cpu(pid)
            for number in range(1, count):
                make(number)
            wait_until(lambda: files(pid) >= one[1] + 3 * (count - 1))
            all_of_them = memory(pid), files(pid)
            more = count - 1
            print(f"namespaces            {count}")
            print(f"memory, with one      {one[0] / 1024:.1f} MiB")
            print(f"memory, with all      {all_of_them[0] / 1024:.1f} MiB")
            print(f"memory, each          {(all_of_them[0] - one[0]) / more:.1f} KiB")
            print(f"files, each           {(all_of_them[1] - one[1]) / more:.2f}")
            print(f"CPU as each came      {(cpu(pid) - began) / more * 1000:.2f} ms")
            began = cpu(pid)
            time.sleep(IDLE_SECONDS)
            print(f"CPU, idle             {(cpu(pid) - began) / IDLE_SECONDS * 100:.2f} %")
            notices = sorted(notice(count + number) for number in range(NOTICES))
            median = statistics.median(notices)
            print(f"noticed after         {median:.0f} ms, at most {notices[-1]:.0f} ms")
            print_requests(pid, port)
        began_at = time.monotonic()
        with mdsvc(folder):
            print(f"start with all        {time.monotonic() - began_at:.1f} s")
        each = haproxies(folder, min(HAPROXIES, count))
        print(f"haproxy, each         {each:.0f} KiB, {each * count / 1024:.0f} MiB for all")


def print_requests(pid: int, port: int) -> None:
    """In turn, so that whatever else the machine does is the same for both."""
    in_namespace, on_loopback = [], []
    for _ in range(ROUNDS):
        began = cpu(pid)
        inside(f"{PREFIX}guest", partial(ask_often, IPV4, 80))
        between = cpu(pid)
        ask_often("127.0.0.1", port)
        in_namespace.append((between - began) / REQUESTS * 1e6)
        on_loopback.append((cpu(pid) - between) / REQUESTS * 1e6)
    ratio = statistics.median(a / b for a, b in zip(in_namespace, on_loopback, strict=True))
    print(f"CPU of a request      {statistics.median(in_namespace):.0f} us, with its MAC address")
    print(f"CPU on loopback       {statistics.median(on_loopback):.0f} us; ratio {ratio:.2f}")


# ---- namespaces ----


@contextmanager
def removed() -> Iterator[None]:
    """All of them, at the end of the block."""
    try:
        yield
    finally:
        names = [path.name for path in Path("/run/netns").glob(f"{PREFIX}*")]
        batch("", [f"netns delete {name}" for name in names])


def make(number: int) -> None:
    """The namespace of a network; the first has a guest on a cable, and one in itself."""
    batch("", [f"netns add {PREFIX}{number}"])
    lines = ["link set lo up", "link add br0 type bridge", "link set br0 up"]
    batch(f"{PREFIX}{number}", [*lines, f"address add {IPV4}/32 dev br0"])
    if number:
        return
    guest = f"{PREFIX}guest"
    batch("", [f"netns add {guest}"])
    cable = (
        f"link add tap0 address {MAC.replace('fa:', 'fe:')} type veth peer name eth0 netns {guest}"
    )
    batch(f"{PREFIX}0", [cable, "link set tap0 master br0 up", "address add 10.0.0.1/24 dev br0"])
    batch(guest, [f"link set eth0 address {MAC} up", "address add 10.0.0.5/24 dev eth0"])
    batch(guest, [f"route add {IPV4}/32 dev eth0"])


def batch(namespace: str, lines: Sequence[str]) -> None:
    command = ["ip", *(["-n", namespace] if namespace else []), "-batch", "-"]
    subprocess.run(command, input="\n".join(lines), text=True, check=True)


def inside(namespace: str, what: Callable[[], None]) -> None:
    """Done by a thread that is there."""

    def run() -> None:
        netns.setns(namespace, flags=os.O_RDONLY)
        what()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def ask_often(host: str, port: int) -> None:
    request = b"GET /openstack HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n"
    for _ in range(REQUESTS):
        with socket.create_connection((host, port), timeout=10) as sock:
            sock.sendall(request)
            while sock.recv(65536):
                pass


def notice(number: int) -> float:
    """Milliseconds from when a namespace with its address is there until somebody listens."""
    make(number)
    began = time.monotonic()
    inside(f"{PREFIX}{number}", until_listened)
    return (time.monotonic() - began) * 1000


def until_listened() -> None:
    def is_listened() -> bool:
        try:
            socket.create_connection((IPV4, 80), timeout=10).close()
        except ConnectionRefusedError:
            return False
        return True

    wait_until(is_listened)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        if time.monotonic() > deadline:
            raise SystemExit("it takes too long")
        time.sleep(0.001)


# ---- processes ----


@contextmanager
def mdsvc(folder: str) -> Iterator[tuple[int, int]]:
    """The server in all of them, and on loopback, once it is ready; its process and port there."""
    store = f"sqlite:///{folder}/bench.db"
    if not Path(folder, "bench.db").exists():
        for what, text in (("host add", HOST), ("instance create", GUEST)):
            command = [*MDSVC, *what.split(), "-", "--store", store]
            subprocess.run(command, input=text, text=True, check=True, stdout=subprocess.DEVNULL)
    flags = ["--operator", "127.0.0.1:0", "--guest", "127.0.0.1:0", "--network", "0"]
    flags += ["--netns-prefix", PREFIX, "--log-level", "warning"]
    command = [*MDSVC, "serve", "--store", store, *flags]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            lines = list(takewhile(lambda line: "ready" not in line, process.stderr))
            found = re.search(r"guests: http://127\.0\.0\.1:(\d+)", "".join(lines))
            if not found:
                raise SystemExit("the server did not start")
            yield process.pid, int(found[1])
        finally:
            process.terminate()


def haproxies(folder: str, count: int) -> float:
    """KiB that each of so many takes, the pages apart that all of them share."""
    program, environment = haproxy()
    processes = []
    try:
        for number in range(count):
            settings = Path(folder, f"haproxy-{number}")
            text = HAPROXY.replace("FOLDER", folder).replace("NUMBER", str(number))
            settings.write_text(text)
            command = ["ip", "netns", "exec", f"{PREFIX}{number}", program, "-f", str(settings)]
            processes.append(subprocess.Popen(command, env=environment))
        time.sleep(3)
        return statistics.mean(memory(process.pid) for process in processes)
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def haproxy() -> tuple[str, dict[str, str]]:
    """The program that is here, or Debian's, unpacked; and its environment."""
    if found := shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin"):
        return found, dict(os.environ)
    if not CACHE.exists():
        CACHE.mkdir(parents=True)
        packages = ["haproxy", "liblua5.3-0", "libopentracing-c-wrapper0"]
        fetch = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *packages]
        subprocess.run(fetch, cwd=CACHE, check=True)
        for package in CACHE.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", str(package), str(CACHE)], check=True)
    libraries = ":".join(str(path.resolve()) for path in CACHE.glob("usr/lib/*-linux-gnu"))
    return str(CACHE / "usr/sbin/haproxy"), {**os.environ, "LD_LIBRARY_PATH": libraries}


def memory(pid: int) -> int:
    """KiB of private pages."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kib) for kib in re.findall(r"Private_\w+: +(\d+) kB", text))


def files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def cpu(pid: int) -> float:
    """Seconds of the process, its own and the kernel's for it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    if not can_make_namespaces():
        raise SystemExit("bench.networks: expected root, and that it may make network namespaces")
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
