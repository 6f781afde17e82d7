"""The form that builds a flavor: its fields are the keys, and a flavor that is there fills them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mdsvc.errors import BadInput
from mdsvc.forms import from_json, shown
from mdsvc.web.markup import Child, Html, h


class _Field(NamedTuple):
    """A field, named as in a flavor; with ``choices`` one of these, or nothing."""

    key: str
    label: str
    hint: str = ""
    choices: Sequence[str] = ()


_COUNTS = (_Field("vcpus", "vCPUs", "4"), _Field("memory_mb", "Memory, in MiB", "4096"))

_SPECS = (
    _Field("hw:cpu_policy", "CPU policy", "", ("dedicated", "mixed", "shared")),
    _Field("hw:cpu_dedicated_mask", "Dedicated vCPUs (mixed)", "2-7 or ^0-1"),
    _Field("resources:PCPU", "or by count: PCPU", "6"),
    _Field("resources:VCPU", "and VCPU", "2"),
    _Field("hw:cpu_thread_policy", "Thread policy", "", ("prefer", "isolate", "require")),
    _Field("hw:emulator_threads_policy", "Emulator threads", "", ("share", "isolate")),
    _Field("hw:numa_nodes", "NUMA nodes", "2"),
    _Field("hw:mem_page_size", "Memory pages", "", ("small", "large", "any", "2MB", "1GB")),
    _Field("hw:cpu_realtime", "Realtime", "", ("yes", "no")),
    _Field("hw:cpu_realtime_mask", "Realtime vCPUs", "2-3 or ^0-1"),
)

_KEYS = frozenset(field.key for field in _SPECS)

_OTHER = "other"
_FORM_ID = "build"


def is_filled(asked: Mapping[str, str]) -> bool:
    """Whether the form was sent."""
    return any(field.key in asked for field in _COUNTS)


def built(asked: Mapping[str, str]) -> dict[str, Any]:
    """The flavor in its JSON form, as it was filled in. Raises BadInput."""
    counts = {field.key: _number(asked[field.key]) for field in _COUNTS if asked.get(field.key)}
    specs = {field.key: asked[field.key].strip() for field in _SPECS if asked.get(field.key)}
    return {**counts, "extra_specs": specs | _others(asked.get(_OTHER, ""))}


def _number(text: str) -> int | str:
    """What is none is left to the form of a flavor, which says what it expects."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else text


def _others(text: str) -> dict[str, str]:
    others: dict[str, str] = {}
    for line in filter(str.strip, text.splitlines()):
        key, separator, value = line.partition("=")
        if not separator:
            raise BadInput(
                f"other keys: expected KEY=VALUE in each line, got {shown(line)}", _OTHER
            )
        others[key.strip()] = value.strip()
    return others


def filled_from(flavor: str) -> Mapping[str, str]:
    """What the form has for a flavor in JSON; nothing for what is none."""
    try:
        form = from_json(flavor, dict[str, Any])
    except BadInput:
        return {}
    specs = form.get("extra_specs")
    specs = specs if isinstance(specs, dict) else {}
    others = "\n".join(f"{key}={value}" for key, value in specs.items() if key not in _KEYS)
    texts = {**{f.key: form.get(f.key, "") for f in _COUNTS}, **specs, _OTHER: others}
    return {key: str(value) for key, value in texts.items()}


def flavor_form(values: Mapping[str, str], image: str) -> Html:
    """The form with these in its fields. The image that counts too goes with it."""
    sized = h("div", [_labelled(field, values) for field in _COUNTS], class_="fields")
    rest = h("div", [_labelled(field, values) for field in _SPECS], class_="fields")
    text = values.get(_OTHER, "")
    area = h("textarea", "\n", text, name=_OTHER, id=_OTHER, rows="2", spellcheck="false")
    others = h("div", h("label", "Other keys, KEY=VALUE in each line", for_=_OTHER), area)
    return h(
        "form",
        h("fieldset", h("legend", "Build a flavor"), sized, rest, others),
        h("input", type="hidden", name="image", value=image) if image else None,
        h("button", "Where would it go?", type="submit", class_="first"),
        action="/what-if#answer",
        id=_FORM_ID,
        class_="build",
    )


def _labelled(field: _Field, values: Mapping[str, str]) -> Html:
    name = f"flavor-{field.key.replace(':', '-').replace('_', '-')}"
    value = values.get(field.key, "")
    control = _select(field, name, value) if field.choices else _text(field, name, value)
    return h("div", h("label", field.label, for_=name), control)


def _text(field: _Field, name: str, value: str) -> Html:
    is_count = field in _COUNTS
    return h(
        "input",
        type="text",
        name=field.key,
        id=name,
        value=value,
        placeholder=field.hint,
        required=is_count,
        inputmode="numeric" if is_count else None,
        autocomplete="off",
        maxlength="255",
    )


def _select(field: _Field, name: str, value: str) -> Html:
    """What a flavor has that is none of the choices stays one, so that it is asked as it is."""
    known: Sequence[str] = ("", *field.choices)
    options: list[Child] = [
        h("option", choice or "–", value=choice, selected=choice == value)
        for choice in (known if value in known else (*known, value))
    ]
    return h("select", options, name=field.key, id=name)
