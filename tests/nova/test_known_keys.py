"""What Nova knows is known, and nothing else but what its driver reads unannounced."""

from mdsvc.policy import known_keys

from .client import Oracle

UNANNOUNCED = {"maxphysaddr_bits", "maxphysaddr_mode"}
"""Nova reads these extra specs without validating their names."""


def test_the_keys_that_are_known_are_novas(oracle: Oracle) -> None:
    nova = oracle.ask({"op": "known_keys"})
    assert nova["ok"], nova
    flavors = known_keys.OF_FLAVORS - UNANNOUNCED
    assert set(nova["flavor"]) == flavors | known_keys.INDEXED
    assert set(nova["image"]) == known_keys.OF_IMAGES | known_keys.INDEXED
    assert set(nova["resources"]) == known_keys.RESOURCES
