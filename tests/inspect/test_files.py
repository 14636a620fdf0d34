"""Files as they lie in a folder: what is one, what it is called, what it hashes to, and what it is (T20, T21, T22)."""

from __future__ import annotations

import gzip
import hashlib
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from releaser.errors import ConfigError
from releaser.inspect.files import inspect, inspect_folder
from releaser.model.artifact import Kind
from tests.inspect.build import METADATA, PACKAGE_JSON, SDIST, entry, look, tar_of, tgz_of, zip_of


def test_folder_is_sorted_hashed_and_without_our_own_documents(tmp_path: Path) -> None:
    files = {
        "widget.tgz": tgz_of({"package/package.json": PACKAGE_JSON}),
        "a.zip": zip_of({"x": b""}),
        "Z.bin": b"z" * (3 << 20),
        "release.json": b"{}",
        ".release.json.k2x9_abc": b"{",
        "SHA256SUMS": b"",
        ".SHA256SUMS.k2x9_abc": b"",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    told: list[int] = []

    found = inspect_folder(tmp_path, told.append)

    assert [f.artifact.name for f in found] == ["Z.bin", "a.zip", "widget.tgz"]
    for artifact in (f.artifact for f in found):
        assert artifact.size == len(files[artifact.name])
        assert artifact.sha256 == hashlib.sha256(files[artifact.name]).hexdigest()
        assert artifact.group == ""
    sha512 = hashlib.sha512(files["widget.tgz"]).hexdigest()
    assert [f.artifact.sha512 for f in found] == [None, None, sha512]
    assert sum(told) == sum(f.artifact.size for f in found)
    assert len(told) == 5


@pytest.mark.parametrize("name", [".release.json.sig", ".SHA256SUMS.asc", ".release.json.k2x9_abcd", ".x.k2x9_abc"])
def test_only_what_a_killed_writer_leaves_is_passed_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(ConfigError, match="name"):
        inspect_folder(tmp_path)


def test_a_folder_is_nothing_that_a_killed_writer_leaves(tmp_path: Path) -> None:
    (tmp_path / ".release.json.k2x9_abc").mkdir()
    with pytest.raises(ConfigError):
        inspect_folder(tmp_path)


def test_empty_folder_has_no_files(tmp_path: Path) -> None:
    assert inspect_folder(tmp_path) == ()


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.whl", b"x", Kind.WHEEL),
        ("a.crate", b"x", Kind.CRATE),
        ("a.tgz", tgz_of({"package/package.json": PACKAGE_JSON}), Kind.NPM),
        ("a.tgz", tgz_of({"a/package.json": PACKAGE_JSON}), Kind.ARCHIVE),
        ("a.tar.gz", tgz_of({"package/package.json": PACKAGE_JSON}), Kind.ARCHIVE),
        (SDIST, tgz_of({"my_widget-1.0.0rc1/PKG-INFO": METADATA}), Kind.SDIST),
        (SDIST, tgz_of({"./my_widget-1.0.0rc1/PKG-INFO": METADATA}), Kind.SDIST),
        (SDIST, tgz_of({"my_widget-1.0.0rc1/sub/PKG-INFO": METADATA}), Kind.ARCHIVE),
        ("a.tar.gz", tgz_of({"a-1/PKG-INFO": METADATA, "b-1/PKG-INFO": METADATA}), Kind.ARCHIVE),
        ("a.tar", tar_of([entry("x")]), Kind.ARCHIVE),
        ("a.zip", b"x", Kind.ARCHIVE),
        ("a.exe", b"MZ", Kind.FILE),
        ("a.tar.zst", b"x", Kind.FILE),
    ],
)
def test_kinds(tmp_path: Path, name: str, data: bytes, kind: Kind) -> None:
    assert look(tmp_path, name, data).artifact.kind is kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.whl", Kind.WHEEL),
        ("a.crate", Kind.CRATE),
        ("a.tgz", Kind.ARCHIVE),
        ("a.zip", Kind.ARCHIVE),
        ("a", Kind.FILE),
    ],
)
def test_empty_files(tmp_path: Path, name: str, kind: Kind) -> None:
    found = look(tmp_path, name, b"")
    assert (found.artifact.kind, found.contents.problems) == (kind, ("empty",))


