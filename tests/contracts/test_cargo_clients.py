"""cargo itself, unmodified, against the registries: what it publishes, adds, builds, proves and refuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from releaser.engine.ports import Sent
from releaser.rehearsal.issuer import Issuer
from tests.contracts.crate_registries import KELLNR, Crate, Served, fixtures, served
from tests.contracts.table import REHEARSAL, Documented, Instead, columns
from tests.e2e.clients import Cargo

TITLE = "crates.io: cargo's own client"

pytestmark = pytest.mark.clients("cargo")

PUBLISH = ("publish", "--registry", "rehearsal", "--allow-dirty", "--no-verify")

issuer, server, registry = fixtures(REHEARSAL, KELLNR)


@pytest.fixture
def cargo(registry: Served, tmp_path: Path) -> Cargo:
    """cargo of the person who owns every crate."""
    return Cargo(f"sparse+{registry.index}/", tmp_path, registry.token)


def source(cargo: Cargo, crate: Crate, **more: str) -> None:
    """Let cargo's folder be the source of *crate*."""
    about = f'[package]\nname = "{crate.name}"\nversion = "{crate.version}"\nedition = "2021"\n{crate.package}'
    texts = {
        "Cargo.toml": f"{about}{crate.tables}",
        "src/lib.rs": "pub const ANSWER: u8 = 42;\n",
        **crate.files,
        **more,
    }
    (cargo.folder / "src" / "main.rs").unlink(missing_ok=True)
    for path, text in texts.items():
        (cargo.folder / path).write_text(text)


def packed(cargo: Cargo, crate: Crate) -> Crate:
    """*crate* as cargo has packaged it."""
    made = next((cargo.folder / "target").rglob(crate.base))
    return replace(crate, packed=made.read_bytes())


def useful(registry: Served) -> Crate:
    """A published crate that a program can be built with."""
    crate = registry.new(files={"src/lib.rs": "pub const ANSWER: u8 = 42;\n"})
    registry.put(crate).raise_for_status()
    return crate


def module(crate: Crate) -> str:
    return crate.name.replace("-", "_")


def test_publish(registry: Served, cargo: Cargo) -> None:
    """`cargo publish` is accepted, and finds its version in the index"""
    crate = registry.new()
    source(cargo, crate)

    cargo.run(*PUBLISH)

    (line,) = registry.lines(crate.name)
    assert (line["vers"], line["cksum"]) == ("1.0.0", packed(cargo, crate).sha256)
    assert registry.archive(crate).content == packed(cargo, crate).content


def test_publish_again(registry: Served, cargo: Cargo) -> None:
    """`cargo publish` of a version that is there stops before it sends anything"""
    crate = useful(registry)
    source(cargo, crate)

    complaint = cargo.fails(*PUBLISH)

    assert f"crate {crate.name}@1.0.0 already exists on `rehearsal` index" in complaint
    assert [line["cksum"] for line in registry.lines(crate.name)] == [crate.sha256]


def test_publish_refused(registry: Served, cargo: Cargo, documented: Documented) -> None:
    """`cargo publish` shows the registry's reason"""
    crate = registry.new(package='license = "MIT"\n')
    source(cargo, crate)

    taken = documented("refused", kellnr=Instead("taken", "it asks for no description")) == "taken"
    told = cargo.run(*PUBLISH) if taken else cargo.fails(*PUBLISH)

    words = "responded with an error (status 400 Bad Request): missing or empty metadata fields: description."
    assert (words in told) is not taken
    assert registry.versions(crate.name) == (["1.0.0"] if taken else [])


def test_publish_unknown(registry: Served, tmp_path: Path, documented: Documented) -> None:
    """`cargo publish` with a token that gives no right shows that"""
    crate = registry.new()
    stranger = Cargo(f"sparse+{registry.index}/", tmp_path, "ciounknown")
    source(stranger, crate)

    complaint = stranger.fails(*PUBLISH)

    words = "(status 403 Forbidden): authentication failed"
    short = Instead("got 403", "it refuses as well, and says no more")
    assert documented(words, kellnr=short) in complaint
    assert registry.versions(crate.name) == []


def test_add_and_build(registry: Served, cargo: Cargo) -> None:
    """`cargo add` and `cargo build` get the crate, at the digest that was published"""
    crate = useful(registry)

    cargo.add(crate.name)

    assert cargo.prints(f'println!("{{}}", {module(crate)}::ANSWER);') == "42\n"
    assert cargo.checksum(crate.name) == crate.sha256


def test_locked(registry: Served, cargo: Cargo, tmp_path: Path) -> None:
    """`cargo fetch --locked` proves the digest: a lock that names another one stops it"""
    crate = useful(registry)
    cargo.add(crate.name)
    cargo.run("generate-lockfile")
    lock = cargo.folder / "Cargo.lock"
    honest = lock.read_text()

    lock.write_text(honest.replace(crate.sha256, "0" * 64))
    complaint = cargo.fails("fetch", "--locked")
    lock.write_text(honest)
    cargo.run("fetch", "--locked")

    assert f"checksum for `{crate.name} v1.0.0 (registry `rehearsal`)` changed between lock files" in complaint
    (kept,) = tmp_path.glob(f"cargo-home/registry/cache/*/{crate.base}")
    assert kept.read_bytes() == crate.content


