"""What every package manager is told of a release: settings in clean characters, and its files as anybody can get them.

Each manager's own module puts these into that manager's words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import Field, ValidationError

from releaser.adapters.http import LOOPBACK
from releaser.errors import ConfigError, RefusedError
from releaser.model.artifact import Artifact, Kind
from releaser.model.manifest import Manifest, PlannedDelivery
from releaser.model.policy import KindSettings
from releaser.model.spelling import Ecosystem, spell
from releaser.model.version import Version

S = TypeVar("S", bound=KindSettings)
Platform = TypeVar("Platform", bound=str)

Line = Annotated[str, Field(min_length=1, pattern=r"^[^\x00-\x1f\x7f\x{FFFE}\x{FFFF}]+$")]
_AFTER_SCHEME = r"[^\s\x00-\x1f\x7f\x{FFFE}\x{FFFF}]+$"
Address = Annotated[str, Field(pattern=rf"^https?://{_AFTER_SCHEME}")]
SecureAddress = Annotated[str, Field(pattern=rf"^https://{_AFTER_SCHEME}")]
Command = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")]
License = Annotated[str, Field(pattern=r"^[A-Za-z0-9.+-]+(?:(?: OR [A-Za-z0-9.+-]+)+|(?: AND [A-Za-z0-9.+-]+)+)?$")]


@dataclass(frozen=True, slots=True)
class File:
    """The release's file for one platform: ``raw`` is a program or installer itself, otherwise an archive."""

    os: str
    arch: str
    name: str
    url: str
    sha256: str
    raw: bool


@dataclass(frozen=True, slots=True)
class Source:
    """A release as one package manager sees it. ``download_base`` is where the forge serves files, without the
    repository.
    """

    manager: Ecosystem
    manifest: Manifest
    download_base: str

    @property
    def home(self) -> str:
        """The repository's page."""
        return f"{self.download_base.rstrip('/')}/{quote(self.manifest.repository.name)}"

    @property
    def page(self) -> str:
        """The release's page."""
        return f"{self.home}/releases/tag/{quote(self.manifest.tag.name, safe='')}"

    @property
    def downloads(self) -> str:
        """What the release's files hang below."""
        return f"{self.home}/releases/download/{quote(self.manifest.tag.name, safe='')}"

    def name(self, item: str | None, form: re.Pattern[str], wanted: str) -> str:
        """*item*, or else the repository's name in lower case; raises ConfigError ``delivery-name``."""
        name = item or self.manifest.repository.name.rpartition("/")[2].lower()
        if not form.fullmatch(name):
            raise self.unusable("delivery-name", name, wanted, "set `item`")
        return name

    def version(self) -> str:
        """The version as the manager spells it; raises ConfigError ``delivery-version``."""
        try:
            return spell(Version.parse(self.manifest.version), self.manager)
        except RefusedError as error:
            raise self.unusable("delivery-version", self.manifest.version, error.wanted, error.hint) from error

    def files(
        self, assets: Mapping[Platform, str], platforms: Iterable[Platform], endings: tuple[str, ...] = ("",)
    ) -> dict[Platform, File]:
        """The files that *assets* names, by platform (``os-arch``), in the order of *platforms*.

        Raises ConfigError ``delivery-asset`` where a pattern does not name one file that the manager can take, each
        with one of *endings*, and ``delivery-url`` where downloads would not be over https.
        """
        base = urlsplit(self.download_base)
        if base.scheme != "https" and base.hostname not in LOOPBACK:
            hint = "give the https address of the forge"
            raise self.unusable("delivery-url", self.download_base, "https://…", hint)
        found = {}
        for platform in (p for p in platforms if p in assets):
            os, _, arch = platform.partition("-")
            artifact = self._named(platform, assets[platform], endings)
            raw, url = artifact.kind is Kind.FILE, f"{self.downloads}/{artifact.name}"
            found[platform] = File(os, arch, artifact.name, url, artifact.sha256, raw)
        return found

    def filled(self, pattern: str) -> str:
        """*pattern* with ``{version}`` and ``{tag}`` replaced."""
        return pattern.replace("{version}", self.manifest.version).replace("{tag}", self.manifest.tag.name)

    def unusable(self, code: str, found: str, wanted: str, hint: str) -> ConfigError:
        """The error of a release that cannot be given to the manager."""
        message = f"{self.manager.capitalize()} cannot be given this release"
        return ConfigError(code, message, found=found, wanted=wanted, hint=hint)

    def _named(self, platform: str, pattern: str, endings: tuple[str, ...]) -> Artifact:
        wanted, hint = self.filled(pattern), f"edit `assets.{platform}`"
        found = [a for a in self.manifest.artifacts if fnmatchcase(a.name, wanted)]
        if len(found) != 1:
            names = ", ".join(a.name for a in found) or "nothing"
            raise self.unusable("delivery-asset", f"{wanted} matches {names}", "exactly one artifact", hint)
        (artifact,) = found
        named = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", artifact.name)
        if artifact.kind not in (Kind.ARCHIVE, Kind.FILE) or not named:
            words = "an archive or a program, named with letters, digits, `.`, `_` and `-`"
            raise self.unusable("delivery-asset", f"{artifact.name} ({artifact.kind})", words, hint)
        if not artifact.name.endswith(endings):
            raise self.unusable("delivery-asset", artifact.name, f"a name in {', '.join(endings)}", hint)
        if not re.fullmatch("[0-9a-f]{64}", artifact.sha256):
            raise self.unusable("delivery-asset", f"{artifact.name}: {artifact.sha256}", "a SHA-256", "assemble again")
        return artifact


def settings_of(entry: PlannedDelivery, shape: type[S]) -> S:
    """The kind's own keys of *entry*; raises ConfigError ``delivery-settings``."""
    try:
        return shape.model_validate(dict(entry.settings))
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise ConfigError(
            "delivery-settings",
            f"the settings of {entry.id} cannot be used",
            object=entry.id,
            found=f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}",
            hint=f"edit [downstream.{entry.id}]",
        ) from error


def objections(render: Callable[[], object]) -> Sequence[str]:
    """Why *render* cannot do its work, in a sentence; nothing when it can."""
    try:
        render()
    except ConfigError as error:
        wanted = f", wanted {error.wanted}" if error.wanted else ""
        return (f"{error.message}: found {error.found}{wanted}; {error.hint}",)
    return ()
