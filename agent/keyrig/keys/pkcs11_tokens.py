"""Private keys in PKCS#11 tokens: they are used there; only an agreed secret ever leaves."""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar, cast

import pkcs11
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, TokenFlag

from gbcs.key_holders import public_octets
from gbcs.printable import printable
from gbcs.protocol_errors import CertificateRejected
from gbcs.roles import KeyUsage
from gbcs.x509_extensions import KEY_IDENTIFIER_OCTETS
from keyrig.base.errors import KeyStoreError, SettingsError, TokenLost, TokenUnusable
from keyrig.keys.key_store import require_use

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pkcs11._pkcs11 import lib as Module  # noqa: N812 - it is a class

    from gbcs.certificate_issuing import CertificateSigner
    from gbcs.certificate_profiles import GBCSCertificate

T = TypeVar("T")

POINT_OCTETS: Final = 65
SECRET_OCTETS: Final = 32
_SHOWN: Final = 60
_PROBE_BITS: Final = 64
_ECDSA: Final = ec.ECDSA(hashes.SHA256())

_LOST: Final = (
    pkcs11.DeviceError,
    pkcs11.DeviceRemoved,
    pkcs11.FunctionFailed,
    pkcs11.GeneralError,
    pkcs11.KeyHandleInvalid,
    pkcs11.ObjectHandleInvalid,
    pkcs11.SessionClosed,
    pkcs11.SessionHandleInvalid,
    pkcs11.SlotIDInvalid,
    pkcs11.TokenNotPresent,
    pkcs11.TokenNotRecognised,
    pkcs11.UserNotLoggedIn,
)
"""The errors of libraries when a token or its session is gone; a new session is then opened."""

_SECRET_STAYS: Final = (
    pkcs11.AttributeReadOnly,
    pkcs11.AttributeSensitive,
    pkcs11.AttributeTypeInvalid,
    pkcs11.AttributeValueInvalid,
    pkcs11.KeyUnextractable,
    pkcs11.TemplateInconsistent,
)
"""The errors of libraries that do not reveal a derived secret."""

_PIN_REFUSED: Final = (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange)


@dataclass(frozen=True, slots=True)
class Permission:
    """A use of a private key: its mechanism, and the attribute that permits it."""

    attribute: Attribute
    mechanism: Mechanism
    verb: str


SIGN: Final = Permission(Attribute.SIGN, Mechanism.ECDSA, "sign")
AGREE: Final = Permission(Attribute.DERIVE, Mechanism.ECDH1_DERIVE, "agree secrets")


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """A token, and the place of its PIN.

    Args:
        library: The token's PKCS#11 library.
        label: The token's label.
        serial: Its serial number, which tells tokens of one label apart; None for any.
        read_pin: Reads the PIN; raises SettingsError where it cannot be read.
        pin_kept_in: Where the PIN is kept, for people.
    """

    library: str
    label: str
    serial: str | None
    read_pin: Callable[[], str] = field(repr=False)
    pin_kept_in: str

    def __str__(self) -> str:
        """Return its name, for people."""
        serial = "" if self.serial is None else f" {printable(self.serial, _SHOWN)}"
        return f"token {printable(self.label, _SHOWN)}{serial}"


@dataclass(frozen=True, slots=True)
class TokenCertificate:
    """A certificate object of a token.

    Args:
        label: Its label in the token, unchanged.
        der: Its value.
    """

    label: str
    der: bytes


