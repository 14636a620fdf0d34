"""Holds one exchange with GitHub's REST API to GitHub's own OpenAPI description (openapi.json, see make_subset.py).

What the description leaves to prose stands in tables here, each entry with the page that says it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import best_match
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tests.contracts.github.links import links

SUBSET = Path(__file__).with_name("openapi.json")
UPLOADS = "/uploads"
"""Where the rehearsal serves the operations that the description gives a host of their own."""

ANYWHERE = frozenset({400, 401, 403, 404, 429, 500, 502, 503, 504})
"""Any operation may fail so, with GitHub's plain error (rest/using-the-rest-api: troubleshooting, rate-limits)."""
UNLISTED: Mapping[tuple[str, int], str] = {
    ("actions/create-workflow-dispatch", 422): "an unknown ref, or too many inputs (rest/actions/workflows)",
    ("checks/list-for-ref", 422): "an unknown commit, as for the commit itself (rest/commits/commits)",
    ("repos/create-commit-status", 422): "an unknown commit, or the 1001st status (rest/commits/statuses)",
    ("repos/delete-release-asset", 422): "an immutable release (code-security: immutable releases)",
    ("repos/update-release", 422): "a tag that has a release, or is burnt (code-security: immutable releases)",
    ("repos/update-release-asset", 422): "a name that is taken, an immutable release (rest/releases/assets)",
}
"""Validation errors that the description of their operation lacks, and where GitHub documents them."""
WORDS: Mapping[str, str] = {
    "/components/schemas/release-asset/properties/state/enum": "starter",  # rest/releases/assets: a failed upload
    "/components/schemas/check-run/properties/conclusion/enum": "stale",  # rest/guides: interact with checks
}
"""Words that GitHub documents and its description lacks."""
LINKS: Mapping[str, frozenset[str]] = {
    "html_url": frozenset({"/*/*/releases/tag/…"}),
    "url": frozenset({"/repos/*/*/commits/@/status", "/orgs/*/teams/…"}),
    "commit_url": frozenset({"/repos/*/*/commits/@"}),
}
"""Links where GitHub's examples have the addresses of years ago: these are the ones under which it serves them now."""
MEDIA: Mapping[str, str] = {
    "repos/get-content": "application/vnd.github.raw+json",
    "repos/get-release-asset": "application/octet-stream",
}
"""Media types by which an operation gives the bytes themselves (the "custom media types" of its page)."""
ERROR, INVALID = "/components/schemas/basic-error", "/components/schemas/validation-error"
JSON = frozenset({"application/json", "application/vnd.github+json"})

