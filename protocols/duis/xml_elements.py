"""A declarative layer: typed dataclasses in, XML elements out, and back with path and line.

A structure is a class under `@structure` whose fields name the element and its type, in the
order of the schema:

    @structure
    class SignedPreCommand:
        execution_date_time: datetime | None = element("ExecutionDateTime", INSTANT, default=None)
        gbcs_payload: bytes = element("GBCSPayload", OCTETS)

Limits are checked when an instance is made, so whatever exists can be written and is valid.
Reading is as strict as the schema: every element in its place and namespace, as many as may be,
and nothing else.

Source: XML Schema 1.0 part 1, for what sequences and choices mean.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast, dataclass_transform

from lxml import etree

from duis.document_errors import DocumentInvalid
from duis.simple_types import TextType, require_type
from gbcs.printable import printable
from gbcs.protocol_errors import LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

_PART: Final = "duis"
_NAME_SHOWN_CHARACTERS: Final = 60
_TEXT_SHOWN_CHARACTERS: Final = 40


class Document:
    """The document that is being read, for what its errors say.

    Args:
        source: Its name, such as a path.
    """

    __slots__ = ("source",)

    def __init__(self, source: str) -> None:
        self.source = source

    def wrong(self, element: etree._Element, reason: str) -> DocumentInvalid:
        """Return the error for what is wrong with `element`."""
        return DocumentInvalid(
            reason, source=self.source, field=_path(element), line=element.sourceline
        )

    def without_attributes(self, element: etree._Element) -> None:
        """Raise an error if `element` has attributes, xsi:type among them."""
        if element.attrib:
            name = printable(str(next(iter(element.attrib))), _NAME_SHOWN_CHARACTERS)
            raise self.wrong(element, f"it has the attribute {name}")

    def text(self, element: etree._Element) -> str:
        """Return the text of an element that has nothing else."""
        self.without_attributes(element)
        if len(element):
            raise self.wrong(element[0], "an element where text belongs")
        return element.text or ""

    def children(self, element: etree._Element) -> list[etree._Element]:
        """Return the children of an element that has nothing else."""
        children = list(element)
        for text in (element.text, *(child.tail for child in children)):
            if text and text.strip(" \t\r\n"):
                shown = printable(text.strip(), _TEXT_SHOWN_CHARACTERS)
                raise self.wrong(element, f"text where elements belong: {shown}")
        return children


def _path(element: etree._Element) -> str:
    names = [local_name(element), *(local_name(each) for each in element.iterancestors())]
    return "/".join(reversed(names))


def local_name(element: etree._Element) -> str:
    """Return an element's name without its namespace."""
    return etree.QName(element).localname


def name_beside(element: etree._Element, name: str) -> str:
    """Return `name` in the namespace of `element`."""
    namespace = etree.QName(element).namespace
    return name if namespace is None else f"{{{namespace}}}{name}"


class Content(Generic[T]):
    """What an element may contain."""

    def check(self, value: T) -> None:
        """Check a value; raises ValueError, which says what is wrong."""
        raise NotImplementedError

    def fill(self, element: etree._Element, value: T) -> None:
        """Write a checked value into an element that is empty still."""
        raise NotImplementedError

    def read(self, element: etree._Element, document: Document) -> T:
        """Read what `element` contains; raises DocumentInvalid."""
        raise NotImplementedError


class Simple(Content[T]):
    """Text of a simple type."""

    def __init__(self, text_type: TextType[T]) -> None:
        self._type = text_type

    def check(self, value: T) -> None:
        """Check a value against the type's limits."""
        self._type.check(value)

    def fill(self, element: etree._Element, value: T) -> None:
        """Write the text."""
        element.text = self._type.write(value)

    def read(self, element: etree._Element, document: Document) -> T:
        """Read the text."""
        text = document.text(element)
        try:
            return self._type.read(text)
        except ValueError as error:
            shown = printable(text.strip(), _TEXT_SHOWN_CHARACTERS)
            raise document.wrong(element, f"{shown!r}: {error}") from error


