"""The operator's page: hosts, guests, what-if and changes, to look at. It changes nothing.

Written on the server, with what the API's use cases give; a small script fetches it anew when
something changes. All of it works without.
"""
