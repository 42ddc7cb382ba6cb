"""Which script carries out which kind of step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyrig.duties.rules import StepKind
from keyrig.session.steps.confirm_recovery_certificate import confirm_recovery_certificate
from keyrig.session.steps.ensure_credentials import (
    ensure_network_credentials,
    ensure_supplier_credentials,
)
from keyrig.session.steps.regenerate_keys import regenerate_keys
from keyrig.session.steps.replace_organisation_certificate import replace_organisation_certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyrig.session.steps.effects import Script
    from keyrig.session.steps.step_context import StepContext

SCRIPTS: Final[Mapping[StepKind, Callable[[StepContext], Script]]] = {
    StepKind.REGENERATE_KEYS: regenerate_keys,
    StepKind.REPLACE_ORGANISATION_CERTIFICATE: replace_organisation_certificate,
    StepKind.CONFIRM_RECOVERY_CERTIFICATE: confirm_recovery_certificate,
    StepKind.ENSURE_SUPPLIER_CREDENTIALS: ensure_supplier_credentials,
    StepKind.ENSURE_NETWORK_CREDENTIALS: ensure_network_credentials,
}
