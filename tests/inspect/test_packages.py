"""What packages say of themselves, and every way in which it can disagree with their names (T17, T23)."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from releaser.model.artifact import Contents, Kind, Requirement
from tests.inspect.build import (
    CARGO,
    CRATE,
    INFO,
    METADATA,
    PACKAGE_JSON,
    SDIST,
    WHEEL,
    entry,
    look,
    problems,
    record_of,
    tgz_of,
    wheel_files,
    wheel_of,
    zip_of,
)

PYTHON_FIELDS = {
    "summary": "A widget",
    "description": "# Widget\n",
    "license": "MIT",
    "requires_python": ">=3.11",
    "keywords": "widget,gadget",
    "repository": "https://example.invalid/widget",
}
PYTHON_REQUIREMENTS = (
    Requirement("coglet", "<2,>=1.0"),
    Requirement("pytest", ">=8"),
    Requirement("gadget", "@ https://example.invalid/gadget.zip"),
)


def test_wheel(tmp_path: Path) -> None:
    found = look(tmp_path, WHEEL, wheel_of(wheel_files()))
    assert found.artifact.kind is Kind.WHEEL
    assert found.contents == Contents(
        name="My.Widget",
        version="1.0.0rc1",
        requirements=PYTHON_REQUIREMENTS,
        platforms=("manylinux2014_x86_64", "manylinux_2_17_x86_64"),
        metadata=PYTHON_FIELDS,
        entries=4,
        unpacked=found.contents.unpacked,
    )


def test_sdist(tmp_path: Path) -> None:
    found = look(tmp_path, SDIST, tgz_of({"my_widget-1.0.0rc1/PKG-INFO": METADATA, "my_widget-1.0.0rc1/x.py": b""}))
    assert found.artifact.kind is Kind.SDIST
    assert found.contents == Contents(
        name="My.Widget",
        version="1.0.0rc1",
        requirements=PYTHON_REQUIREMENTS,
        metadata=PYTHON_FIELDS,
        entries=2,
        unpacked=len(METADATA),
    )


def test_crate(tmp_path: Path) -> None:
    found = look(tmp_path, CRATE, tgz_of({"widget-1.0.0-rc.1/Cargo.toml": CARGO}))
    assert found.artifact.kind is Kind.CRATE
    assert found.contents == Contents(
        name="widget",
        version="1.0.0-rc.1",
        requirements=(
            Requirement("itoa", "1"),
            Requirement("gizmo-core", ">=2, <3"),
            Requirement("cc", "1.1"),
            Requirement("libc", "0.2"),
        ),
        metadata={
            "description": "A widget",
            "license_file": "LICENSE",
            "repository": "https://example.invalid/widget",
            "keywords": "widget,gadget",
        },
        entries=1,
        unpacked=len(CARGO),
    )


def test_npm(tmp_path: Path) -> None:
    found = look(tmp_path, "acme-widget-1.0.0-rc.1.tgz", tgz_of({"package/package.json": PACKAGE_JSON}))
    assert found.artifact.kind is Kind.NPM
    assert found.contents == Contents(
        name="@acme/widget",
        version="1.0.0-rc.1",
        requirements=(
            Requirement("left", "^1.0.0"),
            Requirement("@acme/theirs", "~2.0.0"),
            Requirement("react", ">=18"),
            Requirement("@acme/widget-linux-x64", "1.0.0-rc.1"),
        ),
        metadata={
            "description": "A widget",
            "license": "MIT",
            "repository": "git+https://example.invalid/widget.git",
            "keywords": "widget",
            "private": "true",
            "install_scripts": "preinstall,postinstall",
        },
        entries=1,
        unpacked=len(PACKAGE_JSON),
    )


@pytest.mark.parametrize(
    ("wanted", "requirement"),
    [
        ("npm:@acme/theirs@~2.0.0", Requirement("@acme/theirs", "~2.0.0")),
        ("npm:@acme/theirs", Requirement("@acme/theirs", "")),
        ("npm:theirs@1", Requirement("theirs", "1")),
        ("npm:theirs", Requirement("theirs", "")),
    ],
)
def test_npm_names_a_package_by_another_name(tmp_path: Path, wanted: str, requirement: Requirement) -> None:
    manifest = {"name": "widget", "version": "1.0.0", "dependencies": {"ours": wanted}}
    found = look(tmp_path, "widget-1.0.0.tgz", tgz_of({"package/package.json": json.dumps(manifest).encode()}))
    assert found.contents.requirements == (requirement,)


@pytest.mark.parametrize(
    ("files", "scripts"),
    [
        pytest.param({}, "", id="no gyp file"),
        pytest.param({"package/binding.gyp": b"{}"}, "install", id="npm compiles what has a gyp file"),
        pytest.param({"package/src/binding.gyp": b"{}"}, "", id="gyp file further down"),
    ],
)
def test_npm_compiles_without_being_asked(tmp_path: Path, files: Mapping[str, bytes], scripts: str) -> None:
    manifest = b'{"name": "widget", "version": "1.0.0"}'
    found = look(tmp_path, "widget.tgz", tgz_of({"package/package.json": manifest, **files}))
    assert found.contents.metadata.get("install_scripts", "") == scripts


def wheel_with(record: bytes) -> bytes:
    return zip_of({**wheel_files(), f"{INFO}/RECORD": record})


def without(name: str) -> bytes:
    return zip_of(
        {k: v for k, v in ({**wheel_files(), f"{INFO}/RECORD": record_of(wheel_files())}).items() if k != name}
    )


GOOD_RECORD = record_of(wheel_files())


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        pytest.param(WHEEL, without(f"{INFO}/METADATA"), f"has no {INFO}/METADATA", id="no METADATA"),
        pytest.param(WHEEL, without(f"{INFO}/WHEEL"), f"has no {INFO}/WHEEL", id="no WHEEL"),
        pytest.param(WHEEL, without(f"{INFO}/RECORD"), f"has no {INFO}/RECORD", id="no RECORD"),
        pytest.param(
            WHEEL,
            without("widget/__init__.py"),
            "RECORD lists 'widget/__init__.py', which is not in the wheel",
            id="file missing",
        ),
        pytest.param(
            WHEEL,
            zip_of({**wheel_files(), f"{INFO}/RECORD": GOOD_RECORD, "widget/evil.py": b"x"}),
            "RECORD does not list 'widget/evil.py'",
            id="file added",
        ),
        pytest.param(
            WHEEL,
            zip_of({**wheel_files(), f"{INFO}/RECORD": GOOD_RECORD, "widget/__init__.py": b"y = 1\n"}),
            "RECORD has not the SHA-256 of 'widget/__init__.py'",
            id="file changed",
        ),
        pytest.param(WHEEL, wheel_with(GOOD_RECORD.replace(b"sha256=", b"md5=", 1)), "has not the SHA-256", id="MD5"),
        pytest.param(WHEEL, wheel_with(GOOD_RECORD.replace(b",6\n", b",7\n")), "has not the size", id="wrong size"),
        pytest.param(WHEEL, wheel_with(GOOD_RECORD * 2), "RECORD lists 'widget/__init__.py' twice", id="listed twice"),
        pytest.param(WHEEL, wheel_with(b"\xff"), "RECORD is not a table", id="RECORD is not text"),
        pytest.param(
            WHEEL,
            wheel_of(wheel_files() | {"other-1.0.dist-info/METADATA": b""}),
            "has 'other-1.0.dist-info' where only",
            id="two dist-info folders",
        ),
        pytest.param(
            WHEEL,
            wheel_of(wheel_files(METADATA.replace(b"My.Widget", b"Gadget"))),
            "METADATA is of 'Gadget'",
            id="name",
        ),
        pytest.param(
            WHEEL,
            wheel_of(wheel_files(METADATA.replace(b"1.0.0rc1", b"1.0.0"))),
            "METADATA has version '1.0.0', the file name '1.0.0rc1'",
            id="version",
        ),
        pytest.param(
            WHEEL,
            wheel_of(wheel_files(METADATA.replace(b"1.0.0rc1", b"new"))),
            "'new' is invalid for 'version'",
            id="no version",
        ),
        pytest.param(
            WHEEL, wheel_of(wheel_files(b"Name: other\n" + METADATA)), "'name' is given twice", id="two names"
        ),
        pytest.param(
            WHEEL,
            wheel_of(wheel_files(METADATA.replace(b"coglet<2", b"coglet<<2"))),
            "'coglet<<2,>=1.0' is invalid for 'requires-dist'",
            id="requirement",
        ),
        pytest.param(
            WHEEL,
            wheel_of(wheel_files(METADATA.replace(b"Summary", b"A: b\n" * 5001 + b"Summary"))),
            "5000 fields",
            id="fields",
        ),
        pytest.param("my_widget-1.0.whl", wheel_of(wheel_files()), "not the name of a wheel", id="file name"),
        pytest.param(WHEEL, b"x", "not a readable zip", id="no zip"),
        pytest.param(
            SDIST,
            tgz_of({"my_widget-1.0.0rc2/PKG-INFO": METADATA}),
            "its folder is 'my_widget-1.0.0rc2', its name says 'my_widget-1.0.0rc1'",
            id="sdist folder",
        ),
        pytest.param(
            "My.Widget-1.0.0rc1.tar.gz",
            tgz_of({"My.Widget-1.0.0rc1/PKG-INFO": METADATA}),
            "PKG-INFO is of 'my_widget-1.0.0rc1', the file name of 'My.Widget-1.0.0rc1'",
            id="sdist name not normalised",
        ),
        pytest.param(
            SDIST,
            tgz_of({"my_widget-1.0.0rc1/PKG-INFO": METADATA, "setup.py": b""}),
            "entries outside 'my_widget-1.0.0rc1/': 'setup.py'",
            id="sdist with two folders",
        ),
        pytest.param(
            SDIST,
            tgz_of(
                {"my_widget-1.0.0rc1/PKG-INFO": METADATA},
                entry("my_widget-1.0.0rc1/l", type=tarfile.SYMTYPE, link="../x"),
            ),
            "entries outside 'my_widget-1.0.0rc1/': 'x'",
            id="sdist with a link to its neighbour",
        ),
        pytest.param(
            CRATE,
            tgz_of({"widget-1.0.0-rc.1/Cargo.toml": CARGO.replace(b"1.0.0-rc.1", b"1.0.0")}),
            "Cargo.toml is of 'widget-1.0.0', the file name of 'widget-1.0.0-rc.1'",
            id="crate version",
        ),
        pytest.param(
            CRATE,
            tgz_of({"widget-1.0.0-rc.1/Cargo.toml": CARGO, "widget-1.0.0/x": b""}),
            "entries outside 'widget-1.0.0-rc.1/': 'widget-1.0.0'",
            id="crate with two folders",
        ),
        pytest.param(
            CRATE,
            tgz_of(
                {"widget-1.0.0-rc.1/Cargo.toml": CARGO},
                entry("widget-1.0.0-rc.1/l", type=tarfile.SYMTYPE, link="Cargo.toml"),
            ),
            "is a symbolic link",
            id="crate with a link",
        ),
        pytest.param(
            CRATE, tgz_of({"widget-1.0.0-rc.1/x": b""}), "has no widget-1.0.0-rc.1/Cargo.toml", id="no manifest"
        ),
        pytest.param(CRATE, tgz_of({"widget-1.0.0-rc.1/Cargo.toml": b"["}), "is not TOML", id="no TOML"),
        pytest.param(
            CRATE,
            tgz_of({"widget-1.0.0-rc.1/Cargo.toml": b"a." * 5000 + b"a=1"}),
            "a key of more than 32 parts",
            id="long TOML key",
        ),
        pytest.param(
            CRATE,
            tgz_of({"widget-1.0.0-rc.1/Cargo.toml": b"[" + b'"a" . ' * 500 + b"a]\n" + b"b=1\n" * 9000}),
            "a key of more than 32 parts",
            id="long TOML header",
        ),
        pytest.param(
            CRATE,
            tgz_of({"widget-1.0.0-rc.1/Cargo.toml": b"x = " + b"[" * 4000}),
            "is not TOML",
            id="deep TOML",
        ),
        pytest.param(
            "w.tgz", tgz_of({"package/package.json": b'{"a": 1, "a": 2}'}), "is not plain JSON", id="duplicate keys"
        ),
        pytest.param("w.tgz", tgz_of({"package/package.json": b"[" * 99}), "is not plain JSON", id="deep JSON"),
        pytest.param("w.tgz", tgz_of({"package/package.json": b"[]"}), "is not an object", id="list"),
        pytest.param(
            "w.tgz", tgz_of({"package/package.json": b'{"name": 1}'}), "has no name or no version", id="no name"
        ),
        pytest.param(
            "w.tgz",
            tgz_of({"package/package.json": PACKAGE_JSON, "other/package.json": b"{}"}),
            "entries outside 'package/': 'other'",
            id="npm with two folders",
        ),
        pytest.param(
            "w.tgz",
            tgz_of({"package/package.json": PACKAGE_JSON}, entry("package/l", type=tarfile.SYMTYPE, link="x")),
            "is a symbolic link",
            id="npm with a link",
        ),
    ],
)
def test_disagreements(tmp_path: Path, name: str, data: bytes, problem: str) -> None:
    assert problem in problems(tmp_path, name, data)


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        pytest.param(METADATA.replace(b"2.4", b"9.9"), "'9.9' is not a valid metadata version", id="version"),
        pytest.param(METADATA.replace(b"Metadata-Version: 2.4\n", b""), "not a valid metadata version", id="none"),
        pytest.param(
            METADATA.replace(b"2.4", b"2.1").replace(b"License-Expression: MIT", b"Dynamic: Summary"),
            "dynamic introduced in metadata version 2.2, not 2.1",
            id="a field before its time",
        ),
        pytest.param(METADATA.replace(b"A widget", b"A\n widget"), "'summary' must be a single line", id="two lines"),
        pytest.param(METADATA.replace(b"MIT", b"Foo Bar"), "'Foo Bar' is invalid for", id="license"),
        pytest.param(METADATA.replace(b"A widget", b"\xff"), "'summary' is given twice, or not in UTF-8", id="text"),
        pytest.param(METADATA.replace(b"My.Widget", b"-widget"), "'-widget' is invalid for 'name'", id="name"),
    ],
)
@pytest.mark.parametrize("file", [WHEEL, SDIST])
def test_metadata_that_the_index_refuses_is_found_before_anything_is_public(
    tmp_path: Path, file: str, metadata: bytes, problem: str
) -> None:
    data = wheel_of(wheel_files(metadata)) if file == WHEEL else tgz_of({"my_widget-1.0.0rc1/PKG-INFO": metadata})
    assert problem in problems(tmp_path, file, data)


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param(METADATA.replace(b"Summary", b"Funding: x\nFunding: y\nSummary"), id="a field of its own"),
        pytest.param(
            METADATA.replace(b"2.4", b"2.1").replace(b"License-Expression: MIT", b"License-File: LICENSE"),
            id="the file of a license before its time",
        ),
    ],
)
def test_metadata_that_the_index_passes_over_is_no_problem(tmp_path: Path, metadata: bytes) -> None:
    assert problems(tmp_path, WHEEL, wheel_of(wheel_files(metadata))) == ""


def test_record_may_pad_digests_and_leave_sizes_out(tmp_path: Path) -> None:
    lines = [line.split(b",") for line in GOOD_RECORD.splitlines()]
    relaxed = b"".join(b"%s,%s,\n" % (path, digest + b"=" if digest else b"") for path, digest, _ in lines)
    assert problems(tmp_path, WHEEL, wheel_with(relaxed)) == ""


@pytest.mark.parametrize("value", [None, 1, [], {}, ["x"], {"x": 1}], ids=str)
def test_manifest_fields_of_the_wrong_type_are_no_crash(tmp_path: Path, value: object) -> None:
    keys = json.loads(PACKAGE_JSON).keys()
    found = look(tmp_path, "w.tgz", tgz_of({"package/package.json": json.dumps(dict.fromkeys(keys, value)).encode()}))
    assert "package.json has no name or no version" in found.contents.problems
    assert found.contents.metadata.get("description") is None
