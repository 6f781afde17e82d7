"""Guests on hosts: which host, what is used of it, what if, and in the terms of Placement."""
