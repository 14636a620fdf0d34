"""What an npm package says of itself: ``package/package.json`` as `npm pack` puts it into the ``.tgz``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from releaser.errors import ConfigError
from releaser.inspect.archive import Listing, shown
from releaser.model.artifact import Contents, Requirement
from releaser.model.document import strict_json

TOP = "package"
MANIFEST = f"{TOP}/package.json"

_DEPENDENCIES = ("dependencies", "peerDependencies", "optionalDependencies")
_INSTALL_SCRIPTS = ("preinstall", "install", "postinstall")


def npm(listing: Listing) -> Contents:
    """What the package declares. ``install_scripts`` in the metadata names what runs on a user's machine."""
    listing.within(TOP)
    listing.without_links()
    manifest = _manifest(listing)
    name, version = _text(manifest.get("name")), _text(manifest.get("version"))
    if manifest and not (name and version):
        listing.problem("package.json has no name or no version")
    return replace(
        listing.contents(),
        name=name,
        version=version,
        requirements=tuple(dict.fromkeys(_requirements(manifest))),
        metadata={key: value for key, value in _fields(manifest, listing).items() if value},
    )


def _manifest(listing: Listing) -> dict[str, Any]:
    try:
        parsed = strict_json(listing.manifests[MANIFEST], MANIFEST)
    except ConfigError as error:
        listing.problem(f"{error.message}: {shown(error.found)}")
        return {}
    if not isinstance(parsed, dict) or not parsed:
        listing.problem(f"{MANIFEST} is not an object")
        return {}
    return parsed


def _fields(manifest: dict[str, Any], listing: Listing) -> dict[str, str]:
    scripts, keywords = _object(manifest.get("scripts")), manifest.get("keywords")
    installs = [name for name in _INSTALL_SCRIPTS if scripts.get(name)]
    gyp = any(entry.name == f"{TOP}/binding.gyp" for entry in listing.entries) and manifest.get("gypfile") is not False
    if gyp and not {"preinstall", "install"} & set(installs):
        # npm then compiles on its own (@npmcli/package-json, normalize step "gypfile").
        installs.append("install")
    return {
        "description": _text(manifest.get("description")),
        "license": _text(manifest.get("license")) or _text(_object(manifest.get("license")).get("type")),
        "repository": _text(manifest.get("repository")) or _text(_object(manifest.get("repository")).get("url")),
        "keywords": ",".join(map(str, keywords)) if isinstance(keywords, list) else "",
        "access": _text(_object(manifest.get("publishConfig")).get("access")),
        "private": "true" if manifest.get("private") else "",
        "install_scripts": ",".join(installs),
    }


def _requirements(manifest: dict[str, Any]) -> Iterator[Requirement]:
    for kind in _DEPENDENCIES:
        for name, wanted in _object(manifest.get(kind)).items():
            specifier = _text(wanted)
            if specifier.startswith("npm:"):  # another package under a name of one's own: npm:@scope/name@range
                alias = specifier.removeprefix("npm:")
                real, _, version = alias.rpartition("@")  # real is empty for @scope/name too, which has no range
                yield Requirement(real, version) if real else Requirement(alias, "")
            else:
                yield Requirement(name, specifier)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
