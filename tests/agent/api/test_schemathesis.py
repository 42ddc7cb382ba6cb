"""schemathesis sends what the OpenAPI document lets in and what it does not, and finds nothing."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import from_schema
from schemathesis.engine.events import NonFatalError, PhaseFinished

from agent.api.serving import HUB, Serving, serving
from keyrig.api.openapi import OPENAPI_PATH
from keyrig.api.rate_limit import SlowDown
from keyrig.config.rig_file import emulated_home_text
from patience import HANG_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from schemathesis.schemas import BaseSchema

ACCEPTED = ["2xx", "401", "403", "404", "409"]
BEYOND_A_SCHEMA = [
    # No schema says what a DUIS document is, or a certificate that an authority vouches for.
    {
        "include-operation-id": name,
        "checks": {"positive_data_acceptance": {"expected-statuses": [*ACCEPTED, "422"]}},
    }
    for name in ("inventory", "add_certificate", "take_certificates", "deliver")
]


def schema_of(served: Serving, examples: int) -> BaseSchema:
    config = SchemathesisConfig.from_dict(
        {
            "seed": 5,
            "headers": {"Authorization": served.client.headers["authorization"]},
            "base-url": served.url,
            "request-timeout": HANG_S,
            "suppress-health-check": ["too_slow"],
            "continue-on-failure": True,
            "generation": {"max-examples": examples, "deterministic": True},
            "checks": {"positive_data_acceptance": {"expected-statuses": ACCEPTED}},
            "operations": BEYOND_A_SCHEMA,
            "phases": {"stateful": {"generation": {"max-examples": 2}}},
        }
    )
    document = served.client.get(OPENAPI_PATH).json()
    return schemathesis.openapi.from_dict(document, config=config)


def failures_of(event: Any) -> list[str]:
    recorder = getattr(event, "recorder", None)
    if recorder is None:
        return [f"{event.label}: {event.value}"] if isinstance(event, NonFatalError) else []
    return [
        f"{recorder.label}: {check.name}: {check.failure_info.failure.title}: "
        f"{check.failure_info.failure.message}: {check.failure_info.code_sample}"
        for checks in recorder.checks.values()
        for check in checks
        if check.failure_info is not None
    ]


@pytest.fixture(name="served")
def fixture_served(home: Path, tmp_path: Path) -> Iterator[Serving]:
    """The emulated home, whose devices are not waited for when they have nothing to answer."""
    rig = tmp_path / "rig.toml"
    text = emulated_home_text().replace('" }', '", timeout_s = 0.3 }')
    rig.write_text(text, encoding="utf-8")
    with serving(home, rigs=[rig]) as found:
        yield found


@pytest.mark.sweep
@pytest.mark.timeout(0)  # It ends by the number of its cases, however long each takes.
def test_schemathesis_finds_nothing(served: Serving) -> None:
    served.finished(served.start_run(devices=[HUB]))
    # It shows wrong tokens on purpose, and is told why they are refused, not to wait.
    served.service.access._slow_down = SlowDown(itertools.count(step=1000.0).__next__)
    failures: list[str] = []
    phases: list[str] = []
    checked = 0
    for event in from_schema(schema_of(served, 2)).execute():
        failures += failures_of(event)
        recorder = getattr(event, "recorder", None)
        checked += 0 if recorder is None else sum(map(len, recorder.checks.values()))
        if isinstance(event, PhaseFinished) and event.phase.is_enabled:
            phases.append(event.phase.name.name)
    assert failures == []
    assert {"EXAMPLES", "COVERAGE", "FUZZING", "STATEFUL_TESTING"} <= set(phases)
    assert checked > 1000
