"""Planted bugs: one-line mutants of the replication core, apply and the store, each with the checks that find it."""
