"""``release.json``: the same release has the same bytes, and other bytes are another release."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from releaser.errors import ConfigError
from releaser.model.manifest import Manifest, Person, PlannedPublication
from tests.cases import FULL, case, full_files, manifest

SMALL = manifest(initiator=Person(id=5, login="ada"), tagger="ada@example.invalid")
LARGE = manifest(case(text=FULL, artifacts=full_files()), text=FULL)


def edited(**changes: object) -> bytes:
    """The bytes of `SMALL` with other values, still in canonical form where that is possible."""
    return json.dumps(
        json.loads(SMALL.canonical()) | changes, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()


GOLDEN = (
    '{"artifacts":[{"group":"wheels","kind":"wheel","name":"demo-1.2.3-py3-none-any.whl",'
    '"sha256":"9e6db2b52dd85c2f3054df305373fc3b937f8a142ce20f00bf1bad6c2b2050aa","sha512":null,"size":27}],'
    '"channel":"stable","downstream":[],"draft":true,"initiator":{"id":5,"login":"ada"},'
    '"policy":{"commit":"c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0",'
    '"digest":"sha256:70dc914c3c02fb9f38aefed8bd98ffc12110ba2604390c4d660c3e55419a0d92",'
    '"path":".github/releaser.toml"},'
    '"publications":[{"environment":null,"files":["demo-1.2.3-py3-none-any.whl"],"id":"demo","needs":[],'
    '"package":"demo","registry":"pypi","version":"1.2.3","wave":1}],'
    '"repository":{"id":7,"name":"acme/demo"},"schema":"releaser.release/v1",'
    '"tag":{"commit":"c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0","name":"v1.2.3",'
    '"object":"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b","tagger":"ada@example.invalid"},"version":"1.2.3"}'
)


def test_the_golden_document() -> None:
    assert SMALL.canonical().decode() == GOLDEN
    assert SMALL.digest() == "sha256:850f35593911a90a07c2da1f70444f74b082271782e139f2e6db969434f5742c"


@pytest.mark.parametrize("written", [SMALL, LARGE], ids=["small", "large"])
def test_what_was_written_is_read_again(written: Manifest) -> None:
    read = Manifest.parse(written.canonical(), "release.json")
    assert read == written
    assert read.digest() == written.digest()


def test_the_schema_is_named_in_the_document() -> None:
    assert json.loads(SMALL.canonical())["schema"] == "releaser.release/v1"
    with pytest.raises(ConfigError) as caught:
        Manifest.parse(edited(schema="releaser.release/v2"), "release.json")
    assert caught.value.code == "document-invalid"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"version": "1.2.4"}, id="version"),
        pytest.param({"draft": False}, id="draft"),
        pytest.param({"channel": "dev"}, id="channel"),
        pytest.param({"initiator": None}, id="initiator"),
        pytest.param({"repository": {"id": 8, "name": "acme/demo"}}, id="a repository recreated under its name"),
    ],
)
def test_every_change_is_another_digest(change: dict[str, object]) -> None:
    assert Manifest.parse(edited(**change), "release.json").digest() != SMALL.digest()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"approved": True}, "Extra inputs", id="an unknown key"),
        pytest.param({"draft": "false"}, "boolean", id="a word for a boolean"),
        pytest.param({"channel": "nightly"}, "Input should be", id="an unknown channel"),
        pytest.param({"artifacts": []}, "not an artifact", id="a publication of a file that is not there"),
    ],
)
def test_what_is_no_manifest(change: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Manifest.parse(edited(**change), "release.json")
    assert caught.value.code == "document-invalid"
    assert says in caught.value.found


def test_two_artifacts_cannot_have_one_name() -> None:
    with pytest.raises(ValidationError, match="one name"):
        Manifest(**(dict(SMALL) | {"artifacts": SMALL.artifacts * 2}))


def test_a_publication_cannot_invent_a_file() -> None:
    invented = PlannedPublication(id="x", registry="npm", package="x", version="1.2.3", files=("planted.tgz",), wave=1)
    with pytest.raises(ValidationError, match=r"planted\.tgz"):
        Manifest(**(dict(SMALL) | {"publications": (invented,)}))


def test_checksums_are_those_of_sha256sum() -> None:
    lines = LARGE.checksums().decode().splitlines(keepends=True)
    names = [line[66:-1] for line in lines]
    assert names == sorted([*(a.name for a in LARGE.artifacts), "release.json"])
    assert lines == [f"{line[:64]}  {line[66:-1]}\n" for line in lines]
    by_name = {line[66:-1]: line[:64] for line in lines}
    assert by_name == {a.name: a.sha256 for a in LARGE.artifacts} | {"release.json": LARGE.digest()[7:]}


def test_the_golden_checksums() -> None:
    assert SMALL.checksums().decode() == (
        "9e6db2b52dd85c2f3054df305373fc3b937f8a142ce20f00bf1bad6c2b2050aa  demo-1.2.3-py3-none-any.whl\n"
        "850f35593911a90a07c2da1f70444f74b082271782e139f2e6db969434f5742c  release.json\n"
    )


def test_a_copy_with_another_field_has_a_digest_of_its_own() -> None:
    first = manifest()
    assert first.digest() == manifest().digest()
    assert first.model_copy(update={"version": "9.9.9"}).digest() != first.digest()
