"""What if: where a flavor and image would go among the registered hosts, and why not elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mdsvc.api.fit import ask_fit
from mdsvc.api.route import Call
from mdsvc.errors import BadInput
from mdsvc.forms import from_builtins, from_json
from mdsvc.placing.what_if import Fits, HostAnswer, OpenQuestion, Refusal
from mdsvc.web.markup import Child, Html, foreign, h
from mdsvc.web.parts import Column, count, host_link, table
from mdsvc.web.visit import Page, Visit

_SHOWN = 100
"""Hosts that take it, and as many that do not."""

_EXAMPLE = """{"vcpus": 4, "memory_mb": 4096,
 "extra_specs": {"hw:cpu_policy": "dedicated"}}"""

_HOSTS = (
    Column("Host"),
    Column("Fits"),
    Column("Cores broken", is_number=True),
    Column("Why not, the nearest first"),
)

_CELLS = (
    Column("NUMA node", is_number=True),
    Column("Host cell", is_number=True),
    Column("vCPU on pCPU"),
    Column("Shared vCPUs"),
    Column("Emulator on pCPU"),
)


async def show_what_if(visit: Visit) -> Page:
    """What `/what-if` shows: the form, and the API's answer where something was asked."""
    asked = {**visit.query, **visit.form}
    flavor, image = asked.get("flavor", ""), asked.get("image", "")
    answer: Sequence[Html] = ()
    if flavor:
        answer = await _answer(visit, flavor, image)
    content = (h("h1", "What if"), _form(flavor or _EXAMPLE, image), *answer)
    return Page(title="What if", content=content, is_live=False)


async def _answer(visit: Visit, flavor: str, image: str) -> Sequence[Html]:
    try:
        question = _question(flavor, image)
    except BadInput as error:
        return (h("p", str(error), class_="problem", role="alert"),)
    call = Call(backend=visit.backend, path={}, query=None, body=question, headers={})
    answer = (await ask_fit(call)).body
    assert isinstance(answer, Fits | Refusal)
    warnings = [h("p", f"Warning: {text}", class_="warning") for text in answer.warnings]
    shown = _fits(answer) if isinstance(answer, Fits) else _refusal(answer)
    return [h("section", h("h2", "Answer"), warnings, shown, aria_label="Answer")]


def _question(flavor: str, image: str) -> OpenQuestion:
    """Both texts as one question. Raises BadInput."""
    fields: dict[str, Any] = {}
    for name, text in {"flavor": flavor, "image": image}.items():
        if text.strip():
            try:
                fields[name] = from_json(text, dict[str, Any])
            except BadInput as error:
                raise BadInput(f"{name}: {error}", name) from None
    return from_builtins(fields, OpenQuestion)


def _form(flavor: str, image: str) -> Html:
    fields = {"flavor": ("Flavor, as JSON", flavor), "image": ("Image, as JSON", image)}
    areas = [
        h("div", h("label", label, for_=name), _area(name, text))
        for name, (label, text) in fields.items()
    ]
    button = h("button", "Ask", type="submit")
    note = h("p", "Nothing is placed, and nothing is stored.", class_="aside")
    return h("form", areas, button, note, method="post", action="/what-if", class_="question")


def _area(name: str, text: str) -> Html:
    """HTML drops the first line end of a text area, so it is given one."""
    return h("textarea", "\n", text, name=name, id=name, rows="6", spellcheck="false")


def _fits(answer: Fits) -> Sequence[Html]:
    name = answer.host or ""
    rows = [
        (
            cell.id,
            cell.host_cell,
            " ".join(f"{vcpu}→{pcpu}" for vcpu, pcpu in cell.cpu_pinning.items()) or "–",
            str(cell.cpuset) or "–",
            str(cell.cpuset_reserved) or "–",
        )
        for cell in answer.layout.cells
    ]
    floats = h("p", "It has no NUMA topology, and floats over the host's shared pCPUs.")
    return (
        h("p", "It fits, and would go to ", host_link(name), ".", class_="good", role="status"),
        table("Where its vCPUs would be", _CELLS, rows) if rows else floats,
        *_hosts(answer.hosts or ()),
    )


def _refusal(answer: Refusal) -> Sequence[Html]:
    reasons = [h("li", foreign(reason.message)) for reason in answer.reasons or ()]
    return (
        h("p", foreign(f"{answer.error}: {answer.message}"), class_="problem", role="alert"),
        *([h("ol", reasons)] if reasons else []),
        *_hosts(answer.hosts or ()),
    )


def _hosts(hosts: Sequence[HostAnswer]) -> Iterator[Html]:
    if not hosts:
        return
    taking = [host for host in hosts if host.fits]
    refusing = [host for host in hosts if not host.fits]
    caption = f"{count(len(taking), 'host')} would take it, {len(refusing)} would not"
    yield table(caption, _HOSTS, map(_row, [*taking[:_SHOWN], *refusing[:_SHOWN]]))
    left = max(0, len(taking) - _SHOWN) + max(0, len(refusing) - _SHOWN)
    if left:
        every = "mdsvc fit --explain has every one"
        yield h("p", f"{left} more are not shown here; {every}.", class_="aside")


def _row(host: HostAnswer) -> Sequence[Child]:
    if host.fits:
        return host_link(host.host), "yes", host.cores_broken or 0, ""
    reasons = [h("li", foreign(reason.message)) for reason in host.reasons or ()]
    return host_link(host.host), "no", "", h("ol", reasons)
