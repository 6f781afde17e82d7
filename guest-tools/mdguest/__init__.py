"""mdguest: isolates a guest's dedicated CPUs, as its metadata server names them."""

__version__ = "0.1.0"
