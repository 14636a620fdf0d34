"""No bytes whatever make looking into a file fail, and what has no problems unpacks the same way for everybody."""

from __future__ import annotations

import gzip
import io
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from releaser.inspect.files import inspect
from releaser.model.artifact import Contents
from tests.inspect.build import (
    CARGO,
    CRATE,
    METADATA,
    PACKAGE_JSON,
    SDIST,
    WHEEL,
    entry,
    tar_of,
    tgz_of,
    wheel_files,
    wheel_of,
    zip_of,
)

PACKAGES = {
    WHEEL: wheel_of(wheel_files()),
    SDIST: tgz_of({"my_widget-1.0.0rc1/PKG-INFO": METADATA}),
    CRATE: tgz_of({"widget-1.0.0-rc.1/Cargo.toml": CARGO}),
    "widget.tgz": tgz_of({"package/package.json": PACKAGE_JSON}),
    "a.zip": zip_of({"a": b"alpha" * 9, "d/b": b"beta"}),
    "a.tar.xz": b"\xfd7zXZ\0" + bytes(40),
}
MANIFESTS = {
    WHEEL: lambda data: wheel_of(wheel_files(data)),
    SDIST: lambda data: tgz_of({"my_widget-1.0.0rc1/PKG-INFO": data}),
    CRATE: lambda data: tgz_of({"widget-1.0.0-rc.1/Cargo.toml": data}),
    "widget.tgz": lambda data: tgz_of({"package/package.json": data}),
}
ORIGINALS = {WHEEL: METADATA, SDIST: METADATA, CRATE: CARGO, "widget.tgz": PACKAGE_JSON}

few = settings(max_examples=40, deadline=None)

edits = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 3), st.binary(max_size=4)), min_size=1, max_size=4)


def edited(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """Replace, insert, delete or cut at some places."""
    for place, way, new in changes:
        at = place % (len(data) + 1)
        data = (
            data[:at] + new + data[at + len(new) :],
            data[:at] + new + data[at:],
            data[:at] + data[at + len(new) :],
            data[:at] if not new else data,
        )[way]
    return data


def contents(name: str, data: bytes) -> Contents:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        return inspect(path).contents


@pytest.mark.parametrize("name", PACKAGES)
@few
@given(data=st.binary(max_size=2000))
def test_any_bytes(name: str, data: bytes) -> None:
    assert contents(name, data).problems


@pytest.mark.parametrize("name", [SDIST, CRATE, "widget.tgz"])
@few
@given(data=st.binary(max_size=600), changes=edits)
def test_any_tar(name: str, data: bytes, changes: list[tuple[int, int, bytes]]) -> None:
    assert contents(name, gzip.compress(data, 1)).problems
    contents(name, gzip.compress(edited(gzip.decompress(PACKAGES[name]), changes), 1))


@pytest.mark.parametrize("name", PACKAGES)
@few
@given(changes=edits)
def test_damaged_packages(name: str, changes: list[tuple[int, int, bytes]]) -> None:
    contents(name, edited(PACKAGES[name], changes))


@pytest.mark.parametrize("name", MANIFESTS)
@few
@given(changes=edits, data=st.binary(max_size=300))
def test_damaged_manifests(name: str, changes: list[tuple[int, int, bytes]], data: bytes) -> None:
    contents(name, MANIFESTS[name](edited(ORIGINALS[name], changes)))
    contents(name, MANIFESTS[name](data))


@settings(max_examples=150, deadline=None)
@given(changes=edits)
def test_zip_without_problems_is_what_python_reads(changes: list[tuple[int, int, bytes]]) -> None:
    data = edited(PACKAGES["a.zip"], changes)
    found = contents("a.zip", data)
    if not found.problems:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            assert [len(archive.read(info)) for info in archive.infolist()] == [45, 4]
            assert (found.entries, found.unpacked) == (2, 49)


parts = st.sampled_from(["a", "A", "b", "..", ".", ""])
names = st.lists(parts, min_size=1, max_size=4).map("/".join)
entries = st.builds(
    lambda name, link, what: entry(name, type=what, link=link if what == tarfile.SYMTYPE else ""),
    names,
    names,
    st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(entries, min_size=1, max_size=4))
def test_tar_without_problems_stays_in_its_folder(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    data = tar_of(members)
    if not contents("a.tar", data).problems:
        with tempfile.TemporaryDirectory() as outside:
            inside = Path(outside, "inside")
            inside.mkdir()
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Pythons before 3.11.4 have none
                archive.extractall(inside)  # noqa: S202 - that it stays inside is what is tested
            assert list(Path(outside).iterdir()) == [inside]
            reached = [found.resolve() for found in inside.rglob("*") if found.exists()]
            assert all(path.is_relative_to(inside.resolve()) for path in reached)
