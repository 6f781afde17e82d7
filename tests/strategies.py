"""Hypothesis strategies and small builders that the tests of the core share."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from mdsvc.forms import from_builtins
from mdsvc.policy.flavor import Flavor, Image, Request, request
from mdsvc.topology import Host
from tests.reference.facts import Json
from tests.reference.generate import Case, cases

QUICK = settings(max_examples=60, deadline=None)
THOROUGH = settings(max_examples=150, deadline=None)

UUID = "1f1c2a0e-6a56-4c1c-9a35-0d7f3c7b6f52"

INSTANCE: Json = {
    "uuid": UUID,
    "project_id": "p1",
    "name": "dpdk-0",
    "hostname": "dpdk-0.novalocal",
    "flavor": {
        "name": "m",
        "vcpus": 8,
        "memory_mb": 512,
        "extra_specs": {"hw:cpu_policy": "mixed"},
    },
    "image": {"id": "i", "name": "n", "properties": {"hw_cpu_policy": "mixed"}},
    "addresses": [{"network": "net-a", "ip": "10.0.0.5", "mac": "fa:16:3e:aa:bb:cc"}],
    "key_pairs": [{"name": "ops", "type": "ssh", "public_key": "ssh-ed25519 AAAA"}],
    "meta": {"role": "dataplane"},
    "user_data": "#cloud-config\n",
    "files": [{"path": "/etc/motd", "content": {"base64": "aGk="}}],
    "availability_zone": "az1",
    "launch_index": 0,
    "reservation_id": "r-1",
    "security_groups": ["default"],
    "devices": [
        {"type": "nic", "mac": "fa:16:3e:aa:bb:cc", "tags": ["fabric"], "vlan": 1000},
        {"type": "disk", "bus": "scsi", "address": "0:0:0:1", "serial": "d1", "path": "/dev/sda"},
        {"type": "share", "share_id": "s1", "tag": "data"},
    ],
    "network_data": {"links": [], "networks": [{"id": "n"}], "services": []},
}

ODD_TEXTS = [
    *("", " ", "\0", "a\0b", "\ud800", "a\udfffb", "\u0661", "０", "0x1", "+1", "-1", "1_0", "1e3"),
    *("0-3", "3-0", "^0", "0,,1", "8192", "99999999999999999999", "mixed", "yes", "any", "2MB"),
    *("a`b", "a\nb", "x" * 5000),
]
ODD_NUMBERS = [
    *(0, -1, 1, 2, 4097, 8192, 2**31, 2**40, 2**53 + 1, 2**63, 2**64, 10**30, -(10**30)),
    *(0.0, -0.0, 0.5, 1e-320, 1e308, float("inf"), float("-inf"), float("nan")),
]


def odd_scalars() -> st.SearchStrategy[Any]:
    """What breaks programs: other types, huge numbers, NUL, lone surrogates, other digits."""
    return st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from(ODD_TEXTS),
        st.sampled_from(ODD_NUMBERS),
        st.integers(),
        st.floats(),
        st.text(max_size=6),
    )


def json_values() -> st.SearchStrategy[Any]:
    """Any document that JSON, or a careless program, could hold."""
    return st.recursive(
        odd_scalars(),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(st.one_of(st.sampled_from(ODD_TEXTS), st.text(max_size=4)), inner),
        ),
        max_leaves=8,
    )


def nested(depth: int, kind: str = "[]") -> str:
    """A document of so many lists, or objects, one in the other."""
    return "[" * depth + "]" * depth if kind == "[]" else '{"a":' * depth + "1" + "}" * depth


def mutated(document: Json) -> st.SearchStrategy[Any]:
    """The document with one to three things in it changed, taken out, doubled or added."""
    return st.integers(0, 2**32).map(lambda seed: mutation(document, Random(seed)))


def mutation(document: Json, random: Random) -> Any:
    changed = copy.deepcopy(document)
    for _ in range(random.randint(1, 3)):
        places = list(_places(changed))
        if places:
            _mutate(random, places, *random.choice(places))
    return changed


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of the document."""
    if isinstance(document, dict | list):
        for key in list(document) if isinstance(document, dict) else range(len(document)):
            yield document, key
            yield from _places(document[key])


def _mutate(random: Random, places: list[tuple[Any, Any]], container: Any, key: Any) -> None:
    odd: Any = random.choice(
        [*ODD_TEXTS, *ODD_NUMBERS, None, True, [], {}, [[]], {"a": 0}, ["0-3", "4"]]
    )
    match random.randint(0, 5):
        case 0 | 1:
            container[key] = copy.deepcopy(odd)
        case 2:
            del container[key]
        case 3:
            other, at = random.choice(places)
            if isinstance(other, list) or at in other:
                container[key] = copy.deepcopy(other[at])
        case 4 if isinstance(container, dict):
            container[random.choice(["x", *ODD_TEXTS])] = copy.deepcopy(odd)
        case 5 if isinstance(container[key], str):
            at = random.randint(0, len(container[key]))
            text = random.choice("0123456789,-^ ٣\0x")
            container[key] = container[key][:at] + text + container[key][at:]
        case _ if isinstance(container, list):
            container.append(copy.deepcopy(container[key]))
        case _:
            pass  # that change is none for what is there


