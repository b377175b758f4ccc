"""No property is timed: a machine that does other things besides is slow at random (Hypothesis would allow 200 ms for an example)."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
