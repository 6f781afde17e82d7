"""What is read of a live OpenStack cloud: who we are to it (``clouds``, ``keystone``), and where
its guests' CPUs are (``servers``). Nothing is ever written there.
"""
