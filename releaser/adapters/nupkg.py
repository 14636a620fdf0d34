"""A Chocolatey package as bytes: pure functions of the settings and the release, the same bytes every time.

Container: NuGet/NuGet.Client PackageBuilder.cs. Manifest: chocolatey/NuGet.Client nuspec.xsd. Script: chocolatey/choco
helpers Install-ChocolateyZipPackage, Install-ChocolateyPackage, Get-ChocolateyWebFile.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal
from xml.etree.ElementTree import Element, tostring

from pydantic import Field

from releaser.adapters.delivery import Address, Command, File, Line, SecureAddress, Source
from releaser.model.policy import KindSettings, Strings

Platform = Literal["windows-x86_64", "windows-x86"]
PLATFORMS: tuple[Platform, ...] = ("windows-x86", "windows-x86_64")
ENDINGS = (".zip", ".exe", ".msi")
ID = re.compile(r"(?=.{1,100}$)[a-z0-9]+(?:[.-][a-z0-9]+)*")
NUSPEC = "http://schemas.microsoft.com/packaging/2011/10/nuspec.xsd"
OPC = "http://schemas.openxmlformats.org/package/2006"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say

Text = Annotated[str, Field(min_length=30, max_length=4000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f\x{FFFE}\x{FFFF}]+$")]


class ChocolateySettings(KindSettings):
    """What a package says beyond the manifest."""

    feed = True

    item: str | None = None
    """The package's id; the repository's name in lower case by default."""
    title: Line | None = None
    """The name that people read; the id by default."""
    description: Text
    """What it is, as Markdown, in 30 to 4000 characters."""
    summary: Line | None = None
    """The same in one line."""
    authors: Line
    """Who makes the program."""
    homepage: Address
    """Where people read about it."""
    license_url: Address | None = None
    """Where its licence can be read."""
    icon_url: Address | None = None
    """Its icon, as PNG or SVG."""
    tags: Annotated[Strings, Field(min_length=1)]
    """Words to find it by, without blanks or commas."""
    binary: Command | None = None
    """The command that is installed, without `.exe`, where the file is the program itself; the id by default."""
    silent_args: Line | None = None
    """What an installer needs to ask nothing. With it an `.exe` is an installer; an `.msi` always is one, and is given
    `/qn /norestart` by default.
    """
    assets: dict[Platform, Line] = Field(min_length=1)
    """The release's file for each of `windows-x86_64`, `windows-x86`: a name or pattern in which `{version}` and
    `{tag}` are replaced. All are `.zip` archives of programs, or programs, or installers.
    """
    push: SecureAddress | None = None
    """Where packages are pushed, over `https`, as `choco push --source` takes it; to the feed itself by default."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package by id and version, and its bytes."""

    id: str
    version: str
    content: bytes


def render(settings: ChocolateySettings, source: Source) -> Package:
    """The package of a release. Pure; raises ConfigError ``delivery-…`` for what cannot be rendered."""
    name = source.name(settings.item, ID, "lower-case letters and digits, with single `.` and `-` between")
    if wrong := next((tag for tag in settings.tags if not re.fullmatch(r"[^\s,\x00-\x1f\x7f]+", tag)), None):
        raise source.unusable("delivery-settings", f"tags: {wrong!a}", "words without blanks or commas", "edit `tags`")
    version = source.version()
    files = source.files(settings.assets, PLATFORMS, ENDINGS)
    nuspec = _nuspec(settings, source, name, version)
    script = install_script(settings, source, name, files)
    return Package(name, version, _archive(settings, name, version, nuspec, script))


def install_script(settings: ChocolateySettings, source: Source, name: str, files: Mapping[Platform, File]) -> bytes:
    """``chocolateyinstall.ps1``, with the byte order mark without which Windows PowerShell takes it for ANSI."""
    endings = {file.name.rpartition(".")[2] for file in files.values()}
    if len(endings) != 1:
        hint = "give files of one ending in `assets`"
        raise source.unusable("delivery-asset", ", ".join(sorted(endings)), "archives, programs or installers", hint)
    (ending,) = endings
    arguments = {"packageName": _quoted(name)}
    if ending == "zip":
        command = "Install-ChocolateyZipPackage"
        arguments["unzipLocation"] = "$toolsDir"
    elif ending == "msi" or settings.silent_args:
        command = "Install-ChocolateyPackage"
        arguments["fileType"] = _quoted(ending)
        arguments["silentArgs"] = _quoted(settings.silent_args or "/qn /norestart")
        arguments["validExitCodes"] = "@(0, 1641, 3010)"
    else:
        command = "Get-ChocolateyWebFile"
        arguments["fileFullPath"] = f"(Join-Path $toolsDir {_quoted(f'{settings.binary or name}.exe')})"
    for platform, file in files.items():
        url, bits = ("url64bit", "64") if platform == "windows-x86_64" else ("url", "")
        arguments |= {
            url: _quoted(file.url),
            f"checksum{bits}": _quoted(file.sha256),
            f"checksumType{bits}": "'sha256'",
        }
    width = max(map(len, arguments))
    lines = (
        "$ErrorActionPreference = 'Stop'",
        "$toolsDir = Split-Path -Parent $MyInvocation.MyCommand.Definition",
        "$packageArgs = @{",
        *(f"  {key:<{width}} = {value}" for key, value in arguments.items()),
        "}",
        f"{command} @packageArgs",
    )
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8-sig")


