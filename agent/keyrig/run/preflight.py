"""What each due duty of a rig needs, and what of it is missing, before anything is sent.

One function, `Preflight.needs`, says it for `keyrig doctor`, for `keyrig run` and for whoever else
asks. A run looks twice: before it reaches any device, and before each duty, when the device's cells
have just been read. What a need's lack does:

| lack | what a run does |
|---|---|
| of something that the duty needs in any case | holds the duty back, and reaches no device for it |
| by what the device's cells held when they were read last | reads them, and looks again |
| of something that it needs only if the device's cells hold another's | the same |
| the Recovery Certificate leads to none of the key store's roots | refuses the run |

An irreversible step begins only when everything that it needs is at hand: before CS02c leaves, the
authority answers its probe, and the path from its certificates to the root is there.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from gbcs.certificate_profiles import CertificateProfile
from gbcs.path_validation import validate_path
from gbcs.protocol_errors import CertificateRejected
from gbcs.roles import CellUsage, DeviceType, KeyUsage, RemotePartyRole
from gbcs.security_credentials import TrustAnchorCellIdentifier
from keyrig.base.clock import second_text
from keyrig.base.error_kinds import mend_of
from keyrig.base.errors import AuthorityError, KeyMissing, KeyStoreError, LinkError, RigError
from keyrig.domain.device_facts import Cause, cause_of
from keyrig.domain.key_changes import KeyChangeState
from keyrig.duties.rules import StepKind
from keyrig.keys.key_store import Authority
from keyrig.session.steps.reading_cells import cell_identifier
from keyrig.session.steps.regenerate_keys import KEY_USAGES
from keyrig.session.steps.signatories import (
    replacing_network_operator,
    replacing_supplier,
    same_party_replacement,
)
from keyrig.session.steps.step_context import StepContext

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from datetime import datetime

    from gbcs.certificate_profiles import GBCSCertificate
    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.protocol_errors import KeyrigError
    from keyrig.domain.device_facts import DeviceFacts
    from keyrig.domain.key_changes import KeyChange
    from keyrig.domain.trust_anchor import Cell
    from keyrig.duties.plan import Duty
    from keyrig.keys.certificate_authority import CertificateAuthority
    from keyrig.keys.key_store import KeyStore
    from keyrig.keys.rig_keys import RigKeys
    from keyrig.ledger.ledger import Ledger
    from keyrig.session.steps.signatories import ReplacementAuthority
    from keyrig.session.steps.step_context import Parties

IMPORT: Final = "`keyrig pki import FOLDER` adds it"
_METERS: Final = frozenset({DeviceType.ESME, DeviceType.GSME})
_WORDS: Final = {
    RemotePartyRole.SUPPLIER: ("supplier", "lead_supplier"),
    RemotePartyRole.NETWORK_OPERATOR: ("network operator", "network_operator"),
}
"""What people call who is in the cells of a role, and the fact that names it."""
_MAY_BE_LOST: Final = frozenset({KeyChangeState.CERTIFICATE_ISSUED, KeyChangeState.STORING})
_CERTIFIED: Final = _MAY_BE_LOST | {KeyChangeState.STORED}
_KEY_STORE_ERRORS: Final = (KeyStoreError, RigError, LinkError)
"""What looking a key or certificate up may raise; through the DCC, over a network."""


class NeedRule(enum.Enum):
    """What a duty needs; the values are stable names."""

    PARTY = "party"
    """Whose credentials the device must hold, or who signs for it, is known."""
    BROKER_KEY = "broker-key"
    """The access control broker's key agreement key, by which every command is MACed."""
    DEVICE_CERTIFICATE = "device-certificate"
    SIGNING_KEY = "signing-key"
    ORGANISATION_CERTIFICATE = "organisation-certificate"
    CERTIFICATE_PATH = "certificate-path"
    RECOVERY_CERTIFICATE = "recovery-certificate"
    AUTHORITY = "authority"
    VALIDITY = "validity"
    CELL_HOLDER = "cell-holder"
    """The cell by which the device knows who signs holds that party's key."""


