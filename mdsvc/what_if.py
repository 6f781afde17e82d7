"""``mdsvc fit``: pure what-if, one JSON line in, one out. Touches no store."""

from __future__ import annotations

from typing import Any

from mdsvc.errors import BadInput, DoesNotFit, InvalidRequest
from mdsvc.flavor import Flavor, Image, request
from mdsvc.forms import Form, from_json
from mdsvc.layout import fit
from mdsvc.topology import Host


class Question(Form, frozen=True):
    """Whether, and where, this flavor and image fit on this host with its given use."""

    host: Host
    flavor: Flavor
    image: Image | None = None


def answer(line: bytes | str) -> dict[str, Any]:
    """The answer's JSON form: a layout, or the error's name, message and reasons."""
    try:
        question = from_json(line, Question)
        layout = fit(question.host, request(question.flavor, question.image))
    except (BadInput, InvalidRequest) as error:
        return {"fits": False, "error": type(error).__name__, "message": str(error)}
    except DoesNotFit as error:
        reasons = list(error.reasons)
        message = str(error)
        return {"fits": False, "error": "DoesNotFit", "message": message, "reasons": reasons}
    return {"fits": True, "layout": layout}
