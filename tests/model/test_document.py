"""Documents have one spelling: what is not exactly it is refused, and nothing read can crash the reader."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import Field

from releaser.errors import ConfigError
from releaser.model.approval import Approval, Decision
from releaser.model.document import MAX_DEPTH, Document, canonical_json, sha256, strict_json


class Note(Document):
    """A document with every shape of value."""

    text: str
    count: int = 0
    items: tuple[str, ...] = ()
    extra: Mapping[str, Any] = Field(default_factory=dict)


def canonical(**values: Any) -> bytes:
    return Note(**values).canonical()


def refusal(data: bytes) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        Note.parse(data, "note.json")
    return caught.value


# One spelling


@pytest.mark.parametrize(
    ("value", "spelling"),
    [
        pytest.param({"b": 1, "a": 2}, b'{"a":2,"b":1}', id="keys are sorted"),
        pytest.param({"b": {"d": 1, "c": 2}}, b'{"b":{"c":2,"d":1}}', id="at every level"),
        pytest.param({"\u20ac": 1, "\r": 2, "1": 3}, b'{"\\r":2,"1":3,"\xe2\x82\xac":1}', id="control and euro sign"),
        pytest.param(
            {"\ufb33": 1, "\U0001f600": 2}, b'{"\xf0\x9f\x98\x80":2,"\xef\xac\xb3":1}', id="keys sort by UTF-16 units"
        ),
        pytest.param({"a": "\u00e9"}, b'{"a":"\xc3\xa9"}', id="a composed letter stays composed"),
        pytest.param({"a": "e\u0301"}, b'{"a":"e\xcc\x81"}', id="a decomposed letter stays decomposed"),
        pytest.param({"a": '"\\\n\t\x00\x7f'}, b'{"a":"\\"\\\\\\n\\t\\u0000\x7f"}', id="only what must be is escaped"),
        pytest.param({"a": "</script>/"}, b'{"a":"</script>/"}', id="a slash is not escaped"),
        pytest.param([1.0, 1e21, 1e-7, -0.0], b"[1,1e+21,1e-7,0]", id="numbers as ECMAScript writes them"),
        pytest.param([2**53 - 1, 0, -1], b"[9007199254740991,0,-1]", id="the largest integer"),
        pytest.param([None, True, False, [], {}], b"[null,true,false,[],{}]", id="the rest"),
    ],
)
def test_golden_vectors(value: Any, spelling: bytes) -> None:
    assert canonical_json(value) == spelling


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(2**53, id="an integer that other readers round"),
        pytest.param(float("inf"), id="infinity"),
        pytest.param(float("nan"), id="not a number"),
        pytest.param("\ud800", id="half a character"),
    ],
)
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        canonical_json({"a": value})
    assert caught.value.code == "document-invalid"


def test_a_document_has_a_golden_digest() -> None:
    approval = Approval(
        repository="acme/demo",
        tag="v1.2.3",
        manifest=sha256(b"manifest"),
        policy=sha256(b"policy"),
        decision=Decision.APPROVE,
        note="gr\u00fcn",
    )
    assert approval.canonical().decode() == (
        '{"decision":"approve",'
        '"manifest":"sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f",'
        '"note":"gr\u00fcn",'
        '"policy":"sha256:823412d1eacb67956220e532959f0104603057c88704863ca38e7cd188fda812",'
        '"repository":"acme/demo","schema":"releaser.approval/v1","tag":"v1.2.3"}'
    )


def test_the_order_of_making_does_not_show() -> None:
    assert canonical(text="a", extra={"x": 1, "y": 2}) == canonical(extra={"y": 2, "x": 1}, text="a")


@pytest.mark.parametrize(
    "note",
    [
        pytest.param(Note(text=""), id="nothing"),
        pytest.param(Note(text="\u202e\U0001f600\x00", count=-1, items=("b", "a")), id="strange text"),
        pytest.param(Note(text="]" * 200 + "[" * 200 + '\\"{'), id="brackets in a text"),
        pytest.param(Note(text="", extra={"a": [1.5, {"b": None}]}), id="free values"),
    ],
)
def test_what_was_written_is_read_again(note: Note) -> None:
    assert Note.parse(note.canonical(), "note.json") == note


# What is refused


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(b'{"count":0,"extra":{},"items":[],"text":"a"}', "", id="canonical"),
        pytest.param(
            b'{"count":0,"extra":{},"items":[],"text":"a"}\n', "document-not-canonical", id="newline at the end"
        ),
        pytest.param(b'{"count": 0,"extra":{},"items":[],"text":"a"}', "document-not-canonical", id="a blank"),
        pytest.param(b'{"text":"a","count":0,"extra":{},"items":[]}', "document-not-canonical", id="another order"),
        pytest.param(b'{"text":"a"}', "document-not-canonical", id="defaults left out"),
        pytest.param(
            b'{"count":0,"extra":{},"items":[],"text":"\\u0061"}', "document-not-canonical", id="a letter escaped"
        ),
        pytest.param(
            b'{"count":0,"extra":{"a":1.0},"items":[],"text":"a"}',
            "document-not-canonical",
            id="an integer with a point",
        ),
        pytest.param(b'{"count":0,"extra":{},"items":[],"text":"a","more":1}', "document-invalid", id="an unknown key"),
        pytest.param(b'{"count":"0","extra":{},"items":[],"text":"a"}', "document-invalid", id="a number in quotes"),
        pytest.param(b'{"count":0.5,"extra":{},"items":[],"text":"a"}', "document-invalid", id="half a number"),
        pytest.param(b'{"count":true,"extra":{},"items":[],"text":"a"}', "document-invalid", id="true for one"),
        pytest.param(b'{"count":0,"extra":{},"items":"a","text":"a"}', "document-invalid", id="a text for a list"),
        pytest.param(b'{"count":0,"extra":{},"items":[]}', "document-invalid", id="a key is missing"),
        pytest.param(b"[]", "document-invalid", id="a list"),
        pytest.param(b"null", "document-invalid", id="null"),
        pytest.param(
            b'{"count":9007199254740993,"extra":{},"items":[],"text":"a"}',
            "document-invalid",
            id="too large an integer",
        ),
    ],
)
def test_only_the_canonical_bytes_are_read(data: bytes, code: str) -> None:
    if code:
        assert refusal(data).code == code
    else:
        assert Note.parse(data, "note.json") == Note(text="a")


def test_a_reformatted_document_names_both_digests() -> None:
    pretty = json.dumps(json.loads(canonical(text="a")), indent=2).encode()
    error = refusal(pretty)
    assert (error.found, error.wanted) == (sha256(pretty), sha256(canonical(text="a")))
    assert error.hint


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b'{"text":"a"} {}', id="two values"),
        pytest.param(b'{"text":"a","text":"b"}', id="a key twice"),
        pytest.param(b'{"text":"a","te\\u0078t":"b"}', id="a key twice in two spellings"),
        pytest.param(b'{"extra":{"a":1,"a":1}}', id="a key twice further down"),
        pytest.param(b'{"extra":{"a":NaN}}', id="not a number"),
        pytest.param(b'{"extra":{"a":-Infinity}}', id="infinity by name"),
        pytest.param(b'{"extra":{"a":1e999}}', id="infinity by size"),
        pytest.param(b'{"count":' + b"1" * 5000 + b"}", id="a number of 5000 digits"),
        pytest.param(b'{"text":"\\ud800"}', id="the first half of a character"),
        pytest.param(b'{"text":"\\udc00"}', id="the second half of a character"),
        pytest.param(b'{"extra":{"\\ud800":1}}', id="half a character in a key"),
        pytest.param(b'{"text":"\xff"}', id="bytes that are no text"),
        pytest.param(b'{"text":"\xed\xa0\x80"}', id="half a character in UTF-8"),
        pytest.param(b'\xef\xbb\xbf{"text":"a"}', id="a byte order mark"),
        pytest.param('{"text":"a"}'.encode("utf-16"), id="UTF-16"),
        pytest.param('{"text":"a"}'.encode("utf-32-le"), id="UTF-32"),
        pytest.param(b'{"text":"a\nb"}', id="a bare newline in a text"),
        pytest.param(b"[" * 10_000, id="ten thousand lists opened"),
        pytest.param(b"[" * 10_000 + b"]" * 10_000, id="ten thousand lists"),
        pytest.param(b'{"a":' * 10_000 + b"1" + b"}" * 10_000, id="ten thousand objects"),
        pytest.param(
            b'{"text":"' + b"]" * 500 + b'","extra":' + b"[" * 200 + b"]" * 200 + b"}", id="depth paid in text"
        ),
        pytest.param(b'"' + b'\\"' * 200_000, id="a text without end"),
    ],
)
def test_what_is_not_plain_json(data: bytes) -> None:
    error = refusal(data)
    assert error.code == "json-invalid"
    assert error.found
    assert len(error.found) < 500


@pytest.mark.parametrize(("depth", "refused"), [(MAX_DEPTH, False), (MAX_DEPTH + 1, True)])
@pytest.mark.parametrize(("begin", "inner", "end"), [("[", "", "]"), ('{"a": ', "1", "}")], ids=["lists", "objects"])
def test_how_deep_is_deep(depth: int, refused: bool, begin: str, inner: str, end: str) -> None:
    text = begin * depth + inner + end * depth
    if refused:
        with pytest.raises(ConfigError):
            strict_json(text.encode(), "x")
    else:
        assert json.dumps(strict_json(text.encode(), "x")) == text


def test_brackets_in_a_text_are_text() -> None:
    text = "[{" * 500 + '"\\' + "}]"
    assert strict_json(json.dumps([text]).encode(), "x") == [text]


def test_a_whole_character_may_be_written_as_two_halves() -> None:
    assert strict_json(b'"\\ud83d\\ude00"', "x") == "\U0001f600"
