"""Whole nodes in one process, on a simulated clock, network and disks: docs/simulation.md."""
