"""R21, R22: guests are shown what Nova shows them, but for the table's deviations.

Every path of every version, and the EC2 tree, of guests with much and with little. JSON is compared
parsed. Nova gives `dedicated_cpus` as a list, so that setting of the project's is compared.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import Any, NamedTuple, TypeAlias

import pytest

from mdsvc.cpuset import CpuSet
from mdsvc.documents import BYTES, JSON, TEXT, Documents
from mdsvc.forms import to_builtins
from mdsvc.instance import KeyPair, PlacedInstance
from mdsvc.versions import Options
from tests.http import forms
from tests.http.guests import place
from tests.http.tree import every_path, segments

from .client import Oracle

Json: TypeAlias = dict[str, Any]

RANDOM_GUESTS = 100


class Page(NamedTuple):
    """What a path gives: bytes, or JSON parsed, and without the seed that is new every time."""

    type: str
    value: Any


BROKEN = Page("500", None)
"""Nova's server fails."""

Answer: TypeAlias = Page | None
"""None is 404."""

Answers: TypeAlias = dict[str, Answer]
"""By path."""


@dataclass(frozen=True)
class Guest:
    """A guest's form, where it was placed, and the operator's vendor data."""

    form: Json
    vendor_data: Json = field(default_factory=dict)

    @cached_property
    def placed(self) -> PlacedInstance:
        return place(self.form)


# ---- both sides ----

ODD_PATHS = (
    *("/openstack/latest/version", "/openstack/latest/content", "/openstack/content"),
    *("/openstack/latest/content/0000", "/openstack/nowhere", "/openstack/latest/nothing.json"),
    *("/openstack/latest/meta_data.json/", "/openstack/latest/user_data/x", "/nowhere"),
    *("//openstack/latest", "///openstack", "/openstack//latest//", "/openstack/../openstack"),
    *("/openstack/./latest", "/latest/meta-data/", "/latest//meta-data///hostname/"),
    *("/ec2", "/ec2/latest/meta-data/hostname", "/ec2/nowhere", "/latest/meta-data/hostname/x"),
    *("/latest/meta-data/hostname/x/y", "/latest/user-data/x", "/latest/meta-data/placement/x"),
    *("/latest/meta-data/public-keys/0/_name", "/latest/meta-data/public-keys/0=ops"),
    *("/latest/meta-data/public-keys/1", "/latest/meta-data/public-keys/1/openssh-key"),
    *("/latest/meta-data/public-keys/2", "/latest/meta-data/public-keys/0/x"),
)


def ask_nova(oracle: Oracle, guest: Guest) -> Answers:
    """Nova's answers, where it knows of the guest what the project has made up, too."""
    known = to_builtins(guest.placed)
    made_up = ("hostname", "reservation_id", "security_groups", "root_device_name")
    # Nova's database numbers instances and images for EC2; the project has no such numbers.
    ids = {"instance_id": _leaf(guest, "instance-id"), "ami_id": _leaf(guest, "ami-id")}
    found = oracle.documents(
        {**guest.form, **{name: known[name] for name in made_up}},
        known["layout"]["cells"],
        guest.vendor_data,
        paths=[*ODD_PATHS, *_own_paths(guest)],
        ec2=ids,
    )
    answers: Answers = {**dict.fromkeys(found["missing"]), **dict.fromkeys(found["broken"], BROKEN)}
    for path, text in found["documents"].items():
        body = base64.b64decode(text["base64"]) if isinstance(text, dict) else text.encode()
        answers[path] = _page(path, found["types"][path], body)
    return answers


def ask_project(guest: Guest, path: str) -> Answer:
    options = Options(dedicated_cpus_format="list", vendor_data=guest.vendor_data)
    found = Documents(options).find(guest.placed, segments(path))
    return _page(path, found.content_type, found.reply(bytes)) if found else None


def _own_paths(guest: Guest) -> list[str]:
    """What the project lists, but for the tree that is not Nova's."""
    paths = every_path(Documents(Options()), guest.placed)
    return [path for path in paths if not path.startswith("/mdsvc")]


