"""mdsvc: the instance metadata service for guests whose CPUs matter."""

__version__ = "0.1.0"
