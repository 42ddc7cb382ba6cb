"""Reading untrusted zips in memory: nothing of one is ever unpacked to a folder."""

from __future__ import annotations

import io
import zipfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from gbcs.printable import printable
from keyrig.base.outside_files import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

ENTRIES_MAXIMUM: Final = 2000
ZIP_MAXIMUM_OCTETS: Final = 16 * 1024 * 1024
"""The most that all entries together may unpack to."""
ZIP_BEGINS: Final = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07")
"""A zip's first entry, or the records that end one without any. Source: PKWARE APPNOTE 6.3.10, 4.3.
"""
_ENCRYPTED: Final = 0x1
_ENTRY_SIGNATURE: Final = b"PK\x01\x02"
"""The signature of each entry of a zip's directory. Source: PKWARE APPNOTE 6.3.10, 4.3.12."""
_COMPRESSIONS: Final = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""Those that need little memory, whatever the zip says."""
_NAME_SHOWN: Final = 80


def zip_entries(octets: bytes, *, entry_maximum: int) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Yield each file of a zip, with its name; names are never used as paths on a disk.

    Args:
        octets: The zip.
        entry_maximum: How many octets one file may unpack to.

    Raises:
        Unreadable: It is no zip, has more than `ENTRIES_MAXIMUM` files or one twice, one is
            encrypted or packed by a method other than deflate, or one of them, or all together,
            unpack to more than they may.
    """
    if octets.count(_ENTRY_SIGNATURE) > ENTRIES_MAXIMUM:
        raise Unreadable(f"more than {ENTRIES_MAXIMUM} files", "name the right file")
    try:
        with zipfile.ZipFile(io.BytesIO(octets)) as archive:
            yield from _contents(archive, entry_maximum)
    except Unreadable:
        raise
    except Exception as error:  # noqa: BLE001 - what a damaged zip raises is not documented
        # For a damaged zip, zipfile and zlib raise whatever their next step happens to meet.
        raise Unreadable(
            f"no zip that can be read ({type(error).__name__})", "fetch it again"
        ) from None


def _contents(
    archive: zipfile.ZipFile, entry_maximum: int
) -> Iterator[tuple[PurePosixPath, bytes]]:
    left = ZIP_MAXIMUM_OCTETS
    seen: set[str] = set()
    for entry in archive.infolist():
        if entry.is_dir():
            continue
        name = entry.filename.replace("\\", "/")
        if name in seen:
            raise Unreadable(f"{printable(name, _NAME_SHOWN)} stands twice", "have it made anew")
        seen.add(name)
        content = _unpacked(archive, entry, entry_maximum)
        left -= len(content)
        if left < 0:
            raise Unreadable(
                f"unpacks to more than {ZIP_MAXIMUM_OCTETS} octets", "name the right file"
            )
        yield PurePosixPath(name), content


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, entry_maximum: int) -> bytes:
    name = printable(entry.filename, _NAME_SHOWN)
    if entry.flag_bits & _ENCRYPTED:
        raise Unreadable(f"{name} is encrypted", "zip it without a password")
    if entry.compress_type not in _COMPRESSIONS:
        raise Unreadable(
            f"{name} is compressed by method {entry.compress_type}", "zip it by deflate"
        )
    with archive.open(entry) as file:
        # The size that the zip states is not trusted.
        content = file.read(entry_maximum + 1)
    if len(content) > entry_maximum:
        raise Unreadable(f"{name} unpacks to more than {entry_maximum} octets", "name another file")
    return content
