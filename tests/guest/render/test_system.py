"""Files for the boot, systemd, TuneD, irqbalance and DPDK, read as each of them reads."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mdguest.cpuset import CpuSet
from mdguest.pool.run import filled
from mdguest.render import RENDERERS, Split, render
from mdguest.render.cmdline import arguments
from mdguest.render.stride import short

from tests.guest.render.consumers import (
    environment_file,
    isolcpus,
    kernel_list,
    lcores,
    sourced,
    vpp_cpu,
)
from tests.guest.render.splits import FEW, split, splits

GRUB = "GRUB_CMDLINE_LINUX_DEFAULT"


def cmdline(cpus: Split) -> dict[str, str]:
    """The kernel arguments that GRUB would pass on, by name."""
    words = environment_file(render("cmdline", cpus))[GRUB].split()
    assert words[0] == f"${GRUB}"
    return dict(word.split("=", 1) for word in words[1:])


@FEW
@given(cpus=splits())
def test_the_kernel_arguments_are_added_to_those_that_are_there(cpus: Split) -> None:
    words = sourced(render("cmdline", cpus), GRUB, before="quiet").split()
    assert words[0] == "quiet"
    assert dict(word.split("=", 1) for word in words[1:]) == cmdline(cpus)


@FEW
@given(cpus=splits())
def test_the_kernel_is_left_a_cpu_to_keep_house_by_every_argument(cpus: Split) -> None:
    arguments = cmdline(cpus)
    assert kernel_list(arguments["irqaffinity"]) == cpus.housekeeping
    assert kernel_list(arguments["rcu_nocbs"]) == cpus.dedicated
    for isolated in (
        kernel_list(arguments["nohz_full"]) if "nohz_full" in arguments else CpuSet(),
        isolcpus(arguments["isolcpus"])[1],
    ):
        assert not isolated & cpus.housekeeping
        assert isolated <= cpus.dedicated


@FEW
@given(cpus=splits())
def test_scheduler_domains_are_left_to_the_partition(cpus: Split) -> None:
    assert isolcpus(cmdline(cpus)["isolcpus"])[0] == {"managed_irq"}


@FEW
@given(cpus=splits())
def test_the_boot_cpu_keeps_its_tick_and_the_two_lists_agree_for_old_kernels(cpus: Split) -> None:
    arguments = cmdline(cpus)
    tickless = kernel_list(arguments["nohz_full"]) if "nohz_full" in arguments else CpuSet()
    assert tickless == cpus.dedicated - CpuSet.of([0])
    assert not tickless or tickless == isolcpus(arguments["isolcpus"])[1]


def test_where_only_the_boot_cpu_is_dedicated_no_tick_can_be_stopped() -> None:
    assert cmdline(split("0", "1-3")) == {
        "rcu_nocbs": "0",
        "irqaffinity": "1-3",
        "isolcpus": "managed_irq,0",
    }
    assert "CPU 0 is dedicated but keeps its tick" in render("cmdline", split("0", "1-3"))


def test_a_long_list_is_written_in_strides() -> None:
    odd, even = ",".join(map(str, range(1, 512, 2))), ",".join(map(str, range(0, 512, 2)))
    arguments = cmdline(split(odd, even))
    assert arguments == {
        "nohz_full": "1-511:1/2",
        "rcu_nocbs": "1-511:1/2",
        "irqaffinity": "0-510:1/2",
        "isolcpus": "managed_irq,1-511:1/2",
    }


@FEW
@given(cpus=st.sets(st.integers(0, 60), min_size=1).map(CpuSet.of))
def test_a_short_list_is_the_same_set_and_never_longer(cpus: CpuSet) -> None:
    assert kernel_list(short(cpus)) == cpus
    assert len(short(cpus)) <= len(str(cpus))


def test_a_command_line_that_the_kernel_would_cut_is_warned_of() -> None:
    guest = replace(split("2-3", "0-1"), cmdline=f"ro {'x' * 1900} nohz_full=1 isolcpus=1")
    ours = arguments(guest)
    room = 2047 - len(f"ro  {ours}")
    assert RENDERERS["cmdline"].warn(replace(guest, cmdline=f"ro {'x' * room}")) == []
    [warning] = RENDERERS["cmdline"].warn(replace(guest, cmdline=f"ro {'x' * room}x"))
    assert "would have 2048 bytes" in warning
    assert warning in " ".join(
        line.lstrip("# ")
        for line in render("cmdline", replace(guest, cmdline=f"ro {'x' * room}x")).splitlines()
    )
    assert RENDERERS["cmdline"].warn(guest) == [], "what is replaced does not count"


def test_a_kernel_that_cannot_stop_its_tick_is_not_asked_to() -> None:
    guest = replace(split("2-3", "0-1"), tickless=False)
    assert "nohz_full" not in cmdline(guest)
    assert cmdline(guest)["rcu_nocbs"] == "2-3"
    assert "built without NO_HZ_FULL" in render("cmdline", guest)


@FEW
@given(cpus=splits())
def test_irqbalance_is_banned_from_the_dedicated_cpus(cpus: Split) -> None:
    variables = environment_file(render("irqbalance", cpus))
    assert variables.keys() == {"IRQBALANCE_BANNED_CPULIST"}
    assert CpuSet.parse(variables["IRQBALANCE_BANNED_CPULIST"]) == cpus.dedicated


def test_irqbalance_goes_on_to_keep_off_what_it_kept_off_by_itself() -> None:
    cpus = replace(split("2-3", "0-1,4-7"), boot_banned=CpuSet.parse("3,6"))
    variables = environment_file(render("irqbalance", cpus))
    assert variables["IRQBALANCE_BANNED_CPULIST"] == "2-3,6"


@FEW
@given(cpus=splits())
def test_dpdk_gets_an_lcore_on_each_dedicated_cpu_and_on_no_other(cpus: Split) -> None:
    mapping, main = lcores(environment_file(render("dpdk", cpus))["EAL_ARGS"].split())
    assert CpuSet.of(mapping.values()) == cpus.dedicated
    assert mapping[main] == min(cpus.dedicated)


def test_dpdk_renumbers_lcores_where_cpus_are_beyond_their_range() -> None:
    text = environment_file(render("dpdk", split("126-129", "0-1")))["EAL_ARGS"]
    assert text == "--lcores=0@126,1@127,2@128,3@129 --main-lcore=0"
    assert (
        environment_file(render("dpdk", split("2-3", "0-1")))["EAL_ARGS"] == "-l 2-3 --main-lcore=2"
    )


def test_a_program_of_mdguest_run_gets_the_same_lcores() -> None:
    assert filled(["-l", "{lcores}"], CpuSet.parse("2-3")) == ["-l", "2,3"]
    words = filled(["--lcores={lcores}", "-l", "{cpus}"], CpuSet.parse("126-128"))
    assert words == ["--lcores=0@126,1@127,2@128", "-l", "126-128"]
    many = filled(["--lcores={lcores}"], CpuSet.parse("0-255"))[0]
    assert many.endswith(",127@127")


def test_dpdk_gets_no_more_lcores_than_it_can_have() -> None:
    text = render("dpdk", split("2-255", "0-1"))
    assert len(lcores(environment_file(text)["EAL_ARGS"].split())[0]) == 128
    assert "at most 128 lcores" in text


def test_dpdk_on_one_cpu_is_told_that_control_and_polling_share_it() -> None:
    assert "control threads and polling share it" in render("dpdk", split("3", "0-2"))


@FEW
@given(cpus=splits())
def test_a_shell_and_systemd_agree_on_the_dpdk_file(cpus: Split) -> None:
    text = render("dpdk", cpus)
    assert sourced(text, "EAL_ARGS") == environment_file(text)["EAL_ARGS"]


@FEW
@given(cpus=splits())
def test_vpp_has_its_main_thread_and_each_worker_on_a_dedicated_cpu(cpus: Split) -> None:
    section = vpp_cpu(render("vpp", cpus))
    main, workers = int(section["main-core"]), CpuSet.parse(section.get("corelist-workers", ""))
    assert main not in workers
    assert CpuSet.of([main]) | workers == cpus.dedicated
    assert ("would give it a worker" in render("vpp", cpus)) == (not workers)


def tuned(cpus: Split) -> configparser.ConfigParser:
    """The profile by the parser of tuned.profiles.loader: configparser, set up as there."""
    parser = configparser.ConfigParser(
        delimiters=("="), inline_comment_prefixes=("#"), strict=False
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # the documented way
    parser.read_string(render("tuned", cpus))
    return parser


@FEW
@given(cpus=splits())
def test_tuned_isolates_the_dedicated_cpus_and_adds_no_isolcpus(cpus: Split) -> None:
    profile = tuned(cpus)
    assert profile.get("main", "include", raw=True) == "cpu-partitioning"
    assert CpuSet.parse(profile.get("variables", "isolated_cores", raw=True)) == cpus.dedicated
    assert profile.get("variables", "no_balance_cores", raw=True) == ""
    assert profile.get("systemd", "enabled", raw=True) == "false"


def test_tuned_leaves_alone_what_runs_in_the_slice() -> None:

    pattern = tuned(split("2-3", "0-1")).get("scheduler", "cgroup_ps_blacklist", raw=True)
    assert re.search(pattern, "0::/dedicated.slice/dpdk.service")
    assert not re.search(pattern, "0::/system.slice/cron.service")


def verify(directory: Path, cpus: Split) -> str:
    """What systemd-analyze has to say of a service with our drop-in."""
    units = {
        "dedicated.slice": "[Slice]\nAllowedCPUs=2-3\n",
        "dedicated-cpus.target": "[Unit]\nDescription=dedicated CPUs are isolated\n",
        "dpdk.service": "[Service]\nExecStart=/bin/true\n",
        "dpdk.service.d/50-dedicated.conf": render("systemd", cpus),
    }
    for name, text in units.items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(directory / "dpdk.service")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{directory}:"},
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("partition", ["isolated", "root"])
def test_systemd_has_nothing_to_say_against_the_drop_in(tmp_path: Path, partition: str) -> None:
    cpus = split("2-3", "0-1", partition="root" if partition == "root" else "isolated")
    assert not [line for line in verify(tmp_path, cpus).splitlines() if str(tmp_path) in line]


def test_systemd_would_say_so_if_a_line_were_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = RENDERERS["systemd"]._replace(function=lambda cpus: "[Service]\nSlices=x\n")
    monkeypatch.setitem(RENDERERS, "systemd", wrong)
    assert "Slices" in verify(tmp_path, split("2-3", "0-1"))


@FEW
@given(cpus=splits())
def test_the_drop_in_puts_a_service_in_the_slice_after_the_cpus_are_isolated(cpus: Split) -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(render("systemd", cpus))
    assert dict(parser["Service"]) == {"slice": "dedicated.slice"}
    assert set(parser["Unit"].values()) == {"dedicated-cpus.target"}
    assert f'partition is "{cpus.partition}"' in render("systemd", cpus)
