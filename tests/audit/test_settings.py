"""What a host is configured with, read from the files that configure it."""

from __future__ import annotations

import pytest

from mdsvc.cpuset import CpuSet
from mdsvc.discovery.host_settings import NovaConf, isolcpus, nova_conf, pmd_mask
from mdsvc.errors import BadInput


def cpus(text: str | None) -> CpuSet | None:
    return None if text is None else CpuSet.parse(text)


@pytest.mark.parametrize(
    ("text", "shared", "dedicated", "one_set"),
    [
        ("", None, None, False),
        ("[compute]\ncpu_shared_set = 0-1\ncpu_dedicated_set = 2-7,^4", "0-1", "2-3,5-7", False),
        ("[compute]\ncpu_dedicated_set=2-7\n", "", "2-7", False),
        ("[compute]\ncpu_shared_set=0-3", "0-3", "", False),
        ("[DEFAULT]\nvcpu_pin_set = 4-7", "4-7", "4-7", True),
        ("[DEFAULT]\nvcpu_pin_set=4-7\n[compute]\ncpu_shared_set=0", "0,4-7", "4-7", True),
        ("[DEFAULT]\ncpu_shared_set = 0-1", None, None, False),
        ("[compute]\n#cpu_shared_set = 0-1\ncpu_dedicated_set =\n", None, None, False),
        ("[compute]\ncpu_shared_set = 0\ncpu_shared_set = 1\n", "1", "", False),
        ("[compute]\ncpu_shared_set = 0, 2 - 3,, ^ 3 ,", "0,2", "", False),
        ("[compute]\ncpu_shared_set = 0,\n  2-3\n%(a)s = $b\n", "0,2-3", "", False),
    ],
)
def test_nova_conf(text: str, shared: str | None, dedicated: str | None, one_set: bool) -> None:
    conf = nova_conf(text)
    assert (conf.shared, conf.dedicated) == (cpus(shared), cpus(dedicated))
    assert conf.one_set is one_set


def test_nova_conf_s_memory() -> None:
    conf = nova_conf("[DEFAULT]\nreserved_host_memory_mb = 4096\nram_allocation_ratio = 1.5\n")
    assert conf == NovaConf(reserved_mb=4096, ram_allocation_ratio=1.5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[compute]\ncpu_dedicated_set = 2-x", "[compute] cpu_dedicated_set: '2-x'"),
        ("[DEFAULT]\nvcpu_pin_set = 9-2", "[DEFAULT] vcpu_pin_set: range 9-2"),
        ("[DEFAULT]\nreserved_host_memory_mb = much", "reserved_host_memory_mb: expected a number"),
        ("[compute]\ncpu_shared_set = ^3", "cpu_shared_set: expected a CPU, and '^3' leaves none"),
        (
            "no section = 1",
            "expected sections and options as in nova.conf: File contains no section",
        ),
    ],
)
def test_what_is_wrong_in_nova_conf_is_named(text: str, says: str) -> None:
    with pytest.raises(BadInput) as raised:
        nova_conf(text)
    assert says in str(raised.value)


def test_of_several_files_the_last_one_counts_and_quotes_are_none_of_a_value() -> None:
    """As with Nova's own `--config-file`, and files in `nova.conf.d`."""
    first = "[compute]\ncpu_shared_set = 0-7,^3\ncpu_dedicated_set = 8-9\n"
    conf = nova_conf(first, '[compute]\ncpu_dedicated_set = "10-15,^12"\n', "[DEFAULT]\n")
    assert (conf.shared, conf.dedicated) == (cpus("0-2,4-7"), cpus("10-11,13-15"))


@pytest.mark.parametrize(
    ("text", "cpus_"),
    [("0x6", "1-2"), ("6", "1-2"), ("F0", "4-7"), ('"0x3C"\n', "2-5"), ("0", "")],
)
def test_pmd_masks(text: str, cpus_: str) -> None:
    assert pmd_mask(text) == cpus(cpus_)


@pytest.mark.parametrize("text", ["", "0x", "2-3", "xyz", "-1", "0" * 4000])
def test_what_is_no_pmd_mask_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="hexadecimal"):
        pmd_mask(text)


@pytest.mark.parametrize(
    ("cmdline", "cpus_"),
    [
        ("quiet splash", ""),
        ("root=/dev/sda isolcpus=2-7,10 quiet\n", "2-7,10"),
        ("isolcpus=domain,managed_irq,2-3", "2-3"),
        ("isolcpus=nohz,2-3", ""),
        ("isolcpus=0-15:2/4", "0-1,4-5,8-9,12-13"),
        ("xisolcpus=1 isolcpus=", ""),
        ("isolcpus=1 isolcpus=3", "1,3"),
        ("isolcpus=8000-N", "8000-8191"),
        ("isolcpus=8000-N:1/100", "8000,8100"),
        ("isolcpus=domain,nohz,8190,N", "8190-8191"),
        ("isolcpus=odd,2-3", "2-3"),
        ("isolcpus=all", ""),
        ("nohz_full=2-3 rcu_nocbs=all", ""),
        ("quiet -- isolcpus=2", ""),
    ],
)
def test_isolcpus(cmdline: str, cpus_: str) -> None:
    assert isolcpus(cmdline) == cpus(cpus_)


@pytest.mark.parametrize("value", ["7-2", "0-3:1/0", "0-99999:1/2", "2;3"])
def test_what_is_no_isolcpus_is_refused(value: str) -> None:
    with pytest.raises(BadInput, match="isolcpus"):
        isolcpus(f"isolcpus={value}")
