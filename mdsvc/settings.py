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
from mdsvc.instance import TokenMode, VersionList
from mdsvc.listening.sockets import parse_listen
from mdsvc.locking import DEFAULT_SECONDS, LONGEST_SECONDS
from mdsvc.logs import Format
from mdsvc.nova.addresses import parse_upstream
from mdsvc.policy.unknown_keys import UnknownKeys
from mdsvc.store.feed import POLL_SECONDS
from mdsvc.vendordata.targets import parse_targets
from mdsvc.versions import CpusFormat

_NAMESPACE = "[^/=]{1,255}"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that can be set. The ports are Nova's metadata port and the next one."""

    store: str = "sqlite:///mdsvc.db"
    store_password: str | None = None
    store_password_file: Path | None = None
    guest: tuple[str, ...] | None = None
    operator: str = "127.0.0.1:8776"
    operator_names: tuple[str, ...] = ()
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    identity: Literal["address", "neutron"] = "address"
    network: str | None = None
    netns: tuple[str, ...] = ()
    netns_prefix: str | None = None
    netns_add_addresses: str | None = None
    shared_secret: tuple[str, ...] = ()
    tokens: TokenMode = "optional"
    token_key_file: Path | None = None
    user_data_after_boot: Literal["allow", "deny"] = "allow"
    user_data_seconds: Annotated[int, msgspec.Meta(ge=1, le=LONGEST_SECONDS)] = DEFAULT_SECONDS
    guest_names: tuple[str, ...] = ()
    guest_rate: Annotated[float, msgspec.Meta(ge=0, le=1e6)] = 20
    guest_burst: Annotated[int, msgspec.Meta(ge=1, le=10**6)] = 200
    guest_connections: Annotated[int, msgspec.Meta(ge=0, le=10**6)] = 128
    reply_ttl: Annotated[int, msgspec.Meta(ge=0, le=255)] = 1
    upstream: tuple[str, ...] = ()
    dedicated_cpus_format: CpusFormat = "cpuset"
    version_list: VersionList = "nova"
    vendor_data: Path | None = None
    vendordata_dynamic_targets: tuple[str, ...] = ()
    vendordata_dynamic_seconds: Annotated[float, msgspec.Meta(ge=0.1, le=9)] = 5
    vendordata_dynamic_ssl_certfile: Path | None = None
    vendordata_dynamic_token_file: Path | None = None
    vendordata: str | None = None
    vendordata_secret: tuple[str, ...] = ()
    vendordata_layouts: Literal["store", "cloud"] | None = None
    vendordata_template: Path | None = None
    cloud: str | None = None
    unknown_keys: UnknownKeys = "warn"
    wait_seconds: Annotated[int, msgspec.Meta(ge=0, le=25)] | None = None
    poll_seconds: Annotated[float, msgspec.Meta(ge=0.01, le=60)] = POLL_SECONDS
    workers: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    cache_mb: Annotated[int, msgspec.Meta(ge=1, le=65536)] = 128
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Format = "text"

    def __post_init__(self) -> None:
        listeners = {
            "guest": self.guest_listeners,
            "operator": (self.operator,),
            "vendordata": (self.vendordata,) if self.vendordata is not None else (),
        }
        for field, texts in listeners.items():
            for text in texts:
                parse_listen(text, field)
        self._check_namespaces()
        for text in self.upstream:
            parse_upstream(text)
        parse_targets(self.vendordata_dynamic_targets)
        if self.identity == "neutron" and not self.shared_secret:
            raise ValueError("shared_secret: expected a secret, as identity is neutron")
        for field in ("shared_secret", "vendordata_secret"):
            if "" in getattr(self, field):
                raise ValueError(f"{field}: expected no empty secret")
        self._check_upstream()
        self._check_vendordata()
        self._check_store()

    def _check_store(self) -> None:
        if self.store_password is not None and self.store_password_file is not None:
            raise ValueError("store_password: expected it here or in store_password_file, not both")
        if self.workers > 1 and self.store == "memory://" and self.needs_store:
            raise ValueError("workers: expected 1, as memory:// is each process's own")

    @property
    def needs_store(self) -> bool:
        """Whether guests or operators are answered from the store: not in front of Nova, and not
        where only Nova asks for vendor data.
        """
        return not (self.upstream or self.is_target_alone)

    @property
    def is_target_alone(self) -> bool:
        """Whether only Nova asks here, for vendor data, and no guest."""
        return bool(self.vendordata) and not self.upstream and self.layouts_of == "cloud"

    def _check_upstream(self) -> None:
        if self.upstream and self.user_data_after_boot == "deny":
            expected = "expected allow with upstream, where no store knows who has read them"
            raise ValueError(f"user_data_after_boot: {expected}")

    def _check_vendordata(self) -> None:
        if self.vendordata_layouts == "cloud" and not self.cloud:
            raise ValueError("vendordata_layouts: expected cloud to be set too, to ask it for them")
        if self.vendordata and self.upstream and self.layouts_of != "cloud":
            raise ValueError("vendordata: expected cloud to be set, as with upstream is no store")

    @property
    def layouts_of(self) -> Literal["store", "cloud"]:
        """Who knows where the guests' CPUs are of which the vendor data's target tells."""
        return self.vendordata_layouts or ("cloud" if self.cloud else "store")

    def _check_namespaces(self) -> None:
        named = [text.partition("=")[0] for text in self.netns]
        for name, text in zip(named, self.netns, strict=True):
            if not re.fullmatch(_NAMESPACE, name) or text.endswith("="):
                expected = "expected NAME=NETWORK, of which NAME is a file in /run/netns"
                raise ValueError(f"netns: {expected}, got {text!r}")
            if named.count(name) > 1:
                raise ValueError(
                    f"netns: expected each namespace once, but {name!r} is there twice"
                )
        if sum("=" not in text for text in self.netns) > 1:
            raise ValueError("netns: expected one NAME at most that has no =NETWORK")
        if self.netns_prefix is not None and not re.fullmatch(_NAMESPACE, self.netns_prefix):
            expected = "expected how names in /run/netns begin, like ovnmeta-"
            raise ValueError(f"netns_prefix: {expected}, got {self.netns_prefix!r}")
        if self.follows_namespaces and self.identity == "neutron":
            raise ValueError("identity: expected address, as netns or netns_prefix names networks")

    @property
    def networks(self) -> Mapping[str, str]:
        """The network of each namespace that is named with one."""
        return dict(text.split("=", 1) for text in self.netns if "=" in text)

    @property
    def follows_namespaces(self) -> bool:
        """Whether guests are listened for in namespaces of networks."""
        return bool(self.networks) or self.netns_prefix is not None

    @property
    def guest_listeners(self) -> tuple[str, ...]:
        """Where guests ask beside namespaces of networks; where there are such, nowhere unless it
        is set.
        """
        if self.guest is not None:
            return self.guest
        return () if self.follows_namespaces else ("127.0.0.1:8775",)

    @property
    def guest_namespace(self) -> str | None:
        """The namespace in which these are; None for the process's own."""
        return next((name for name in self.netns if "=" not in name), None)

    @property
    def user_data_close(self) -> int | None:
        """After how many seconds user data close that were read; None for never."""
        return self.user_data_seconds if self.user_data_after_boot == "deny" else None

    @property
    def longest_wait(self) -> int:
        """For how many seconds a guest that waits for a change is held at most.

        Behind a proxy one waiting guest can stand in the way of all others (Neutron's agent for
        OVN serves one request at a time), so there it is 0 unless it is set.
        """
        if self.wait_seconds is not None:
            return self.wait_seconds
        return 0 if self.identity == "neutron" else 25


_LISTS = (
    "guest",
    "guest_names",
    "netns",
    "operator_names",
    "shared_secret",
    "upstream",
    "vendordata_dynamic_targets",
    "vendordata_secret",
)
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
