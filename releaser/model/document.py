"""What every document that leaves a process has in common: strict, frozen, versioned, one canonical spelling.

Canonical JSON is RFC 8785 (the ``rfc8785`` package): one byte string per value, so a digest names a document.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NewType, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from releaser.errors import ConfigError

Sha256 = NewType("Sha256", str)
"""``sha256:`` followed by 64 lower-case hexadecimal digits."""

MAX_DEPTH = 64
_MAX_INTEGER = 2**53 - 1
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
"""A whole JSON string, or a bracket outside of strings; linear, for nothing is tried twice."""


class Document(BaseModel):
    """A frozen value; unknown keys are errors, types are not coerced."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        defer_build=True,  # a command pays for the documents it uses
    )

    __slots__ = ("_canonical",)  # in a slot, for a copy with other fields must not take it along
    if TYPE_CHECKING:
        _canonical: bytes

    def canonical(self) -> bytes:
        """The RFC 8785 bytes of this document, worked out once; equal documents give equal bytes."""
        if not hasattr(self, "_canonical"):
            object.__setattr__(self, "_canonical", canonical_json(self.model_dump(mode="json")))
        return self._canonical

    @classmethod
    def parse(cls, data: bytes, source: str) -> Self:
        """Read a document that was written by `canonical`.

        Raises ConfigError ``document-invalid`` for anything else: bad JSON, duplicate keys, unknown keys, or
        the right value in another spelling (two spellings would have two digests).
        """
        read: Self = _parsed(cls, data, source)
        return read


D = TypeVar("D", bound=Document)
_PLAIN = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True, check_circular=False)


@lru_cache(maxsize=64)  # a run reads the same few documents again before every step
def _parsed(shape: type[D], data: bytes, source: str) -> D:
    try:
        parsed = shape.model_validate_json(json.dumps(strict_json(data, source)))
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            "document-invalid",
            f"{source} is not a {shape.__name__.lower()} document",
            object=".".join(str(part) for part in first["loc"]) or source,
            found=first["msg"],
            wanted="the document as `releaser` writes it",
            hint="regenerate it with the releaser that reads it; do not edit it by hand",
        ) from error
    if (canonical := parsed.canonical()) != data:
        raise ConfigError(
            "document-not-canonical",
            f"{source} is not in canonical form",
            object=source,
            found=sha256(data),
            wanted=sha256(canonical),
            hint="write it again with `releaser assemble`; a reformatted document is another document",
        )
    return parsed


def canonical_json(value: Any) -> bytes:
    """RFC 8785 bytes of a JSON value.

    Raises ConfigError ``document-invalid`` for what has none: integers beyond 2**53 - 1, infinities, half characters.
    """
    import rfc8785

    if _is_plain(value) and (text := _PLAIN.encode(value)).isascii():  # the same bytes, many times as fast
        return text.encode()
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise ConfigError(
            "document-invalid",
            "a value has no canonical form",
            object="JSON",
            found=str(error),
            wanted="numbers and text of RFC 8785",
            hint="write the number as text, or use a smaller one",
        ) from error


def _is_plain(value: Any) -> bool:
    """Whether a value is made of text, truths, nulls and small integers alone: in ASCII, there is one spelling."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if type(key) is not str or (type(inner) is not str and not _is_plain(inner)):
                return False
        return True
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str) or (isinstance(value, int) and abs(value) <= _MAX_INTEGER)


def sha256(data: bytes) -> Sha256:
    """The digest of *data* in the form that documents use."""
    return Sha256("sha256:" + hashlib.sha256(data).hexdigest())


def strict_json(data: bytes, source: str) -> Any:
    """Parse JSON as data from strangers: UTF-8, no duplicate keys, no NaN or infinity, no half of a character,
    no deep nesting.

    Raises ConfigError ``json-invalid``.
    """
    try:
        _require_plain(data)
        value = _STRICT.decode(data.decode())
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            "json-invalid", f"{source} is not plain JSON", object=source, found=str(error), wanted="RFC 8259"
        ) from error


def _require_plain(data: bytes) -> None:
    """Raise ValueError for what the parser would say in other words, or not survive."""
    if data.startswith(codecs.BOM_UTF8):
        raise ValueError("a byte order mark")
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(data):
        if token[0] in (b"[", b"{"):
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"more than {MAX_DEPTH} levels")
        elif token[0] in (b"]", b"}"):
            depth -= 1


def _pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(items)
    if len(mapping) != len(items):
        raise ValueError("a key that stands twice in one object")
    return mapping


def _constant(name: str) -> Any:
    raise ValueError(name)


def _number(text: str) -> float:
    if math.isinf(value := float(text)):
        raise ValueError(f"{text[:20]}, a number beyond all numbers")
    return value


_STRICT = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_number)
