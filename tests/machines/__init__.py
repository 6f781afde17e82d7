"""Machines as facts, and what libvirt and the kernel would tell of them."""
