"""What a ``.crate`` says of itself: the ``Cargo.toml`` that cargo normalised when it packed it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from releaser.inspect.archive import UNREADABLE, Listing, shown
from releaser.inspect.toml import read_toml
from releaser.model.artifact import Contents, Requirement

_FIELDS = {
    "description": "description",
    "license": "license",
    "license_file": "license-file",
    "repository": "repository",
}


def crate(file_name: str, listing: Listing) -> Contents:
    """What the crate *file_name* declares, and where its name, folder and manifest disagree.

    Requirements are those that a dependant has to fetch: normal and build dependencies, on any target.
    """
    if not listing.complete:
        return listing.contents()
    stem = file_name.removesuffix(".crate")
    listing.within(stem)
    listing.without_links()
    manifest = _manifest(f"{stem}/Cargo.toml", listing)
    package = _table(manifest.get("package"))
    name, version = _text(package.get("name")), _text(package.get("version"))
    if manifest and f"{name}-{version}" != stem:
        listing.problem(f"Cargo.toml is of {shown(f'{name}-{version}')}, the file name of {shown(stem)}")
    fields = {key: _text(package.get(there)) for key, there in _FIELDS.items()}
    keywords = package.get("keywords")
    fields["keywords"] = ",".join(map(str, keywords)) if isinstance(keywords, list) else ""
    return replace(
        listing.contents(),
        name=name,
        version=version,
        requirements=tuple(dict.fromkeys(_requirements(manifest))),
        metadata={key: value for key, value in fields.items() if value},
    )


def _manifest(path: str, listing: Listing) -> dict[str, Any]:
    if path not in listing.manifests:
        listing.problem(f"has no {path}")
        return {}
    try:
        return read_toml(listing.manifests[path])
    except UNREADABLE as error:
        listing.problem(f"{path} is not TOML: {shown(str(error))}")
        return {}


def _requirements(manifest: dict[str, Any]) -> Iterator[Requirement]:
    tables = [manifest, *map(_table, _table(manifest.get("target")).values())]
    for table in tables:
        for kind in ("dependencies", "build-dependencies"):
            for alias, wanted in _table(table.get(kind)).items():
                details = {"version": wanted} if isinstance(wanted, str) else _table(wanted)
                yield Requirement(_text(details.get("package")) or alias, _text(details.get("version")))


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
