"""A guest in memory: kernel, systemd and files that behave as those of real guests were seen to.

What follows from which kernel is in `kernels`; `test_fake` holds it against the observations.
"""

from tests.guest.fake.guest import FakeGuest, Killed
from tests.guest.fake.kernels import KERNELS, Crashed, Kernel, Shape
from tests.guest.fake.population import guest
from tests.guest.fake.snapshot import snapshot

__all__ = ["KERNELS", "Crashed", "FakeGuest", "Kernel", "Killed", "Shape", "guest", "snapshot"]
