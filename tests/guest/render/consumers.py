"""How the programs that we render for read their files, as their sources and manuals say."""

from __future__ import annotations

import re
import subprocess

from mdguest.cpuset import CpuSet


def sourced(text: str, variable: str, before: str = "") -> str:
    """What a variable holds once a POSIX shell has sourced the text, as grub-mkconfig does."""
    script = f'{variable}="{before}"\n{text}\nprintf %s "${variable}"'
    done = subprocess.run(["sh", "-eu", "-c", script], capture_output=True, text=True, check=True)
    assert not done.stderr
    return done.stdout


def environment_file(text: str) -> dict[str, str]:
    """systemd.exec(5), EnvironmentFile=: assignments, comments with # or ;, optional quotes."""
    found = {}
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith(("#", ";")):
            name, value = line.split("=", 1)
            quoted = re.fullmatch(r'"([^"\\]*)"', value)
            assert quoted or re.fullmatch(r"[^\s\"'\\]*", value), line
            found[name] = quoted[1] if quoted else value
    return found


def kernel_list(text: str) -> CpuSet:
    """Linux, bitmap_parselist(): numbers, ranges, of a range the first ``used`` of ``group``."""
    found = set()
    for part in text.split(","):
        cpus, _, pattern = part.partition(":")
        first, _, last = cpus.partition("-")
        used, group = map(int, pattern.split("/")) if pattern else (1, 1)
        assert 0 < used <= group
        for start in range(int(first), int(last or first) + 1, group):
            found |= set(range(start, min(start + used, int(last or first) + 1)))
    return CpuSet.of(found)


def isolcpus(value: str) -> tuple[set[str], CpuSet]:
    """Linux, housekeeping_isolcpus_setup(): flags while a letter comes first, then CPUs."""
    flags = set()
    while value[:1].isalpha():
        flag, _, value = value.partition(",")
        flags.add(flag)
    assert flags <= {"nohz", "domain", "managed_irq"}, "unknown flags are skipped"
    return flags or {"domain"}, kernel_list(value)


def lcores(arguments: list[str], max_lcore: int = 128) -> tuple[dict[int, int], int]:
    """DPDK's EAL: from ``-l`` or ``--lcores``, the CPU of each lcore, and the main lcore."""
    mapping, main = {}, None
    rest = iter(arguments)
    for argument in rest:
        if argument == "-l":
            mapping = {cpu: cpu for cpu in CpuSet.parse(next(rest))}
        elif argument.startswith("--lcores="):
            pairs = [pair.split("@") for pair in argument.split("=")[1].split(",")]
            mapping = {int(lcore): int(cpu) for lcore, cpu in pairs}
        else:
            assert argument.startswith("--main-lcore="), argument
            main = int(argument.split("=")[1])
    assert main in mapping, "the main lcore is one of the lcores"
    assert max(mapping) < max_lcore
    assert main is not None
    return mapping, main


def vpp_cpu(text: str) -> dict[str, str]:
    """VPP's unformat of a startup file: comments go, then ``cpu { name value … }``."""
    words = " ".join(line.partition("#")[0] for line in text.splitlines()).split()
    assert words[:2] == ["cpu", "{"]
    assert words[-1] == "}"
    inner = words[2:-1]
    return dict(zip(inner[::2], inner[1::2], strict=True))


def arguments_file(text: str) -> list[str]:
    """kubelite and its like: a line's words; lines that begin with # do not count."""
    lines = [line.strip() for line in text.splitlines()]
    return [word for line in lines if line and line[0] != "#" for word in line.split(" ")]


LABEL_NAME = re.compile(r"[a-z0-9.-]+/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


def feature_file(text: str) -> dict[str, str]:
    """nfd-worker's local source: ``name[=value]`` a line; # begins a comment, ``# +`` a directive.

    Each must be a label that the Kubernetes API takes.
    """
    assert len(text.encode()) <= 65536
    assert not re.search(r"^# \+", text, re.MULTILINE), "no comment is taken for a directive"
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            assert LABEL_NAME.fullmatch(name), name
            assert LABEL_VALUE.fullmatch(value), value
            found[name] = value or "true"
    return found
