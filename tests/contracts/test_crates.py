"""crates.io's documented answers to publishing and reading, and what our adapter makes of them.

rust-lang/crates.io src/controllers/{krate/publish,version}, src/index.rs; cargo's book,
reference/{registry-web-api,registry-index}.md.
"""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from releaser.adapters.crates import index_path
from releaser.engine.ports import Sent
from releaser.errors import ExternalError
from tests.contracts.crate_registries import (
    ABOUT,
    KELLNR,
    NO_PAGES,
    Crate,
    Served,
    archive,
    fixtures,
    framed,
    listing,
    said,
    state,
    worded,
)
from tests.contracts.table import REHEARSAL, Documented, Instead

TITLE = "crates.io: publishing and reading"

UNCHECKED = "it does not check this; we publish what cargo has packed"
OWN_WORDS = "the same refusal"
ELSEWHERE = "its downloads are elsewhere, as its index says"

issuer, server, registry = fixtures(REHEARSAL, KELLNR)


# publishing


def test_first(registry: Served, documented: Documented) -> None:
    """A new crate is accepted"""
    crate = registry.new()

    answer = registry.put(crate)

    now = "2026-03-01T00:00:00Z"
    about = {
        "id": crate.name,
        "name": crate.name,
        "newest_version": "1.0.0",
        "created_at": now,
        "updated_at": now,
        "trustpub_only": False,
    }
    accepted: dict[str, Any] = {
        "crate": about,
        "warnings": {"invalid_categories": [], "invalid_badges": [], "other": []},
    }
    assert answer.headers["content-type"] == "application/json"
    assert answer.status_code == 200
    bare = Instead("warnings", "it describes no crate")
    keys = documented("crate, warnings", kellnr=bare)
    assert ", ".join(sorted(answer.json())) == keys
    assert answer.json() == ({"warnings": None} if keys == bare.value else accepted)
    assert registry.versions(crate.name) == ["1.0.0"]


def test_by_the_adapter(registry: Served, documented: Documented) -> None:
    """What our adapter publishes is there byte for byte, under its SHA-256"""
    crate = registry.new()

    receipt = registry.publish(crate)

    assert (receipt.sent, receipt.detail) == (Sent.ACCEPTED, "")
    assert registry.adapter.visible(crate.name, "1.0.0") == listing(crate)
    (line,) = registry.lines(crate.name)
    assert line["cksum"] == crate.sha256
    got = registry.archive(crate)
    assert (got.status_code, got.content) == (200, crate.content)
    kind = documented("application/gzip", kellnr=Instead("application/octet-stream", "the bytes are the same"))
    assert got.headers["content-type"] == kind


@pytest.mark.parametrize("note", ["", "other"], ids=["the same bytes", "other bytes"])
def test_again(registry: Served, documented: Documented, note: str) -> None:
    """A version that is there is refused whatever the bytes; the digest decides whose they are"""
    crate = registry.new()
    registry.put(crate)
    again = replace(crate, note=note)

    answer, receipt = registry.put(again), registry.publish(again)

    taken = Instead("400 ERROR: Crate with version already exists: widget-1.0.0", OWN_WORDS)
    assert said(answer, crate) == worded(documented, "400 crate version `1.0.0` is already uploaded", taken)
    assert (receipt.sent, receipt.detail) == (Sent.REFUSED, said(answer))
    assert registry.versions(crate.name) == ["1.0.0"]
    seen = registry.adapter.visible(crate.name, "1.0.0")
    assert (seen == listing(again)) is (note == "")


def test_build_metadata(registry: Served, documented: Documented) -> None:
    """A version that differs in build metadata alone is the same version"""
    crate = registry.new("1.0.0+a")
    registry.put(crate)

    answer = registry.put(replace(crate, version="1.0.0+b"))

    two = Instead("200", "it compares versions as texts; a release has one version of a crate")
    assert said(answer) == worded(documented, "400 crate version `1.0.0` is already uploaded", two)
    assert ("1.0.0+b" in registry.versions(crate.name)) is (answer.status_code == 200)
    assert registry.put(replace(crate, version="1.0.1")).status_code == 200


