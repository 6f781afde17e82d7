"""``mdsvc fit``: pure what-if, one JSON line in, one answer out. Touches no store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from mdsvc.errors import BadInput, DoesNotFit, InvalidRequest
from mdsvc.forms import Form, from_json
from mdsvc.layout import fit
from mdsvc.placing import placement_service
from mdsvc.placing.choice import Ranked, rank
from mdsvc.policy.flavor import Flavor, Image, Request, request
from mdsvc.topology import Host

Answer = dict[str, Any]


class Question(Form, frozen=True):
    """Whether, and where, this flavor and image fit on this host with its given use."""

    host: Host
    flavor: Flavor
    image: Image | None = None


class HostlessQuestion(Form, frozen=True):
    """Where this flavor and image fit best among hosts that are given apart."""

    flavor: Flavor
    image: Image | None = None


class Choice(msgspec.Struct, frozen=True):
    """The hosts, the best one first, and what was asked of them."""

    request: Request
    ranking: Sequence[Ranked]

    @property
    def fits(self) -> bool:
        """Whether any host takes the request; the first one then."""
        return bool(self.ranking) and self.ranking[0].price is not None


def answer(line: bytes | str) -> Answer:
    """Whether it fits: a layout, or the error's name, message and reasons."""
    return _answered(_fit, line)


def _fit(line: bytes | str) -> Answer:
    question = from_json(line, Question)
    layout = fit(question.host, request(question.flavor, question.image))
    return {"fits": True, "layout": layout}


def choose(line: bytes | str, hosts: Sequence[Host]) -> Choice:
    """The hosts ranked for the question. Raises BadInput and InvalidRequest."""
    question = from_json(line, HostlessQuestion)
    wanted = request(question.flavor, question.image)
    return Choice(wanted, rank(hosts, wanted))


def choice_answer(line: bytes | str, hosts: Sequence[Host]) -> Answer:
    """The host chosen with the layout on it, and for each host what speaks for or against it."""

    def chosen(line: bytes | str) -> Answer:
        choice = choose(line, hosts)
        table = [_ranked(ranked, choice.request) for ranked in choice.ranking]
        if not choice.fits:
            message = f"fits on none of {len(hosts)} hosts"
            return {"fits": False, "error": "DoesNotFit", "message": message, "hosts": table}
        best = choice.ranking[0]
        layout = best.layout(choice.request)
        return {"fits": True, "host": best.host.name, "layout": layout, "hosts": table}

    return _answered(chosen, line)


def _ranked(ranked: Ranked, wanted: Request) -> Answer:
    if ranked.cores_broken is None:
        return {"host": ranked.host.name, "fits": False, "reasons": list(ranked.reasons(wanted))}
    return {"host": ranked.host.name, "fits": True, "cores_broken": ranked.cores_broken}


def placement_answer(line: bytes | str) -> Answer:
    """What the request and, where one is given, the host are to Placement (R16)."""
    return _answered(_placement, line)


def _placement(line: bytes | str) -> Answer:
    has_host = "host" in from_json(line, dict[str, Any])
    question = from_json(line, Question) if has_host else from_json(line, HostlessQuestion)
    wanted = request(question.flavor, question.image)
    found: Answer = {
        "query": placement_service.candidates_query(wanted),
        "resources": placement_service.resources(wanted),
        "required": placement_service.traits(wanted),
    }
    if isinstance(question, Question):
        found |= {
            "inventories": placement_service.inventories(question.host),
            "usages": placement_service.usages(question.host),
            "traits": placement_service.host_traits(question.host),
        }
    return found


def _answered(ask: Callable[[bytes | str], Answer], line: bytes | str) -> Answer:
    """The answer, or what is wrong with the question, or why it does not fit."""
    try:
        return ask(line)
    except (BadInput, InvalidRequest) as error:
        return {"fits": False, "error": type(error).__name__, "message": str(error)}
    except DoesNotFit as error:
        reasons = list(error.reasons)
        message = str(error)
        return {"fits": False, "error": "DoesNotFit", "message": message, "reasons": reasons}
