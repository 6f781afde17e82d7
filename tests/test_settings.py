"""Settings: file, then environment, then flags; a wrong one is named as its source spells it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.errors import BadInput
from mdsvc.listening.sockets import Listen
from mdsvc.settings import Settings, load
from tests.strategies import ODD_TEXTS, QUICK

SAMPLES: dict[str, tuple[str, str, str]] = {
    "store": ("sqlite:///a.db", "sqlite:////b.db", "postgresql://c"),
    "store_password": ("a", "b", "c"),
    "store_password_file": ("/a", "/b", "/c"),
    "guest": ("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"),
    "operator": ("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"),
    "operator_names": ("a", "b", "c"),
    "tls_certificate": ("/a", "/b", "/c"),
    "tls_key": ("/a", "/b", "/c"),
    "network": ("a", "b", "c"),
    "netns": ("a", "b=net", "c"),
    "netns_prefix": ("a-", "b-", "c-"),
    "netns_add_addresses": ("*", "tap*", "eth0"),
    "shared_secret": ("a", "b", "c"),
    "tokens": ("off", "required", "off"),
    "token_key_file": ("/a", "/b", "/c"),
    "user_data_after_boot": ("deny", "allow", "deny"),
    "user_data_seconds": ("1", "2", "3"),
    "guest_names": ("a", "b", "c"),
    "guest_rate": ("1.5", "2.5", "3.5"),
    "guest_burst": ("1", "2", "3"),
    "guest_connections": ("1", "2", "3"),
    "reply_ttl": ("2", "3", "4"),
    "upstream": ("http://a:1", "https://b", "unix:/c"),
    "dedicated_cpus_format": ("list", "cpuset", "list"),
    "version_list": ("newest", "nova", "newest"),
    "vendor_data": ("/a", "/b", "/c"),
    "vendordata_dynamic_targets": ("a@http://a", "b@https://b", "c@http://c"),
    "vendordata_dynamic_seconds": ("1.5", "2.5", "3.5"),
    "vendordata_dynamic_ssl_certfile": ("/a", "/b", "/c"),
    "vendordata_dynamic_token_file": ("/a", "/b", "/c"),
    "vendordata": ("127.0.0.1:1", "127.0.0.1:2", "unix:/c"),
    "vendordata_secret": ("a", "b", "c"),
    "vendordata_layouts": ("store", "store", "store"),
    "vendordata_template": ("/a", "/b", "/c"),
    "cloud": ("a", "b", "c"),
    "unknown_keys": ("error", "warn", "error"),
    "wait_seconds": ("1", "2", "3"),
    "poll_seconds": ("1.5", "2.5", "3.5"),
    "cache_mb": ("1", "2", "3"),
    "workers": ("2", "3", "4"),
    "log_level": ("debug", "error", "warning"),
    "log_format": ("json", "text", "json"),
}
"""Of each setting three values: for the file, the environment and the flag."""

LISTS = (
    "guest",
    "guest_names",
    "netns",
    "operator_names",
    "shared_secret",
    "upstream",
    "vendordata_dynamic_targets",
    "vendordata_secret",
)


def toml(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "mdsvc.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def value_of(settings: Settings, field: str) -> str:
    """One value, or the only one of a list, as text."""
    value = getattr(settings, field)
    return str(value[0] if isinstance(value, tuple) else value)


def test_every_setting_but_identity_is_sampled() -> None:
    assert {*SAMPLES, "identity"} == set(Settings.__struct_fields__)


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = load(None, {}, {})
    assert settings == Settings()
    assert settings.dedicated_cpus_format == "cpuset"
    assert settings.version_list == "nova"
    assert settings.unknown_keys == "warn"
    assert settings.identity == "address"
    assert settings.shared_secret == ()
    assert all(Listen.parse(text).address == "127.0.0.1" for text in settings.guest_listeners)
    assert Listen.parse(settings.operator).address == "127.0.0.1", "loopback by default"


NAMESPACES: dict[str, dict[str, Any]] = {
    "netns: expected NAME=NETWORK, of which NAME is a file": {"netns": ("a=",)},
    "netns: expected NAME=NETWORK, of which NAME is a file in": {"netns": ("=net-a",)},
    "netns: expected NAME=NETWORK, of which NAME is a file in /run": {"netns": ("../x=net-a",)},
    "netns: expected each namespace once, but 'a' is there twice": {"netns": ("a=b", "c=b", "a=d")},
    "netns: expected one NAME at most that has no =NETWORK": {"netns": ("a", "b")},
    "netns_prefix: expected how names in /run/netns begin": {"netns_prefix": ""},
    "netns_prefix: expected how names in /run/netns begin, like": {"netns_prefix": "a/b"},
    "identity: expected address, as netns": {
        "netns_prefix": "a",
        "identity": "neutron",
        "shared_secret": ("s",),
    },
}


@pytest.mark.parametrize(("message", "flags"), NAMESPACES.items())
def test_namespaces_that_cannot_be_are_refused(message: str, flags: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as error:
        load(None, {}, flags)
    expected = message.replace("_", "-") if message.startswith("netns_p") else message
    assert str(error.value).startswith(f"--{expected}")


@pytest.mark.parametrize(
    ("flags", "guests", "networks"),
    [
        ({}, ("127.0.0.1:8775",), {}),
        ({"netns": ("a=b=c",)}, (), {"a": "b=c"}),
        ({"netns": ("a=b", "c"), "guest": ("10.0.0.1:80",)}, ("10.0.0.1:80",), {"a": "b"}),
        ({"netns": ("c",)}, ("127.0.0.1:8775",), {}),
        ({"netns_prefix": "ovnmeta-"}, (), {}),
    ],
)
def test_where_guests_ask_follows_from_the_namespaces(
    flags: dict[str, Any], guests: tuple[str, ...], networks: dict[str, str]
) -> None:
    settings = load(None, {}, flags)
    assert settings.guest_listeners == guests
    assert settings.networks == networks


@pytest.mark.parametrize("field", SAMPLES)
def test_flags_win_over_the_environment_and_that_over_the_file(field: str, tmp_path: Path) -> None:
    in_file, in_environ, in_flag = SAMPLES[field]
    number = all(part.isdigit() for part in in_file.split("."))
    config = toml(tmp_path, f"{field} = {in_file}" if number else f"{field} = '{in_file}'")
    environ = {f"MDSVC_{field.upper()}": in_environ}
    flags: dict[str, Any] = {field: (in_flag,) if field in LISTS else in_flag}
    assert value_of(load(config, {}, {}), field) == in_file
    assert value_of(load(config, environ, {}), field) == in_environ
    assert value_of(load(config, environ, flags), field) == in_flag
    assert value_of(load(None, environ, {}), field) == in_environ
    absent: dict[str, Any] = {field: () if field in LISTS else None}
    assert value_of(load(config, environ, absent), field) == in_environ
    others = set(SAMPLES) - {field}
    found = load(config, environ, flags)
    assert all(getattr(found, name) == getattr(Settings(), name) for name in others)


def test_other_variables_are_not_read() -> None:
    assert load(None, {"MDSVC_UNKNOWN": "x", "STORE": "y", "mdsvc_store": "z"}, {}) == Settings()


@pytest.mark.parametrize(
    ("text", "secrets"), [("a", ("a",)), ("new,old", ("new", "old")), ("new, old", ("new", "old"))]
)
def test_several_secrets_stand_while_one_is_rotated_out(
    text: str, secrets: tuple[str, ...]
) -> None:
    assert load(None, {"MDSVC_SHARED_SECRET": text}, {}).shared_secret == secrets


@pytest.mark.parametrize("text", ["", ",", "a,", ",a", "a,,b", " ", "a, "])
def test_an_empty_secret_is_refused(text: str, tmp_path: Path) -> None:
    message = r"^MDSVC_SHARED_SECRET: expected no empty secret$"
    with pytest.raises(BadInput, match=message):
        load(None, {"MDSVC_SHARED_SECRET": text}, {})
    with pytest.raises(BadInput, match=r"mdsvc\.toml: shared_secret: expected no empty secret$"):
        load(toml(tmp_path, f"shared_secret = '{text}'"), {}, {})
    with pytest.raises(BadInput, match=r"^--shared-secret: expected no empty secret$"):
        load(None, {}, {"shared_secret": ("",)})


def test_neutron_identity_needs_a_secret() -> None:
    with pytest.raises(BadInput, match="shared_secret: expected a secret, as identity is neutron"):
        load(None, {"MDSVC_IDENTITY": "neutron"}, {})
    environ = {"MDSVC_IDENTITY": "neutron", "MDSVC_SHARED_SECRET": "s"}
    assert load(None, environ, {}).identity == "neutron"


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        ("identity", "x", "expected one of address, neutron"),
        ("dedicated_cpus_format", "CPUSET", "expected one of cpuset, list"),
        ("version_list", "", "expected one of newest, nova"),
        ("log_level", "loud", "expected one of debug, error, info, warning"),
        ("wait_seconds", "26", "expected a whole number from 0 to 25, got the text '26'"),
        ("poll_seconds", "0", "expected a number from 0.01 to 60, got the text '0'"),
        ("wait_seconds", "-1", "expected a whole number from 0 to 25, got the text '-1'"),
        ("wait_seconds", "9" * 5000, "expected a whole number from 0 to 25, got the text '999"),
        ("wait_seconds", "1.5", "expected a whole number from 0 to 25, got the text"),
        ("wait_seconds", "nan", "expected a whole number from 0 to 25, got the text"),
        ("guest", "127.0.0.1", "expected ADDR:PORT"),
        ("guest", "127.0.0.1:80,", "expected ADDR:PORT"),
        ("operator", ":80", "expected ADDR:PORT"),
        ("operator", "127.0.0.1:65536", "expected ADDR:PORT"),
        ("operator", "::1:80", "expected ADDR:PORT"),
        ("operator", "h:٨٠", "expected ADDR:PORT"),
    ],
)
def test_a_wrong_setting_is_named_as_its_source_spells_it(
    field: str, text: str, expected: str, tmp_path: Path
) -> None:
    config = toml(tmp_path, f"{field} = '{text}'")
    flag: dict[str, Any] = {field: (text,) if field in LISTS else text}
    if "," in text:
        flag = {field: tuple(text.split(","))}
    for sources, named in (
        ((config, {}, {}), f"{config}: {field}"),
        ((None, {f"MDSVC_{field.upper()}": text}, {}), f"MDSVC_{field.upper()}"),
        ((None, {}, flag), f"--{field.replace('_', '-')}"),
    ):
        with pytest.raises(BadInput) as error:
            load(*sources)
        assert str(error.value).startswith(f"{named}: ")
        assert expected in str(error.value)


@pytest.mark.parametrize("key", ["unheard_of", "shared-secret", "Store", "a.b", "store:x"])
def test_an_unknown_key_of_the_file_is_named_with_the_file(key: str, tmp_path: Path) -> None:
    config = toml(tmp_path, f"'{key}' = 1")
    with pytest.raises(BadInput, match=r"no such field is known here$") as error:
        load(config, {}, {})
    assert key in str(error.value)
    if key.replace("-", "_").isidentifier():
        assert str(error.value).startswith(f"{config}: {key}: ")


@pytest.mark.parametrize(
    "line",
    [
        *("store = 1", "store = true", "store = ['a']", "guest = 1", "guest = [1]", "network = 1"),
        *("wait_seconds = 1e400", "wait_seconds = nan", "wait_seconds = inf", "wait_seconds = []"),
        *(
            "vendor_data = 1",
            "log_level = {a = 1}",
            "shared_secret = [[]]",
            "operator = 1979-05-27",
        ),
    ],
)
def test_a_wrong_type_in_the_file_is_named_with_the_file(line: str, tmp_path: Path) -> None:
    config = toml(tmp_path, line)
    with pytest.raises(BadInput) as error:
        load(config, {}, {})
    assert str(error.value).startswith(f"{config}: {line.partition(' =')[0]}")


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"store = ",
        b"\xff",
        b"a = 1\na = 2",
        b"\0",
        b"a = " + b"[" * 9000,
        b"a = " + b"9" * 5000,
    ],
    ids=range(7),
)
def test_a_file_that_is_no_toml_says_so(content: bytes, tmp_path: Path) -> None:
    config = toml(tmp_path, content)
    with pytest.raises(BadInput) as error:
        load(config, {}, {})
    assert str(error.value).startswith(f"--config: {config} is no TOML file: ")


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^--config: .*/none: No such file or directory$"):
        load(tmp_path / "none", {}, {})
    with pytest.raises(BadInput, match=r"^--config: .*: Is a directory$"):
        load(tmp_path, {}, {})


@QUICK
@given(
    st.dictionaries(
        st.sampled_from(Settings.__struct_fields__),
        st.one_of(st.sampled_from(ODD_TEXTS), st.text(max_size=8)),
    )
)
def test_any_environment_is_settings_or_bad_input(values: dict[str, str]) -> None:
    environ = {f"MDSVC_{field.upper()}": text for field, text in values.items()}
    try:
        settings = load(None, environ, {})
    except BadInput as error:
        assert str(error).startswith(("MDSVC_", "shared_secret: "))  # noqa: PT017  # or it is fine
        return
    assert "" not in settings.shared_secret


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("127.0.0.1:8775", "127.0.0.1", 8775),
        ("0.0.0.0:0", "0.0.0.0", 0),
        ("localhost:65535", "localhost", 65535),
        ("[::1]:8775", "::1", 8775),
        ("[fe80::a9fe:a9fe%eth0]:80", "fe80::a9fe:a9fe%eth0", 80),
    ],
)
def test_an_address_and_port_are_read_and_written_again(text: str, address: str, port: int) -> None:
    assert Listen.parse(text) == Listen(address, port)
    assert str(Listen.parse(text)) == text


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 25),
        ({"identity": "neutron"}, 0),
        ({"identity": "neutron", "wait_seconds": 5}, 5),
        ({"wait_seconds": 0}, 0),
    ],
)
def test_behind_a_proxy_nobody_waits_unless_told_to(changes: dict[str, Any], seconds: int) -> None:
    settings = msgspec.structs.replace(Settings(shared_secret=("s",)), **changes)
    assert settings.longest_wait == seconds


@pytest.mark.parametrize("text", ["\udcff", "a\udc80", "a\0"])
def test_bytes_that_are_no_text_are_bad_input(text: str) -> None:
    """The environment gives each byte that is not UTF-8 as a lone surrogate."""
    with pytest.raises(BadInput, match=r"^MDSVC_LOG_LEVEL: expected text without "):
        load(None, {"MDSVC_LOG_LEVEL": text}, {})
    with pytest.raises(BadInput, match=r"^--shared-secret\[0\]: expected text without "):
        load(None, {}, {"shared_secret": (text,)})


# ---- the password of the store ----

SERVER = "mysql://ops@h1:3306,h2/db?sslmode=require"


def test_a_password_goes_into_the_url_of_a_server(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("p@ss/w:rd \n")
    environ = {"MDSVC_STORE": SERVER}
    expected = "mysql://ops:p%40ss%2Fw%3Ard%20@h1:3306,h2/db?sslmode=require"
    for more in (
        {"MDSVC_STORE_PASSWORD": "p@ss/w:rd "},
        {"MDSVC_STORE_PASSWORD_FILE": str(file)},
    ):
        assert load(None, environ | more, {}).store == expected


@pytest.mark.parametrize(
    "url",
    ["sqlite:///a.db", "sqlite:///a@b.db", "memory://", "mysql://ops:own@h1/db", "mysql://h/db"],
)
def test_another_url_is_left_as_it_is(url: str) -> None:
    assert load(None, {"MDSVC_STORE": url, "MDSVC_STORE_PASSWORD": "secret"}, {}).store == url


def test_a_password_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    environ = {"MDSVC_STORE": SERVER, "MDSVC_STORE_PASSWORD_FILE": str(tmp_path / "none")}
    with pytest.raises(BadInput, match=r"^MDSVC_STORE_PASSWORD_FILE: .*none: No such file"):
        load(None, environ, {})
    (tmp_path / "none").write_bytes(b"\xff")
    with pytest.raises(BadInput, match=r"^MDSVC_STORE_PASSWORD_FILE: .*: expected text in UTF-8"):
        load(None, environ, {})


def test_one_password_is_enough() -> None:
    environ = {"MDSVC_STORE_PASSWORD_FILE": "/a", "MDSVC_STORE_PASSWORD": "secret"}
    with pytest.raises(BadInput, match="not both") as error:
        load(None, environ, {})
    assert "secret" not in str(error.value)


def test_user_data_close_where_it_is_set_and_a_store_can_know() -> None:
    assert load(None, {}, {}).user_data_close is None
    deny = {"MDSVC_USER_DATA_AFTER_BOOT": "deny"}
    assert load(None, deny, {}).user_data_close == 600
    assert load(None, {**deny, "MDSVC_USER_DATA_SECONDS": "3600"}, {}).user_data_close == 3600
    for seconds in ("0", "604801", "soon"):
        with pytest.raises(BadInput, match=r"^MDSVC_USER_DATA_SECONDS: expected"):
            load(None, {"MDSVC_USER_DATA_SECONDS": seconds}, {})
    message = r"^MDSVC_USER_DATA_AFTER_BOOT: expected allow with upstream, where no store knows"
    with pytest.raises(BadInput, match=message):
        load(None, {**deny, "MDSVC_UPSTREAM": "http://nova:8775"}, {})
