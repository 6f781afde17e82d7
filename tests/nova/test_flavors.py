"""R1-R10: flavors and images mean what Nova says that they mean, but for the table's deviations."""

from collections import Counter
from random import Random

import pytest

from . import deviations
from .answers import Answer, ask_nova, ask_project
from .cases import Case, random_case
from .client import Oracle
from .deviations import DEVIATIONS, Deviation

BATCHES, BATCH = 5, 1000


@pytest.mark.parametrize("seed", range(BATCHES))
def test_random_flavors_and_images_mean_what_nova_says(oracle: Oracle, seed: int) -> None:
    random = Random(seed)
    for number in range(BATCH):
        case = random_case(random)
        wanted = deviations.expected(case, lambda other: ask_nova(oracle, other))
        assert ask_project(case) == wanted, f"case {number}: {case}"


@pytest.mark.parametrize("deviation", DEVIATIONS, ids=lambda deviation: deviation.why)
def test_each_deviation_shows_in_its_example(oracle: Oracle, deviation: Deviation) -> None:
    def nova(case: Case) -> Answer | None:
        return ask_nova(oracle, case)

    case = deviation.example
    wanted = deviations.expected(case, nova)
    assert deviation.applies(case)
    assert ask_project(case) == wanted
    assert nova(case) != wanted


def test_the_random_cases_are_worth_comparing() -> None:
    random = Random(0)
    cases = [random_case(random) for _ in range(4000)]
    policies = Counter(answer.policy for answer in map(ask_project, cases) if answer)
    assert 0.4 < sum(policies.values()) / len(cases) < 0.8
    assert all(policies[policy] > len(cases) / 20 for policy in ("dedicated", "mixed", "shared"))


def test_the_random_cases_meet_every_deviation() -> None:
    random = Random(0)
    met = {_first_deviation(random_case(random)) for _ in range(4000)}
    assert met.issuperset(deviation.why for deviation in DEVIATIONS)


def _first_deviation(case: Case) -> str | None:
    return next((row.why for row in DEVIATIONS if row.applies(case)), None)
