"""A key store of several parts: certificates in files and tokens, private keys in either."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gbcs.certificate_profiles import GBCSCertificate
from gbcs.printable import printable
from gbcs.protocol_errors import CertificateRejected, DecodeError
from gbcs.roles import CellUsage, KeyUsage
from keyrig.base.errors import KeyStoreError
from keyrig.keys.dcc_boxed_store import TOP_UP_NAME
from keyrig.keys.key_bundle import authority_of
from keyrig.keys.key_store import IndexedKeyStore, LeftOut, StoredCertificate
from keyrig.keys.pkcs11_tokens import TokenKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from keyrig.keys.key_store import KeyStore
    from keyrig.keys.pkcs11_tokens import Token, TokenCertificate

_LABEL_SHOWN: Final = 60


class MixedKeyStore(IndexedKeyStore):
    """The certificates of files and of tokens; each private key where it is.

    A key in a token comes before one in a file, and the token named first before another. What a
    file says of a certificate comes before what a token's label says. A key agreement
    certificate that only a token has serves prepayment top-ups where its label has the word pp,
    prepay, prepayment or top-up, and management otherwise.

    Args:
        files: The folder or file.
        tokens: The tokens, each of which is opened.

    Raises:
        TokenLost: A token is not there.
        TokenUnusable: A token cannot be used.
    """

    def __init__(self, files: KeyStore, tokens: Sequence[Token]) -> None:
        stored = list(files.stored())
        problems = list(files.problems)
        known = {each.certificate for each in stored}
        for token in tokens:
            for each in token.certificates():
                source = f"{token.place}, certificate {printable(each.label, _LABEL_SHOWN)}"
                try:
                    certificate = _certificate(each)
                except (DecodeError, CertificateRejected, KeyStoreError) as error:
                    problems.append(LeftOut.by(source, error))
                    continue
                if certificate not in known:
                    known.add(certificate)
                    stored.append(_stored(certificate, each.label, source))
        super().__init__(files.location, _with_keys(stored, tokens), problems)
        self._directory = files.directory
        self._tokens = tuple(tokens)

    @property
    def directory(self) -> Path | None:
        """The folder among its parts, to which further certificates are added."""
        return self._directory

    @property
    def _places(self) -> str:
        return ", ".join([super()._places, *(str(each.place) for each in self._tokens)])


def _certificate(held: TokenCertificate) -> GBCSCertificate:
    certificate = GBCSCertificate.from_der(held.der)
    # Everything is read here, so that one unreadable object makes no look-up of another fail.
    _ = certificate.public_key, certificate.role, certificate.not_before
    if certificate.entity_id is None and not certificate.profile.is_authority:
        raise KeyStoreError(str(certificate), "it identifies nobody", "leave it out")
    return certificate


def _stored(certificate: GBCSCertificate, label: str, source: str) -> StoredCertificate:
    is_top_up = certificate.key_usage == KeyUsage.KEY_AGREEMENT and TOP_UP_NAME.search(label)
    return StoredCertificate(
        certificate,
        cell_usage=CellUsage.PREPAYMENT_TOP_UP if is_top_up else CellUsage.MANAGEMENT,
        source=source,
        authority=authority_of(certificate),
    )


def _with_keys(
    stored: Sequence[StoredCertificate], tokens: Sequence[Token]
) -> Iterator[StoredCertificate]:
    """Yield each certificate, with the key of the first token that has it."""
    held: dict[GBCSCertificate, TokenKey] = {}
    certificates = [each.certificate for each in stored]
    for token in tokens:
        for certificate in token.has_key_of(certificates):
            held.setdefault(certificate, TokenKey(token, certificate))
    for each in stored:
        key = held.get(each.certificate)
        yield each if key is None else replace(each, key=key)