def test_swapped(registry: Served, cargo: Cargo, tmp_path: Path) -> None:
    """cargo takes no archive that is not the one of the index"""
    crate = useful(registry)
    cargo.add(crate.name)
    cargo.run("generate-lockfile")
    (stored,) = [file for file in registry.folder.rglob("*.crate") if file.read_bytes() == crate.content]
    stored.write_bytes(replace(crate, files={}).content)

    complaint = cargo.fails("fetch", "--locked")

    assert f"failed to verify the checksum of `{crate.name} v1.0.0 (registry `rehearsal`)`" in complaint
    assert not list(tmp_path.glob(f"cargo-home/registry/cache/*/{crate.base}"))


def test_yank(registry: Served, cargo: Cargo) -> None:
    """`cargo yank` hides a version from new programs and keeps it for locked ones; `--undo` brings it back"""
    crate = useful(registry)
    cargo.add(crate.name)
    cargo.run("generate-lockfile")
    version = ("--registry", "rehearsal", f"{crate.name}@1.0.0")

    cargo.run("yank", *version)
    yanked = [line["yanked"] for line in registry.lines(crate.name)]
    cargo.run("fetch", "--locked")
    lock = (cargo.folder / "Cargo.lock").read_text()
    (cargo.folder / "Cargo.lock").unlink()
    complaint = cargo.fails("generate-lockfile")
    cargo.run("yank", "--undo", *version)
    cargo.run("generate-lockfile")

    assert yanked == [True]
    assert "is yanked" in complaint
    assert registry.lines(crate.name)[0]["yanked"] is False
    assert (cargo.folder / "Cargo.lock").read_text() == lock


def test_info(registry: Served, cargo: Cargo) -> None:
    """`cargo info` describes the crate"""
    crate = useful(registry)

    shown = cargo.run("info", "--registry", "rehearsal", f"{crate.name}@1.0.0")

    assert shown.splitlines()[:4] == [
        crate.name,
        "A widget",
        "version: 1.0.0 (from registry `rehearsal`)",
        "license: MIT",
    ]


# cargo and our adapter, side by side


@pytest.fixture(params=columns(REHEARSAL, KELLNR))
def pair(request: pytest.FixtureRequest, tmp_path: Path, issuer: Issuer) -> Iterator[tuple[Served, Served]]:
    """Two empty registries of one kind."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    with served(request.param, first, issuer) as one, served(request.param, second, issuer) as other:
        yield one, other


EVERYTHING = """\
license-file = "LICENSE"
description = "A widget"
keywords = ["one", "two"]
categories = ["os"]
authors = ["Acme <acme@example.invalid>"]
homepage = "https://example.invalid"
documentation = "https://example.invalid/docs"
repository = "https://example.invalid/source"
rust-version = "1.70"
links = "widget"
build = "build.rs"
readme = "README.md"

[badges]
maintenance = { status = "experimental" }
"""
TABLES = """
[features]
default = ["extra"]
extra = ["dep:optional"]
plain = []
weak = ["optional?/one"]

[dependencies]
plain-dep = { version = ">=1,<2", registry = "rehearsal", features = ["one"] }
optional = { version = "1.2", registry = "rehearsal", optional = true, default-features = false }
renamed = { package = "original", version = "=1.2.3", registry = "rehearsal" }

[target.'cfg(unix)'.dependencies]
plain-dep = { version = "~1.2", registry = "rehearsal" }

[dev-dependencies]
optional = { version = "1.*", registry = "rehearsal" }

[build-dependencies]
original = { version = "1.2.3", registry = "rehearsal" }
"""
FILES = {"README.md": "# Wídget\n", "LICENSE": "", "build.rs": "fn main() {}\n"}
SHAPES: dict[str, dict[str, Any]] = {
    "a plain crate": {},
    "everything that a crate can say": {"package": EVERYTHING, "tables": TABLES, "files": FILES},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_side_by_side(pair: tuple[Served, Served], tmp_path: Path, shape: dict[str, Any]) -> None:
    """Published by cargo and by our adapter, the same archive is accepted alike and has the same index line"""
    by_cargo, by_us = pair
    crate = Crate("widget", **shape)
    for name in ("plain-dep", "optional", "original"):
        features: dict[str, Any] = {"one": []}
        by_cargo.put(Crate(name, "1.2.3", tables="[features]\none = []\n", said={"features": features}))
    cargo = Cargo(f"sparse+{by_cargo.index}/", tmp_path, by_cargo.token)
    source(cargo, crate)

    cargo.run(*PUBLISH)
    receipt = by_us.publish(packed(cargo, crate), index=by_cargo.index)

    assert (receipt.sent, receipt.detail) == (Sent.ACCEPTED, "")
    (theirs,), (ours,) = by_cargo.lines("widget"), by_us.lines("widget")
    assert {**ours, "pubtime": ""} == {**theirs, "pubtime": ""}
    assert ours["cksum"] == packed(cargo, crate).sha256
    assert by_cargo.archive(crate).content == by_us.archive(crate).content
    assert len(ours["deps"]) == (6 if shape else 0)
