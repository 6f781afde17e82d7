"""What the kubelet makes of the dedicated CPUs: its CPU manager, what it reserves, and its pods."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from mdguest.cpuset import CpuSet
from mdguest.facts.kubernetes import KUBELETS

from tests.guest.fake import FakeGuest, guest
from tests.guest.nodes import RESERVING, STATE, configured, install, pod
from tests.guest.use import isolate, problems, state_of


def test_a_kubelet_that_has_taken_the_reservation_is_well() -> None:
    made = guest()
    install(made)
    configured(made)
    isolate(made, "2-3")
    assert problems(made, "2-3") == []
    assert state_of(made, "2-3") == "isolated"


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        ({"policy": "none"}, "policy none"),
        ({"pods": "1-2"}, "CPU 1 given to pods"),
        ({"reserved": "0"}, "the kubelet reserves CPU 0"),
        ({"reserved": "0-2"}, "the kubelet reserves CPU 0-2"),
        ({"reserved": "2-3"}, "the kubelet reserves CPU 2-3"),
    ],
)
def test_what_it_remembers_or_is_told_that_is_wrong_is_named(
    wrong: dict[str, str], found: str
) -> None:
    made = guest()
    install(made)
    configured(made, **wrong)
    isolate(made, "2-3")
    assert [problem.found for problem in problems(made, "2-3")] == [found]
    assert all(not problem.heals for problem in problems(made, "2-3"))


def test_a_reservation_from_before_a_resize_keeps_new_cpus_from_pods_and_is_named() -> None:
    made = guest()
    install(made)
    configured(made, pods="", reserved="0-2")
    isolate(made, "3")
    assert problems(made, "3") == []
    isolate(made, "2-3")
    [problem] = problems(made, "2-3")
    assert "no pod gets CPU 2 to itself" in problem.why


def test_the_driver_of_cpu_claims_needs_no_cpu_manager() -> None:
    made = guest()
    install(made)
    configured(made, policy="none", pods="", reserved="0")
    isolate(made, "2-3")
    assert [problem.found for problem in problems(made, "2-3")] == ["policy none"]
    made.spawn("dracpu", "/kubepods/pod7")
    assert problems(made, "2-3") == []


def test_pods_without_systemd_are_told_that_they_get_shared_cpus() -> None:
    made = guest(systemd=None)
    pod(made, "nginx")
    isolate(made, "2-3")
    [problem] = problems(made, "2-3")
    assert (problem.what, problem.expected, problem.heals) == ("kubepods", "mode kubernetes", False)
    assert "needs systemd" in problem.why


FOLDER = "/etc/kubernetes/kubelet.conf.d"
TOLD = {
    "a flag": (["--reserved-cpus=0-1"], {}),
    "two words": (["--config", "/other.yaml", "--reserved-cpus", "0-1"], {}),
    "its own file": (["--config=/kubelet.json"], {"/kubelet.json": '{"reservedSystemCPUs":"0-1"}'}),
    "its folder": (
        [f"--config-dir={FOLDER}", "--config=/main"],
        {"/main": "reservedSystemCPUs: 0\n", f"{FOLDER}/9.conf": "reservedSystemCPUs: '0-1'\n"},
    ),
    "the last of the folder": (
        [f"--config-dir={FOLDER}"],
        {
            f"{FOLDER}/9.conf": "reservedSystemCPUs: 0,1\n",
            f"{FOLDER}/8.conf": "reservedSystemCPUs: 0\n",
        },
    ),
    "a folder and a flag": (
        [f"--config-dir={FOLDER}", "--reserved-cpus=0-1"],
        {f"{FOLDER}/9.conf": "reservedSystemCPUs: 0\n"},
    ),
}
NOT_TOLD = {
    "a folder that it is not told of": ([], {RESERVING: "reservedSystemCPUs: 0-1\n"}),
    "a comment": (
        ["--config=/main"],
        {"/main": '# reservedSystemCPUs: "0-1"\nkind: x # reserved-cpus=0-1\n'},
    ),
    "a later drop-in": (
        [f"--config-dir={FOLDER}", "--config=/main"],
        {"/main": "reservedSystemCPUs: 0-1\n", f"{FOLDER}/9.conf": "reservedSystemCPUs: 0\n"},
    ),
    "a file of the folder that it does not read": (
        [f"--config-dir={FOLDER}"],
        {f"{FOLDER}/9.yaml": "reservedSystemCPUs: 0-1\n"},
    ),
}
ALL_TOLD = {
    **{name: (*case, True) for name, case in TOLD.items()},
    **{name: (*case, False) for name, case in NOT_TOLD.items()},
}


@pytest.mark.parametrize(("flags", "files", "taken"), ALL_TOLD.values(), ids=ALL_TOLD)
def test_a_kubelet_that_runs_reserves_what_it_was_started_with(
    flags: list[str], files: dict[str, str], taken: bool
) -> None:
    made = guest()
    install(made)
    configured(made)
    made.disk.remove(RESERVING)
    kubelet = made.spawn("kubelet", "/system.slice/kubelet.service")
    made.spawn("kubelet", "/system.slice/kubelet.service", pid=kubelet.pid).parent = kubelet.parent
    made.disk.put(f"/proc/{kubelet.tid}/cmdline", "\0".join(["/usr/bin/kubelet", *flags, ""]))
    for path, text in files.items():
        made.disk.put(path, text)
    isolate(made, "2-3")
    assert [problem.what for problem in problems(made, "2-3")] == ([] if taken else ["kubelet"])


def test_a_kubelet_remembers_below_its_root_directory() -> None:
    made = guest()
    install(made, "k0sworker.service")
    kubelet = made.spawn("kubelet", "/system.slice/containerd.service")
    flags = ["--root-dir=/srv/kubelet", "--reserved-cpus=0-1", "--v=2"]
    made.disk.put(f"/proc/{kubelet.tid}/cmdline", "\0".join(["kubelet", *flags]))
    made.disk.put("/srv/kubelet/cpu_manager_state", '{"policyName": "none"}')
    isolate(made, "2-3")
    [problem] = problems(made, "2-3")
    assert (problem.what, problem.found) == ("/srv/kubelet/cpu_manager_state", "policy none")


def test_the_kubelet_of_a_container_has_files_that_are_not_this_guests() -> None:
    made = guest()
    install(made)
    configured(made)
    inside = "/system.slice/docker-4e1f.scope/system.slice/kubelet.service"
    kubelet = made.spawn("kubelet", inside)
    made.disk.put(f"/proc/{kubelet.tid}/cmdline", "kubelet\0--reserved-cpus=0\0")
    isolate(made, "2-3")
    assert problems(made, "2-3") == []


@pytest.mark.parametrize(
    ("unit", "path", "text"),
    [
        ("k3s.service", "/etc/rancher/k3s/config.yaml", "kubelet-arg:\n- 'reserved-cpus=0-1'\n"),
        (
            "k3s.service",
            "/etc/systemd/system/k3s.service",
            "ExecStart=/usr/bin/k3s server \\\n  '--kubelet-arg=reserved-cpus=0-1' \\\n",
        ),
        (
            "k3s-agent.service",
            "/etc/systemd/system/k3s-agent.service.env",
            "K3S_EXEC='--kubelet-arg reserved-cpus=0-1'\n",
        ),
        (
            "snap.microk8s.daemon-kubelite.service",
            "/var/snap/microk8s/current/args/kubelet",
            "--reserved-cpus=0-1\n",
        ),
        (
            "microshift.service",
            "/etc/microshift/config.d/5.yaml",
            "kubelet:\n  reservedSystemCPUs: 0-1\n",
        ),
    ],
)
def test_a_kubelet_inside_another_program_is_told_by_its_files(
    unit: str, path: str, text: str
) -> None:
    made = guest()
    install(made, unit)
    kubelet = next(kubelet for kubelet in KUBELETS if kubelet.unit == unit)
    made.disk.put(kubelet.state, '{"policyName": "static", "defaultCpuSet": "0-3"}')
    isolate(made, "2-3")
    assert [problem.found for problem in problems(made, "2-3")] == ["the kubelet reserves CPU none"]
    made.disk.put(path, text)
    assert problems(made, "2-3") == []


STATES = {
    "Kubernetes 1.17": {"entries": {"c0ffee": "1-2"}},
    "1.18": {"entries": {"uid": {"app": "1-2"}}},
    "a pod's own CPUs": {
        "entries": {"uid": {"app": "2"}},
        "podEntries": {"uid": {"cpuSet": "1-2"}},
    },
    "resized": {"entries": {"uid": {"app": {"original": "2", "resized": "1-2"}}}},
}


@pytest.mark.parametrize("entries", STATES.values(), ids=STATES)
def test_each_form_of_the_state_file_is_read(entries: dict[str, object]) -> None:
    made = guest()
    install(made)
    configured(made)
    made.disk.put(STATE, json.dumps({"policyName": "static", "defaultCpuSet": "0,3", **entries}))
    isolate(made, "2-3")
    assert [problem.found for problem in problems(made, "2-3")] == ["CPU 1 given to pods"]


@pytest.mark.parametrize("entries", [None, {}, {"uid": {}}])
def test_a_state_without_pods_is_well(entries: object) -> None:
    made = guest()
    install(made)
    configured(made)
    made.disk.put(STATE, json.dumps({"policyName": "static", "entries": entries, "checksum": 7}))
    isolate(made, "2-3")
    assert problems(made, "2-3") == []


GARBAGE = [
    "",
    "{",
    "[]",
    "{}",
    '{"policyName": "static", "entries": {"uid": {"app": "2-x"}}}',
    '{"policyName": "static", "entries": 7}',
    "null",
]


@pytest.mark.parametrize("text", GARBAGE)
def test_a_state_file_that_is_none_is_named(text: str) -> None:
    made = guest()
    install(made)
    configured(made)
    made.disk.put(STATE, text)
    isolate(made, "2-3")
    assert [problem.found for problem in problems(made, "2-3")] == ["unreadable"]


def in_system_conf(made: FakeGuest) -> None:
    made.disk.put("/etc/systemd/system.conf", "[Manager]\n#CPUAffinity=2\nCPUAffinity = 0 1\n")


def in_a_drop_in(made: FakeGuest) -> None:
    for folder, cpus in (("/etc", "0-1"), ("/usr/lib", "3")):
        made.disk.put(f"{folder}/systemd/system.conf.d/a.conf", f"[Manager]\nCPUAffinity={cpus}\n")
    made.disk.put("/run/systemd/system.conf.d/0.conf", "[Manager]\nCPUAffinity=2\nCPUAffinity=\n")


def on_the_command_line(made: FakeGuest) -> None:
    made.shape = replace(made.shape, cmdline="quiet systemd.cpu_affinity=0,1")


def of_the_runtime(made: FakeGuest) -> None:
    text = "[Service]\nExecStart=/usr/bin/containerd\nCPUAffinity=0-1\n"
    made.disk.put("/etc/systemd/system/containerd.service", text)
    assert made.systemd
    made.systemd.add("containerd.service", "/system.slice")
    made.daemon_reload()


@pytest.mark.parametrize(
    "handed_down", [in_system_conf, in_a_drop_in, on_the_command_line, of_the_runtime]
)
def test_pods_that_an_affinity_keeps_off_their_cpus_are_named(
    handed_down: Callable[[FakeGuest], None],
) -> None:
    made = guest("6.12")
    handed_down(made)
    pod(made, "nginx", cpus="0-1")
    pod(made, "redis")
    isolate(made, "2-3")
    [problem] = problems(made, "2-3")
    assert "nginx" in problem.what
    assert "CPUAffinity= in /etc/systemd/system.conf" in problem.why


def test_pods_that_have_the_affinity_of_a_runtime_that_somebody_pinned_are_named() -> None:
    made = guest("6.12")
    runtime = made.spawn("shim", "/system.slice/cron.service", CpuSet.parse("0"))
    first = made.spawn("nginx", "/kubepods/pod7", CpuSet.parse("0"))
    worker = made.spawn("worker", "/kubepods/pod7", CpuSet.parse("0"))
    other = made.spawn("other", "/kubepods/pod7", CpuSet.parse("1"))
    first.parent, worker.parent, other.parent = runtime.tid, first.tid, first.tid
    isolate(made, "2-3")
    named = [problem.what for problem in problems(made, "2-3")]
    assert ["nginx" in what or "worker" in what for what in named] == [True, True]


@pytest.mark.parametrize("cpus", ["0", "1", "0-1"])
def test_a_pod_that_chose_shared_cpus_itself_is_as_it_wants_to_be(cpus: str) -> None:
    made = guest("6.12")
    in_system_conf(made)
    made.disk.put("/etc/systemd/system.conf", "[Manager]\nCPUAffinity=0-2\n")
    pod(made, "nginx", cpus=cpus)
    isolate(made, "2-3")
    assert problems(made, "2-3") == []
