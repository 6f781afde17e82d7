"""``mdsvc fit``: pure what-if, one JSON line in, one answer out. Touches no store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from mdsvc.errors import BadInput, Code, DoesNotFit, InvalidRequest, MdsvcError, Reason
from mdsvc.forms import Form, from_json
from mdsvc.layout import Layout, fit
from mdsvc.placing import placement_service
from mdsvc.placing.candidates import candidates
from mdsvc.placing.choice import Ranked, rank
from mdsvc.policy import unknown_keys as keys
from mdsvc.policy.extra_specs import texts
from mdsvc.policy.flavor import Flavor, Image, Request, request
from mdsvc.policy.resource_keys import ResourceKeys, resource_keys
from mdsvc.policy.unknown_keys import UnknownKeys
from mdsvc.topology import Host

# ---- questions ----


class HostlessQuestion(Form, frozen=True, kw_only=True):
    """Where this flavor and image fit best among hosts that are given apart."""

    flavor: Flavor
    image: Image | None = None

    @property
    def request(self) -> Request:
        """What flavor and image ask of a host. Raises InvalidRequest."""
        return request(self.flavor, self.image)

    @property
    def resource_keys(self) -> ResourceKeys:
        """What they ask of Placement by name. Raises InvalidRequest."""
        props = texts(self.image.properties) if self.image else {}
        return resource_keys(texts(self.flavor.extra_specs), props)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about flavor and image, and no error: in every answer to the question."""
        return keys.warnings(self.flavor, self.image)


class Question(HostlessQuestion, frozen=True, kw_only=True):
    """Whether, and where, this flavor and image fit on this host with its given use."""

    host: Host


class OpenQuestion(HostlessQuestion, frozen=True, kw_only=True):
    """The same of a host that may be left out: of this one, or of those that are registered; and
    what flavor, image and host are to Placement.
    """

    host: Host | UnsetType = UNSET


# ---- answers ----


class HostAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What speaks for a host, or against it."""

    host: str
    fits: bool
    cores_broken: int | UnsetType = UNSET
    reasons: tuple[Reason, ...] | UnsetType = UNSET


class Fits(msgspec.Struct, frozen=True, kw_only=True):
    """It fits: this is the layout. Among several hosts also on which, and what each is good for."""

    fits: bool = True
    host: str | UnsetType = UNSET
    layout: Layout
    hosts: tuple[HostAnswer, ...] | UnsetType = UNSET
    warnings: tuple[str, ...] = ()


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """It does not fit, or is no proper question: the kind in ``code``, in older words ``error``."""

    fits: bool = False
    error: str
    code: Code
    message: str
    reasons: tuple[Reason, ...] | UnsetType = UNSET
    hosts: tuple[HostAnswer, ...] | UnsetType = UNSET
    warnings: tuple[str, ...] = ()


class PlacementAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The request in Placement's terms; the last three where a host was given (R16)."""

    query: str
    resources: dict[str, int]
    required: list[str]
    forbidden: list[str]
    inventories: dict[str, dict[str, Any]] | UnsetType = UNSET
    usages: dict[str, int] | UnsetType = UNSET
    traits: list[str] | UnsetType = UNSET
    warnings: tuple[str, ...] = ()


_ERRORS: Mapping[Code, str] = {
    "bad_input": "BadInput",
    "invalid_request": "InvalidRequest",
    "does_not_fit": "DoesNotFit",
}
"""What ``error`` says: frozen words of the wire, whatever the classes are called."""


def _refusal(error: MdsvcError) -> Refusal:
    reasons = error.reasons if isinstance(error, DoesNotFit) else UNSET
    return Refusal(error=_ERRORS[error.code], code=error.code, message=str(error), reasons=reasons)


# ---- answering ----

Answer = Fits | Refusal | PlacementAnswer
_Q = TypeVar("_Q", bound=HostlessQuestion)
_A = TypeVar("_A", Fits, PlacementAnswer, Fits | Refusal)


def answer(line: bytes | str, unknown_keys: UnknownKeys = "warn") -> Fits | Refusal:
    """Whether it fits: a layout, or the error's name, message and reasons."""
    return _answered(line, Question, _fitted, unknown_keys)


def _fitted(question: Question | OpenQuestion) -> Fits:
    assert question.host, "where there is none, hosts are chosen among"
    return Fits(layout=fit(question.host, question.request))


def choice_answer(
    line: bytes | str, hosts: Sequence[Host], unknown_keys: UnknownKeys = "warn"
) -> Fits | Refusal:
    """The host chosen with the layout on it, and for each host what speaks for or against it."""
    return _answered(line, HostlessQuestion, partial(choose_among, hosts=hosts), unknown_keys)


def choose_among(question: HostlessQuestion, hosts: Sequence[Host]) -> Fits | Refusal:
    """The same for a question that is read already. Raises InvalidRequest."""
    wanted = question.request
    ranking = rank(hosts, wanted)
    table = tuple(_host_answer(ranked, wanted) for ranked in ranking)
    if not table or not table[0].fits:
        none = DoesNotFit(f"fits on none of {len(hosts)} hosts", tuple)
        return replace(_refusal(none), reasons=UNSET, hosts=table)
    best = ranking[0]
    return Fits(host=best.host.name, layout=best.layout(wanted), hosts=table)


def host_answer(question: OpenQuestion, unknown_keys: UnknownKeys = "warn") -> Fits | Refusal:
    """Whether it fits on the host that it names, for a question that is read already."""
    return outcome(question, _fitted, unknown_keys)


def _host_answer(ranked: Ranked, wanted: Request) -> HostAnswer:
    name, broken = ranked.host.name, ranked.cores_broken
    if broken is None:
        return HostAnswer(host=name, fits=False, reasons=tuple(ranked.reasons(wanted)))
    return HostAnswer(host=name, fits=True, cores_broken=broken)


def placement_answer(
    line: bytes | str, unknown_keys: UnknownKeys = "warn"
) -> PlacementAnswer | Refusal:
    """What the request and, where one is given, the host are to Placement (R16)."""
    return _answered(line, OpenQuestion, _placement, unknown_keys)


def _placement(question: OpenQuestion) -> PlacementAnswer:
    asked_for, host = candidates(question.request, question.resource_keys), question.host
    return PlacementAnswer(
        query=asked_for.query,
        resources=asked_for.resources,
        required=asked_for.required,
        forbidden=asked_for.forbidden,
        inventories=placement_service.inventories(host) if host else UNSET,
        usages=placement_service.usages(host) if host else UNSET,
        traits=placement_service.host_traits(host) if host else UNSET,
    )


def _answered(
    line: bytes | str, kind: type[_Q], ask: Callable[[_Q], _A], unknown_keys: UnknownKeys
) -> _A | Refusal:
    """The answer, or what is wrong with the question, or why it does not fit."""
    try:
        question = from_json(line, kind)
    except BadInput as error:
        return _refusal(error)
    return outcome(question, ask, unknown_keys)


def outcome(question: _Q, ask: Callable[[_Q], _A], unknown_keys: UnknownKeys) -> _A | Refusal:
    """The answer to a question, or what is wrong with it, or why it does not fit."""
    try:
        keys.check(question.flavor, question.image, unknown_keys)
        return replace(ask(question), warnings=question.warnings)
    except (InvalidRequest, DoesNotFit) as error:
        return refused(question, error)


def refused(question: HostlessQuestion, error: InvalidRequest | DoesNotFit) -> Refusal:
    """The answer where that is what came of the question."""
    return replace(_refusal(error), warnings=question.warnings)