def _quoted(text: str) -> str:
    """*text* as a PowerShell literal in which nothing is expanded.

    Any of the five quotation marks that PowerShell takes for a single one ends it, unless doubled.
    """
    return "'" + re.sub("(['\u2018\u2019\u201a\u201b])", r"\1\1", text) + "'"


def _nuspec(settings: ChocolateySettings, source: Source, name: str, version: str) -> bytes:
    stated = {
        "id": name,
        "version": version,
        "title": settings.title or name,
        "authors": settings.authors,
        "projectUrl": settings.homepage,
        "licenseUrl": settings.license_url,
        "iconUrl": settings.icon_url,
        "packageSourceUrl": source.home,
        "requireLicenseAcceptance": "false",
        "tags": " ".join(settings.tags),
        "summary": settings.summary,
        "description": settings.description,
        "releaseNotes": source.page,
    }
    metadata = Element("metadata")
    metadata.extend(_element(key, value) for key, value in stated.items() if value is not None)
    return _document(_element("package", xmlns=NUSPEC), [metadata])


def _archive(settings: ChocolateySettings, name: str, version: str, nuspec: bytes, script: bytes) -> bytes:
    """An Open Packaging Conventions container, stored, so that no compressor has a say in its bytes."""
    properties = f"package/services/metadata/core-properties/{hashlib.sha256(nuspec).hexdigest()[:32]}.psmdcp"
    parts = {
        "_rels/.rels": _relationships(f"{name}.nuspec", properties),
        f"{name}.nuspec": nuspec,
        "tools/chocolateyinstall.ps1": script,
        "[Content_Types].xml": _content_types(),
        properties: _core_properties(settings, name, version),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for path, content in parts.items():
            entry = zipfile.ZipInfo(path, EPOCH)
            entry.create_system = 0  # the same on every system
            archive.writestr(entry, content)
    return out.getvalue()


def _relationships(nuspec: str, properties: str) -> bytes:
    targets = {
        "http://schemas.microsoft.com/packaging/2010/07/manifest": nuspec,
        f"{OPC}/relationships/metadata/core-properties": properties,
    }
    root = _element("Relationships", xmlns=f"{OPC}/relationships")
    numbered = enumerate(targets.items(), 1)
    return _document(root, [_element("Relationship", Type=t, Target=f"/{to}", Id=f"R{n}") for n, (t, to) in numbered])


def _content_types() -> bytes:
    types = {
        "rels": "application/vnd.openxmlformats-package.relationships+xml",
        "psmdcp": "application/vnd.openxmlformats-package.core-properties+xml",
        "nuspec": "application/octet",
        "ps1": "application/octet",
    }
    root = _element("Types", xmlns=f"{OPC}/content-types")
    return _document(root, [_element("Default", Extension=e, ContentType=t) for e, t in types.items()])


def _core_properties(settings: ChocolateySettings, name: str, version: str) -> bytes:
    stated = {
        "dc:creator": settings.authors,
        "dc:description": settings.description,
        "dc:identifier": name,
        "version": version,
        "keywords": " ".join(settings.tags),
        "lastModifiedBy": "releaser",
    }
    root = Element(
        "coreProperties", {"xmlns": f"{OPC}/metadata/core-properties", "xmlns:dc": "http://purl.org/dc/elements/1.1/"}
    )
    return _document(root, [_element(key, value) for key, value in stated.items()])


def _element(name: str, text: str | None = None, **attributes: str) -> Element:
    element = Element(name, attributes)
    element.text = text
    return element


def _document(root: Element, children: Iterable[Element]) -> bytes:
    root.extend(children)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{tostring(root, "unicode")}\n'.encode()
