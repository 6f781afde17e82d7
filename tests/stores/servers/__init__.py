"""Database servers of the tests' own, started by hand: in folders of their own, on loopback."""
