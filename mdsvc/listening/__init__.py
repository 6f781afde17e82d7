"""Where the server listens: sockets, in this network namespace or another."""
