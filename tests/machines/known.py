"""The machines that the tests know: real ones as far as their facts are public, and odd ones.

A name says what it is, then its cells (``n``) and how many CPUs are online.
"""

from __future__ import annotations

from tests.machines import amd, intel, odd, other_makers
from tests.machines.facts import Machine

MACHINES: dict[str, Machine] = {
    "aarch64-altra-1n-80": other_makers.altra(),
    "amd-epyc9654-24n-384": amd.epyc_9654(24, huge_2m=8192, huge_1g=16),
    "amd-epyc9654-8n-384": amd.epyc_9654(8, huge_2m=16384, huge_1g=64),
    "amd-opteron6274-4n-32": amd.opteron_6274(),
    "guest-crossing-2n-8": odd.crossing(),
    "guest-cut-1n-8": odd.l3_that_cuts_a_core(),
    "guest-sockets-1n-4": odd.vcpus_as_sockets(),
    "ia64-altix-64n-256": other_makers.altix(),
    "intel-cascadelake-2n-96": intel.cascade_lake(),
    "intel-e5649-2n-24": intel.xeon_e5649(),
    "intel-haswell-1n-8": intel.haswell_half_offline(),
    "intel-hugepages-2n-32": intel.xeon_with_huge_pages(),
    "intel-knl-8n-64": intel.knights_landing(),
    "intel-offline-2n-13": odd.partly_offline(),
    "nested-6n-20": odd.nested(),
    "power8-s822l-4n-20": other_makers.power8_without_smt(),
    "power8-smt8-2n-80": other_makers.power8_with_smt(),
    "power9-v100-8n-32": other_makers.power9_with_gpus(),
    "s390x-1n-4": other_makers.z_guest(),
}