class Footing(enum.Enum):
    """What it rests on that a duty needs something."""

    ALWAYS = "always"
    """The duty needs it, whatever the device's cells hold."""
    AS_READ = "as-read"
    """What the device's cells held when they were read last."""
    PERHAPS = "perhaps"
    """Whether it is needed shows only on the way."""
    TOLD = "told"
    """The duty can do without, and whoever looks should know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """Why a need is not met.

    Args:
        cause: Whose matter it is; never the device's.
        reason: What is missing or wrong, in one line.
        mend: What to do about it, in one line; a command where one mends it.
        refuses: Nothing at all may be sent with it.
    """

    cause: Cause
    reason: str
    mend: str
    refuses: bool = False

    def __str__(self) -> str:
        """Compose the one line that a technician reads."""
        return f"{self.reason}; {self.mend}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One thing that one duty needs.

    Args:
        rule: What kind of thing.
        device: The device that owes the duty.
        duty: The duty's id, such as "00db1234567890a0/R37c".
        what: The thing, for people.
        lack: Why it is not at hand; None where it is.
        footing: What it rests on that the duty needs it.
    """

    rule: NeedRule
    device: EntityIdentifier
    duty: str
    what: str
    lack: Lack | None
    footing: Footing = Footing.ALWAYS

    @property
    def holds_back(self) -> bool:
        """True if the duty cannot be begun, by all that is known now."""
        return self.lack is not None and self.footing in {Footing.ALWAYS, Footing.AS_READ}


