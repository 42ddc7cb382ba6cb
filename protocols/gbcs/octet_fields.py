"""Fields of octets for construct structures, which refuse fewer octets than there should be.

In compiled form construct's own `Bytes` and `Prefixed` give what there is; these do not, and
both forms run the same few functions. `FlatStruct` holds them, and any field that looks at no
other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from construct import Construct, ConstructError, Struct

from gbcs.der import encode_length

if TYPE_CHECKING:
    import io

    from construct.core import CodeGen

_IMPORTS = f"from {__name__} import read_counted, read_end, read_exactly, write_counted"
"""The line that generated code needs."""
_LENGTH_OCTETS_MAXIMUM = 2


def read_exactly(stream: io.BytesIO, size_octets: int, path: str | None = None) -> bytes:
    """Read that many octets, no fewer."""
    octets = stream.read(size_octets)
    if len(octets) != size_octets:
        raise ConstructError(
            f"cut short: {len(octets)} octets of {size_octets} are there", path=path
        )
    return octets


def read_counted(stream: io.BytesIO, path: str | None = None) -> bytes:
    """Read a definite length, and as many octets as it says."""
    length = read_exactly(stream, 1, path)[0]
    if length >= 0x80:
        count = length & 0x7F
        if not 1 <= count <= _LENGTH_OCTETS_MAXIMUM:
            raise ConstructError(f"a length in {count} octets", path=path)
        length = int.from_bytes(read_exactly(stream, count, path))
    return read_exactly(stream, length, path)


def read_end(stream: io.BytesIO, path: str | None = None) -> None:
    """See that nothing is left."""
    if stream.read(1):
        raise ConstructError("octets behind the end", path=path)


def write_counted(stream: io.BytesIO, value: bytes) -> bytes:
    """Write the length of `value` in as few octets as it needs, and `value`."""
    stream.write(encode_length(len(value)))
    stream.write(value)
    return value


class ExactOctets(Construct):  # type: ignore[misc]  # construct has no types
    """A fixed number of octets."""

    def __init__(self, size_octets: int) -> None:
        super().__init__()
        self.size_octets = size_octets

    def _parse(self, stream: io.BytesIO, context: object, path: str) -> bytes:  # noqa: ARG002 - construct's signature
        return read_exactly(stream, self.size_octets, path)

    def _build(self, value: bytes, stream: io.BytesIO, context: object, path: str) -> bytes:  # noqa: ARG002 - as above
        if len(value) != self.size_octets:
            raise ConstructError(f"{len(value)} octets for {self.size_octets}", path=path)
        stream.write(value)
        return value

    def _emitparse(self, code: CodeGen) -> str:
        code.append(_IMPORTS)
        return f"read_exactly(io, {self.size_octets})"

    def _emitbuild(self, code: CodeGen) -> str:  # noqa: ARG002 - as above
        return "(io.write(obj), obj)[1]"


class CountedOctets(Construct):  # type: ignore[misc]  # as above
    """Octets behind their definite length of one to three octets.

    Source: DLMS UA 1000-2, encoding of the lengths in general-ciphering and general-signing.
    """

    def _parse(self, stream: io.BytesIO, context: object, path: str) -> bytes:  # noqa: ARG002 - as above
        return read_counted(stream, path)

    def _build(self, value: bytes, stream: io.BytesIO, context: object, path: str) -> bytes:  # noqa: ARG002 - as above
        return write_counted(stream, value)

    def _emitparse(self, code: CodeGen) -> str:
        code.append(_IMPORTS)
        return "read_counted(io)"

    def _emitbuild(self, code: CodeGen) -> str:
        code.append(_IMPORTS)
        return "write_counted(io, obj)"


class End(Construct):  # type: ignore[misc]  # as above
    """The end of the octets."""

    def __init__(self) -> None:
        super().__init__()
        self.flagbuildnone = True

    def _parse(self, stream: io.BytesIO, context: object, path: str) -> None:  # noqa: ARG002 - as above
        read_end(stream, path)

    def _build(self, value: object, stream: io.BytesIO, context: object, path: str) -> None:
        pass

    def _emitparse(self, code: CodeGen) -> str:
        code.append(_IMPORTS)
        return "read_end(io)"

    def _emitbuild(self, code: CodeGen) -> str:  # noqa: ARG002 - as above
        return "None"


class FlatStruct(Struct):  # type: ignore[misc]  # as above
    """A Struct of fields that look at no other field.

    Compiled, a plain Struct keeps for each message two containers that refer to each other; here
    a message costs one dict, and nothing for the garbage collector to find.
    """

    def _emitparse(self, code: CodeGen) -> str:
        fields = (f"{each.name!r}: {each._compileparse(code)}," for each in self.subcons)  # noqa: SLF001 - as construct does
        name = f"parse_flat_{code.allocateId()}"
        code.append("\n".join((f"def {name}(io, this):", "    return {", *fields, "    }")))
        return f"{name}(io, this)"

    def _emitbuild(self, code: CodeGen) -> str:
        lines: list[str] = []
        for each in self.subcons:
            if not each.flagbuildnone:
                lines.append(f"    obj = values[{each.name!r}]")
            lines.append(f"    {each._compilebuild(code)}")  # noqa: SLF001 - as above
        name = f"build_flat_{code.allocateId()}"
        code.append("\n".join((f"def {name}(values, io, this):", *lines)))
        return f"{name}(obj, io, this)"
