"""The settings: one frozen value from a TOML file, then ``MDSVC_*``, then flags."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec

from mdsvc.errors import BadInput
from mdsvc.forms import check_plain, explain
from mdsvc.instance import VersionList
from mdsvc.listening.sockets import parse_listen
from mdsvc.nova.addresses import parse_upstream
from mdsvc.policy.unknown_keys import UnknownKeys
from mdsvc.store.feed import POLL_SECONDS
from mdsvc.vendordata.targets import parse_targets
from mdsvc.versions import CpusFormat


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that can be set. The ports are Nova's metadata port and the next one."""

    store: str = "sqlite:///mdsvc.db"
    store_password: str | None = None
    store_password_file: Path | None = None
    guest: tuple[str, ...] = ("127.0.0.1:8775",)
    operator: str = "127.0.0.1:8776"
    operator_names: tuple[str, ...] = ()
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    identity: Literal["address", "neutron"] = "address"
    network: str | None = None
    netns: str | None = None
    shared_secret: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    dedicated_cpus_format: CpusFormat = "cpuset"
    version_list: VersionList = "nova"
    vendor_data: Path | None = None
    vendordata_dynamic_targets: tuple[str, ...] = ()
    vendordata_dynamic_seconds: Annotated[float, msgspec.Meta(ge=0.1, le=9)] = 5
    vendordata_dynamic_ssl_certfile: Path | None = None
    vendordata_dynamic_token_file: Path | None = None
    unknown_keys: UnknownKeys = "warn"
    wait_seconds: Annotated[int, msgspec.Meta(ge=0, le=25)] | None = None
    poll_seconds: Annotated[float, msgspec.Meta(ge=0.01, le=60)] = POLL_SECONDS
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def __post_init__(self) -> None:
        for field, texts in (("guest", self.guest), ("operator", (self.operator,))):
            for text in texts:
                parse_listen(text, field)
        for text in self.upstream:
            parse_upstream(text)
        parse_targets(self.vendordata_dynamic_targets)
        if self.identity == "neutron" and not self.shared_secret:
            raise ValueError("shared_secret: expected a secret, as identity is neutron")
        if self.store_password is not None and self.store_password_file is not None:
            raise ValueError("store_password: expected it here or in store_password_file, not both")
        if "" in self.shared_secret:
            raise ValueError("shared_secret: expected no empty secret")

    @property
    def longest_wait(self) -> int:
        """For how many seconds a guest that waits for a change is held at most.

        Behind a proxy one waiting guest can stand in the way of all others (Neutron's agent for
        OVN serves one request at a time), so there it is 0 unless it is set.
        """
        if self.wait_seconds is not None:
            return self.wait_seconds
        return 0 if self.identity == "neutron" else 25


_LISTS = ("guest", "operator_names", "shared_secret", "upstream", "vendordata_dynamic_targets")
"""Settings of several values; in a text these are apart by commas."""

ALL_SETTINGS = Settings.__struct_fields__


def load(
    config: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, Any],
    only: Collection[str] = ALL_SETTINGS,
) -> Settings:
    """Settings from the file, then the environment, then the flags that are not None.

    Those that ``only`` does not name have their defaults, and may be wrong. Raises BadInput naming
    the setting as its source spells it.
    """
    sources: dict[str, str] = {}
    values: dict[str, Any] = {}
    for field, value in (_from_file(config) if config else {}).items():
        sources[field], values[field] = f"{config}: {field}", value
    for field in Settings.__struct_fields__:
        if (variable := f"MDSVC_{field.upper()}") in environ:
            sources[field], values[field] = variable, environ[variable]
    for field, value in flags.items():
        if value is not None and value != ():
            sources[field], values[field] = f"--{field.replace('_', '-')}", value
    unread = set(ALL_SETTINGS).difference(only)
    read = {field: value for field, value in values.items() if field not in unread}
    return _with_password(_convert(read, sources), sources)


def _with_password(settings: Settings, sources: Mapping[str, str]) -> Settings:
    """The password goes into the store's URL, if that asks for a server and has none itself."""
    login = re.match(r"([a-z]+://[^:@/?]+)@", settings.store)
    if login is None:
        return settings
    password = settings.store_password
    if file := settings.store_password_file:
        source = sources["store_password_file"]
        try:
            password = file.read_text().rstrip("\r\n")
        except OSError as error:
            raise BadInput(f"{source}: {file}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise BadInput(f"{source}: {file}: expected text in UTF-8") from None
    if password is None:
        return settings
    url = f"{login[1]}:{quote(password, safe='')}{settings.store[login.end() - 1 :]}"
    return msgspec.structs.replace(settings, store=url, store_password=None)


def _convert(values: Mapping[str, Any], sources: Mapping[str, str]) -> Settings:
    lists = {
        field: [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        for field, value in values.items()
        if field in _LISTS
    }
    given = {**values, **lists}
    try:
        # What is wrong with a store's URL, the store itself says best.
        check_plain({field: value for field, value in given.items() if field != "store"})
        settings: Settings = _read(given, Settings)
        return settings
    except BadInput as error:
        message = str(error)
    except msgspec.ValidationError as error:
        message = str(explain(error, given, Settings, _read))
    field = re.match(r"[^:.\[]*", message)[0]  # type: ignore[index]  # matches always
    raise BadInput(sources.get(field, field) + message[len(field) :]) from None


def _read(values: Any, kind: Any) -> Any:
    return msgspec.convert(values, kind, strict=False, dec_hook=_decode)


def _decode(kind: type, value: Any) -> Any:
    assert kind is Path, "no other field is of a type that msgspec does not know"
    if not isinstance(value, str):
        raise ValueError("expected a path, as text")
    return Path(value)


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise BadInput(f"--config: {path}: {error.strerror}") from None
    except RecursionError:
        raise BadInput(f"--config: {path} is no TOML file: it is nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError, a number of 5000 digits
        raise BadInput(f"--config: {path} is no TOML file: {error}") from None
