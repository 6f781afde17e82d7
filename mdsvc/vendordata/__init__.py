"""Vendor data: the operator's static document, and what services of theirs add to it."""
