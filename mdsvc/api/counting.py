"""Which of the operators' requests looked for a place for a guest, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence

from mdsvc.api.route import Answer, Route
from mdsvc.errors import Code, DoesNotFit, InvalidRequest, Reason
from mdsvc.metrics import Metrics
from mdsvc.placing.what_if import Fits, Refusal


def count_answer(metrics: Metrics, route: Route, answer: Answer) -> None:
    """A guest was placed, or it was only asked whether it could be."""
    if isinstance(answer.body, Fits | Refusal):
        count_what_if(metrics, answer.body)
    elif answer.status in route.placed:
        metrics.fitted("fits")


def count_what_if(metrics: Metrics, outcome: Fits | Refusal) -> None:
    """It was asked whether a guest could be placed, whoever asked: a program, or a person."""
    if isinstance(outcome, Refusal):
        _count(metrics, outcome.code, _reasons(outcome))
    else:
        metrics.fitted("fits")


def count_error(metrics: Metrics, error: Exception) -> None:
    """No place was found, or there can be none."""
    if isinstance(error, DoesNotFit | InvalidRequest):
        _count(metrics, error.code, error.reasons if isinstance(error, DoesNotFit) else ())


def _reasons(refusal: Refusal) -> Sequence[Reason]:
    """Of several hosts those of the first one that has any."""
    hosts = refusal.hosts or ()
    every = [refusal.reasons or (), *(host.reasons or () for host in hosts)]
    return next(filter(None, every), ())


def _count(metrics: Metrics, code: Code, reasons: Sequence[Reason]) -> None:
    if code == "does_not_fit":
        metrics.fitted(code, reasons[0].rule if reasons else "")
    elif code == "invalid_request":
        metrics.fitted(code)
