"""Zips that are damaged or made to do harm: each ends by the key store's own error, soon."""

from __future__ import annotations

import io
import struct
import zipfile
from random import Random  # noqa: TID251 - seeded
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from authorities import Authorities, new_key
from effort import at_most
from keyrig.base.errors import KeyStoreError
from keyrig.base.zip_files import ENTRIES_MAXIMUM
from keyrig.keys.key_bundle import ENTRY_MAXIMUM_OCTETS, BundleKeyStore
from keyrig.keys.store_opening import open_keystore

if TYPE_CHECKING:
    from pathlib import Path

MUTANTS = 3000
INTERESTING = (b"\0", b"\xff", b"\x7f", b"\x80", b"\0\0\0\0", b"\xff\xff\xff\xff", b"PK\x01\x02")


def zipped(files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return octets.getvalue()


def bundles() -> list[bytes]:
    """Give zips as many programs write them."""
    authorities, key = Authorities(), new_key()
    pem = authorities.organisation(public_key=key.public_key()).decoded.public_bytes(Encoding.PEM)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    files = {"o/cert/ä.pem": pem, "o/key/ä.key": private, "o/cert/b.pem": pem, "o/": b""}
    made = [
        zipped(files, method)
        for method in (
            zipfile.ZIP_STORED,
            zipfile.ZIP_DEFLATED,
            zipfile.ZIP_BZIP2,
            zipfile.ZIP_LZMA,
        )
    ]
    large = io.BytesIO()
    with zipfile.ZipFile(large, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = b"by DCC Boxed"
        for name, content in files.items():
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as file:
                file.write(content)
    return [*made, large.getvalue()]


def mutant(octets: bytes, rng: Random) -> bytes:
    """Give a zip with one to four changes, most of them where its directory is."""
    changed = bytearray(octets)
    for _ in range(rng.randint(1, 4)):
        tail = rng.random() < 0.7
        start = max(0, len(changed) - 600) if tail else 0
        at = rng.randrange(start, len(changed)) if len(changed) > start else 0
        match rng.randrange(6):
            case 0:
                changed[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                piece = rng.choice(INTERESTING)
                changed[at : at + len(piece)] = piece
            case 2:
                del changed[at : at + rng.randint(1, 40)]
            case 3:
                changed[at:at] = rng.randbytes(rng.randint(1, 8))
            case 4:
                other = rng.randrange(len(changed)) if changed else 0
                changed[at:at] = changed[other : other + rng.randint(1, 60)]
            case _:
                if at < len(changed):
                    changed[at] ^= 1 << rng.randrange(8)
    return bytes(changed)


def outcome(octets: bytes) -> str:
    """Open a bundle; anything but the key store's own error is the test's failure."""
    try:
        BundleKeyStore(octets, "the bundle")
    except KeyStoreError as error:
        return str(error).partition("(")[2].partition(")")[0] or "refused"
    return "opened"


def test_no_mutant_of_a_bundle_ends_by_anything_but_the_key_stores_error() -> None:
    rng = Random(7)
    seeds = bundles()
    came: dict[str, int] = {}
    for _ in range(MUTANTS):
        what = outcome(mutant(rng.choice(seeds), rng))
        came[what] = came.get(what, 0) + 1
    # The mutants reach what they are there for.
    assert {"BadZipFile", "ValueError", "opened"} <= came.keys()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda octets: octets.replace(b"cert", b"\0ert"),
        lambda octets: octets[:-22] + octets[-22:].replace(b"PK\x05\x06", b"PK\x05\x07"),
        lambda octets: octets[:-6] + struct.pack("<I", 0xFFFFFFF0) + octets[-2:],
        lambda octets: octets[:40],
        lambda _: b"PK\x05\x06" + b"\0" * 18,
        lambda _: b"PK\x03\x04",
    ],
)
def test_spoilt_bundle_is_refused_as_one_when_it_is_opened_by_its_path(
    spoil: object, tmp_path: Path
) -> None:
    assert callable(spoil)
    path = tmp_path / "bundle.zip"
    path.write_bytes(spoil(bundles()[0]))
    with pytest.raises(KeyStoreError, match=r"zip|certificate below a folder"):
        open_keystore(path)


def test_method_that_may_take_any_memory_is_not_unpacked() -> None:
    for octets in bundles()[2:4]:
        with pytest.raises(KeyStoreError, match="compressed by method"):
            BundleKeyStore(octets, "the bundle")


def test_name_that_stands_twice_is_refused() -> None:
    octets = zipped({"o/cert/a.pem": b"1", "o\\cert\\b.pem": b"2"}).replace(b"b.pem", b"a.pem")
    with pytest.raises(KeyStoreError, match=r"o/cert/a\.pem stands twice"):
        BundleKeyStore(octets, "the bundle")


def test_directory_of_countless_entries_is_refused_before_it_is_read() -> None:
    octets = b"PK\x03\x04" + b"PK\x01\x02".ljust(46, b"\0") * 300_000
    with at_most(1.0), pytest.raises(KeyStoreError, match=f"more than {ENTRIES_MAXIMUM} files"):
        BundleKeyStore(octets, "the bundle")


def test_entries_that_share_their_content_unpack_to_no_more_than_a_bundle_may() -> None:
    """As in a zip bomb whose entries overlap: each has a name and a place, all of them one."""
    body = zipped({"a": bytes(ENTRY_MAXIMUM_OCTETS)})
    directory_at = body.index(b"PK\x01\x02")
    local, entry = body[:directory_at], body[directory_at : body.index(b"PK\x05\x06")]
    count = ENTRIES_MAXIMUM
    names = [struct.pack(">H", 0x3030 + number) for number in range(count)]
    entries = b"".join(entry[:28] + struct.pack("<H", 2) + entry[30:46] + name for name in names)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(entries), len(local), 0)
    with at_most(20.0), pytest.raises(KeyStoreError):
        BundleKeyStore(local + entries + end, "the bundle")
