"""The quick question whether a guest cell fits a vacancy, and the rules in words, agree."""

from __future__ import annotations

import pytest

from mdsvc.fitting.demand import fits, variants
from mdsvc.fitting.reasons import RULES
from mdsvc.fitting.vacancy import ranked
from mdsvc.forms import from_builtins
from mdsvc.policy.flavor import Flavor, Image, request
from mdsvc.topology import Host
from tests.reference.generate import cases


@pytest.mark.parametrize("seed", range(4))
def test_fits_says_what_the_rules_say(seed: int) -> None:
    asked = {True: 0, False: 0}
    for host_form, flavor_form, image_form, _ in cases(seed, 400):
        host = from_builtins(host_form, Host)
        image = from_builtins(image_form, Image) if image_form else None
        wanted = request(from_builtins(flavor_form, Flavor), image)
        for demands in variants(wanted):
            for demand in demands:
                for vacancy in ranked(host):
                    holds = not any(rule.short(demand, vacancy) for rule in RULES)
                    assert fits(demand, vacancy) is holds, (demand, vacancy)
                    asked[holds] += 1
    assert min(asked.values()) > 200, "both answers are tried"