class Structure(Content[T]):
    """Elements in order, as an instance of a `@structure` class."""

    def __init__(self, cls: type[T]) -> None:
        self.cls = cls

    def check(self, value: T) -> None:
        """Check the class; its instances have been checked when they were made."""
        require_type(value, self.cls, self.cls.__name__)

    def fill(self, element: etree._Element, value: T) -> None:
        """Write an element for every value of every field."""
        for part in parts_of(self.cls):
            for each in part.values_in(value):
                child = etree.SubElement(element, name_beside(element, part.element))
                part.content.fill(child, each)

    def read(self, element: etree._Element, document: Document) -> T:
        """Read every field from the elements that stand there, all of them."""
        document.without_attributes(element)
        return self.read_children(element, document.children(element), document)

    def read_children(
        self, element: etree._Element, children: list[etree._Element], document: Document
    ) -> T:
        """Read every field from `children`, which stand in `element`."""
        fields: dict[str, Any] = {}
        left = 0
        for part in parts_of(self.cls):
            tag = name_beside(element, part.element)
            found: list[Any] = []
            while left < len(children) and children[left].tag == tag and len(found) < part.at_most:
                found.append(part.content.read(children[left], document))
                left += 1
            if len(found) < part.at_least:
                raise document.wrong(element, _missing(part, children[left:]))
            fields[part.field] = tuple(found) if part.many else next(iter(found), None)
        if left < len(children):
            raise document.wrong(children[left], "no element of this name belongs here")
        try:
            return self.cls(**fields)
        except LocalProtocolError as error:
            raise document.wrong(element, str(error)) from error


def _missing(part: Part, left: list[etree._Element]) -> str:
    found = f", {printable(str(left[0].tag), _NAME_SHOWN_CHARACTERS)} is there" if left else ""
    return f"{part.element} is missing{found}"


