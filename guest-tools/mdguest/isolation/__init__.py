"""From what there is to isolated CPUs, and back: observe, plan, apply, verify, restore."""
