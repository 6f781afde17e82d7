"""A second opinion on the fitter: it shares no code with the package and reads plain JSON forms."""