class _Library:
    """A PKCS#11 library, initialised once in this process for all of its tokens."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lock = threading.RLock()
        self.generation = 0
        self.was_initialised = False
        self._process = os.getpid()

    def module(self) -> Module:
        """Return the module, loaded and initialised.

        Raises:
            PKCS11Error: It cannot be.
        """
        module = pkcs11.lib(self.path)
        if self._process != os.getpid():
            # A library initialised by the parent of a fork cannot be used in its child.
            self.restart()
        self.was_initialised = True
        return module

    def restart(self) -> None:
        """Initialise the library again, which ends every session.

        Raises:
            PKCS11Error: It cannot be.
        """
        self.generation += 1
        self._process = os.getpid()
        module = pkcs11.lib(self.path)
        with suppress(pkcs11.PKCS11Error):
            module.finalize()
        module.initialize()


class Token:
    """A token in this process, with one session that every thread uses in turn.

    There is one for each token, so that a PIN that was refused is not tried again by another
    rig, and no logging out ends another's session.
    """

    def __init__(self, library: _Library, place: TokenPlace) -> None:
        self.place = place
        self._library = library
        self._session: pkcs11.Session | None = None
        self._generation = 0
        self._refused_pin: bytes | None = None
        self._mechanisms: frozenset[int] = frozenset()
        self._by_point: Mapping[bytes, Sequence[pkcs11.PrivateKey]] = {}
        self._by_id: Mapping[bytes, Sequence[pkcs11.PrivateKey]] = {}

    def certificates(self) -> Sequence[TokenCertificate]:
        """Read the token's objects again, and return its certificates.

        Raises:
            TokenLost: It was there, and is not any more.
            TokenUnusable: It cannot be used.
        """

        def read() -> Sequence[TokenCertificate]:
            assert self._session is not None, "what is open has a session"
            # A search in a lost session has the binding print a trace of its own to stderr, so
            # that the session lives is seen first, by a question that every token answers.
            with suppress(pkcs11.RandomNoRNG, pkcs11.FunctionNotSupported):
                self._session.generate_random(_PROBE_BITS)
            return self._read_objects(self._session)

        return self._through(read)

    def has_key_of(self, certificates: Sequence[GBCSCertificate]) -> Sequence[GBCSCertificate]:
        """Return the certificates whose private keys it has, by point or by key identifier.

        That a key object is what its public half or its identifier claims is proved when it
        is first used.

        Raises:
            TokenLost: It was there, and is not any more.
            TokenUnusable: It cannot be used.
        """

        def found() -> Sequence[GBCSCertificate]:
            # The octets are looked for first: a depot's thousands of certificates need not
            # have their keys decoded for a token that has two.
            marks = [*self._by_point, *self._by_id]
            return [
                each
                for each in certificates
                if any(mark in each.der for mark in marks) and self._keys_of(each)
            ]

        return self._through(found)

    def use(
        self,
        certificate: GBCSCertificate,
        permission: Permission,
        work: Callable[[pkcs11.PrivateKey], T],
    ) -> T:
        """Use the private key of a certificate; a lost session is opened anew once.

        Args:
            certificate: The certificate whose key is used.
            permission: What the key must permit.
            work: Uses the key.

        Raises:
            TokenLost: It was there, and is not any more.
            TokenUnusable: It cannot be used, or its key may not be used for this.
        """
        return self._through(lambda: work(self._permitted(certificate, permission)))

    def _through(self, work: Callable[[], T]) -> T:
        with self._library.lock:
            for is_last in (False, True):
                try:
                    self._ensure_open()
                    return work()
                except pkcs11.PKCS11Error as error:
                    self._forget_session()
                    if not _is_lost(error):
                        raise self._unusable(
                            f"it answers {_named(error)}", "see the documentation of its library"
                        ) from None
                    if is_last:
                        raise TokenLost(str(self.place), _named(error)) from None
        raise AssertionError("the second try returns or raises")

    def _unusable(self, reason: str, mend: str) -> TokenUnusable:
        return TokenUnusable(str(self.place), reason, mend)

    def _forget_session(self) -> None:
        session, self._session = self._session, None
        if session is not None and self._generation == self._library.generation:
            with suppress(pkcs11.PKCS11Error):
                session.close()

    def _ensure_open(self) -> None:
        if self._session is not None and self._generation == self._library.generation:
            return
        self._session = None
        try:
            self._open()
        except (pkcs11.PKCS11Error, TokenLost) as error:
            if isinstance(error, pkcs11.PKCS11Error) and not _is_lost(error):
                raise
            # Libraries may see tokens come and go only when they are initialised.
            self._library.restart()
            self._open()

    def _library_unusable(self, error: pkcs11.PKCS11Error) -> TokenUnusable:
        library = printable(self._library.path, 2 * _SHOWN)
        # The library's own words name a path or a symbol, nothing secret.
        reason = printable(str(error) or _named(error), 2 * _SHOWN)
        return self._unusable(
            f"its library {library} cannot be used ({reason})",
            "correct `library` of [[pki.token]], and see that the library finds its settings",
        )

    def _open(self) -> None:
        try:
            module = self._library.module()
        except pkcs11.PKCS11Error as error:
            if self._library.was_initialised:
                raise
            raise self._library_unusable(error) from None
        token = self._find(module)
        session = self._log_in(token)
        self._session, self._generation = session, self._library.generation
        self._mechanisms = frozenset(int(each) for each in token.slot.get_mechanisms())
        self._read_objects(session)

    def _find(self, module: Module) -> pkcs11.Token:
        labels: list[str] = []
        found: list[pkcs11.Token] = []
        for token in _tokens(module):
            serial = token.serial.decode("ascii", "replace").strip("\0 ")
            if token.label == self.place.label and self.place.serial in {None, serial}:
                found.append(token)
            labels.append(f"{token.label} {serial}")
        if not found:
            there = printable(", ".join(labels), 4 * _SHOWN) or "no token"
            raise TokenLost(str(self.place), f"the library finds {there}")
        if len(found) > 1:
            raise self._unusable(
                f"{len(found)} tokens have this label ({printable(', '.join(labels), 4 * _SHOWN)})",
                "name the right one's `serial` in [[pki.token]]",
            )
        return found[0]

    def _log_in(self, token: pkcs11.Token) -> pkcs11.Session:
        if TokenFlag.USER_PIN_LOCKED in token.flags:
            raise self._unusable("its PIN is locked", "have its security officer set a new one")
        if TokenFlag.USER_PIN_FINAL_TRY in token.flags:
            raise self._unusable(
                "one more wrong PIN would lock it, so none is tried",
                "log in once with the token's own tool",
            )
        try:
            pin = self.place.read_pin()
        except SettingsError as error:
            raise self._unusable(
                f"its PIN cannot be read ({error})", "correct `pin` of [[pki.token]]"
            ) from None
        digest = hashlib.sha256(pin.encode()).digest()
        if digest == self._refused_pin:
            raise self._pin_refused()
        try:
            return token.open(user_pin=pin)
        except pkcs11.UserAlreadyLoggedIn:
            return token.open()
        except _PIN_REFUSED:
            self._refused_pin = digest
            raise self._pin_refused() from None
        except (pkcs11.PinLocked, pkcs11.PinExpired, pkcs11.UserPinNotInitialized) as error:
            raise self._unusable(
                f"it lets nobody log in ({_named(error)})", "have its security officer set a PIN"
            ) from None

    def _pin_refused(self) -> TokenUnusable:
        return self._unusable(
            "it refuses the PIN, which is not tried again, for tokens lock after a few",
            f"put the right PIN in {printable(self.place.pin_kept_in, 2 * _SHOWN)}",
        )

    def _read_objects(self, session: pkcs11.Session) -> Sequence[TokenCertificate]:
        points: dict[bytes, set[bytes]] = {}
        certificates: list[TokenCertificate] = []
        for each in _objects(session, ObjectClass.PUBLIC_KEY):
            point = _point(_attribute(each, Attribute.EC_POINT))
            if point is not None:
                points.setdefault(_octets(each, Attribute.ID), set()).add(point)
        for each in _objects(session, ObjectClass.CERTIFICATE):
            label = _attribute(each, Attribute.LABEL)
            certificates.append(
                TokenCertificate(
                    label if isinstance(label, str) else "", _octets(each, Attribute.VALUE)
                )
            )
        by_point: dict[bytes, list[pkcs11.PrivateKey]] = {}
        by_id: dict[bytes, list[pkcs11.PrivateKey]] = {}
        for each in _objects(session, ObjectClass.PRIVATE_KEY):
            if not isinstance(each, pkcs11.PrivateKey):
                continue
            identifier = _octets(each, Attribute.ID)
            own = _point(_attribute(each, Attribute.EC_POINT))
            claimed = {own} if own is not None else points.get(identifier, set())
            for point in claimed:
                by_point.setdefault(point, []).append(each)
            if len(identifier) >= KEY_IDENTIFIER_OCTETS and not claimed:
                by_id.setdefault(identifier, []).append(each)
        self._by_point, self._by_id = by_point, by_id
        return certificates

    def _keys_of(self, certificate: GBCSCertificate) -> Sequence[pkcs11.PrivateKey]:
        try:
            point, identifier = certificate.public_key, certificate.subject_key_identifier
        except CertificateRejected:
            return ()
        return self._by_point.get(public_octets(point)) or self._by_id.get(identifier or b"", ())

    def _permitted(self, certificate: GBCSCertificate, permission: Permission) -> pkcs11.PrivateKey:
        keys = self._keys_of(certificate)
        if not keys:
            raise self._unusable(
                f"it has the key of {certificate} no longer",
                "put the key back, or name the token that has it",
            )
        if permission.mechanism not in self._mechanisms:
            raise self._unusable(
                f"it has no CKM_{permission.mechanism.name}",
                "permit the mechanism there, or keep the key elsewhere",
            )
        may = [each for each in keys if _attribute(each, permission.attribute)]
        if not may:
            raise self._unusable(
                f"it does not let the key of {certificate} {permission.verb}",
                f"make the key with CKA_{permission.attribute.name} true",
            )
        if _attribute(may[0], Attribute.ALWAYS_AUTHENTICATE):
            raise self._unusable(
                f"it wants its PIN again for each use of the key of {certificate}",
                "make the key with CKA_ALWAYS_AUTHENTICATE false",
            )
        return may[0]


_libraries: dict[str, _Library] = {}
_tokens_used: dict[tuple[str, str, str | None], Token] = {}
_registry: Final = threading.Lock()


def token_at(place: TokenPlace) -> Token:
    """Return this process's only `Token` for a place; nothing is opened yet."""
    with _registry:
        library = _libraries.setdefault(place.library, _Library(place.library))
        key = (place.library, place.label, place.serial)
        token = _tokens_used.setdefault(key, Token(library, place))
        token.place = place
        return token


