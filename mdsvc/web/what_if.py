"""What if: where a flavor and image would go among the registered hosts, and why not elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mdsvc.api.counting import count_what_if
from mdsvc.api.fit import ask_fit
from mdsvc.api.route import Call
from mdsvc.errors import BadInput
from mdsvc.forms import from_builtins, from_json
from mdsvc.placing.what_if import Fits, OpenQuestion, Refusal
from mdsvc.web.answer import answered
from mdsvc.web.flavor_form import built, filled_from, flavor_form, is_filled
from mdsvc.web.markup import Child, Html, h
from mdsvc.web.visit import Page, Visit

_EXAMPLE = {"vcpus": "4", "memory_mb": "4096", "hw:cpu_policy": "dedicated"}


async def show_what_if(visit: Visit) -> Page:
    """What `/what-if` shows: the forms, and the API's answer where something was asked."""
    asked = {**visit.query, **visit.form}
    is_asked = is_filled(asked) or "flavor" in asked
    answer: Sequence[Child] = ()
    flavor, image = asked.get("flavor", ""), asked.get("image", "")
    try:
        if not flavor and is_filled(asked):
            flavor = json.dumps(built(asked), indent=1, ensure_ascii=False)
        if is_asked:
            answer = await _answer(visit, flavor, image)
    except BadInput as error:
        answer = (h("p", str(error), class_="problem", role="alert"),)
    values = asked if is_filled(asked) else filled_from(flavor) if is_asked else _EXAMPLE
    content = (
        h("h1", "What if"),
        h(
            "p",
            "Where would such a guest go, and why not elsewhere? Nothing is placed.",
            class_="summary",
        ),
        h("div", flavor_form(values, image), _pasted(flavor, image, values), class_="ask"),
        *(
            [
                h(
                    "section",
                    h("h2", "Answer"),
                    answer,
                    aria_label="Answer",
                    class_="answer",
                    id="answer",
                )
            ]
            if answer
            else []
        ),
    )
    return Page(title="What if", content=content, is_live=False)


async def _answer(visit: Visit, flavor: str, image: str) -> Sequence[Child]:
    """Raises BadInput where it is no question."""
    question = _question(flavor, image)
    call = Call(backend=visit.backend, path={}, query=None, body=question, headers={})
    answer = (await ask_fit(call)).body
    assert isinstance(answer, Fits | Refusal)
    count_what_if(visit.backend.metrics, answer)
    return await answered(visit.store, question, answer)


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


def _pasted(flavor: str, image: str, values: Mapping[str, str]) -> Html:
    """The same as JSON; open where the other form cannot show what was asked."""
    fields = {"flavor": ("Flavor", flavor), "image": ("Image", image)}
    areas = [
        h("div", h("label", label, for_=name), _area(name, text))
        for name, (label, text) in fields.items()
    ]
    form = h(
        "form",
        areas,
        h("button", "Where would it go?", type="submit"),
        method="post",
        action="/what-if#answer",
        class_="paste",
    )
    is_open = bool(image or (flavor and not values))
    return h("details", h("summary", "Or paste one as JSON"), form, open=is_open)


def _area(name: str, text: str) -> Html:
    """HTML drops the first line end of a text area, so it is given one."""
    return h("textarea", "\n", text, name=name, id=name, rows="8", spellcheck="false")