class OneOf(Content[Any]):
    """Exactly one element, of a structure whose class has the element's name.

    Args:
        classes: The structures.
        unmodelled: Whether an element of another name is read as `Unmodelled`.
    """

    def __init__(self, *classes: type[Any], unmodelled: bool = False) -> None:
        self._by_name = {cls.__name__: cls for cls in classes}
        self._unmodelled = unmodelled

    def check(self, value: Any) -> None:
        """Check it is an instance of one of the structures."""
        if isinstance(value, Unmodelled) and self._unmodelled:
            return
        if self._by_name.get(type(value).__name__) is not type(value):
            raise ValueError(f"{type(value).__name__} is none of {', '.join(self._by_name)}")

    def fill(self, element: etree._Element, value: Any) -> None:
        """Write the one element."""
        self.append(element, value)

    def append(self, parent: etree._Element, value: Any) -> None:
        """Write the one element behind others.

        Raises:
            LocalProtocolError: It is one that can only be read.
        """
        if isinstance(value, Unmodelled):
            raise LocalProtocolError(f"{value.element}: it can be read and not written")
        child = etree.SubElement(parent, name_beside(parent, type(value).__name__))
        Structure(type(value)).fill(child, value)

    def read(self, element: etree._Element, document: Document) -> Any:
        """Read the one element."""
        document.without_attributes(element)
        children = document.children(element)
        if len(children) != 1:
            raise document.wrong(element, f"{len(children)} elements, where one belongs")
        return self.read_child(children[0], document)

    def read_child(self, child: etree._Element, document: Document) -> Any:
        """Read the one element, which has been found already."""
        name = local_name(child)
        parent = child.getparent()
        beside = child if parent is None else parent
        if name in self._by_name and child.tag == name_beside(beside, name):
            return Structure(self._by_name[name]).read(child, document)
        if self._unmodelled and child.tag == name_beside(beside, name):
            return Unmodelled(element=name, octets=etree.tostring(child, method="c14n"))
        raise document.wrong(child, f"none of {', '.join(self._by_name)}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Unmodelled:
    """An element that is known by its name alone; it can be read but not written.

    Args:
        element: Its name.
        octets: All of it in canonical XML.
    """

    element: str
    octets: bytes = dataclasses.field(repr=False)


class Empty(Content[bool]):
    """An empty element, whose presence is the value True."""

    def check(self, value: bool) -> None:  # noqa: FBT001 - the value itself
        """Check it is True."""
        if value is not True:
            raise ValueError("True or None belongs there")

    def fill(self, element: etree._Element, value: bool) -> None:  # noqa: FBT001 - as above
        """Write nothing."""

    def read(self, element: etree._Element, document: Document) -> bool:
        """Raise an error for whatever is there."""
        if document.children(element):
            raise document.wrong(element[0], "no element belongs here")
        document.without_attributes(element)
        return True


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """One field of a structure: its element, that element's content, and how often it occurs."""

    field: str
    element: str
    content: Content[Any]
    at_least: int
    at_most: int
    many: bool
    alternative: bool

    def values_in(self, instance: object) -> tuple[Any, ...]:
        """Return the values of the field, none, one or several."""
        value = getattr(instance, self.field)
        if self.many:
            return tuple(value)
        return () if value is None else (value,)


def _declared(name: str, content: Content[Any] | TextType[Any], default: Any, **limits: Any) -> Any:
    if isinstance(content, TextType):
        content = Simple(content)
    return dataclasses.field(default=default, metadata={_PART: (name, content, limits)})


def element(
    name: str, content: Content[Any] | TextType[Any], *, default: Any = dataclasses.MISSING
) -> Any:
    """Declare a field whose element stands once, or with the default None at most once."""
    at_least = int(default is dataclasses.MISSING)
    return _declared(name, content, default, at_least=at_least, at_most=1)


def elements(
    name: str,
    content: Content[Any] | TextType[Any],
    *,
    at_least: int = 1,
    at_most: int,
    default: Any = dataclasses.MISSING,
) -> Any:
    """Declare a field that is a tuple, each value of which has an element."""
    return _declared(name, content, default, at_least=at_least, at_most=at_most, many=True)


def alternative(name: str, content: Content[Any] | TextType[Any], *, default: None) -> Any:
    """Declare one of several fields of which exactly one has a value; the others are None."""
    return _declared(name, content, default, at_least=0, at_most=1, alternative=True)


@dataclass_transform(
    frozen_default=True,
    kw_only_default=True,
    field_specifiers=(element, elements, alternative),
)
def structure(cls: type[T]) -> type[T]:
    """Turn a class into a frozen, keyword-only dataclass that `Structure` can write.

    Making an instance beyond a limit raises LocalProtocolError, with field and limit.
    """
    cast("Any", cls).__post_init__ = _check_limits
    return dataclasses.dataclass(frozen=True, slots=True, kw_only=True)(cls)


def parts_of(cls: type[Any]) -> tuple[Part, ...]:
    """Return the fields of a structure in order."""
    parts = _PARTS.get(cls)
    if parts is None:
        parts = _PARTS[cls] = tuple(_parts(cls))
    return parts


_PARTS: Final[dict[type[Any], tuple[Part, ...]]] = {}


def _parts(cls: type[Any]) -> Iterator[Part]:
    for field in dataclasses.fields(cls):
        if _PART in field.metadata:
            name, content, limits = field.metadata[_PART]
            defaults = {"many": False, "alternative": False}
            yield Part(field=field.name, element=name, content=content, **(defaults | limits))


def _check_limits(self: Any) -> None:
    name = type(self).__name__
    alternatives: list[Part] = []
    for part in parts_of(type(self)):
        values = part.values_in(self)
        if not part.at_least <= len(values) <= part.at_most:
            raise LocalProtocolError(
                f"{name}/{part.element}: {len(values)} of them, "
                f"where {part.at_least} to {part.at_most} may be"
            )
        for value in values:
            try:
                part.content.check(value)
            except ValueError as error:
                raise LocalProtocolError(f"{name}/{part.element}: {error}") from error
        alternatives += [part] if part.alternative else []
    given = sum(len(part.values_in(self)) for part in alternatives)
    if alternatives and given != 1:
        names = ", ".join(part.element for part in alternatives)
        raise LocalProtocolError(f"{name}: {given} of {names}, where one belongs")
