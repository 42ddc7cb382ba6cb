"""Emulated devices with a PKI of their own, kept in one folder."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import Encoding

from gbcs.certificate_profiles import GBCSCertificate
from gbcs.certification_request import CertificationRequest
from gbcs.protocol_errors import KeyrigError
from gbcs.roles import CellUsage, DeviceType, KeyUsage, RemotePartyRole
from gbcs.testing_pki import (
    DEVICE_ISSUING,
    ROOT,
    TEST_PARTIES,
    Credential,
    TestPKI,
    certify_device,
)
from meterstub.device_factory import manufacture
from meterstub.device_memory import DeviceMemory, FileStorage
from meterstub.emulated_device import EmulatedDevice
from meterstub.key_pair import KeyPair, generate_key
from meterstub.trust_anchor_cells import CELLS, factory_owner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.security_credentials import TrustAnchorCellIdentifier
    from meterstub.device_faults import Faults
    from meterstub.device_options import DeviceOptions

_PRIVATE: Final = 0o600
_PUBLIC: Final = 0o644
_USES: Final = {KeyUsage.DIGITAL_SIGNATURE: "ds", KeyUsage.KEY_AGREEMENT: "ka"}
_PARTIES: Final = {party.role: party.entity_id for party in reversed(TEST_PARTIES)}


class DeviceFolderUnusable(KeyrigError):
    """A folder of emulated devices is in use, or cannot be used as it is."""


class DeviceFolder:
    """A folder of emulated devices and of the test PKI that certifies them.

    `pki/` has every certificate, and the private keys of authorities and organisations, in files
    `<eui>[-pp]-{ds,ka,xml}.{pem,key}`; `memories/` has what each device remembers, its private
    keys included.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pki = path / "pki"
        self.memories = path / "memories"

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Hold the folder for this process, and make it and its PKI where they are not there.

        Raises:
            DeviceFolderUnusable: Another process holds it.
            OSError: It cannot be made.
        """
        for folder in (self.path, self.memories):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DeviceFolderUnusable(
                    f"{self.path}: another process hosts its devices; stop it, or name another "
                    "folder"
                ) from None
            if not self.pki.exists():
                self._make_pki()
            yield
        finally:
            os.close(descriptor)

    def _make_pki(self) -> None:
        """Make the PKI beside its place, so that it is there whole or not at all."""
        partial = self.path / "pki.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        made = TestPKI(now=datetime.now(UTC), random=os.urandom, new_key=generate_key)
        for each in made.credentials():
            _write(partial / f"{each.stem}.key", KeyPair(each.private_key).pem.encode(), _PRIVATE)
            _write(partial / f"{each.stem}.pem", _pem(each.certificate), _PUBLIC)
        partial.rename(self.pki)

    def device(
        self,
        entity_id: EntityIdentifier,
        device_type: DeviceType,
        *,
        faults: Faults | None = None,
        options: DeviceOptions | None = None,
    ) -> EmulatedDevice:
        """Return a device, powered on; one that is not there yet is made, as from the factory.

        The certificates that it holds now are then in `pki/`.

        Raises:
            DeviceFolderUnusable: It is there and of another type, or the PKI lacks something.
            MemoryDamaged: Its memory is damaged.
            OSError: A file cannot be read or written.
        """
        storage = FileStorage(self.memories / f"{entity_id.stem}.json")
        if not storage.path.exists():
            anchors = {cell: self._factory_certificate(cell).der for cell in CELLS[device_type]}
            state = manufacture(device_type, entity_id, anchors=anchors, certify=self._certify)
            DeviceMemory.create(storage, state)
        device = EmulatedDevice(DeviceMemory(storage), faults=faults, options=options)
        if device.device_type is not device_type:
            raise DeviceFolderUnusable(
                f"{storage.path}: a {device.device_type.value}, not a {device_type.value}; correct "
                "its type, or name another folder"
            )
        for usage, path in self.certificate_files(entity_id).items():
            certificate = GBCSCertificate.from_der(device.memory.state.certificates[usage])
            _write(path, _pem(certificate), _PUBLIC)
        return device

    def certificate_files(self, entity_id: EntityIdentifier) -> dict[KeyUsage, Path]:
        """Return where a device's certificates are, by use."""
        return {usage: self.pki / f"{entity_id.stem}-{use}.pem" for usage, use in _USES.items()}

    def _factory_certificate(self, cell: TrustAnchorCellIdentifier) -> GBCSCertificate:
        owner = factory_owner(cell)
        if owner is RemotePartyRole.ROOT:
            return self._certificate(ROOT)
        assert cell.cell_usage is CellUsage.MANAGEMENT or cell.key_usage is KeyUsage.KEY_AGREEMENT
        return self._certificate(f"{_PARTIES[owner].stem}-{_USES[KeyUsage(cell.key_usage)]}")

    def _certify(self, request: bytes) -> bytes:
        return certify_device(
            self._device_authority.issuer(),
            CertificationRequest.from_der(request),
            random=os.urandom,
            now=datetime.now(UTC),
        ).der

    @cached_property
    def _device_authority(self) -> Credential:
        path = self.pki / f"{DEVICE_ISSUING}.key"
        try:
            key = KeyPair.from_pem(path.read_text(encoding="ascii")).private_key
        except ValueError as error:
            raise self._lacking(path, str(error)) from None
        return Credential(DEVICE_ISSUING, self._certificate(DEVICE_ISSUING), key)

    def _certificate(self, stem: str) -> GBCSCertificate:
        path = self.pki / f"{stem}.pem"
        try:
            return GBCSCertificate.all_from_pem(path.read_bytes())[0]
        except KeyrigError as error:
            raise self._lacking(path, str(error)) from error

    @staticmethod
    def _lacking(path: Path, reason: str) -> DeviceFolderUnusable:
        return DeviceFolderUnusable(f"{path}: {reason}; put it back, or name another folder")


def _pem(certificate: GBCSCertificate) -> bytes:
    return certificate.decoded.public_bytes(Encoding.PEM)


def _write(path: Path, octets: bytes, mode: int) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)
    partial.replace(path)
