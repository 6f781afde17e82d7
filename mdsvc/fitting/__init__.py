"""The fitter, behind its one door, ``mdsvc.layout``."""
