"""Homebrew: a formula or a cask in a tap, by commit or by pull request.

Places: Homebrew/brew docs/Taps.md, docs/How-to-Create-and-Maintain-a-Tap.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import ValidationError

from releaser.adapters.homebrew_render import CaskSettings, FormulaSettings, item_name, render_cask, render_formula
from releaser.engine.ports import Receipt, Sent, Tap
from releaser.errors import ConfigError, ConflictError, ExternalError
from releaser.model.facts import Delivery, DeliveryState
from releaser.model.manifest import Manifest, PlannedDelivery
from releaser.model.version import Version

__all__ = ["CaskSettings", "FormulaSettings", "HomebrewCask", "HomebrewFormula", "render_cask", "render_formula"]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What should be in the tap: *content* at *path*; ``found`` is what its default branch has there."""

    item: str
    content: bytes
    branch: str
    path: str
    found: bytes | None


class _Homebrew:
    """One kind of file in a tap. *tap_for* opens the tap of a repository's name.

    *download_base* is where the forge serves release files, without the repository.
    """

    kind: str
    Settings: ClassVar[type[FormulaSettings | CaskSettings]]
    _render: ClassVar[staticmethod[[Any, Manifest, str], str]]
    _folders: ClassVar[tuple[str, ...]]

    def __init__(self, tap_for: Callable[[str], Tap], download_base: str) -> None:
        self._tap_for = tap_for
        self._base = download_base.rstrip("/")

    def objections(self, entry: PlannedDelivery, manifest: Manifest) -> Iterable[str]:
        try:
            self._rendered(entry, manifest)
        except ConfigError as error:
            wanted = f", wanted {error.wanted}" if error.wanted else ""
            yield f"{error.message}: found {error.found}{wanted}; {error.hint}"

    def observe(self, entry: PlannedDelivery, manifest: Manifest) -> Delivery:
        tap = self._tap_for(entry.repository)
        wanted = self._wanted(tap, entry, manifest)
        if wanted.found == wanted.content:
            return Delivery(DeliveryState.SAME, f"{wanted.path} on {wanted.branch}")
        if newer := _newer(wanted.found, manifest.version):
            return Delivery(DeliveryState.NEWER, f"{wanted.path} on {wanted.branch} is at {newer}")
        branch = _branch(wanted.item, manifest)
        if entry.via == "pull-request":
            url = tap.open_pull_request(branch)
            if url is not None and tap.file(wanted.path, branch) == wanted.content:
                return Delivery(DeliveryState.PROPOSED, url)
        return Delivery(DeliveryState.ABSENT, f"{wanted.path} on {wanted.branch}")

    def deliver(self, entry: PlannedDelivery, manifest: Manifest) -> Receipt:
        """Commit or propose the rendered file, once; what is there already is left as it is, what is newer too."""
        tap = self._tap_for(entry.repository)
        try:
            return self._deliver(tap, entry, manifest)
        except ConflictError as error:
            return Receipt(Sent.LATER, str(error))
        except ExternalError as error:
            sent = Sent.UNKNOWN if error.retryable else Sent.REFUSED
            return Receipt(sent, f"{error} ({error.found})" if error.found else str(error))

    def _deliver(self, tap: Tap, entry: PlannedDelivery, manifest: Manifest) -> Receipt:
        wanted = self._wanted(tap, entry, manifest)
        if wanted.found == wanted.content:
            return Receipt(Sent.ACCEPTED, f"{wanted.path} is there")
        if newer := _newer(wanted.found, manifest.version):
            return Receipt(Sent.REFUSED, f"{wanted.path} is at {newer}, which is newer")
        title = f"{wanted.item} {manifest.version}"
        if entry.via == "commit":
            return Receipt(Sent.ACCEPTED, tap.commit(wanted.branch, wanted.path, wanted.content, title))
        branch = _branch(wanted.item, manifest)
        if tap.file(wanted.path, branch) != wanted.content:
            tap.commit(branch, wanted.path, wanted.content, title)
        return Receipt(Sent.ACCEPTED, tap.pull_request(branch, title, self._body(wanted.item, manifest)))

    def _rendered(self, entry: PlannedDelivery, manifest: Manifest) -> tuple[str, bytes]:
        try:
            settings = self.Settings.model_validate(dict(entry.settings))
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            raise ConfigError(
                "homebrew-settings",
                f"the settings of {entry.id} cannot be used",
                object=entry.id,
                found=f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}",
                hint=f"edit [downstream.{entry.id}]",
            ) from error
        return item_name(settings, manifest), self._render(settings, manifest, self._base).encode()

    def _wanted(self, tap: Tap, entry: PlannedDelivery, manifest: Manifest) -> _Wanted:
        item, content = self._rendered(entry, manifest)
        branch = tap.default_branch()
        path, found = self._place(tap, branch, f"{item}.rb")
        return _Wanted(item, content, branch, path, found)

    def _place(self, tap: Tap, branch: str, name: str) -> tuple[str, bytes | None]:
        """Where the file is, or belongs, and what is there.

        Homebrew reads the first of its folders that exists and no other, so a new one would hide the rest of
        the tap. A folder's files may be sorted into folders by first letter.
        """
        for folder in self._folders:
            prefix = f"{folder}/" if folder else ""
            for path in (prefix + name, f"{prefix}{name[0]}/{name}"):
                if (found := tap.file(path, branch)) is not None:
                    return path, found
            listing = tap.file(folder, branch)
            if listing is not None and (folder or b".rb\n" in listing):
                return prefix + name, None
        return f"{self._folders[0]}/{name}", None

    def _body(self, item: str, manifest: Manifest) -> str:
        release = f"{self._base}/{manifest.repository.name}/releases/tag/{manifest.tag.name}"
        return f"Updates `{item}` to {manifest.version}.\n\n- Release: {release}\n- Manifest: `{manifest.digest()}`\n"


class HomebrewFormula(_Homebrew):
    """A formula for prebuilt programs."""

    kind = "homebrew-formula"
    Settings = FormulaSettings
    _render = staticmethod(render_formula)
    _folders = ("Formula", "HomebrewFormula", "")


class HomebrewCask(_Homebrew):
    """A cask for prebuilt programs."""

    kind = "homebrew-cask"
    Settings = CaskSettings
    _render = staticmethod(render_cask)
    _folders = ("Casks",)


def _branch(item: str, manifest: Manifest) -> str:
    return f"releaser/{item}-{manifest.version}"


def _newer(found: bytes | None, version: str) -> str | None:
    """The version that the file *found* is at, when it can be read and is newer than *version*."""
    if found is None:
        return None
    text = found.decode(errors="replace")
    stated = re.search(r'^\s*version\s+"([^"]*)"', text, re.MULTILINE)
    stated = stated or re.search(r'/releases/download/[^/"]*?(\d+\.\d+\.\d+[^/"]*)/', text)
    if stated is None:
        return None
    try:
        there = Version.parse(stated[1])
    except ConfigError:
        return None
    return str(there) if there > Version.parse(version) else None
