"""Settings: the file, then the environment, then flags; what is wrong is named."""

from __future__ import annotations

import pytest
from mdguest.errors import BadInput
from mdguest.settings import FILE, Settings, load

from tests.guest.fake import FakeGuest, guest


def with_file(text: str) -> FakeGuest:
    machine = guest()
    machine.save(FILE, text)
    return machine


def test_without_any_the_defaults_hold() -> None:
    assert load(guest(), {}, {}) == Settings()


def test_flags_come_before_the_environment_and_that_before_the_file() -> None:
    machine = with_file("MDGUEST_MODE=fence\nMDGUEST_PARTITION=root\nMDGUEST_HOUSEKEEPING=last\n")
    environment = {"MDGUEST_MODE": "raw", "MDGUEST_PARTITION": "isolated"}
    found = load(machine, environment, {"mode": "kubernetes", "partition": None})
    assert (found.mode, found.partition, found.housekeeping) == ("kubernetes", "isolated", "last")


def test_the_file_may_have_comments_and_quotes() -> None:
    machine = with_file('# a comment\nMDGUEST_SOURCE="file:/my layout"  # why\nMDGUEST_MODE=\n')
    found = load(machine, {}, {})
    assert (found.source, found.mode) == ("file:/my layout", None)


def test_slices_with_cpus_of_their_own_are_read_whatever_their_order() -> None:
    machine = with_file('MDGUEST_EXEMPT="ovs.slice=2-3  fast.slice=5"\n')
    found = {name: str(cpus) for name, cpus in load(machine, {}, {}).exempted().items()}
    assert found == {"fast.slice": "5", "ovs.slice": "2-3"}


BAD = {
    "mode": ("lace", "expected partition, kubernetes, fence or raw"),
    "partition": ("wall", "expected isolated or root"),
    "housekeeping": ("none", "or first or last"),
    "exempt": ("ovs.slice", "expected slices with their CPUs, like ovs.slice=2-3"),
    "interval": ("soon", "expected a number of seconds"),
    "ignore": ("a.scope qemu*", "expected commas between patterns"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_value_is_refused_by_the_name_of_its_flag_or_variable(name: str) -> None:
    value, expected = BAD[name]
    with pytest.raises(BadInput, match=f"^--{name}: .*{expected}"):
        load(guest(), {}, {name: value})
    with pytest.raises(BadInput, match=f"^MDGUEST_{name.upper()} in the environment: .*{expected}"):
        load(guest(), {f"MDGUEST_{name.upper()}": value}, {})
    with pytest.raises(BadInput, match=f"^MDGUEST_{name.upper()} in {FILE}: .*{expected}"):
        load(with_file(f"MDGUEST_{name.upper()}='{value}'"), {}, {})


@pytest.mark.parametrize("seconds", ["14", "nan", "1e9"])
def test_an_interval_that_would_flood_or_sleep_is_refused(seconds: str) -> None:
    with pytest.raises(BadInput, match=r"^--interval: expected 15 to 86400 seconds"):
        load(guest(), {}, {"interval": seconds})


def test_a_misspelt_name_in_the_file_is_refused() -> None:
    expected = rf"^MDGUEST_MOD in {FILE}: expected MDGUEST_SOURCE, MDGUEST_MODE, .* or MDGUEST_"
    with pytest.raises(BadInput, match=expected):
        load(with_file("MDGUEST_MOD=fence\nTZ=UTC\n"), {}, {})


def test_a_file_that_is_none_is_refused_by_its_name() -> None:
    with pytest.raises(BadInput, match=FILE):
        load(with_file('MDGUEST_MODE="fence'), {}, {})


@pytest.mark.parametrize("value", ["ovs.slice=2-3 fast.slice=5", "docker-*.scope, qemu*"])
def test_a_value_with_spaces_and_no_quotes_is_not_cut_in_silence(value: str) -> None:
    with pytest.raises(BadInput, match="quotes around a value with spaces"):
        load(with_file(f"export TZ=UTC\nMDGUEST_EXEMPT={value}\n"), {}, {})


def test_a_byte_order_mark_hides_no_setting() -> None:
    assert load(with_file("\ufeffMDGUEST_MODE=fence\n"), {}, {}).mode == "fence"
