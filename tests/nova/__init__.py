"""Nova, the outside reference: `oracle*.py` run under its own interpreter, the rest under ours."""
