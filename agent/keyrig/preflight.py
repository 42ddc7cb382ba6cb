"""What each due duty of a rig needs, and what of it is missing, before anything is sent.

One function, `Preflight.needs`, says it for `keyrig doctor`, for `keyrig run` and for whoever else
asks. What a need's lack does:

| lack | what a run does |
|---|---|
| of something that the duty needs in any case | holds the duty back, and carries out the rest |
| of something that it needs only if the device's cells are to be replaced | says so beforehand |
| the Recovery Certificate leads to none of the key store's roots | refuses the run |

An irreversible step begins only when everything that it needs is at hand: before CS02c leaves, the
authority answers its probe, and the path from its certificates to the root is there.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from gbcs.certificates import CertificateProfile
from gbcs.errors import CertificateRejected
from gbcs.path_validation import validate_path
from gbcs.printable import printable
from gbcs.roles import CellUsage, DeviceType, KeyUsage, RemotePartyRole
from keyrig.duties.facts import Cause
from keyrig.duties.rules import StepKind
from keyrig.errors import AuthorityError, KeyMissing, KeyStoreError, LinkError, RigError
from keyrig.keystore.base import Authority

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from datetime import datetime

    from gbcs.certificates import GBCSCertificate
    from gbcs.entity import EntityIdentifier
    from keyrig.certification.authority import CertificateAuthority
    from keyrig.duties.facts import DeviceFacts
    from keyrig.duties.plan import Duty
    from keyrig.keystore.base import KeyStore
    from keyrig.ledger.ledger import Ledger
    from keyrig.rig_keys import RigKeys
    from keyrig.steps.context import Parties

IMPORT: Final = "`keyrig pki import FOLDER` adds it"
_METERS: Final = frozenset({DeviceType.ESME, DeviceType.GSME})
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
        is_certain: False where it is needed only if the device's cells are to be replaced, which
            shows when they are read.
    """

    rule: NeedRule
    device: EntityIdentifier
    duty: str
    what: str
    lack: Lack | None
    is_certain: bool = True

    @property
    def holds_back(self) -> bool:
        """Whether the duty cannot be begun for it."""
        return self.lack is not None and self.is_certain


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
        self, duties: Collection[Duty], facts: Collection[DeviceFacts], now: datetime
    ) -> tuple[Need, ...]:
        """Return everything that duties need, in their order; nothing is sent or changed.

        Args:
            duties: The duties that are due.
            facts: What is known of their devices.
            now: The present instant.
        """
        known = {each.entity_id: each for each in facts}
        return tuple(need for duty in duties for need in self._of(duty, known[duty.device], now))

    def _of(self, duty: Duty, device: DeviceFacts, now: datetime) -> Iterator[Need]:
        looking = _Looking(self, duty, device, now)
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

    def held_cells(self, device: EntityIdentifier, role: RemotePartyRole) -> set[EntityIdentifier]:
        """Return who was seen last in each cell of a role; empty where it was never read."""
        if self._ledger is None:
            return set()
        last = {
            (seen.cell.key_usage, seen.cell.cell_usage): seen.cell.entity_id
            for seen in self._ledger.facts.cell_history(device)
            if seen.cell.role is role
        }
        return set(last.values())

    def device_certificate(self, device: EntityIdentifier, usage: KeyUsage) -> Lack | None:
        """Return why a certificate of a device is not at hand, or None."""
        if self._ledger is not None and self._ledger.key_changes.candidates(device, usage):
            return None
        reason = _raised(lambda: self._keys.certificate(device, usage))
        return None if reason is None else Lack(cause=Cause.KEYS, reason=reason, mend=IMPORT)

    @cached_property
    def broker(self) -> EntityIdentifier:
        """The access control broker."""
        return self._parties.access_control_broker

    @cached_property
    def broker_key(self) -> Lack | None:
        """Why the broker's key agreement key is not at hand, or None."""
        reason = _raised(lambda: self._keys.agreer(self.broker))
        if reason is None:
            return None
        return Lack(
            cause=Cause.KEYS,
            reason=f"{reason}, so service requests or local delivery only",
            mend="`keyrig pki import FOLDER` adds the broker's key",
        )

    def signing_key(self, party: EntityIdentifier) -> Lack | None:
        """Return why no signing key of a party is at hand, or None."""
        reason = _raised(lambda: self._keys.signer(party))
        return None if reason is None else Lack(cause=Cause.KEYS, reason=reason, mend=IMPORT)

    @cached_property
    def _probed(self) -> str | Lack:
        """What the certificate authority says to its probe, or why it cannot be asked."""
        try:
            return self._authority.probe()
        except AuthorityError as error:
            return Lack(
                cause=Cause.AUTHORITY, reason=f"{error.where}: {error.reason}", mend=error.mend
            )

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
        what = "issuing authority of devices" if self.roots else "root certificate"
        return Lack(
            cause=Cause.KEYS,
            reason=f"{self._store.location}: no certificate of an {what}"
            if self.roots
            else f"{self._store.location}: no {what}",
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
            lack = Lack(cause=Cause.KEYS, reason=_shown(error), mend=IMPORT)
            return NeedRule.ORGANISATION_CERTIFICATE, lack
        if not certificate.is_valid_at(at):
            return NeedRule.VALIDITY, _out_of_date(certificate, at)
        reason = _raised(lambda: self._keys.certification_path(certificate))
        if reason is not None:
            return NeedRule.CERTIFICATE_PATH, Lack(cause=Cause.KEYS, reason=reason, mend=IMPORT)
        return NeedRule.ORGANISATION_CERTIFICATE, None


class _Looking:
    """Looks at what one duty needs."""

    def __init__(
        self, preflight: Preflight, duty: Duty, device: DeviceFacts, now: datetime
    ) -> None:
        self._preflight = preflight
        self._duty = duty
        self._device = device
        self._now = now
        self._is_hub = device.device_type is DeviceType.CHF
        self._through_dcc = preflight.is_through_dcc(device.entity_id)

    def for_any_command(self) -> Iterator[Need]:
        """What every command to a device needs: a MAC, by the broker's key and the device's."""
        preflight, device = self._preflight, self._device.entity_id
        if self._through_dcc:
            return
        yield self._need(
            NeedRule.BROKER_KEY,
            f"the key agreement key of the access control broker {preflight.broker}",
            preflight.broker_key,
        )
        yield self._need(
            NeedRule.DEVICE_CERTIFICATE,
            "the device's keyAgreement certificate",
            preflight.device_certificate(device, KeyUsage.KEY_AGREEMENT),
        )

    def for_new_keys(self) -> Iterator[Need]:
        yield from self._signed_by(self._originator())
        preflight = self._preflight
        yield self._need(
            NeedRule.AUTHORITY,
            f"a certificate authority for the new keys: {preflight.authority_name}",
            preflight.authority,
        )
        yield self._need(
            NeedRule.CERTIFICATE_PATH,
            "the path from the device's new certificates to the root",
            preflight.device_path(self._now),
        )

    def for_replacing_its_own(self) -> Iterator[Need]:
        party = self._originator()
        role = RemotePartyRole.ACCESS_CONTROL_BROKER if self._is_hub else RemotePartyRole.SUPPLIER
        yield from self._signed_by(party)
        if party is not None:
            yield self._certificate(
                party, KeyUsage.DIGITAL_SIGNATURE, CellUsage.MANAGEMENT, role, is_certain=True
            )

    def recovery_certificate(self) -> Need:
        return self._need(
            NeedRule.RECOVERY_CERTIFICATE,
            "the Recovery Certificate, and its path to the root",
            self._preflight.recovery(self._now),
        )

    def for_credentials(
        self, role: RemotePartyRole, party: EntityIdentifier | None
    ) -> Iterator[Need]:
        """What reading a role's cells needs, and what replacing them would."""
        yield self._party(party, f"the device's {role.gbcs_name}")
        if party is None:
            return
        held = self._preflight.held_cells(self._device.entity_id, role)
        if held == {party}:
            return
        holder = next(iter(held - {party}), None)
        for usage, cell_usage in self._cells(role):
            yield self._certificate(party, usage, cell_usage, role, is_certain=bool(held))
        yield from self._signed_by(
            self._preflight.broker if holder is None else holder, is_certain=False
        )

    def _cells(self, role: RemotePartyRole) -> list[tuple[KeyUsage, CellUsage]]:
        cells = [
            (KeyUsage.DIGITAL_SIGNATURE, CellUsage.MANAGEMENT),
            (KeyUsage.KEY_AGREEMENT, CellUsage.MANAGEMENT),
        ]
        if role is RemotePartyRole.SUPPLIER and self._device.device_type in _METERS:
            cells.append((KeyUsage.KEY_AGREEMENT, CellUsage.PREPAYMENT_TOP_UP))
        return cells

    def _originator(self) -> EntityIdentifier | None:
        return self._preflight.broker if self._is_hub else self._device.lead_supplier

    def _party(self, party: EntityIdentifier | None, what: str) -> Need:
        lack = None
        if party is None:
            key = "network_operator" if "network" in what else "lead_supplier"
            lack = Lack(
                cause=Cause.RIG,
                reason=f"nothing names {what}",
                mend=f"name it under [home] in the rig file, or by `keyrig facts set "
                f"{self._device.entity_id} {key} EUI`",
            )
        return self._need(NeedRule.PARTY, f"who is {what}", lack)

    def _signed_by(
        self, party: EntityIdentifier | None, *, is_certain: bool = True
    ) -> Iterator[Need]:
        """What a command needs that a party signs, and whose response the device signs."""
        preflight = self._preflight
        if party is None:
            yield self._party(None, "the device's supplier")
            return
        yield self._need(
            NeedRule.SIGNING_KEY,
            f"the signing key of {party}",
            preflight.signing_key(party),
            is_certain=is_certain,
        )
        yield self._need(
            NeedRule.DEVICE_CERTIFICATE,
            "the device's digitalSignature certificate",
            preflight.device_certificate(self._device.entity_id, KeyUsage.DIGITAL_SIGNATURE),
            is_certain=is_certain,
        )

    def _certificate(
        self,
        party: EntityIdentifier,
        usage: KeyUsage,
        cell_usage: CellUsage,
        role: RemotePartyRole,
        *,
        is_certain: bool,
    ) -> Need:
        rule, lack = self._preflight.organisation(party, usage, cell_usage, role, self._now)
        top_up = " for prepayment top-up" if cell_usage is CellUsage.PREPAYMENT_TOP_UP else ""
        what = f"the {usage.gbcs_name} certificate{top_up} of {party} as {role.gbcs_name}"
        return self._need(rule, what, lack, is_certain=is_certain)

    def _need(
        self, rule: NeedRule, what: str, lack: Lack | None, *, is_certain: bool = True
    ) -> Need:
        return Need(
            rule=rule,
            device=self._device.entity_id,
            duty=self._duty.id,
            what=what,
            lack=lack,
            is_certain=is_certain,
        )


def _raised(look: Callable[[], object]) -> str | None:
    """Return why looking a key or certificate up failed, or None where it is there."""
    try:
        look()
    except _KEY_STORE_ERRORS as error:
        return _shown(error)
    return None


def _shown(error: Exception) -> str:
    if isinstance(error, KeyMissing):
        return f"{error.where}: no {error.what}"
    return printable(str(error))


def _out_of_date(certificate: GBCSCertificate, at: datetime) -> Lack:
    if at < certificate.not_before:
        when = f"is not valid before {certificate.not_before:%Y-%m-%dT%H:%M:%SZ}"
    else:
        when = f"expired at {certificate.not_after:%Y-%m-%dT%H:%M:%SZ}"
    return Lack(
        cause=Cause.KEYS,
        reason=f"the certificate of {certificate} {when}",
        mend="import the one that is in use, or set the clock",
    )