def test_other_spelling(registry: Served, documented: Documented) -> None:
    """Names that differ in case, or in `-` and `_`, are one crate"""
    crate = registry.old()

    loud = registry.put(Crate(crate.name.title(), "1.0.0"))
    low = registry.put(Crate(crate.name.replace("-", "_"), "1.1.0"))

    previously = "400 crate was previously named `widget`"
    broken = "500 ERROR: Postgres error occurred: Query Error: error returned from database: (code: 2067) UNIQUE "
    database = Instead(f"{broken}constraint failed: krate.name", "it fails in its database; nothing is stored")
    assert said(loud, crate) == worded(documented, previously, database)
    assert said(low, crate) == worded(documented, previously, Instead("200", "`-` and `_` are different to it"))
    assert registry.versions(crate.name) == ["0.1.0"]


DEPENDENT = """\
[features]
plain = ["other"]
other = []
namespaced = ["dep:optional"]
weak = ["optional?/extra"]
on-weak = ["weak"]
on-on-weak = ["on-weak"]

[dependencies]
simple = "1.2"
exact = { version = "=1.2.3", features = ["one", "two"] }
optional = { version = "~1.2", optional = true, default-features = false }
renamed = { package = "original", version = ">=1, <2" }
major = "1.*"

[build-dependencies]
simple = "1.2.3"

[dev-dependencies]
simple = ">1.2"

[target.'cfg(unix)'.dependencies]
simple = "^1.2"

[target.'cfg(unix)'.build-dependencies]
builder = "0.1"

[target.'cfg(windows)'.dev-dependencies]
tester = "0.2"
"""


