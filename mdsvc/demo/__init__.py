"""The demonstration: hosts, guests and a metadata server on this machine."""