class TokenSigner:
    """Signs messages with a private key that is in a token.

    Source: GBCS v0.8.1, 4.3 (ECDSA on P-256 with SHA-256, plain form).
    """

    __slots__ = ("_certificate", "_public_key", "_token")

    def __init__(self, token: Token, certificate: GBCSCertificate) -> None:
        self._token = token
        self._certificate = certificate
        self._public_key = certificate.public_key

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public key that belongs to it."""
        return self._public_key

    def sign(self, octets: bytes) -> bytes:
        """Sign `octets` by ECDSA on P-256 with SHA-256; returns 64 octets, r then s.

        Each signature is verified before it is returned: a key object that only claims to be
        the certificate's would have a device refuse, and be blamed for it.

        Raises:
            TokenLost: The token was there, and is not any more.
            TokenUnusable: The token cannot be used, or the key is not the certificate's.
        """
        digest = hashlib.sha256(octets).digest()
        signature = self._token.use(
            self._certificate,
            SIGN,
            lambda key: cast("pkcs11.SignMixin", key).sign(digest, mechanism=SIGN.mechanism),
        )
        half = len(signature) // 2
        encoded = utils.encode_dss_signature(
            int.from_bytes(signature[:half]), int.from_bytes(signature[half:])
        )
        try:
            self._public_key.verify(encoded, octets, _ECDSA)
        except InvalidSignature:
            raise _wrong_key(self._token, self._certificate) from None
        return signature

    def __repr__(self) -> str:
        return f"TokenSigner({self._token.place})"


class TokenKeyAgreer:
    """Agrees secrets with a private key that is in a token.

    Source: GBCS v0.8.1, 4.3.3 (static unified model, C(0e, 2s)).
    """

    __slots__ = ("_certificate", "_public_key", "_token")

    def __init__(self, token: Token, certificate: GBCSCertificate) -> None:
        self._token = token
        self._certificate = certificate
        self._public_key = certificate.public_key

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public key that belongs to it."""
        return self._public_key

    def agree(self, peer: ec.EllipticCurvePublicKey) -> bytes:
        """Compute the shared secret Z of 32 octets with `peer` by ECDH on P-256.

        The secret is a session object of the token for as long as it takes to read it.

        Raises:
            TokenLost: The token was there, and is not any more.
            TokenUnusable: The token cannot be used, or reveals no agreed secret.
        """
        point = public_octets(peer)
        secret = self._token.use(self._certificate, AGREE, lambda key: self._derived(key, point))
        if len(secret) != SECRET_OCTETS:
            raise TokenUnusable(
                str(self._token.place),
                f"its shared secret has {len(secret)} octets, not {SECRET_OCTETS}",
                "see the documentation of its library",
            )
        return secret

    def _derived(self, key: pkcs11.PrivateKey, point: bytes) -> bytes:
        try:
            secret = cast("pkcs11.DeriveMixin", key).derive_key(
                KeyType.GENERIC_SECRET,
                8 * SECRET_OCTETS,
                store=False,
                mechanism=AGREE.mechanism,
                mechanism_param=(pkcs11.KDF.NULL, None, point),
                template={
                    Attribute.TOKEN: False,
                    Attribute.SENSITIVE: False,
                    Attribute.EXTRACTABLE: True,
                },
            )
            try:
                return bytes(secret[Attribute.VALUE])
            finally:
                with suppress(pkcs11.PKCS11Error):
                    secret.destroy()
        except _SECRET_STAYS as error:
            raise TokenUnusable(
                str(self._token.place),
                f"it does not let an agreed secret leave it ({_named(error)})",
                "permit extractable secrets of CKM_ECDH1_DERIVE there, or keep this party's key "
                "agreement key elsewhere",
            ) from None

    def prove(self) -> None:
        """Prove, by agreement with a new key, that the token's key is the certificate's.

        Raises:
            TokenLost: The token was there, and is not any more.
            TokenUnusable: It is not, or the token cannot be used.
        """
        other = ec.generate_private_key(ec.SECP256R1())
        if self.agree(other.public_key()) != other.exchange(ec.ECDH(), self._public_key):
            raise _wrong_key(self._token, self._certificate)

    def __repr__(self) -> str:
        return f"TokenKeyAgreer({self._token.place})"


