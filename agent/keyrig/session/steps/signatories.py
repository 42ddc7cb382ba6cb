"""Who signs what: the one table of the parties that authorise each step's commands.

Chosen where the facts leave it open. The MAC of every signed command is the access control
broker's, whoever signs (GBCS 13.3.3.1); GBCS itself excepts what is MACed only.

| step | CHF | every other device |
|---|---|---|
| RegenerateKeys | access control broker | Responsible Supplier |
| ReplaceOrganisationCertificate | access control broker by itself | supplier by supplier |
| ConfirmRecoveryCertificate | access control broker, MAC only | the same |
| EnsureSupplierCredentials | not owed | who holds the cells, see `replacing_supplier` |
| EnsureNetworkCredentials | not owed | who holds the cells, see `replacing_network_operator` |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gbcs.roles import KeyUsage, RemotePartyRole
from gbcs.security_credentials import CredentialsReplacementMode, TrustAnchorCellIdentifier
from keyrig.session.steps.effects import StepFailed

if TYPE_CHECKING:
    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.session.steps.step_context import StepContext

_SIGNING = KeyUsage.DIGITAL_SIGNATURE


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplacementAuthority:
    """Who authorises a CS02b command, by which cell, in which mode."""

    originator: EntityIdentifier
    mode: CredentialsReplacementMode
    cell: TrustAnchorCellIdentifier


def supplier(context: StepContext) -> EntityIdentifier:
    """Return the Responsible Supplier that acts on a device: its Lead Supplier.

    Raises:
        StepFailed: The rig names none.
    """
    if context.facts.lead_supplier is None:
        raise StepFailed("the rig names no supplier for the device")
    return context.facts.lead_supplier


def device_key_authority(
    context: StepContext,
) -> tuple[EntityIdentifier, TrustAnchorCellIdentifier]:
    """Return who signs CS02c, CS02d and CS02e, and the cell that the device knows it by."""
    authority = same_party_replacement(context)
    return authority.originator, authority.cell


def same_party_replacement(context: StepContext) -> ReplacementAuthority:
    """Return who replaces one of its own certificates for H5.33(b) or H5.37(d)."""
    if context.is_hub_function:
        return ReplacementAuthority(
            originator=context.parties.access_control_broker,
            mode=CredentialsReplacementMode.ACCESS_CONTROL_BROKER_BY_ACB,
            cell=TrustAnchorCellIdentifier(
                role=RemotePartyRole.ACCESS_CONTROL_BROKER, key_usage=_SIGNING
            ),
        )
    return ReplacementAuthority(
        originator=supplier(context),
        mode=CredentialsReplacementMode.SUPPLIER_BY_SUPPLIER,
        cell=TrustAnchorCellIdentifier(role=RemotePartyRole.SUPPLIER, key_usage=_SIGNING),
    )


def replacing_supplier(context: StepContext, holder: EntityIdentifier) -> ReplacementAuthority:
    """Return who puts the Responsible Supplier into supplier cells that `holder` holds.

    The broker hands over what is still its own; a supplier renews what is its own; another
    supplier's cells are replaced by the transitional change of supplier party.
    """
    if holder in (context.parties.access_control_broker, supplier(context)):
        return ReplacementAuthority(
            originator=holder,
            mode=CredentialsReplacementMode.SUPPLIER_BY_SUPPLIER,
            cell=TrustAnchorCellIdentifier(role=RemotePartyRole.SUPPLIER, key_usage=_SIGNING),
        )
    return ReplacementAuthority(
        originator=context.parties.transitional_cos,
        mode=CredentialsReplacementMode.SUPPLIER_BY_TRANS_COS,
        cell=TrustAnchorCellIdentifier(role=RemotePartyRole.TRANSITIONAL_COS, key_usage=_SIGNING),
    )


def replacing_network_operator(holder: EntityIdentifier) -> ReplacementAuthority:
    """Return who puts the network operator into network cells that `holder` holds: the holder."""
    return ReplacementAuthority(
        originator=holder,
        mode=CredentialsReplacementMode.NETWORK_OPERATOR_BY_NETWORK_OPERATOR,
        cell=TrustAnchorCellIdentifier(role=RemotePartyRole.NETWORK_OPERATOR, key_usage=_SIGNING),
    )
