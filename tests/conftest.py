"""What holds of every test."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# How long a busy machine takes to make an example says nothing of what is tested.
settings.register_profile("keyrig", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("keyrig")