class TokenKey:
    """A private key in a token, of one certificate; see `HeldKey`."""

    __slots__ = ("_agreer", "_certificate", "_token")

    def __init__(self, token: Token, certificate: GBCSCertificate) -> None:
        self._token = token
        self._certificate = certificate
        self._agreer: TokenKeyAgreer | None = None

    @property
    def _name(self) -> str:
        return f"{self._token.place}, key of {self._certificate}"

    def signer(self) -> TokenSigner:
        """Return it as a signer of messages; see `HeldKey`.

        Raises:
            KeyStoreError: Its certificate is not for digitalSignature, or as `check`.
        """
        require_use(self._name, self._certificate, KeyUsage.DIGITAL_SIGNATURE)
        self._token.use(self._certificate, SIGN, lambda _: None)
        return TokenSigner(self._token, self._certificate)

    def agreer(self) -> TokenKeyAgreer:
        """Return it as a key agreer, proved once, the same one each time; see `HeldKey`.

        Raises:
            KeyStoreError: Its certificate is not for keyAgreement, or as `check`.
        """
        if self._agreer is None:
            require_use(self._name, self._certificate, KeyUsage.KEY_AGREEMENT)
            agreer = TokenKeyAgreer(self._token, self._certificate)
            agreer.prove()
            self._agreer = agreer
        return self._agreer

    def certificate_signer(self) -> CertificateSigner:
        """Raise: certificates are issued by no key in a token.

        Raises:
            KeyStoreError: Always.
        """
        raise KeyStoreError(
            self._name,
            "a key in a token issues no certificates here",
            "have the authority issue them, or use a test PKI in a folder",
        )

    def check(self) -> None:
        """Use the key once, which proves that it is present and is its certificate's.

        Raises:
            TokenLost: The token was there, and is not any more.
            KeyStoreError: It cannot be used, or is another certificate's.
        """
        if KeyUsage.DIGITAL_SIGNATURE in self._certificate.key_usage:
            self.signer().sign(b"keyrig: is this the key of its certificate?")
        elif KeyUsage.KEY_AGREEMENT in self._certificate.key_usage:
            self.agreer().prove()

    @property
    def stays(self) -> bool:
        """True: it never leaves its token."""
        return True

    def write_to(self, write: Callable[[bytes], None]) -> NoReturn:  # noqa: ARG002 - an argument of HeldKey's method
        """Raise: the key stays in its token.

        Raises:
            KeyStoreError: Always.
        """
        raise KeyStoreError(
            self._name, "the private key stays in its token", "use it there; it is not copied"
        )

    def __repr__(self) -> str:
        return f"TokenKey({self._token.place})"