def _leaf(guest: Guest, name: str) -> str:
    found = Documents(Options()).find(guest.placed, ("latest", "meta-data", name))
    assert found
    return found.body.decode()


def _page(path: str, kind: str, body: bytes) -> Page:
    if not path.rstrip("/").endswith(".json"):
        return Page(kind, body)
    value = json.loads(body)
    if "random_seed" in value:
        value["random_seed"] = len(base64.b64decode(value["random_seed"], validate=True))
    return Page(kind, value)


# ---- where the project means to differ from Nova ----


@dataclass(frozen=True)
class Deviation:
    """One difference: why it is, where it shows, what is expected, and a path of a guest named."""

    why: str
    applies: Callable[[PlacedInstance, str, Answer], bool]
    outcome: Callable[[PlacedInstance, str, Page, Answers], Answer]
    example: tuple[str, str]


def expected(guest: PlacedInstance, path: str, nova: Answers) -> Answer:
    """What the project has to answer: Nova's answer, changed by each row that applies."""
    answer = nova[path]
    for row in DEVIATIONS:
        if row.applies(guest, path, answer):
            answer = row.outcome(guest, path, answer or Page(TEXT, b""), nova)
    return answer


def _missing(_guest: PlacedInstance, _path: str, _page: Page, _nova: Answers) -> None:
    """It is not there."""


def _all_keys(guest: PlacedInstance, _path: str, page: Page, _nova: Answers) -> Page:
    pairs = [
        {"name": pair.name, "type": pair.type, "data": pair.public_key} for pair in guest.key_pairs
    ]
    return page._replace(value=page.value | {"keys": pairs, **_public_keys(guest)})


def _public_keys(guest: PlacedInstance) -> Json:
    keys = {pair.name: pair.public_key for pair in _ssh(guest)}
    return {"public_keys": keys} if keys else {}


def _ssh(guest: PlacedInstance) -> list[KeyPair]:
    return [pair for pair in guest.key_pairs if pair.type == "ssh"]


def _without_certificates(guest: PlacedInstance, _path: str, page: Page, _nova: Answers) -> Page:
    value = {name: value for name, value in page.value.items() if name != "public_keys"}
    return page._replace(value=value | _public_keys(guest))


def _without_keys(_guest: PlacedInstance, _path: str, page: Page, _nova: Answers) -> Page:
    listed = [line for line in page.value.split(b"\n") if line != b"public-keys/"]
    return Page(page.type, b"\n".join(listed))


def _ec2_key(guest: PlacedInstance, path: str, _page: Page, _nova: Answers) -> Answer:
    """Of a key beside the first one, or the list of all."""
    match path.split("/")[4:]:
        case []:
            listed = (f"{number}={pair.name}" for number, pair in enumerate(_ssh(guest)))
            return Page(TEXT, "\n".join(listed).encode()) if _ssh(guest) else None
        case [number] if int(number) < len(_ssh(guest)):
            return Page(TEXT, b"openssh-key")
        case [number, "openssh-key"] if int(number) < len(_ssh(guest)):
            return Page(TEXT, _ssh(guest)[int(number)].public_key.encode())
    return None


def _with_cpu(_guest: PlacedInstance, _path: str, page: Page, _nova: Answers) -> Page:
    return Page(page.type, b"\n".join(sorted([*page.value.split(b"\n"), b"cpu/"])))


def _cpu(guest: PlacedInstance, path: str, _page: Page, _nova: Answers) -> Page:
    texts = {
        "cpu": "dedicated\ngeneration\nshared",
        "dedicated": str(guest.layout.dedicated_cpus),
        "generation": "1",
        "shared": str(guest.layout.shared_cpus),
    }
    return Page(TEXT, texts[path.rsplit("/", maxsplit=1)[-1]].encode())


