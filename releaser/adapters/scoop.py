"""Scoop: an app's manifest in a bucket.

Keys: ScoopInstaller/Scoop schema.json, lib/autoupdate.ps1, bin/checkver.ps1; places: its lib/buckets.ps1.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal
from urllib.parse import quote

from pydantic import Field

from releaser.adapters.delivery import Address, Command, File, License, Line, Source
from releaser.adapters.tap_item import Item, TapItem
from releaser.model.manifest import CHECKSUMS
from releaser.model.policy import KindSettings
from releaser.model.spelling import Ecosystem

Platform = Literal["windows-x86_64", "windows-x86", "windows-arm64"]
ARCHITECTURES: dict[Platform, str] = {"windows-x86_64": "64bit", "windows-x86": "32bit", "windows-arm64": "arm64"}
ENDINGS = (".exe", ".zip", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tar.zst")
APP = re.compile(r"[a-z0-9]+(?:[-_.][a-z0-9]+)*")


class ScoopSettings(KindSettings):
    """What an app's manifest says beyond the release's."""

    item: str | None = None
    """The app's name, and its file's; the repository's name in lower case by default."""
    description: Line
    """One line, without the name."""
    homepage: Address
    """Where people read about it."""
    license: License
    """SPDX identifiers: one, or several joined by `OR` or by `AND`."""
    binary: Command | None = None
    """The command that is installed, without `.exe`; the app's name by default."""
    shortcut: Line | None = None
    """The program's name in the start menu, where it belongs there."""
    folder: str | None = Field(default=None, pattern=r"^[A-Za-z0-9{][A-Za-z0-9{}_+-]*(?:[./]?[A-Za-z0-9{}_+-]+)*$")
    """The folder of every archive that holds the program, such as `{stem}`, the archive's name without its ending;
    `{version}` and `{tag}` are replaced. By default the archive's top.
    """
    assets: dict[Platform, Line] = Field(min_length=1)
    """The release's file for each of `windows-x86_64`, `windows-x86`, `windows-arm64`: a name or pattern in which
    `{version}` and `{tag}` are replaced.
    """


class Scoop(TapItem[ScoopSettings]):
    """An app for prebuilt programs."""

    kind = "scoop"
    manager = Ecosystem.SCOOP
    suffix = ".json"
    folders = ("bucket", "")
    Settings = ScoopSettings

    @staticmethod
    def render(settings: ScoopSettings, source: Source) -> Item:
        """The app's manifest, in the form and order that Scoop's own tools write it."""
        name = source.name(settings.item, APP, "lower-case letters, digits, `.`, `-` and `_`")
        version = source.version()
        program = f"{settings.binary or name}.exe"
        spelled = _spelled(version)
        architecture, autoupdate = {}, {}
        for platform, file in source.files(settings.assets, ARCHITECTURES, ENDINGS).items():
            bits, where = ARCHITECTURES[platform], _where(file, program, _folder(settings, source, file))
            architecture[bits] = {"url": where["url"], "hash": file.sha256, **where}
            autoupdate[bits] = {key: _templated(value, spelled, source.home) for key, value in where.items()}
        app: dict[str, Any] = {
            "version": version,
            "description": settings.description,
            "homepage": settings.homepage,
            "license": settings.license.replace(" OR ", "|").replace(" AND ", ","),
            "architecture": architecture,
            "bin": program,
            **({"shortcuts": [[program, settings.shortcut]]} if settings.shortcut else {}),
        }
        if checkver := _checkver(source, version, spelled):
            app["checkver"] = checkver
            app["autoupdate"] = {
                "architecture": autoupdate,
                "hash": {"url": f"$baseurl/{CHECKSUMS}", "regex": r"(?m)^$sha256  $basename$"},
            }
        return Item(name, json.dumps(app, indent=4, ensure_ascii=False) + "\n")

    @staticmethod
    def version_in(text: str) -> str | None:
        try:
            stated = json.loads(text)["version"]
        except (ValueError, RecursionError, KeyError, TypeError):
            return None
        return stated if isinstance(stated, str) else None


def _folder(settings: ScoopSettings, source: Source, file: File) -> str | None:
    if settings.folder is None or file.raw:
        return None
    stem = next(file.name.removesuffix(ending) for ending in ENDINGS if file.name.endswith(ending))
    return source.filled(settings.folder.replace("{stem}", stem))


def _where(file: File, program: str, folder: str | None) -> dict[str, str]:
    """The address, in which ``#/`` gives a bare program its name, and the folder to take out of an archive."""
    url = f"{file.url}#/{program}" if file.raw and file.name != program else file.url
    return {"url": url, **({"extract_dir": folder} if folder else {})}


def _spelled(version: str) -> re.Pattern[str]:
    """*version* where it stands for itself, and is not a part of a longer number."""
    return re.compile(rf"(?<![0-9])(?<![0-9]\.){re.escape(version)}(?![0-9])")


def _templated(value: str, spelled: re.Pattern[str], home: str) -> str:
    """*value* for versions to come: ``$version`` in its place, wherever the release's own address is over."""
    fixed = home if value.startswith(home) else ""
    return fixed + spelled.sub("$version", value.removeprefix(fixed))


def _checkver(source: Source, version: str, spelled: re.Pattern[str]) -> dict[str, str] | None:
    """How Scoop's updater finds the newest release; its own expression knows ``1.2.3`` and ``v1.2.3``.

    None where the tag spells the version otherwise: from such a tag nobody can tell the next version.
    """
    tag = source.manifest.tag.name
    if tag in (version, f"v{version}"):
        return {"github": source.home}
    if (place := spelled.search(tag)) is None:
        return None
    before, after = (re.escape(quote(part)) for part in (tag[: place.start()], tag[place.end() :]))
    return {"github": source.home, "regex": rf"/releases/tag/{before}([\w.-]+){after}"}