def symlink(path: Path) -> None:
    path.with_name("there").write_bytes(b"x")
    path.symlink_to("there")


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(symlink, id="symlink"),
        pytest.param(lambda path: path.symlink_to("nowhere"), id="dangling symlink"),
        pytest.param(Path.mkdir, id="folder"),
        pytest.param(os.mkfifo, id="pipe"),
    ],
)
def test_what_is_not_a_file_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "artifact")
    for attempt in (lambda: inspect(tmp_path / "artifact"), lambda: inspect_folder(tmp_path)):
        with pytest.raises(ConfigError) as caught:
            attempt()
        assert caught.value.code == "artifact-not-regular"
        assert caught.value.object == "artifact"


def test_device_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        inspect(Path("/dev/null"))
    assert (caught.value.code, caught.value.found[0]) == ("artifact-not-regular", "c")


@pytest.mark.parametrize("attempt", [inspect, inspect_folder])
def test_what_is_not_there_is_refused(tmp_path: Path, attempt: Callable[[Path], object]) -> None:
    with pytest.raises(ConfigError) as caught:
        attempt(tmp_path / "missing")
    assert caught.value.code == "artifact-unreadable"


@pytest.mark.parametrize(
    "name",
    ["a\n::error::x", "-rf", ".hidden", "a b", "a+b.whl", "a%0ab", "ä", "n" * 201, "a:b", "a\\b", "a~1"],
)
def test_names_that_no_asset_can_have(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ConfigError) as caught:
        inspect_folder(tmp_path)
    assert (caught.value.code, caught.value.object) == ("artifact-name", ascii(name))
    assert ascii(name) in caught.value.message


def test_name_that_is_not_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        inspect(tmp_path / os.fsdecode(b"a\xff"))
    assert caught.value.object == "'a\\udcff'"


@pytest.mark.parametrize("name", ["a", "_a", "0", "n" * 200, "A-b_c.1.tar.gz"])
def test_names_that_are_fine(tmp_path: Path, name: str) -> None:
    assert look(tmp_path, name, b"x").artifact.name == name


def test_two_names_that_differ_in_case_alone(tmp_path: Path) -> None:
    for name in ("Widget.zip", "widget.ZIP"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ConfigError) as caught:
        inspect_folder(tmp_path)
    assert (caught.value.code, caught.value.object, caught.value.found) == ("artifact-name", "widget.ZIP", "Widget.zip")


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def truncate(path: Path) -> None:
    os.truncate(path, 1)


def rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"y")


def replace(path: Path) -> None:
    twin = path.with_name("twin")
    twin.write_bytes(path.read_bytes())
    os.utime(twin, ns=(0, 0))
    twin.replace(path)


@pytest.mark.parametrize("change", [append, truncate, rewrite, replace, Path.unlink])
def test_file_that_does_not_hold_still(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * 100)
    os.utime(path, ns=(0, 0))
    with pytest.raises(ConfigError) as caught:
        inspect(path, lambda _: change(path))
    assert caught.value.code == ("artifact-unreadable" if change is Path.unlink else "artifact-changed")


@pytest.mark.parametrize("name", ["a.bin", "a.tar", "a.tar.gz", "a.zip"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, name: str) -> None:
    size = 40 << 20
    path = tmp_path / name
    data = {"a.bin": bytes, "a.tar": lambda n: tar_of([entry("a", bytes(n))])}
    path.write_bytes(
        gzip.compress(tar_of([entry("a", bytes(size))]), 1)
        if name == "a.tar.gz"
        else zip_of({"a": bytes(size)})
        if name == "a.zip"
        else data[name](size)
    )
    tracemalloc.start()
    try:
        assert inspect(path).contents.problems == ()
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