def all_cases() -> st.SearchStrategy[Case]:
    """Host, flavor, image and the request that they mean, of the reference's generator."""
    return st.integers(0, 2**32).map(lambda seed: next(cases(seed, 1)))


def question_of(case: Case) -> Json:
    """The case as `mdsvc fit` reads it."""
    host, flavor, image, _ = case
    return {"host": host, "flavor": flavor} | ({"image": image} if image else {})


def host_of(form: Json) -> Host:
    return from_builtins(form, Host)


def request_of(flavor: Json, image: Json | None = None) -> Request:
    """The request that a flavor and an image in their JSON forms mean."""
    return request(
        from_builtins(flavor, Flavor), None if image is None else from_builtins(image, Image)
    )


def asked(
    specs: Mapping[str, object],
    properties: Mapping[str, object] | None = None,
    vcpus: int = 8,
    memory_mb: int = 512,
) -> Request:
    """The request of a flavor with these extra specs and an image with these properties."""
    flavor = {"vcpus": vcpus, "memory_mb": memory_mb, "extra_specs": dict(specs)}
    return request_of(flavor, None if properties is None else {"properties": dict(properties)})


def plain(wanted: Request) -> Json:
    """The request in the plain form that the reference reads."""
    return {
        "policy": wanted.cpu_policy,
        "thread_policy": wanted.cpu_thread_policy,
        "emulator_threads_policy": wanted.emulator_threads_policy,
        "page_size": wanted.page_size,
        "vcpus": wanted.vcpus,
        "memory_mb": wanted.memory_mb,
        "realtime": list(wanted.realtime),
        "cells": [
            {
                "shared": list(cell.shared),
                "dedicated": list(cell.dedicated),
                "memory_mb": cell.memory_mb,
            }
            for cell in wanted.cells
        ],
    }


def grid(cells: int, cores: int, threads: int = 1, shared: int = 0, **more: Any) -> Json:
    """A host of equal cells; the first so many cores of each are shared, the rest dedicated."""
    size, forms, floating, pinnable = cores * threads, [], [], []
    for cell in range(cells):
        first, last = cell * size, (cell + 1) * size - 1
        siblings = [f"{at}-{at + threads - 1}" for at in range(first, last + 1, threads)]
        forms.append(
            {
                "id": cell,
                "memory_mb": 16384,
                "cpus": f"{first}-{last}",
                **({"siblings": siblings} if threads > 1 else {}),
            }
        )
        floating += [f"{first}-{first + shared * threads - 1}"] if shared else []
        pinnable += [f"{first + shared * threads}-{last}"] if shared < cores else []
    sets = {"cpu_shared_set": ",".join(floating), "cpu_dedicated_set": ",".join(pinnable)}
    return {"name": "h1", "cells": forms, **sets, **more}


# ---- tables of flavors: `a=b c=d`, and these words ----

WORDS = {
    **{policy: f"cpu_policy={policy}" for policy in ("dedicated", "mixed")},
    **{policy: f"emulator_threads_policy={policy}" for policy in ("isolate", "share")},
    "mask": "cpu_dedicated_mask=0-3",
    "realtime": "cpu_realtime=yes",
}


def read_row(row: str) -> tuple[str, dict[str, str], dict[str, str], str]:
    """`name | extra specs | image properties | the rest`; `hw:` and `hw_` are understood."""
    name, specs, props, rest = (part.strip() for part in f"{row} ".split("|", 3))
    return name, _pairs(specs, "hw:"), _pairs(props, "hw_"), rest


def _pairs(text: str, prefix: str) -> dict[str, str]:
    pairs = [WORDS.get(word, word).partition("=") for word in text.split()]
    return {key if ":" in key else prefix + key: value for key, _, value in pairs}


def shown_request(wanted: Request) -> dict[str, str]:
    """The request in words: `/` stands between its cells, `-` for nothing."""
    columns = {
        "shared": [str(cell.shared) for cell in wanted.cells],
        "dedicated": [str(cell.dedicated) for cell in wanted.cells],
        "memory": [str(cell.memory_mb) for cell in wanted.cells],
    }
    fields = {name: getattr(wanted, name) for name in wanted.__struct_fields__ if name != "cells"}
    return {
        **{name: "-" if value is None else str(value) for name, value in fields.items()},
        **{name: "/".join(texts) if texts else "-" for name, texts in columns.items()},
    }