def dependency(name: str, req: str, kind: str = "normal", **more: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {"features": [], "optional": False, "default_features": True, "target": None}
    return {"name": name, "req": req, "kind": kind, **plain, **more}


LISTED = [
    dependency("builder", "^0.1", "build", target="cfg(unix)"),
    dependency("exact", "=1.2.3", features=["one", "two"]),
    dependency("major", "1.*"),
    dependency("optional", "~1.2", optional=True, default_features=False),
    dependency("renamed", ">=1, <2", package="original"),
    dependency("simple", "^1.2"),
    dependency("simple", "^1.2", target="cfg(unix)"),
    dependency("simple", "^1.2.3", "build"),
    dependency("simple", ">1.2", "dev"),
    dependency("tester", "^0.2", "dev", target="cfg(windows)"),
]
OLDER = {"other": [], "plain": ["other"]}
NEWER = {
    "namespaced": ["dep:optional"],
    "on-on-weak": ["on-weak"],
    "on-weak": ["weak"],
    "weak": ["optional?/extra"],
}


def test_index_line(registry: Served, documented: Documented) -> None:
    """The index line says what Cargo.toml says: dependencies, features, links, Rust version"""
    about = ABOUT + 'links = "z"\nrust-version = "1.70"\nreadme = "README.md"\n'
    crate = registry.new(package=about, tables=DEPENDENT, files={"README.md": "# Wídget\n"})

    assert registry.publish(crate).sent is Sent.ACCEPTED

    (line,) = registry.lines(crate.name)
    listed = [{k: v for k, v in d.items() if v is not None or k == "target"} for d in line["deps"]]
    in_order = documented("sorted", kellnr=Instead("as sent", "cargo reads dependencies in any order"))
    assert in_order == ("sorted" if listed == LISTED else "as sent")
    assert sorted(listed, key=json.dumps) == sorted(LISTED, key=json.dumps)
    together = Instead("together", "it leaves features of the newer syntax with the others, which cargo reads as well")
    where = documented("apart", kellnr=together)
    split = (OLDER, NEWER, 2) if where == "apart" else (OLDER | NEWER, None, 1)
    assert (line["features"], line.get("features2"), line.get("v")) == split
    assert list(line["features"]) == sorted(line["features"])
    assert list(line.get("features2", ())) == sorted(line.get("features2", ()))
    rust = Instead(None, "it does not keep the Rust version; cargo builds without")
    assert line.get("rust_version") == documented("1.70", kellnr=rust)
    told = (line["name"], line["vers"], line["cksum"], line["yanked"], line["links"])
    assert told == (crate.name, "1.0.0", crate.sha256, False, "z")


def test_short_line(registry: Served, documented: Documented) -> None:
    """An index line leaves out what a crate does not say"""
    crate = registry.new()
    registry.put(crate)

    (line,) = registry.lines(crate.name)

    version = documented("no version", kellnr=Instead("version 1", "that is what leaving it out means"))
    keys = ["name", "vers", "deps", "cksum", "features", "yanked", "pubtime"]
    assert list(line) == (keys if version == "no version" else [*keys, "v"])
    assert (line["deps"], line["features"]) == ([], {})
    time = line["pubtime"]
    assert (len(time), time[10], time[-1]) == (20, "T", "Z")
    assert registry.entry(index_path(crate.name)).text.startswith(f'{{"name":"{crate.name}","vers":"1.0.0","deps":[]')


def test_only_the_archive_counts(registry: Served, documented: Documented) -> None:
    """Dependencies and features are read from the archive, not from the JSON beside it"""
    lie = {"features": {"extra": []}, "links": "z", "license": "none", "rust_version": "1.0"}
    crate = registry.new(said=lie)

    registry.put(crate)

    (line,) = registry.lines(crate.name)
    json_counts = Instead("JSON", "it believes the JSON; our adapter reads it from the archive")
    source = documented("archive", kellnr=json_counts)
    told = (line["features"], line.get("links"))
    assert told == (({}, None) if source == "archive" else ({"extra": []}, "z"))


MISSING = (
    "400 missing or empty metadata fields: {}. Please see https://doc.rust-lang.org/cargo/reference/manifest.html "
    "for more information on configuring these fields"
)
TOML = "400 failed to parse `Cargo.toml` manifest file\n\n"
MALFORMED = "400 uploaded tarball is malformed or too large when decompressed"
NO_NAME = Instead("400 ERROR: Invalid character in name", OWN_WORDS)
ACCEPTS = Instead("200", UNCHECKED)
LINK, SYMLINK = tarfile.TarInfo(), tarfile.TarInfo()
LINK.type, LINK.linkname = tarfile.LNKTYPE, "src/lib.rs"
SYMLINK.type, SYMLINK.linkname = tarfile.SYMTYPE, "src/lib.rs"
REFUSALS: dict[str, tuple[dict[str, Any], str, Instead[str]]] = {
    "name differs": (
        {"said": {"name": "gadget"}},
        "400 metadata name `gadget` does not match manifest name `widget`",
        ACCEPTS,
    ),
    "version differs": (
        {"said": {"vers": "1.0.1"}},
        "400 metadata version `1.0.1` does not match manifest version `1.0.0`",
        ACCEPTS,
    ),
    "nothing said": ({"package": ""}, MISSING.format("description, license"), ACCEPTS),
    "empty": ({"package": 'description = ""\nlicense = ""\n'}, MISSING.format("description, license"), ACCEPTS),
    "no description": ({"package": 'license = "MIT"\n'}, MISSING.format("description"), ACCEPTS),
    "no licence": ({"package": 'description = "x"\n'}, MISSING.format("license"), ACCEPTS),
    "another folder": ({"folder": "other"}, "400 invalid path found: other/Cargo.toml", ACCEPTS),
    "outside": ({"files": {"../x": ""}}, "400 invalid path found: widget-1.0.0/../x", ACCEPTS),
    "link": ({"files": {"y": LINK}}, "400 unexpected tar entry type Link found: widget-1.0.0/y", ACCEPTS),
    "symlink": ({"files": {"y": SYMLINK}}, "400 unexpected tar entry type Symlink found: widget-1.0.0/y", ACCEPTS),
    "six keywords": (
        {"package": ABOUT + 'keywords = ["a", "b", "c", "d", "e", "f"]\n'},
        "400 expected at most 5 keywords per crate",
        ACCEPTS,
    ),
    "long keyword": (
        {"package": ABOUT + f'keywords = ["{"k" * 21}"]\n'},
        f'400 "{"k" * 21}" is an invalid keyword (keywords must have less than 20 characters)',
        ACCEPTS,
    ),
    "six categories": (
        {"package": ABOUT + 'categories = ["a", "b", "c", "d", "e", "f"]\n'},
        "400 expected at most 5 categories per crate",
        ACCEPTS,
    ),
    "long description": (
        {"package": f'description = "{"é" * 501}"\nlicense = "MIT"\n'},
        "400 The `description` is too long. A maximum of 1000 characters are currently allowed.",
        ACCEPTS,
    ),
    **{
        field: (
            {"package": f'{ABOUT}{field} = "ftp://example.invalid"\n'},
            f"400 URL for field `{field}` must begin with http:// or https:// (url: ftp://example.invalid)",
            ACCEPTS,
        )
        for field in ("homepage", "documentation", "repository")
    },
    "301 features": (
        {"tables": "[features]\n" + "".join(f"f{n} = []\n" for n in range(301))},
        "400 crates.io only allows a maximum number of 300 features, but your crate is declaring 301 features.",
        ACCEPTS,
    ),
    "501 dependencies": (
        {"tables": "[dependencies]\n" + "".join(f'd{n} = "1"\n' for n in range(501))},
        "400 crates.io only allows a maximum number of 500 dependencies.",
        ACCEPTS,
    ),
    "any version": (
        {"tables": '[dependencies]\nx = { package = "original", optional = true }\n'},
        "400 wildcard (`*`) dependency constraints are not allowed on crates.io. Crate with this problem: `original`",
        ACCEPTS,
    ),
    "another registry": (
        {"tables": '[dependencies]\nx = { version = "1", registry = "other" }\n'},
        "400 Dependency `x` is hosted on another registry. Cross-registry dependencies are not permitted on crates.io.",
        ACCEPTS,
    ),
    "version not semantic": (
        {"version": "1.0"},
        '400 "1.0" is an invalid semver version',
        Instead("400 ERROR: Invalid SemVer", OWN_WORDS),
    ),
    "long version": (
        {"version": f"1.0.0-{'a' * 145}"},
        "400 the version number is too long (max 150 characters)",
        ACCEPTS,
    ),
    "long name": (
        {"name": "w" * 65},
        f"400 the crate name `{'w' * 65}` is too long (max 64 characters)",
        Instead("400 ERROR: Invalid length for name", OWN_WORDS),
    ),
    "no name": ({"name": ""}, "400 crate name cannot be empty", NO_NAME),
    "digit first": (
        {"name": "1st"},
        "400 the name `1st` cannot be used as a crate name, the name cannot start with a digit",
        NO_NAME,
    ),
    "letter of another script first": (
        {"name": "éa"},
        "400 invalid character `é` in crate name: `éa`, the first character must be an ASCII character",
        NO_NAME,
    ),
    "character not allowed": (
        {"name": "a b"},
        "400 invalid character ` ` in crate name: `a b`, "
        "characters must be an ASCII alphanumeric characters, `-`, or `_`",
        NO_NAME,
    ),
}


@pytest.mark.parametrize(("changes", "refusal", "instead"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refused(
    registry: Served, documented: Documented, changes: dict[str, Any], refusal: str, instead: Instead[str]
) -> None:
    """A crate that is not as it must be is refused with the reason, and not stored"""
    old = registry.old()
    crate = replace(old, **{"version": "1.0.0", **changes})

    answer = registry.put(crate)

    assert said(answer, old) == worded(documented, refusal, instead)
    if answer.status_code == 400:
        assert registry.versions(old.name) == ["0.1.0"]


WITHIN: dict[str, dict[str, Any]] = {
    "name of 64 characters": {"name": "Wz" + "-_" * 30 + "Z9"},
    "version of 150 characters": {"version": f"1.0.0-{'a' * 144}"},
    "5 keywords of 20 characters": {"package": ABOUT + f"keywords = {['k' * 20, 'b', 'c', 'd', 'e']}\n"},
    "5 categories": {"package": ABOUT + f"categories = {list('abcde')}\n"},
    "description of 1000 bytes": {"package": f'description = "{"é" * 500}"\nlicense = "MIT"\n'},
    "licence in a file": {"package": 'description = "x"\nlicense-file = "LICENSE"\n'},
    "addresses": {"package": ABOUT + 'homepage = "http://x.invalid"\nrepository = "https://x.invalid"\n'},
    "300 features": {"tables": "[features]\n" + "".join(f"f{n} = []\n" for n in range(300))},
    "500 dependencies": {"tables": "[dependencies]\n" + "".join(f'd{n} = "1"\n' for n in range(500))},
    "a folder of its own": {"files": {"examples/Cargo.toml": "[["}},
}


@pytest.mark.parametrize("changes", WITHIN.values(), ids=WITHIN.keys())
def test_within_the_limits(registry: Served, changes: dict[str, Any]) -> None:
    """A crate at the edge of a limit is accepted"""
    crate = replace(registry.new(), **changes)

    assert said(registry.put(crate)) == "200"
    assert registry.versions(crate.name) == [crate.version]


@pytest.mark.parametrize(
    ("members", "refusal"),
    [
        (
            {"src/lib.rs": "", "deep/Cargo.toml": "[package]\n"},
            "400 uploaded tarball is missing a `Cargo.toml` manifest file",
        ),
        ({"Cargo.toml": "[workspace]\n"}, f"{TOML}missing field `package`"),
        ({"Cargo.toml": "[["}, TOML),
    ],
    ids=["none", "of a workspace", "not TOML"],
)
def test_no_package(registry: Served, documented: Documented, members: dict[str, Any], refusal: str) -> None:
    """An archive without a readable Cargo.toml of a package is refused"""
    crate = registry.new()

    answer = registry.send(framed(crate.document, archive(crate.stem, members)))

    assert said(answer).startswith(worded(documented, refusal, ACCEPTS))


SHORT = Instead("400 ERROR: Invalid metadata size", OWN_WORDS)
TINY = "400 ERROR: Invalid min. length {}/10 bytes"
CUT: dict[str, tuple[Callable[[Crate], bytes], str, Instead[str]]] = {
    "nothing": (lambda _: b"", "400 invalid metadata length", Instead(TINY.format(0), OWN_WORDS)),
    "half a length": (lambda _: b"{}", "400 invalid metadata length", Instead(TINY.format(2), OWN_WORDS)),
    "metadata cut short": (
        lambda _: struct.pack("<I", 9) + b"{}" * 4,
        "400 invalid metadata length for remaining payload: 9",
        SHORT,
    ),
    "metadata too large": (
        lambda _: struct.pack("<I", (1 << 20) + 1) + b"{}" * 4,
        "413 JSON metadata blob too large",
        SHORT,
    ),
    "no length of the archive": (
        lambda crate: framed(crate.document, b"")[:-1],
        "400 invalid tarball length",
        SHORT,
    ),
    "archive cut short": (
        lambda crate: framed(crate.document, b"1234")[:-1],
        "400 invalid tarball length for remaining payload: 4",
        SHORT,
    ),
    "archive too large": (
        lambda crate: framed(crate.document, b"")[:-4] + struct.pack("<I", (10 << 20) + 1),
        "413 max upload size is: 10485760",
        SHORT,
    ),
    "no archive": (lambda crate: framed(crate.document, b"nothing"), MALFORMED, ACCEPTS),
    "archive damaged": (lambda crate: framed(crate.document, crate.content[:60]), MALFORMED, ACCEPTS),
}


@pytest.mark.parametrize(("body", "refusal", "instead"), CUT.values(), ids=CUT.keys())
def test_bad_frame(
    registry: Served,
    documented: Documented,
    body: Callable[[Crate], bytes],
    refusal: str,
    instead: Instead[str],
) -> None:
    """A body whose parts are not as long as they say, or too long, is refused"""
    answer = registry.send(body(registry.new()))

    assert said(answer) == worded(documented, refusal, instead)


@pytest.mark.parametrize("document", [b"{[", b'"abcdefghij"', b'{"name":"widget"}', b'{"vers":"1.0.0"}'])
def test_bad_metadata(registry: Served, documented: Documented, document: bytes) -> None:
    """Metadata that is no JSON, or names no crate and version, is refused before the token is looked at"""
    body = framed(document, registry.new().content)

    answer, unasked = registry.send(body), registry.send(body, token="")

    invalid, own = "400 invalid upload request: ", "400 ERROR: Invalid metadata string: "
    assert said(answer).startswith(worded(documented, invalid, Instead(own, OWN_WORDS)))
    assert unasked.status_code == documented(400, kellnr=Instead(401, "it asks for the token first"))


def test_full_sizes(registry: Served) -> None:
    """1 MiB of metadata and 10 MiB of archive are accepted, and nothing after them is read"""
    crate, large = registry.new(), registry.new()

    wordy = registry.send(framed(crate.document.ljust(1 << 20), crate.content) + b"more")
    padded = large.content + bytes((10 << 20) - len(large.content))
    full = registry.send(framed(large.document, padded))

    assert wordy.status_code == 200
    assert registry.archive(crate).content == crate.content
    assert full.status_code == 200
    assert registry.archive(large).content == padded


def test_unpacked(registry: Served, documented: Documented) -> None:
    """An archive that unpacks to more than 512 MiB is refused"""
    crate = registry.new()
    entry = tarfile.TarInfo(f"{crate.stem}/zeros")
    entry.size = 512 << 20
    zeros = gzip.compress(bytes(1 << 20), mtime=0)
    manifest = gzip.compress(gzip.decompress(crate.content)[:1024], mtime=0)
    bomb = manifest + gzip.compress(entry.tobuf(), mtime=0) + zeros * 513

    answer = registry.send(framed(crate.document, bomb))

    assert said(answer) == worded(documented, MALFORMED, ACCEPTS)


def test_errors_under_200(registry: Served, documented: Documented) -> None:
    """An answer with errors is a refusal even under 200"""
    crate = registry.new()
    registry.setting.fail("publish", 200)

    receipt = registry.publish(crate)

    honest = Instead(Sent.ACCEPTED, "it cannot be made to answer so; its refusals have a status of their own")
    assert receipt.sent is documented(Sent.REFUSED, kellnr=honest)
    assert receipt.detail == ("200 injected fault" if receipt.sent is Sent.REFUSED else "")
    assert bool(registry.versions(crate.name)) is (receipt.sent is Sent.ACCEPTED)


# reading back


def test_observe(registry: Served, documented: Documented) -> None:
    """A version's page has its SHA-256, and a version that is not there is told from a crate that is not"""
    crate = registry.new()
    registry.put(crate)

    def observed(wanted: Crate) -> str:
        try:
            return state(registry.adapter.observe(wanted.name, wanted.version), wanted)
        except ExternalError as exc:
            return exc.code

    other, unknown = replace(crate, version="9.9.9"), registry.new()
    for wanted, seen in ((crate, "ours"), (other, "no such version"), (unknown, "no such crate")):
        assert observed(wanted) == documented(seen, kellnr=Instead("answer-unreadable", NO_PAGES))
        assert state(registry.adapter.visible(wanted.name, wanted.version), wanted) == seen


def test_pages(registry: Served, documented: Documented) -> None:
    """The pages of a crate and of a version say what was published, newest first"""
    crate = registry.old()
    registry.setting.wait(3600)
    about = 'license = "MIT"\ndescription = "x"\nrust-version = "1.70"\nlinks = "z"\n'
    newer = replace(crate, version="1.0.0", package=about, tables="[features]\na = []\n")
    registry.put(newer)

    def page(made: Crate, at: str, **more: Any) -> dict[str, Any]:
        return {
            "crate": made.name,
            "num": made.version,
            "checksum": made.sha256,
            "yanked": False,
            "features": {},
            "rust_version": None,
            "license": "MIT",
            "crate_size": len(made.content),
            "created_at": at,
            "lib_links": None,
            "dl_path": f"/api/v1/crates/{made.name}/{made.version}/download",
            "trustpub_data": None,
            **more,
        }

    old = page(crate, "2026-03-01T00:00:00Z")
    new = page(newer, "2026-03-01T01:00:00Z", features={"a": []}, rust_version="1.70", lib_links="z")
    named: dict[str, Any] = {
        "id": crate.name,
        "name": crate.name,
        "newest_version": "1.0.0",
        "created_at": old["created_at"],
        "updated_at": new["created_at"],
        "trustpub_only": False,
    }

    whole = {"crate": named, "versions": [new, old]}
    pages = {crate.name: whole, crate.name.replace("-", "_").upper(): whole, f"{crate.name}/1.0.0": {"version": new}}
    for path, told in pages.items():
        answer = registry.get(path)
        kind = answer.headers["content-type"].partition(";")[0]
        other = Instead("text/plain" if "/" in path else "text/html", NO_PAGES)
        assert kind == documented("application/json", kellnr=other)
        assert kind == other.value or answer.json() == told


def test_custom_licence(registry: Served, documented: Documented) -> None:
    """A licence that is only in a file is called non-standard"""
    crate = registry.new(package='description = "x"\nlicense-file = "LICENSE"\n')
    registry.put(crate)

    answer = registry.get(f"{crate.name}/1.0.0")

    assert answer.status_code == documented(200, kellnr=Instead(400, NO_PAGES))
    if answer.status_code == 200:
        assert answer.json()["version"]["license"] == "non-standard"


def test_absent(registry: Served, documented: Documented) -> None:
    """What is not there is 404, in the API with the reason, in the index for any path that is not the crate's"""
    crate = registry.old()
    unknown = replace(crate, name=registry.new().name)
    other = replace(crate, version="9.9.9")

    def absent(expected: str, instead: str, why: str = NO_PAGES) -> str:
        return worded(documented, expected, Instead(instead, why))

    none, no_version = "404 crate `widget` does not exist", "404 crate `widget` does not have a version `9.9.9`"
    html, invalid = "200 <!DOCTYPE html>", "400 Invalid URL: Invalid character in name"
    assert said(registry.get(unknown.name), unknown) == absent(none, html)
    assert said(registry.get(f"{unknown.name}/9.9.9"), unknown) == absent(none, invalid)
    assert said(registry.get(f"{crate.name}/9.9.9"), crate) == absent(no_version, invalid)
    fails = "500 ERROR: Crate index not found for crate widget - version "
    crash = "it fails instead; our adapter yanks nothing"
    assert said(registry.yank(unknown), unknown) == absent(none, f"{fails}0.1.0", crash)
    assert said(registry.yank(other), crate) == absent(no_version, f"{fails}9.9.9", crash)
    assert said(registry.yank(other, back=True), crate) == absent(no_version, f"{fails}9.9.9", crash)
    assert said(registry.yank(other, token=""), crate) == absent(no_version, "401", "it asks for the token first")
    lost = registry.entry(index_path(unknown.name))
    assert said(lost) == absent("404 not found", "404", "it says the status alone")
    kind = lost.headers.get("content-type")
    assert kind == documented("text/plain", kellnr=Instead(None, "its answer is empty"))
    assert registry.entry(index_path(crate.name) + "x").status_code == 404
    elsewhere = registry.entry(f"xx/yy/{crate.name}").status_code
    assert elsewhere == documented(404, kellnr=Instead(200, "it goes by the last part of the path alone"))
    missing = registry.archive(other)
    assert missing.status_code == documented(403, kellnr=Instead(404, "its storage says that there is none"))
    if missing.status_code == 403:
        assert (missing.text, missing.headers["content-type"]) == ("AccessDenied", "application/xml")
    nowhere = registry.http.get(f"{registry.url}/api/v1/nowhere")
    assert said(nowhere) == absent("404 Not Found: /api/v1/nowhere", html, "any address is its web page")


def test_seeded(registry: Served, documented: Documented) -> None:
    """A crate that is there from the start is like any other"""
    registry.setting.lag(30.0)
    name = registry.new().name

    registry.setting.seed(name)

    lines = registry.lines(name)
    empty = "it begins empty; what it has was published to it"
    assert [line["vers"] for line in lines] == documented(["0.0.1"], kellnr=Instead([], empty))
    crate = Crate(name, "0.0.1", packed=registry.archive(Crate(name, "0.0.1")).content)
    seen = state(registry.adapter.visible(name, "0.0.1"), crate)
    assert seen == documented("ours", kellnr=Instead("no such crate", empty))
    for line in lines:
        time = "2026-03-01T00:00:00Z"
        told = {"name": name, "vers": "0.0.1", "deps": [], "cksum": crate.sha256, "features": {}}
        assert line == {**told, "yanked": False, "pubtime": time}
        page = registry.get(f"{name}/0.0.1").json()["version"]
        assert (page["license"], page["crate_size"], page["created_at"]) == ("MIT", len(crate.content), time)
        with tarfile.open(fileobj=io.BytesIO(crate.content)) as packed:
            members = {m.name: text.read().decode() for m in packed if (text := packed.extractfile(m))}
        manifest = f'[package]\nname = "{name}"\nversion = "0.0.1"\ndescription = "{name}"\nlicense = "MIT"\n'
        assert members == {f"{name}-0.0.1/Cargo.toml": manifest, f"{name}-0.0.1/src/lib.rs": ""}
        newer = registry.put(Crate(name, "0.0.2"))
        assert newer.status_code == 200


@pytest.mark.parametrize(
    ("name", "path"),
    [("a", "1/a"), ("Ab", "2/ab"), ("aBc", "3/a/abc"), ("Ab-C", "ab/-c/ab-c"), ("widgets", "wi/dg/widgets")],
)
def test_index_path(registry: Served, name: str, path: str) -> None:
    """A crate is at a place in the index that follows from the letters of its name"""
    crate = replace(registry.new(), name=name)
    registry.put(crate)

    assert index_path(name) == path
    assert [line["name"] for line in registry.lines(name)] == [name]
    assert registry.adapter.visible(name, "1.0.0") == listing(crate)


def test_index_configuration(registry: Served, documented: Documented) -> None:
    """The index says where archives and the API are"""
    answer = registry.entry("config.json")

    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert told["api"] == registry.url
    bare = Instead("/api/v1/crates/dl", "without markers cargo adds the rest")
    markers = documented("/crates/{crate}/{crate}-{version}.crate", kellnr=bare)
    assert told["dl"] == f"{registry.url}{markers}"
    more = Instead("api, auth-required, dl", "false is what leaving it out means")
    assert ", ".join(sorted(told)) == documented("api, dl", kellnr=more)


def test_not_modified(registry: Served, documented: Documented) -> None:
    """A file of the index that is known already is not sent again; one that changed is"""
    crate = registry.old()
    path = index_path(crate.name)

    first = registry.entry(path)
    same = registry.entry(path, If_None_Match=first.headers["etag"])

    whole = Instead(200, "it sends the file again; cargo reads it")
    assert same.status_code == documented(304, kellnr=whole)
    assert (same.text == "") is (same.status_code == 304)
    assert same.headers["etag"] == first.headers["etag"]
    cached = Instead(None, "nothing is kept between it and us")
    assert first.headers.get("cache-control") == documented("public,max-age=600", kellnr=cached)
    kind = Instead(None, "cargo does not ask for it")
    assert first.headers.get("content-type") == documented("text/plain", kellnr=kind)
    registry.yank(crate)
    assert registry.entry(path, If_None_Match=first.headers["etag"]).status_code == 200


def test_lag(registry: Served, documented: Documented) -> None:
    """A version is accepted before the index shows it; a dependant waits for the index"""
    crate = registry.old()
    registry.setting.lag(30.0)
    newer, young = replace(crate, version="1.0.0"), registry.new()

    assert [registry.put(newer).status_code, registry.put(young).status_code] == [200, 200]

    prompt = Instead("ours", "its index shows it at once")

    def visible(made: Crate) -> str:
        return state(registry.adapter.visible(made.name, made.version), made)

    seen = visible(newer)
    assert seen == documented("no such version", kellnr=prompt)
    assert visible(young) == documented("no such crate", kellnr=prompt)
    assert (registry.versions(crate.name) == ["0.1.0"]) is (seen == "no such version")
    page = registry.get(f"{crate.name}/1.0.0")
    assert page.status_code == documented(200, kellnr=Instead(400, NO_PAGES))
    registry.setting.wait(29.0)
    assert visible(newer) == seen
    registry.setting.wait(1.0)
    assert registry.versions(crate.name) == ["0.1.0", "1.0.0"]
    assert visible(young) == "ours"


@pytest.mark.parametrize("version", ["1.0.0", "1.0.0+b"])
def test_download(registry: Served, documented: Documented, version: str) -> None:
    """A download leads to the archive, or says where it is to whoever asks for JSON; nothing is looked up"""
    crate = registry.new(version)
    registry.put(crate)
    path = f"{crate.name}/{version}/download"

    redirect, told = registry.get(path), registry.get(path, accept="application/json")

    assert redirect.status_code == documented(302, kellnr=Instead(404, ELSEWHERE))
    assert told.status_code == documented(200, kellnr=Instead(404, ELSEWHERE))
    assert redirect.headers.get("vary") == documented("accept", kellnr=Instead(None, ELSEWHERE))
    assert told.headers.get("vary") == documented("accept", kellnr=Instead(None, ELSEWHERE))
    unknown = registry.get(f"{crate.name}/9.9.9/download").status_code
    assert unknown == documented(302, kellnr=Instead(404, ELSEWHERE))
    assert registry.archive(crate).content == crate.content
    if redirect.status_code == 302:
        location = redirect.headers["location"]
        assert location == f"{registry.url}/crates/{crate.name}/{crate.name}-{version.replace('+', '%2B')}.crate"
        assert told.json() == {"url": location}
        assert registry.http.get(location).content == crate.content
        assert registry.http.get(f"{registry.url}/crates/{crate.name}/..%2F..%2Fx").status_code == 403


def test_yank(registry: Served, documented: Documented) -> None:
    """A person yanks a version and takes it back; the archive stays"""
    crate = registry.old()

    def yanked() -> dict[str, bool]:
        (line,) = registry.lines(crate.name)
        page = registry.get(f"{crate.name}/0.1.0")
        pages = {"page": page.json()["version"]["yanked"]} if page.status_code == 200 else {}
        return {"index": line["yanked"], **pages}

    places = documented("index, page", kellnr=Instead("index", NO_PAGES)).split(", ")
    answer = registry.yank(crate)
    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    assert yanked() == dict.fromkeys(places, True)
    assert registry.archive(crate).content == crate.content
    assert registry.adapter.visible(crate.name, "0.1.0") == listing(crate)
    back = registry.yank(crate, back=True)
    assert (back.status_code, back.json()) == (200, {"ok": True})
    assert yanked() == dict.fromkeys(places, False)