class Preflight:
    """Says what duties need, and what is missing.

    Args:
        store: The rig's key store.
        keys: Finds its certificates and keys; looks the former up in the DCC, where it may.
        parties: The DCC's organisations.
        authority: Certifies devices' keys.
        ledger: Knows devices' certificates and cells; None before the first run.
        through_dcc: The devices that are reached by service requests, for which the DCC MACs.
    """

    def __init__(
        self,
        *,
        store: KeyStore,
        keys: RigKeys,
        parties: Parties,
        authority: CertificateAuthority,
        ledger: Ledger | None,
        through_dcc: Collection[EntityIdentifier] = (),
    ) -> None:
        self._store = store
        self._keys = keys
        self._parties = parties
        self._authority = authority
        self._ledger = ledger
        self._through_dcc = frozenset(through_dcc)

    def needs(
        self,
        duties: Collection[Duty],
        facts: Collection[DeviceFacts],
        now: datetime,
        *,
        cells_are_read: bool = False,
    ) -> tuple[Need, ...]:
        """Return everything that duties need, in their order; nothing is sent or changed.

        Args:
            duties: The duties that are due.
            facts: What is known of their devices.
            now: The present instant.
            cells_are_read: The devices' cells have just been read, and the duty is next.
        """
        known = {each.entity_id: each for each in facts}
        return tuple(
            need
            for duty in duties
            for need in self._of(duty, known[duty.device], now, cells_are_read=cells_are_read)
        )

    def _of(
        self, duty: Duty, device: DeviceFacts, now: datetime, *, cells_are_read: bool
    ) -> Iterator[Need]:
        looking = _Looking(self, duty, device, now, cells_are_read=cells_are_read)
        yield from looking.for_any_command()
        match duty.step:
            case StepKind.REGENERATE_KEYS:
                yield from looking.for_new_keys()
            case StepKind.REPLACE_ORGANISATION_CERTIFICATE:
                yield from looking.for_replacing_its_own()
            case StepKind.CONFIRM_RECOVERY_CERTIFICATE:
                yield looking.recovery_certificate()
            case StepKind.ENSURE_SUPPLIER_CREDENTIALS:
                yield from looking.for_credentials(RemotePartyRole.SUPPLIER, device.lead_supplier)
            case StepKind.ENSURE_NETWORK_CREDENTIALS:
                yield from looking.for_credentials(
                    RemotePartyRole.NETWORK_OPERATOR, device.network_operator
                )

    def is_through_dcc(self, device: EntityIdentifier) -> bool:
        """Return whether a device is reached by service requests."""
        return device in self._through_dcc

    def is_dcc(self, party: EntityIdentifier) -> bool:
        """Return whether a party is one for which the DCC signs what service requests cause."""
        return party in (self.broker, self._parties.transitional_cos)

    def context(self, device: DeviceFacts) -> StepContext:
        """Return what a step would go by, with the cells as they were read last."""
        entity, ledger = device.entity_id, self._ledger
        cells: dict[TrustAnchorCellIdentifier, Cell] = {}
        opened: dict[KeyUsage, KeyChange] = {}
        confirmed: frozenset[KeyUsage] = frozenset()
        if ledger is not None:
            for seen in ledger.facts.cell_history(entity):
                cells[cell_identifier(seen.cell)] = seen.cell
            for usage in KEY_USAGES:
                change = ledger.key_changes.open(entity, usage)
                if change is not None:
                    opened[usage] = change
            confirmed = ledger.key_changes.confirmed_usages(entity, device.commissioned_from)
        return StepContext(
            facts=device,
            parties=self._parties,
            certificates=self._keys,
            open_key_changes=opened,
            confirmed_key_usages=confirmed,
            known_cells=cells,
            device_public_keys=frozenset(),
        )

    def device_certificate(self, device: EntityIdentifier, usage: KeyUsage) -> Lack | None:
        """Return why a certificate of a device is not at hand, or None."""
        if self._ledger is not None and self._ledger.key_changes.candidates(device, usage):
            return None
        return _lack(lambda: self._keys.certificate(device, usage))

    @cached_property
    def broker(self) -> EntityIdentifier:
        """The access control broker."""
        return self._parties.access_control_broker

    @cached_property
    def broker_key(self) -> Lack | None:
        """Why the broker's key agreement key is not at hand, or None."""
        lack = _lack(lambda: self._keys.agreer(self.broker))
        if lack is None:
            return None
        return replace(lack, reason=f"{lack.reason}, so service requests or local delivery only")

    def expiry(self, party: EntityIdentifier, usage: KeyUsage, at: datetime) -> Lack | None:
        """Return that the certificate by which a party acts is not valid now, or None.

        A device that has it in a cell goes by it all the same.
        """
        try:
            certificate = self._keys.certificate(party, usage)
        except _KEY_STORE_ERRORS:
            return None
        return None if certificate.is_valid_at(at) else _out_of_date(certificate, at)

    def signing_key(
        self, party: EntityIdentifier, key_identifier: bytes | None = None
    ) -> Lack | None:
        """Return why a signing key of a party is not at hand, or None.

        Args:
            party: The party.
            key_identifier: The key that the device trusts; None for the party's newest.
        """
        return _lack(lambda: self._keys.signer(party, key_identifier))

    def has_signing_key(self, party: EntityIdentifier) -> bool:
        """Return whether any signing key of a party can be used, be it an older one."""
        held = self._store.held_for(party, KeyUsage.DIGITAL_SIGNATURE)
        identifiers = [each.certificate.subject_key_identifier for each in held]
        return any(self.signing_key(party, each) is None for each in [None, *identifiers])

    @cached_property
    def _probed(self) -> str | Lack:
        """What the certificate authority says to its probe, or why it cannot be asked."""
        try:
            return self._authority.probe()
        except AuthorityError as error:
            return Lack(cause=Cause.AUTHORITY, reason=error.finding, mend=error.mend)

    @property
    def authority(self) -> Lack | None:
        """Why the certificate authority cannot be asked, or None; asked once."""
        return self._probed if isinstance(self._probed, Lack) else None

    @property
    def authority_says(self) -> str:
        """What the certificate authority says to its probe; "" where it cannot be asked."""
        return self._probed if isinstance(self._probed, str) else ""

    @property
    def authority_name(self) -> str:
        """What the certificate authority is called."""
        return self._authority.name

    @cached_property
    def roots(self) -> list[GBCSCertificate]:
        """The roots of the key store."""
        return [e for e in self._store.certificates() if e.profile is CertificateProfile.ROOT]

    @cached_property
    def authorities(self) -> list[GBCSCertificate]:
        """The certificates of all authorities in the key store."""
        return [each for each in self._store.certificates() if each.profile.is_authority]

    def path_of(self, certificate: GBCSCertificate, at: datetime) -> Lack | None:
        """Return why a certificate does not lead to a root of the key store now, or None."""
        if not self.roots:
            return Lack(
                cause=Cause.KEYS,
                reason=f"{self._store.location}: no root certificate, to which {certificate} leads",
                mend=IMPORT,
            )
        try:
            validate_path(
                certificate, path_certificates=self.authorities, trust_anchors=self.roots, at=at
            )
        except CertificateRejected as error:
            return Lack(cause=Cause.KEYS, reason=str(error), mend="import the right one")
        return None

    def device_path(self, at: datetime) -> Lack | None:
        """Return why no issuing authority of devices leads to a root now, or None."""
        issuing = [
            each.certificate
            for each in self._store.stored()
            if each.authority is Authority.DEVICE_ISSUING
        ]
        lacks = [self.path_of(each, at) for each in issuing]
        if any(lack is None for lack in lacks):
            return None
        if lacks and self.roots:
            return lacks[0]
        what = (
            "certificate of an issuing authority of devices" if self.roots else "root certificate"
        )
        return Lack(
            cause=Cause.KEYS,
            reason=f"{self._store.location}: no {what}",
            mend="`keyrig pki import FOLDER` adds the authorities' certificates, without keys",
        )

    def recovery(self, at: datetime) -> Lack | None:
        """Return why the Recovery Certificate cannot be confirmed by, or None."""
        certificate = self._parties.recovery_certificate
        if certificate is None:
            return Lack(
                cause=Cause.KEYS,
                reason=self._parties.recovery_missing,
                mend="`keyrig pki import FOLDER` adds it, or name it as recovery_certificate of "
                "[pki]",
            )
        if certificate.role is not RemotePartyRole.RECOVERY:
            return Lack(
                cause=Cause.RIG,
                reason=f"{certificate} is no Recovery Certificate",
                mend="name the right one as recovery_certificate of [pki]",
                refuses=True,
            )
        if not self.roots:
            return self.path_of(certificate, at)
        if self._leads_nowhere(certificate):
            return Lack(
                cause=Cause.RIG,
                reason=f"the Recovery Certificate, {certificate}, leads to no root of "
                f"{self._store.location}",
                mend="name the right one as recovery_certificate of [pki], or import its root",
                refuses=True,
            )
        return self.path_of(certificate, at)

    def _leads_nowhere(self, certificate: GBCSCertificate) -> bool:
        try:
            validate_path(
                certificate, path_certificates=self.authorities, trust_anchors=self.roots, at=None
            )
        except CertificateRejected:
            return True
        return False

    def organisation(
        self,
        party: EntityIdentifier,
        usage: KeyUsage,
        cell_usage: CellUsage,
        role: RemotePartyRole,
        at: datetime,
    ) -> tuple[NeedRule, Lack | None]:
        """Return why a party's certificate cannot be put into a device now, and by which rule."""
        try:
            certificate = self._keys.certificate(party, usage, cell_usage, role)
        except _KEY_STORE_ERRORS as error:
            return NeedRule.ORGANISATION_CERTIFICATE, _lack_of(error)
        if not certificate.is_valid_at(at):
            return NeedRule.VALIDITY, _out_of_date(certificate, at)
        lack = _lack(lambda: self._keys.certification_path(certificate))
        return (
            NeedRule.ORGANISATION_CERTIFICATE if lack is None else NeedRule.CERTIFICATE_PATH,
            lack,
        )


