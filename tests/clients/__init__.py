"""
Real mail programs against a node's process: what they bring in, and what they take out, octet for octet.

A program that is not installed fails its tests; `tests/support/packages.sh client` installs them all.
"""
