"""TuneD's own loader reads the profile with those that it builds on, in a guest with CPUs 0-3."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from mdguest.cpuset import CpuSet
from mdguest.errors import BadInput
from mdguest.render import RENDERERS, Split, render

from tests.guest.render.splits import split

TUNED = Path(__file__).parents[3] / ".cache/tuned/usr/lib"
GUEST = split("2-3", "0-1")

LOAD = """
import json, sys
sys.path.insert(0, sys.argv[1] + "/python3/dist-packages")
from tuned.profiles import factory, loader, locator, merger, variables
from tuned.utils.commands import commands
read = commands.read_file
def read_file(self, path, *how, **more):
    online = path == "/sys/devices/system/cpu/online"
    return sys.argv[3] if online else read(self, path, *how, **more)
commands.read_file = read_file
found = variables.Variables()
places = locator.Locator([sys.argv[1] + "/tuned", sys.argv[2]])
profile = loader.Loader(places, factory.Factory(), merger.Merger(), None, found).load("mdguest")
units = {
    name: {option: found.expand(value) if isinstance(value, str) else None
           for option, value in unit.options.items()}
    for name, unit in profile.units.items()
}
units["variables"] = {"isolated_cores": found.expand("${isolated_cores}")}
print(json.dumps(units))
"""


def loaded(cpus: Split, folder: Path) -> dict[str, dict[str, str]]:
    """The sections of the profile as TuneD makes them of all that it includes."""
    profile = folder / "mdguest/tuned.conf"
    profile.parent.mkdir()
    profile.write_text(render("tuned", cpus))
    done = subprocess.run(
        ["/usr/bin/python3", "-c", LOAD, str(TUNED), str(folder), "0-3"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_partitioning_stops_the_tick_and_adds_no_isolcpus(tmp_path: Path) -> None:
    profile = loaded(GUEST, tmp_path)
    assert profile["variables"]["isolated_cores"] == "2-3"
    assert " nohz_full=2-3 rcu_nocbs=2-3 " in profile["bootloader"]["cmdline_cpu_part"]
    assert not re.search(r"\bisolcpus=", str(profile))


@pytest.mark.parametrize("base", ["realtime", "realtime-virtual-guest"])
def test_a_realtime_base_keeps_the_scheduler_on_the_partition_s_cpus(
    base: str, tmp_path: Path
) -> None:
    profile = loaded(replace(GUEST, base=base), tmp_path)
    arguments = profile["bootloader"]["cmdline_realtime"].lstrip("+").split()
    assert arguments == ["isolcpus=managed_irq,2-3", "nosoftlockup", "tsc=reliable"]
    assert len(re.findall(r"\bisolcpus=", str(profile))) == 1
    assert profile["sysctl"]["kernel.sched_rt_runtime_us"] == "-1", "it is the realtime profile"


def test_where_the_layout_names_realtime_cpus_they_are_the_isolated_ones(tmp_path: Path) -> None:
    profile = loaded(replace(GUEST, realtime=CpuSet.parse("3")), tmp_path)
    assert profile["variables"]["isolated_cores"] == "3"
    assert "nohz_full=3" in profile["bootloader"]["cmdline_rvg"]


def test_a_cpu_that_is_offline_is_left_out(tmp_path: Path) -> None:
    cpus = replace(split("2-4", "0-1"), offline=CpuSet.parse("4"))
    assert loaded(cpus, tmp_path)["variables"]["isolated_cores"] == "2-3"
    assert "Left out, as TuneD refuses a profile" in render("tuned", cpus)


@pytest.mark.parametrize("base", ["", "a b", "a\nb", "../x"])
def test_what_is_no_profile_s_name_is_bad_input(base: str) -> None:
    with pytest.raises(BadInput, match=r"--base .*: expected a TuneD profile"):
        render("tuned", replace(GUEST, base=base))


@pytest.mark.parametrize("base", ["cpu-partitioning", "realtime-virtual-guest"])
def test_a_command_line_that_tuned_would_make_too_long_is_warned_of(base: str) -> None:
    every_other = split(",".join(map(str, range(1, 600, 2))), ",".join(map(str, range(0, 600, 2))))
    assert "drop the rest in silence" in RENDERERS["tuned"].warn(replace(every_other, base=base))[0]
    assert RENDERERS["tuned"].warn(replace(GUEST, base=base)) == []
