"""The command line, on a fake guest: what each command prints, and how it ends."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mdguest import __version__, cli, system
from mdguest.help import COMMANDS
from mdguest.render import RENDERERS

from tests.guest.fake import FakeGuest, guest
from tests.guest.use import scan

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def machine() -> FakeGuest:
    return guest("6.1")


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    path = tmp_path / "layout"
    path.write_text("2-3\n")
    return path


@pytest.fixture
def run(
    machine: FakeGuest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """``mdguest`` with these arguments: its exit status, stdout and stderr."""
    real, fake = system.System(), FakeGuest.read_bytes

    def read_bytes(self: FakeGuest, path: str, limit: int) -> bytes:
        if path.startswith("/proc/"):
            return fake(self, path, limit)
        return real.read_bytes(path, limit)

    monkeypatch.setattr(FakeGuest, "read_bytes", read_bytes)
    monkeypatch.setattr(system, "System", lambda: machine)

    def run(*arguments: object) -> tuple[int, str, str]:
        try:
            status = cli.main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = int(ended.code or 0)
        return status, *capsys.readouterr()

    return run


def test_version_is_the_packages(run: Run) -> None:
    assert run("--version") == (0, f"mdguest {__version__}\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_examples(run: Run, command: str) -> None:
    status, out, _ = run(command, "--help")
    assert status == 0
    assert f"examples:\n  mdguest {command}" in out or "systemctl" in out
    assert "--json" in out


def test_every_command_has_help_and_an_action() -> None:
    assert set(COMMANDS) == set(cli.ACTIONS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["isolate"], "isolate"),
        (["plan", "--colour"], "--colour"),
        (
            ["plan", "--mode", "lace"],
            "--mode: 'lace': expected partition, kubernetes, fence or raw",
        ),
        (["plan", "--source", "moon"], "--source: expected one of metadata"),
        (["watch", "--interval", "1"], "--interval: expected 15 to 86400 seconds"),
        (["run"], "run: expected a command"),
        (["measure", "--seconds", "0"], "--seconds 0: expected 0.1 to 3600"),
        (["measure", "--cpus", "a"], "--cpus: 'a'"),
        (["render", "soup"], "render: 'soup' is not one of kubelet"),
    ],
)
def test_bad_usage_is_one_line_that_names_what_is_wrong(
    run: Run, arguments: list[str], message: str
) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["plan"], ["run", "true"]], ids=["needed", "not needed"])
def test_a_wrong_source_is_named_by_the_place_that_says_it(
    run: Run, machine: FakeGuest, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    machine.save("/etc/default/mdguest", "MDGUEST_SOURCE=moon\n")
    place = "MDGUEST_SOURCE in /etc/default/mdguest: expected one of metadata"
    assert f"mdguest: {place}" in run(*arguments)[2]
    monkeypatch.setenv("MDGUEST_SOURCE", "metadata:moon")
    place = "MDGUEST_SOURCE in the environment: metadata: expected http://HOST"
    assert f"mdguest: {place}" in run(*arguments)[2]


@pytest.mark.parametrize("options", [["--json"], ["--mode", "fence", "--json"]], ids=len)
def test_options_may_come_before_the_command(run: Run, layout: Path, options: list[str]) -> None:
    status, out, err = run(*options, "--source", f"file:{layout}", "plan")
    assert (status, err) == (0, "")
    assert json.loads(out)["isolated_cpus"] == "2-3"
    assert json.loads(run("--json", "status")[1])["state"] == "off"
    assert run("--source", "plan")[0] == 2, "it is an option's value"
    assert run("--json", "moon")[0] == 2


def test_housekeeping_cpus_must_all_be_there(run: Run, layout: Path) -> None:
    status, out, err = run("plan", "--source", f"file:{layout}", "--housekeeping", "1,9")
    assert (status, out) == (2, "")
    assert err == "mdguest: housekeeping 1,9: this guest has no CPU 9, only 0-3\n"


def test_rendering_says_where_the_source_does_not_tell(run: Run, tmp_path: Path) -> None:
    (tmp_path / "silent").write_text("{}")
    status, out, err = run("render", "dpdk", "--source", f"file:{tmp_path}/silent")
    assert (status, out) == (3, "")
    assert f"file:{tmp_path}/silent says nothing of dedicated CPUs" in err


def test_only_cpus_that_are_there_can_be_measured(run: Run) -> None:
    status, out, err = run("measure", "--cpus", "8-9")
    assert (status, out) == (2, "")
    assert err.endswith(": --cpus 8-9: none of them is online; expected some of CPU 0-3\n")


# ---- a guest's day ----


def test_plan_says_what_is_there_what_would_change_and_why(run: Run, layout: Path) -> None:
    status, out, err = run("plan", "--source", f"file:{layout}")
    assert (status, err) == (0, "")
    assert re.search(r"^isolate +CPU 2-3$", out, re.MULTILINE)
    assert re.search(r"^leave +CPU 0-1$", out, re.MULTILINE)
    assert re.search(r"^mode +partition \(systemd and cgroup version 2", out, re.MULTILINE)
    assert re.search(r"^guest +CPU 0-3 online", out, re.MULTILINE)
    assert re.search(r"cpuset.cpus.partition +member +→ +isolated +the kernel keeps", out)
    assert "Only a reboot would add:\n  nohz_full=2-3" in out


def test_plan_changes_nothing_and_is_the_default(
    run: Run, layout: Path, machine: FakeGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MDGUEST_SOURCE", f"file:{layout}")
    assert run() == run("plan")
    assert machine.changes == 0


def test_flags_without_a_command_are_those_of_plan(run: Run, layout: Path) -> None:
    flags = ("--source", f"file:{layout}", "--json")
    assert run(*flags) == run("plan", *flags)


def test_apply_verify_status_and_undo_tell_one_story(
    run: Run, layout: Path, machine: FakeGuest
) -> None:
    status, out, _ = run("apply", "--source", f"file:{layout}")
    assert status == 0
    assert out.startswith("CPU 2-3 isolated (mode partition, ")
    scan(machine)
    assert run("verify") == (0, "CPU 2-3 isolated, as it should be\n", "")
    assert facts(run)["state"] == "isolated"
    assert run("undo")[0] == 0
    assert facts(run)["state"] == "off"


def test_verify_of_a_guest_without_dedicated_cpus_says_so(run: Run, layout: Path) -> None:
    layout.write_text('{"dedicated_cpus": ""}')
    arguments = ("verify", "--source", f"file:{layout}")
    assert run(*arguments) == (0, "no CPU is to be isolated\n", "")


def facts(run: Run) -> dict[str, Any]:
    status, out, err = run("status", "--json")
    assert (status, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


def test_verify_ends_with_3_and_a_line_for_each_thing_that_is_wrong(
    run: Run, layout: Path, machine: FakeGuest
) -> None:
    run("apply", "--source", f"file:{layout}")
    scan(machine)
    machine.write("/sys/fs/cgroup/dedicated.slice/cpuset.cpus.partition", "member")
    status, out, _ = run("verify")
    assert status == 3
    assert "cpuset.cpus.partition: member, expected isolated: the kernel keeps" in out
    assert facts(run)["state"] == "broken"


def test_apply_names_each_change_where_asked(run: Run, layout: Path) -> None:
    _, _, err = run("apply", "--source", f"file:{layout}", "--verbose")
    assert "mdguest: dedicated.slice AllowedCPUs: unset → 2-3\n" in err


def test_a_source_that_says_nothing_changes_nothing(
    run: Run, layout: Path, machine: FakeGuest
) -> None:
    layout.write_text('{"uuid": "x"}')
    status, out, _ = run("apply", "--source", f"file:{layout}")
    assert (status, machine.changes) == (0, 0)
    assert "says nothing of dedicated CPUs" in out


def test_a_source_that_names_none_puts_everything_back(run: Run, layout: Path) -> None:
    run("apply", "--source", f"file:{layout}")
    layout.write_text('{"dedicated_cpus": ""}')
    status, out, _ = run("apply", "--source", f"file:{layout}")
    assert status == 0
    assert out.startswith("no CPU is isolated (no CPU is dedicated, ")
    assert facts(run)["state"] == "off"


def test_a_source_that_is_gone_leaves_the_last_good_layout_in_force(run: Run, layout: Path) -> None:
    run("apply", "--source", f"file:{layout}")
    layout.unlink()
    status, out, err = run("apply", "--source", f"file:{layout}")
    assert status == 0
    assert out.startswith("CPU 2-3 isolated")
    assert "the last good layout stays in force" in err
    assert facts(run)["stale"]


def test_a_source_that_never_was_there_is_not_found(
    run: Run, layout: Path, machine: FakeGuest
) -> None:
    layout.unlink()
    status, _, err = run("apply", "--source", f"file:{layout}")
    assert (status, err.count("\n"), machine.changes) == (4, 1, 0)


@pytest.mark.parametrize("text", ["2-", "[1, 2", '{"dedicated_cpus": [true]}', "4-7", "9999"])
def test_garbage_is_one_message_and_changes_nothing(
    run: Run, layout: Path, machine: FakeGuest, text: str
) -> None:
    layout.write_text(text)
    status, out, err = run("apply", "--source", f"file:{layout}")
    assert (status, out, err.count("\n"), machine.changes) == (2, "", 1, 0)


def test_early_boot_takes_the_last_good_layout_without_asking(run: Run, layout: Path) -> None:
    assert run("apply", "--last-good")[0] == 0
    run("apply", "--source", f"file:{layout}")
    layout.unlink()
    status, out, _ = run("apply", "--last-good")
    assert status == 0
    assert out.startswith("CPU 2-3 isolated")


def test_a_source_that_says_nothing_finds_no_fault_either(run: Run, layout: Path) -> None:
    run("apply", "--source", f"file:{layout}")
    layout.write_text('{"uuid": "x"}')
    flags = ("--source", f"file:{layout}")
    assert run("verify", *flags) == (0, "CPU 2-3 isolated, as it should be\n", "")
    assert run("status", *flags)[1].startswith("state         isolated\n")


def test_wrong_settings_do_not_keep_undo_from_its_work(
    run: Run, layout: Path, machine: FakeGuest
) -> None:
    run("apply", "--source", f"file:{layout}")
    for wrong in ("MDGUEST_INTERVAL=soon", 'MDGUEST_HOUSEKEEPING="0', "MDGUEST_SOURCE=moon"):
        machine.save("/etc/default/mdguest", f"{wrong}\n")
        assert run("verify")[0] == 2
    status, out, err = run("undo")
    assert (status, err.count("\n")) == (0, 1)
    assert "settings put back" in out


def test_a_flag_holds_also_where_other_settings_were_applied(run: Run, layout: Path) -> None:
    run("apply", "--source", f"file:{layout}")
    assert 'is "root"' in run("render", "systemd", "--partition", "root")[1]
    assert 'reservedSystemCPUs: "0-2"' in run("render", "kubelet", "--housekeeping", "0,2")[1]
    assert 'reservedSystemCPUs: "0-1"' in run("render", "kubelet")[1]


def test_programs_are_told_only_of_cpus_that_are_online(
    run: Run, layout: Path, machine: FakeGuest
) -> None:
    machine.set_online("0-2")
    flags = ("--source", f"file:{layout}")
    assert "-l 2 --main-lcore=2" in run("render", "dpdk", *flags)[1]
    assert "dedicated-cpu.count=1" in run("render", "nfd", *flags)[1]
    assert "nohz_full=2-3" in run("render", "cmdline", *flags)[1]
    machine.set_online("0-1")
    status, _, err = run("render", "dpdk", *flags)
    assert (status, err) == (
        3,
        "mdguest: CPU 2-3 is dedicated, but offline: bring it online first\n",
    )


# ---- for other programs ----


@pytest.mark.parametrize("command", ["plan", "apply", "verify", "status", "undo", "doctor"])
def test_json_is_one_object(run: Run, layout: Path, command: str) -> None:
    source = [] if command == "undo" else ["--source", f"file:{layout}"]
    _, out, _ = run(command, "--json", *source)
    assert isinstance(json.loads(out), dict)


SAMPLE = re.compile(r'(mdguest_[a-z_]+)(\{[a-z]+="[^"\\]*"\})? [0-9.e+-]+')


def test_metrics_are_in_prometheus_text_format(run: Run, layout: Path) -> None:
    run("apply", "--source", f"file:{layout}")
    _, out, _ = run("status", "--prometheus")
    lines = out.splitlines()
    described = {line.split(" ")[2] for line in lines if line.startswith("# TYPE ")}
    samples = [SAMPLE.fullmatch(line) for line in lines if not line.startswith("#")]
    assert all(samples)
    assert {sample[1] for sample in samples if sample} <= described
    assert 'mdguest_state{state="isolated"} 1' in lines
    assert "mdguest_isolated_cpus 2" in lines


def test_names_in_metrics_are_escaped(run: Run, layout: Path, machine: FakeGuest) -> None:
    run("apply", "--source", f"file:{layout}")
    assert machine.systemd
    machine.systemd.add(r"a\x2db.service", "/dedicated.slice")
    machine.spawn("b", r"/dedicated.slice/a\x2db.service")
    assert r'{name="a\\x2db.service"} 2' in run("status", "--prometheus")[1]


def test_metrics_go_into_a_file_whole(run: Run, layout: Path, machine: FakeGuest) -> None:
    assert run("status", "--source", f"file:{layout}", "--prometheus", "/run/m.prom")[:2] == (0, "")
    assert machine.read("/run/m.prom").startswith("# HELP mdguest_state ")


@pytest.mark.parametrize("what", RENDERERS)
def test_whatever_can_be_rendered_is(run: Run, layout: Path, what: str) -> None:
    status, out, err = run("render", what, "--source", f"file:{layout}")
    assert (status, err) == (0, "")
    assert "2-3" in out or "2,3" in out or "2_3" in out


def test_doctor_says_what_this_guest_can_do(run: Run, layout: Path) -> None:
    _, out, _ = run("doctor", "--source", f"file:{layout}")
    assert re.search(r"^yes +cgroup v2 cpuset", out, re.MULTILINE)
    assert re.search(r"^no +affinities outlive cpuset changes", out, re.MULTILINE)
    assert "nohz_full=2-3" in out


REFUSING = {
    "cgroup v1": (lambda: guest(cgroup2=False), "systemd.unified_cgroup_hierarchy=1"),
    "isolcpus": (lambda: guest("6.1", isolcpus="0-1"), "correct it and reboot"),
}


@pytest.mark.parametrize("why", REFUSING)
def test_where_isolation_is_refused_the_rest_still_works(
    why: str, machine: FakeGuest, layout: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    make, advice = REFUSING[why]
    monkeypatch.setattr(system, "System", make)
    source = ("--source", f"file:{layout}")
    assert [run(command, *source)[0] for command in ("apply", "plan", "verify")] == [3, 3, 3]
    status, out, _ = run("status", *source, "--json")
    document = json.loads(out)
    assert (status, document["state"], document["dedicated_cpus"]) == (0, "broken", "2-3")
    assert advice in document["problems"][0]["why"]
    status, out, _ = run("doctor", *source)
    assert (status, advice in out) == (0, True)
    status, out, _ = run("render", "cmdline", *source)
    assert (status, "nohz_full=2-3" in out) == (0, True)


def test_what_was_undone_can_still_be_rendered(run: Run, layout: Path) -> None:
    run("apply", "--source", f"file:{layout}")
    run("undo")
    assert 'EAL_ARGS="-l 2-3' in run("render", "dpdk")[1]


def test_a_terminal_that_has_not_our_letters_gets_others(
    run: Run, layout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert run("plan", "--source", f"file:{layout}")[0] == 0
    assert b" \\u2192 " in written.getvalue()
