"""On PYTHONPATH it stands for a machine where uvloop is not installed."""

raise ImportError("there is no uvloop")