class _Looking:
    """Looks at what one duty needs."""

    def __init__(
        self,
        preflight: Preflight,
        duty: Duty,
        device: DeviceFacts,
        now: datetime,
        *,
        cells_are_read: bool,
    ) -> None:
        self._preflight = preflight
        self._duty = duty
        self._device = device
        self._now = now
        self._cells_are_read = cells_are_read
        self._context = preflight.context(device)
        self._through_dcc = preflight.is_through_dcc(device.entity_id)

    def for_any_command(self) -> Iterator[Need]:
        """Return what every command needs: a MAC of the broker's, or a supplier who asks the DCC.

        The exchange that makes sure of the device is one.
        """
        preflight, device = self._preflight, self._device
        if self._through_dcc:
            yield self._party(RemotePartyRole.SUPPLIER, device.lead_supplier)
            return
        yield self._need(
            NeedRule.BROKER_KEY,
            f"the key agreement key of the access control broker {preflight.broker}",
            preflight.broker_key,
        )
        yield self._need(
            NeedRule.VALIDITY,
            f"that the key agreement certificate of {preflight.broker} is valid",
            preflight.expiry(preflight.broker, KeyUsage.KEY_AGREEMENT, self._now),
            Footing.TOLD,
        )
        yield self._need(
            NeedRule.DEVICE_CERTIFICATE,
            "the device's keyAgreement certificate",
            preflight.device_certificate(device.entity_id, KeyUsage.KEY_AGREEMENT),
        )

    def for_new_keys(self) -> Iterator[Need]:
        """Return what re-generating keys needs from where an earlier visit left it."""
        yield from self._signed_by_its_own()
        preflight, footing = self._preflight, self._certifying()
        if footing is None:
            return
        yield self._need(
            NeedRule.AUTHORITY,
            f"a certificate authority for the new keys: {preflight.authority_name}",
            preflight.authority,
            footing,
        )
        yield self._need(
            NeedRule.CERTIFICATE_PATH,
            "the path from the device's new certificates to the root",
            preflight.device_path(self._now),
            footing,
        )

    def _certifying(self) -> Footing | None:
        """Return whether a key is still to be certified, or None where none can be any more.

        A device may have lost the pair that a certificate was issued for, and then begins anew.
        """
        opened = self._context.open_key_changes
        states = [
            opened[usage].state if usage in opened else None
            for usage in KEY_USAGES
            if usage not in self._context.confirmed_key_usages
        ]
        if any(state not in _CERTIFIED for state in states):
            return Footing.ALWAYS
        return Footing.PERHAPS if any(state in _MAY_BE_LOST for state in states) else None

    def for_replacing_its_own(self) -> Iterator[Need]:
        """Return what replacing a certificate by the same party's newest needs."""
        yield from self._signed_by_its_own()
        if self._acts:
            authority = same_party_replacement(self._context)
            yield self._certificate(authority.originator, authority.cell, Footing.ALWAYS)

    def recovery_certificate(self) -> Need:
        """Return what confirming the Recovery Certificate needs."""
        return self._need(
            NeedRule.RECOVERY_CERTIFICATE,
            "the Recovery Certificate, and its path to the root",
            self._preflight.recovery(self._now),
        )

    def for_credentials(
        self, role: RemotePartyRole, party: EntityIdentifier | None
    ) -> Iterator[Need]:
        """Return what reading a role's cells needs, and what replacing them would."""
        yield self._party(role, party)
        if party is None or (role is RemotePartyRole.SUPPLIER and not self._acts):
            return
        known = self._context.known_cells
        read = [cell for cell in known if cell.role is role]
        if read and all(known[cell].entity_id == party for cell in read):
            return
        footing = Footing.AS_READ if read else Footing.PERHAPS
        for cell in read or self._cells(role):
            yield self._certificate(party, cell, footing)
        signing = known.get(
            TrustAnchorCellIdentifier(role=role, key_usage=KeyUsage.DIGITAL_SIGNATURE)
        )
        holder = self._preflight.broker if signing is None else signing.entity_id
        yield from self._signed_by(
            replacing_supplier(self._context, holder)
            if role is RemotePartyRole.SUPPLIER
            else replacing_network_operator(holder),
            footing,
        )

    def _cells(self, role: RemotePartyRole) -> list[TrustAnchorCellIdentifier]:
        """Return the cells of a role that a device of the type has."""
        usages = [
            (KeyUsage.DIGITAL_SIGNATURE, CellUsage.MANAGEMENT),
            (KeyUsage.KEY_AGREEMENT, CellUsage.MANAGEMENT),
        ]
        if role is RemotePartyRole.SUPPLIER and self._device.device_type in _METERS:
            usages.append((KeyUsage.KEY_AGREEMENT, CellUsage.PREPAYMENT_TOP_UP))
        return [
            TrustAnchorCellIdentifier(role=role, key_usage=usage, cell_usage=cell_usage)
            for usage, cell_usage in usages
        ]

    @property
    def _acts(self) -> bool:
        """True if it is known who signs what one party alone does to the device."""
        return self._context.is_hub_function or self._device.lead_supplier is not None

    def _party(self, role: RemotePartyRole, party: EntityIdentifier | None) -> Need:
        word, fact = _WORDS[role]
        lack = Lack(
            cause=Cause.RIG,
            reason=f"nothing names the device's {word}",
            mend="name it under [home] in the rig file, or by `keyrig facts set "
            f"{self._device.entity_id} {fact} EUI`",
        )
        return self._need(
            NeedRule.PARTY, f"who is the device's {word}", lack if party is None else None
        )

    def _signed_by_its_own(self) -> Iterator[Need]:
        """Return what a command needs that the device's own party signs: broker or supplier."""
        if self._acts:
            yield from self._signed_by(same_party_replacement(self._context), Footing.ALWAYS)
        else:
            yield self._party(RemotePartyRole.SUPPLIER, None)

    def _signed_by(self, authority: ReplacementAuthority, footing: Footing) -> Iterator[Need]:
        """Return what a command needs that a party signs, and whose response the device signs."""
        preflight, party = self._preflight, authority.originator
        if not (self._through_dcc and preflight.is_dcc(party)):
            known = self._context.known_cells.get(authority.cell)
            is_held = known is not None and known.entity_id == party
            if known is not None and not is_held and self._cells_are_read:
                yield self._holder(authority, known.entity_id)
                return
            lack = preflight.signing_key(
                party, known.subject_key_identifier if known is not None and is_held else None
            )
            signing = footing
            if lack is not None and footing is Footing.ALWAYS and preflight.has_signing_key(party):
                # Which of its keys the device trusts shows when its cells are read.
                signing = Footing.AS_READ if is_held else Footing.PERHAPS
            yield self._need(NeedRule.SIGNING_KEY, f"the signing key of {party}", lack, signing)
        yield self._need(
            NeedRule.DEVICE_CERTIFICATE,
            "the device's digitalSignature certificate",
            preflight.device_certificate(self._device.entity_id, KeyUsage.DIGITAL_SIGNATURE),
            footing,
        )

    def _holder(self, authority: ReplacementAuthority, held_by: EntityIdentifier) -> Need:
        """Return that the device does not know who signs; another duty puts the party there."""
        party, role = authority.originator, authority.cell.role.gbcs_name
        lack = Lack(
            cause=Cause.RIG,
            reason=f"the device's {role} cell for signing holds {held_by}, not {party}, who signs",
            mend="have that cell replaced first, or correct who signs for the device",
        )
        what = f"that the device knows {party} as {role}"
        return self._need(NeedRule.CELL_HOLDER, what, lack, Footing.AS_READ)

    def _certificate(
        self, party: EntityIdentifier, cell: TrustAnchorCellIdentifier, footing: Footing
    ) -> Need:
        rule, lack = self._preflight.organisation(
            party, cell.key_usage, cell.cell_usage, cell.role, self._now
        )
        top_up = " for prepayment top-up" if cell.cell_usage is CellUsage.PREPAYMENT_TOP_UP else ""
        what = f"the {cell.key_usage.gbcs_name} certificate{top_up} of {party}"
        return self._need(rule, f"{what} as {cell.role.gbcs_name}", lack, footing)

    def _need(
        self, rule: NeedRule, what: str, lack: Lack | None, footing: Footing = Footing.ALWAYS
    ) -> Need:
        return Need(
            rule=rule,
            device=self._device.entity_id,
            duty=self._duty.id,
            what=what,
            lack=lack,
            footing=footing,
        )


def _lack(look: Callable[[], object]) -> Lack | None:
    """Return why looking a key or certificate up failed, or None where it is there."""
    try:
        look()
    except _KEY_STORE_ERRORS as error:
        return _lack_of(error)
    return None


def _lack_of(error: KeyrigError) -> Lack:
    """Return what an error of the key store, or of looking up in the DCC, says is missing."""
    mend = IMPORT if isinstance(error, KeyMissing) else mend_of(error)
    return Lack(cause=cause_of(error), reason=error.finding, mend=mend)


def _out_of_date(certificate: GBCSCertificate, at: datetime) -> Lack:
    if at < certificate.not_before:
        when = f"is not valid before {second_text(certificate.not_before)}"
    else:
        when = f"expired at {second_text(certificate.not_after)}"
    return Lack(
        cause=Cause.KEYS,
        reason=f"the certificate of {certificate} {when}",
        mend="import the one that is in use, or set the clock",
    )