def _wrong_key(token: Token, certificate: GBCSCertificate) -> TokenUnusable:
    return TokenUnusable(
        str(token.place),
        f"its key is not that of the certificate of {certificate}",
        "correct CKA_ID and the public key beside it",
    )


def _tokens(module: Module) -> Iterator[pkcs11.Token]:
    """Yield each token that can be read; unreadable ones are skipped."""
    for slot in module.get_slots(token_present=True):
        try:
            token = slot.get_token()
        except pkcs11.PKCS11Error:
            continue
        if TokenFlag.TOKEN_INITIALIZED in token.flags:
            yield token


def _objects(session: pkcs11.Session, kind: ObjectClass) -> list[pkcs11.Object]:
    """List the objects of a class: keys on elliptic curves, or X.509 certificates."""
    what: dict[Attribute, object] = {Attribute.CLASS: kind}
    if kind is ObjectClass.CERTIFICATE:
        what[Attribute.CERTIFICATE_TYPE] = pkcs11.CertificateType.X_509
    else:
        what[Attribute.KEY_TYPE] = KeyType.EC
    return list(session.get_objects(what))


def _attribute(of: pkcs11.Object, attribute: Attribute) -> object:
    """Read an attribute; return None where the token does not have or reveal it."""
    try:
        return of[attribute]
    except (pkcs11.AttributeTypeInvalid, pkcs11.AttributeSensitive, UnicodeDecodeError):
        return None


def _octets(of: pkcs11.Object, attribute: Attribute) -> bytes:
    value = _attribute(of, attribute)
    return value if isinstance(value, bytes) else b""


def _point(value: object) -> bytes | None:
    """Read an uncompressed point, bare or in an OCTET STRING; None where it is no such one."""
    if not isinstance(value, bytes):
        return None
    octets = value[2:] if value[:2] == bytes((4, POINT_OCTETS)) else value
    return octets if len(octets) == POINT_OCTETS and octets[0] == 4 else None


def _is_lost(error: pkcs11.PKCS11Error) -> bool:
    """True if an error says that the token or its session is gone.

    The binding has no class of its own for a library that is not initialised.
    """
    return isinstance(error, _LOST) or (
        type(error) is pkcs11.PKCS11Error and "not initialized" in str(error)
    )


def _named(error: pkcs11.PKCS11Error) -> str:
    return printable(str(error), _SHOWN) or type(error).__name__
