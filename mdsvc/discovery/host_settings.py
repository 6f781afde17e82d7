"""What a host is configured with: nova.conf, the kernel's command line, Open vSwitch's PMD mask.

Each error is a BadInput that names the option and says what was expected there.
"""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import msgspec

from mdsvc.cpuset import EMPTY, MAX_CPU, CpuSet, union
from mdsvc.errors import BadInput


class NovaConf(msgspec.Struct, frozen=True, kw_only=True):
    """What nova.conf says of a host's CPUs and memory; None where it does not.

    ``one_set``: by ``vcpu_pin_set`` dedicated and shared vCPUs have the same CPUs, as before Train.
    """

    shared: CpuSet | None = None
    dedicated: CpuSet | None = None
    one_set: bool = False
    reserved_mb: int = 0
    ram_allocation_ratio: float | None = None


def nova_conf(*texts: str) -> NovaConf:
    """The settings of these files together, of which a later one counts more, by Nova's rules where
    only some of them are there. Raises BadInput.
    """
    ini = configparser.RawConfigParser(strict=False, default_section="\0", allow_no_value=True)
    try:
        for text in texts:
            ini.read_string(text)
    except configparser.Error as error:
        said = " ".join(str(error).replace("file: '<string>', ", "").split())
        raise BadInput(f"expected sections and options as in nova.conf: {said[:200]}") from None

    def option(section: str, name: str) -> str:
        return _unquoted((ini.get(section, name, fallback=None) or "").strip())

    shared = _spec("[compute] cpu_shared_set", option("compute", "cpu_shared_set"))
    dedicated = _spec("[compute] cpu_dedicated_set", option("compute", "cpu_dedicated_set"))
    pins = _spec("[DEFAULT] vcpu_pin_set", option("DEFAULT", "vcpu_pin_set"))
    one_set = pins is not None and dedicated is None
    if one_set:
        shared, dedicated = (pins or EMPTY) | (shared or EMPTY), pins
    elif shared is not None or dedicated is not None:
        shared, dedicated = shared or EMPTY, dedicated or EMPTY
    ratio = _amount("ram_allocation_ratio", option("DEFAULT", "ram_allocation_ratio"))
    reserved = _amount("reserved_host_memory_mb", option("DEFAULT", "reserved_host_memory_mb"))
    return NovaConf(
        shared=shared,
        dedicated=dedicated,
        one_set=one_set,
        reserved_mb=int(reserved or 0),
        ram_allocation_ratio=ratio or None,
    )


def _unquoted(text: str) -> str:
    """As oslo.config reads a value: quotes around all of it are none of it."""
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1].strip() if quoted else text


_AROUND = re.compile(r"\s*([,^-])\s*")


def _spec(name: str, text: str) -> CpuSet | None:
    """A set in Nova's grammar (``parse_cpu_spec``): it knows ``^N``, takes spaces and more commas
    than are needed, and is no set without a CPU. None where none is given.
    """
    elements = filter(None, _AROUND.sub(r"\1", text).split(","))
    try:
        cpus = CpuSet.parse_spec(",".join(elements))
    except ValueError as error:
        raise BadInput(f"{name}: {error}") from None
    if text and not cpus:
        raise BadInput(f"{name}: expected a CPU, and {text[:60]!r} leaves none, as Nova refuses")
    return cpus or None


def _amount(name: str, text: str) -> float | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,12})?", text):
        raise BadInput(f"[DEFAULT] {name}: expected a number, got {text[:60]!r}")
    return float(text)


def pmd_mask(text: str) -> CpuSet:
    """``other_config:pmd-cpu-mask``: hexadecimal, with or without ``0x``. Raises BadInput."""
    digits = text.strip().strip('"').replace(",", "").lower().removeprefix("0x")
    if not re.fullmatch("[0-9a-f]{1,2048}", digits):
        raise BadInput(f"--pmd-mask: expected hexadecimal digits like 0x3c, got {text[:60]!r}")
    return CpuSet(int(digits, 16))


# ---- the kernel's command line ----

_RANGE = re.compile(r"([0-9]{1,5})-([0-9]{1,5}):([0-9]{1,5})/([0-9]{1,5})")
_FLAGS = {"domain", "nohz", "managed_irq"}


def isolcpus(cmdline: str) -> CpuSet:
    """The CPUs that ``isolcpus`` takes out of load balancing; none where it is not there, or has
    flags and not ``domain`` among them. Raises BadInput.

    The grammar is the kernel's (``kernel-parameters.rst``): also ``0-15:2/4``, the first two of
    each four, and ``N``, the last CPU there is (here the last that there can be).
    """
    kernels, _, _of_init = cmdline.partition(" -- ")
    given = re.findall(r"(?:^|\s)\"?isolcpus=([^\s\"]*)", kernels)
    return union(_isolated(value) for value in given)


def _isolated(value: str) -> CpuSet:
    """Flags that the kernel does not know it passes over."""
    elements = value.split(",")
    flags = {element for element in elements if re.fullmatch("[A-Za-z_]{2,}", element)}
    if flags & _FLAGS and "domain" not in flags:
        return EMPTY
    cpus = [element for element in elements if element and element not in flags]
    return union(_element(re.sub(r"\bN\b", str(MAX_CPU), element)) for element in cpus)


def _element(element: str) -> CpuSet:
    stepped = _RANGE.fullmatch(element)
    try:
        if stepped is None:
            return CpuSet.parse(element)
        first, last, used, size = map(int, stepped.groups())
        if not size or last > MAX_CPU:
            raise ValueError(f"{element} is no range of CPUs")
        return CpuSet.of(cpu for cpu in range(first, last + 1) if (cpu - first) % size < used)
    except ValueError as error:
        raise BadInput(f"isolcpus: {error}") from None


def isolated_here(sys: Path = Path("/sys")) -> CpuSet:
    """What this machine's kernel has isolated. Raises BadInput."""
    path = sys / "devices/system/cpu/isolated"
    try:
        return CpuSet.parse(path.read_text(encoding="ascii").strip()) if path.exists() else EMPTY
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: {error}") from None