def _of_addresses(_guest: PlacedInstance, _path: str, page: Page, _nova: Answers) -> Page:
    """Of the only address with a MAC that the guests here have."""
    link = {"id": "link0", "type": "phy", "ethernet_mac_address": "fa:16:3e:00:00:01"}
    network = {"id": "network0", "type": "ipv4_dhcp", "link": "link0", "network_id": "a"}
    return page._replace(value={"links": [link], "networks": [network], "services": []})


def _is_text(value: Any) -> bool:
    try:
        return not isinstance(value, bytes) or bool(value.decode()) or not value
    except UnicodeDecodeError:
        return False


DEVIATIONS = (
    Deviation(
        "R22: network_data.json came with 2015-10-15; Nova serves it in every version",
        lambda guest, path, nova: bool(
            re.fullmatch("/openstack/201[23].*/network_data.json", path)
        ),
        _missing,
        ("poor", "/openstack/2013-10-17/network_data.json"),
    ),
    Deviation(
        "network_data.json is JSON, and says so; Nova calls it text",
        lambda guest, path, nova: path.endswith("/network_data.json") and nova is not None,
        lambda guest, path, page, nova: page._replace(type=JSON),
        ("rich", "/openstack/2015-10-15/network_data.json"),
    ),
    Deviation(
        "Without network data it is made of the addresses; Nova here knows of no ports",
        lambda guest, path, nova: (
            path.endswith("/network_data.json")
            and nova is not None
            and guest.network_data is None
            and any(address.mac for address in guest.addresses)
        ),
        _of_addresses,
        ("addressed", "/openstack/latest/network_data.json"),
    ),
    Deviation(
        "The password is text; Nova calls it HTML",
        lambda guest, path, nova: path.endswith("/password") and nova is not None,
        lambda guest, path, page, nova: page._replace(type=TEXT),
        ("poor", "/openstack/latest/password"),
    ),
    Deviation(
        "A guest may have several key pairs; Nova shows the first one",
        lambda guest, path, nova: "/meta_data.json" in path and len(guest.key_pairs) > 1,
        _all_keys,
        ("rich", "/openstack/2012-08-10/meta_data.json"),
    ),
    Deviation(
        "It may have them in EC2's tree, too, but for certificates",
        lambda guest, path, nova: bool(
            re.fullmatch(r"/[^/]+/meta-data/public-keys(/[0-9][^=_]*)?", path)
            and nova != BROKEN
            and (len(guest.key_pairs) > 1 or len(_ssh(guest)) < len(guest.key_pairs))
        ),
        _ec2_key,
        ("rich", "/1.0/meta-data/public-keys/1/openssh-key"),
    ),
    Deviation(
        "R29: a certificate is no SSH key; Nova shows it as one",
        lambda guest, path, nova: (
            "/meta_data.json" in path and len(_ssh(guest)) < len(guest.key_pairs)
        ),
        _without_certificates,
        ("certified", "/openstack/latest/meta_data.json"),
    ),
    Deviation(
        "A guest with a certificate alone finds no keys listed in EC2's tree",
        lambda guest, path, nova: bool(
            re.fullmatch("/[^/]+/meta-data/?", path) and guest.key_pairs and not _ssh(guest)
        ),
        _without_keys,
        ("certified", "/latest/meta-data"),
    ),
    Deviation(
        "A guest with dedicated vCPUs finds cpu/ listed in EC2's tree",
        lambda guest, path, nova: bool(
            re.fullmatch("/[^/]+/meta-data/?", path) and guest.layout.dedicated_cpus
        ),
        _with_cpu,
        ("rich", "/latest/meta-data"),
    ),
    Deviation(
        "Bytes that are no UTF-8 are said to be so; of Nova's word the agent makes a failure",
        lambda guest, path, nova: nova is not None and not _is_text(nova.value),
        lambda guest, path, page, nova: page._replace(type=BYTES),
        ("rich", "/openstack/content/0000"),
    ),
    Deviation(
        "There it finds which they are",
        lambda guest, path, nova: "/meta-data/cpu" in path,
        _cpu,
        ("rich", "/latest/meta-data/cpu/dedicated"),
    ),
    Deviation(
        "A zone that is none is an empty leaf; Nova prints None",
        lambda guest, path, nova: (
            path.endswith("/availability-zone")
            and guest.availability_zone is None
            and nova is not None
        ),
        lambda guest, path, page, nova: Page(TEXT, b""),
        ("poor", "/2008-02-01/meta-data/placement/availability-zone"),
    ),
    Deviation(
        "Nothing is below a leaf, nor in a version's content; Nova's server fails",
        lambda guest, path, nova: nova == BROKEN,
        _missing,
        ("rich", "/latest/meta-data/hostname/x"),
    ),
    Deviation(
        "A document has one path; Nova knows it under others, too, which nothing lists",
        lambda guest, path, nova: bool(re.fullmatch("/ec2(/.*)?|.*/version|.*/_name", path)),
        _missing,
        ("rich", "/ec2/latest/meta-data/hostname"),
    ),
    Deviation(
        "Dots are names like others; Nova resolves them",
        lambda guest, path, nova: "/./" in path or "/../" in path,
        _missing,
        ("poor", "/openstack/../openstack"),
    ),
    Deviation(
        "Two slashes in front are one; Nova lists EC2's versions, whatever follows",
        lambda guest, path, nova: bool(re.match("//[^/]", path)),
        lambda guest, path, page, nova: nova[path[1:]],
        ("poor", "//openstack/latest"),
    ),
)