_EVENT = "/x-webhooks/{}/post/requestBody/content/application~1json/schema"
_VALUES = {"string": "text", "integer": 1, "number": 1, "boolean": False, "array": [], "object": {}, "null": None}
_TEXTS = {"date-time": "2026-01-02T03:04:05Z", "uri": "https://example.invalid/"}
_PARAMETER = re.compile(r"\{(\w+)\}")
_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("date-time", raises=ValueError)
def _is_instant(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@_FORMATS.checks("uri", raises=ValueError)
def _is_uri(value: object) -> bool:
    return not isinstance(value, str) or bool(urlsplit(value).scheme)


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference: ``where`` is the part of the exchange and the JSON pointer in it."""

    operation: str
    where: str
    found: str

    def __str__(self) -> str:
        return f"{self.operation}: {self.where}: {self.found}"


@dataclass(frozen=True, slots=True)
class Sent:
    """A request. Header names are in lower case; ``path`` is not decoded and has no query."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Operation:
    """An operation of the description; ``pointer`` is its place in the document."""

    name: str
    method: str
    path: re.Pattern[str]
    pointer: str
    parameters: Mapping[tuple[str, str], tuple[str, bool]]
    """Schema pointer and whether it is required, by place (path, query, header) and name."""


class Description:
    """The document, ready to be asked. Its checks yield every `Drift` of one side of an exchange."""

    def __init__(self, document: Any) -> None:
        self.document = _as_json_schema(document)
        self.version: str = document["info"]["x-api-version"]
        for pointer, word in WORDS.items():
            self._at(pointer).append(word)
        resource = DRAFT202012.create_resource(self.document)
        self._links = {k: LINKS.get(k, frozenset()).union(known) for k, known in document["x-links"].items()}
        self._registry: Registry[Any] = Registry().with_resource("urn:github", resource)

    @classmethod
    def load(cls) -> Description:
        """The recorded subset."""
        return cls(json.loads(SUBSET.read_text()))

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        """Literal paths before parameters, of equals the longer: the order to match in."""
        paths = self.document["paths"].items()
        found = [self._operation(path, method, body) for path, item in paths for method, body in item.items()]
        return tuple(sorted(found, key=lambda o: (o.path.groups, -len(o.path.pattern))))

    def _operation(self, path: str, method: str, body: Any) -> Operation:
        pointer = f"/paths/{_escaped(path)}/{method}"
        parameters, segments = {}, {}
        for number in range(len(body.get("parameters", ()))):
            place = self._followed(f"{pointer}/parameters/{number}")
            parameter = self._at(place)
            parameters[parameter["in"], parameter["name"]] = f"{place}/schema", parameter.get("required", False)
            segments[parameter["name"]] = ".*" if parameter.get("x-multi-segment") else "[^/]+"
        expression = _PARAMETER.sub(lambda found: f"(?P<{found[1]}>{segments[found[1]]})", path)
        whole = re.compile((UPLOADS if "servers" in body else "") + expression + r"\Z")
        return Operation(body["operationId"], method.upper(), whole, pointer, parameters)

    def operation(self, method: str, path: str) -> Operation | None:
        """The operation that GitHub would take this request for."""
        return next((o for o in self.operations if o.method == method and o.path.match(path)), None)

    # Requests

    def request(self, sent: Sent) -> Iterator[Drift]:
        """What the description does not allow in a request; a request for nothing that it has is a drift too."""
        operation = self.operation(sent.method, sent.path)
        if operation is None:
            yield Drift(f"{sent.method} {sent.path}", "request", "GitHub's description has no such operation")
            return
        name = operation.name
        match = operation.path.match(sent.path)
        given = {("path", k): unquote(v) for k, v in (match.groupdict() if match else {}).items()}
        given |= {("query", k): v for k, v in sent.query.items()}
        for key, value in given.items():
            known = operation.parameters.get(key)
            if known is None:
                yield Drift(name, f"request {key[0]} {key[1]}", "not documented")
            else:
                yield from self._violations(name, f"request {key[0]} {key[1]}", known[0], self._typed(known[0], value))
        for key, (_, required) in operation.parameters.items():
            if required and key not in given:
                yield Drift(name, f"request {key[0]} {key[1]}", "required, and missing")
        yield from self._request_headers(operation, sent)
        yield from self._request_body(operation, sent)

    def _request_headers(self, operation: Operation, sent: Sent) -> Iterator[Drift]:
        wanted = {"x-github-api-version": {self.version}, "accept": JSON | {MEDIA.get(operation.name, "")}}
        for header, allowed in wanted.items():
            if sent.headers.get(header, "") not in allowed:
                said = sent.headers.get(header) or "nothing"
                yield Drift(operation.name, f"request header {header}", f"{said} is not documented")

    def _request_body(self, operation: Operation, sent: Sent) -> Iterator[Drift]:
        described = self._at(operation.pointer).get("requestBody")
        if not sent.body:
            if described and described.get("required"):
                yield Drift(operation.name, "request body", "required, and missing")
            return
        media = _media(sent.headers)
        if described is None or media not in described["content"]:
            yield Drift(operation.name, "request body", f"{media or 'no content type'} is not documented")
        elif media in JSON:
            schema = f"{operation.pointer}/requestBody/content/{_escaped(media)}/schema"
            yield from self._document(operation.name, "request body", schema, sent.body)

    # Answers

    def answer(self, sent: Sent, answered: Answered) -> Iterator[Drift]:
        """What the description does not allow in an answer: its status, headers, media type, every field."""
        operation = self.operation(sent.method, sent.path)
        name = operation.name if operation else f"{sent.method} {sent.path}"
        where = f"answer {answered.status}"
        pointer = f"{operation.pointer}/responses/{answered.status}" if operation else ""
        described = self._at(self._followed(pointer)) if operation and self._has(pointer) else None
        if described is None:
            unlisted = (name, answered.status) in UNLISTED
            if answered.status not in ANYWHERE and not unlisted:
                yield Drift(name, where, "not documented")
                return
            content = {"application/json": INVALID if unlisted else ERROR}
        else:
            inner = f"{self._followed(pointer)}/content"
            content = {media: f"{inner}/{_escaped(media)}/schema" for media in described.get("content", ())}
            for header in set(described.get("headers", ())) - {"Link"}:
                if header.lower() not in answered.headers:
                    yield Drift(name, f"{where} header {header}", "missing")
        media = _media(answered.headers)
        if media == MEDIA.get(name) == sent.headers.get("accept"):
            return
        if not content:
            if answered.body and answered.status < 400:
                yield Drift(name, where, "a body is not documented")
        elif media not in content:
            yield Drift(name, where, f"{media or 'no content type'} is not documented")
        else:
            yield from self._document(name, where, content[media], answered.body)
            yield from self._moved(name, where, answered.body)

    def _moved(self, operation: str, where: str, body: bytes) -> Iterator[Drift]:
        """Links of a shape that no example of GitHub's has in that field."""
        try:
            found = list(links(json.loads(body)))
        except ValueError:
            return
        for place, shape in found:
            if shape not in self._links.get(str(place[-1]), {shape}):
                yield Drift(operation, f"{where} {_pointer(place)}", f"{shape} is nowhere in GitHub's examples")

    # Events

    def event(self, webhook: str, payload: Any) -> Iterator[Drift]:
        """What the description of a webhook (as ``release-published``) does not allow in a payload."""
        yield from self._violations(webhook, "payload", _EVENT.format(webhook), payload)

    def payload(self, webhook: str) -> Any:
        """A payload of a webhook with a value in every field that the description has."""
        return self._filled(self._at(_EVENT.format(webhook)))

    def _filled(self, schema: Any) -> Any:
        flat = list(self._flattened((schema,)))
        if listed := [s["properties"] for s in flat if "properties" in s]:
            return {name: self._filled(inner) for properties in listed for name, inner in properties.items()}
        first = next(s for s in flat if "enum" in s or "type" in s or s is flat[-1])
        if "enum" in first:
            return first["enum"][0]
        kind = first.get("type", "null")
        value = _VALUES[kind[0] if isinstance(kind, list) else kind]
        return _TEXTS.get(first.get("format"), value) if value == "text" else value

    # Schemas

    def _document(self, operation: str, where: str, pointer: str, body: bytes) -> Iterator[Drift]:
        try:
            value = json.loads(body)
        except ValueError as error:
            yield Drift(operation, where, f"not JSON: {error}")
        else:
            yield from self._violations(operation, where, pointer, value)

    def _violations(self, operation: str, where: str, pointer: str, value: Any) -> Iterator[Drift]:
        error = best_match(self._validator(pointer).iter_errors(value))
        if error is not None:
            yield Drift(operation, f"{where} {_pointer(error.absolute_path)}", error.message[:300])
        for place in self._undocumented(value, (self._at(pointer),), ()):
            yield Drift(operation, f"{where} {_pointer(place)}", "not documented")

    def _undocumented(self, value: Any, schemas: Iterable[Any], place: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        """Places of fields that none of *schemas* mentions, where they mention any."""
        flat = list(self._flattened(schemas))
        if isinstance(value, list):
            items = [s["items"] for s in flat if "items" in s]
            for number, inner in enumerate(value):
                yield from self._undocumented(inner, items, (*place, number))
        elif isinstance(value, dict):
            others = [s["additionalProperties"] for s in flat if s.get("additionalProperties")]
            listed = [s["properties"] for s in flat if "properties" in s]
            for key, inner in value.items():
                known = [properties[key] for properties in listed if key in properties]
                if listed and not known and not others:
                    yield (*place, key)
                else:
                    yield from self._undocumented(inner, known or [s for s in others if s is not True], (*place, key))

    def _flattened(self, schemas: Iterable[Any]) -> Iterator[Any]:
        for schema in schemas:
            if "$ref" in schema:
                yield from self._flattened((self._at(schema["$ref"].removeprefix("#")),))
                continue
            yield schema
            for keyword in ("allOf", "anyOf"):
                yield from self._flattened(schema.get(keyword, ()))

    @cache  # noqa: B019 - one description lives as long as the process
    def _validator(self, pointer: str) -> Draft202012Validator:
        return Draft202012Validator({"$ref": f"urn:github#{pointer}"}, registry=self._registry, format_checker=_FORMATS)

    def _typed(self, pointer: str, value: str) -> Any:
        """A parameter as its schema's type; a string where it cannot be read as that."""
        kinds = {kind for s in self._flattened((self._at(pointer),)) for kind in (s.get("type"),)}
        if "integer" in kinds and value.isdecimal():
            return int(value)
        return {"true": True, "false": False}.get(value, value) if "boolean" in kinds else value

    def _followed(self, pointer: str) -> str:
        """*pointer*, or where the reference that stands there leads."""
        found = self._at(pointer)
        return found["$ref"].removeprefix("#") if "$ref" in found else pointer

    def _has(self, pointer: str) -> bool:
        parent, _, last = pointer.rpartition("/")
        return last in self._at(parent)

    @cache  # noqa: B019 - as above
    def _at(self, pointer: str) -> Any:
        found = self.document
        for part in pointer.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            found = found[int(key)] if isinstance(found, list) else found[key]
        return found


def _as_json_schema(value: Any) -> Any:
    """OpenAPI 3.0 in the words of JSON Schema 2020-12, which has no ``nullable``.

    GitHub's ``oneOf`` becomes ``anyOf``: its alternatives overlap, as two kinds of error do that both are optional
    throughout.
    """
    if isinstance(value, list):
        return [_as_json_schema(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {"anyOf" if key == "oneOf" else key: _as_json_schema(inner) for key, inner in value.items()}
    if kept.pop("nullable", None) is not True:
        return kept
    if "type" not in kept:
        return {"anyOf": [kept, {"type": "null"}]}
    words = {"enum": [*kept["enum"], None]} if "enum" in kept else {}
    return {**kept, "type": [kept["type"], "null"], **words}


def _media(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip()


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def _pointer(path: Iterable[Any]) -> str:
    return "".join(f"/{_escaped(str(part))}" for part in path) or "/"