# ---- the comparison ----


VENDOR_DATA: Sequence[Json] = ({}, {"cloud-init": "#cloud-config\n", "größe": [1, None, 2.5]})

GUESTS = {
    "poor": Guest(forms.POOR),
    "rich": Guest(forms.RICH, VENDOR_DATA[1]),
    "addressed": Guest(forms.ADDRESSED),
    "certified": Guest(forms.CERTIFIED),
    **{
        f"random {seed}": Guest(forms.random_form(Random(seed)), VENDOR_DATA[seed % 2])
        for seed in range(RANDOM_GUESTS)
    },
}


@pytest.mark.parametrize("name", GUESTS)
def test_a_guest_is_shown_what_nova_shows(oracle: Oracle, name: str) -> None:
    guest = GUESTS[name]
    nova = ask_nova(oracle, guest)
    for path in nova:
        assert ask_project(guest, path) == expected(guest.placed, path, nova), path


@pytest.mark.parametrize("deviation", DEVIATIONS, ids=lambda deviation: deviation.why)
def test_each_deviation_shows_in_its_example(oracle: Oracle, deviation: Deviation) -> None:
    name, path = deviation.example
    guest, nova = GUESTS[name], ask_nova(oracle, GUESTS[name])
    wanted = expected(guest.placed, path, nova)
    assert deviation.applies(guest.placed, path, nova[path])
    assert ask_project(guest, path) == wanted != nova[path]


def test_the_random_guests_are_worth_comparing() -> None:
    met = [guest.form for name, guest in GUESTS.items() if name.startswith("random")]
    for name, values in forms.OPTIONS.items():
        chosen = [form.get(name, form["flavor"].get(name)) for form in met]
        assert all(value in chosen for value in values), name
    devices = [device for form in met for device in form["devices"]]
    assert len({json.dumps(device) for device in devices}) > len(forms.DEVICES) / 2


@pytest.mark.parametrize("specs", forms.OPTIONS["extra_specs"], ids=str)
def test_the_default_form_says_the_same_as_novas_list(oracle: Oracle, specs: Json) -> None:
    guest = Guest(forms.form(specs, name="g"))
    nova = ask_nova(oracle, guest)
    for version, page in ((path, nova[path]) for path in nova if path.endswith("/meta_data.json")):
        found = Documents(Options()).find(guest.placed, segments(version))
        assert found
        assert page
        ours = json.loads(found.body).get("dedicated_cpus")
        listed = page.value.get("dedicated_cpus")
        assert (ours is None) == (listed is None)
        assert ours is None or [*CpuSet.parse(ours)] == listed
