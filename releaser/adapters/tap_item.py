"""One file in a repository that a package manager reads, by commit or by pull request: a Homebrew tap, a Scoop bucket.

A manager's class says what its file holds, where such files lie, and how a version is read out of one; everything
else is the same for all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, Generic

from releaser.adapters.delivery import S, Source, objections, settings_of
from releaser.engine.ports import Receipt, Sent, Tap
from releaser.errors import ConfigError, ConflictError, ExternalError
from releaser.model.facts import Delivery, DeliveryState
from releaser.model.manifest import Manifest, PlannedDelivery
from releaser.model.spelling import Ecosystem
from releaser.model.version import Version


@dataclass(frozen=True, slots=True)
class Item:
    """What users install by ``name``, and the text of its file."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What should be in the tap, at *path* of *branch*, and how what is there stands to it."""

    item: Item
    branch: str
    path: str
    state: DeliveryState
    detail: str

    @property
    def content(self) -> bytes:
        return self.item.text.encode()


class TapItem(ABC, Generic[S]):
    """`Dispatcher` for one kind of file in a tap. *tap_for* opens the tap of a repository's name.

    *download_base* is where the forge serves release files, without the repository.
    """

    kind: str
    manager: ClassVar[Ecosystem]
    suffix: ClassVar[str]
    folders: ClassVar[tuple[str, ...]]
    """Where the manager looks for files: in the first of these that exists and in no other. Empty is the top."""
    Settings: type[S]

    def __init__(self, tap_for: Callable[[str], Tap], download_base: str) -> None:
        self._tap_for = tap_for
        self._base = download_base

    @staticmethod
    @abstractmethod
    def render(settings: S, source: Source) -> Item:
        """The file of a release. Pure; raises ConfigError ``delivery-…`` for what cannot be rendered."""

    @staticmethod
    @abstractmethod
    def version_in(text: str) -> str | None:
        """The version that a file of this kind states, None where none is found."""

    def objections(self, entry: PlannedDelivery, manifest: Manifest) -> Iterable[str]:
        return objections(lambda: self._rendered(entry, manifest))

    def ready(self, entry: PlannedDelivery) -> None:
        """Nothing to say: the tap's token is only shown to be good by writing."""

    def observe(self, entry: PlannedDelivery, manifest: Manifest) -> Delivery:
        tap = self._tap_for(entry.repository)
        wanted = self._wanted(tap, entry, manifest)
        if wanted.state is DeliveryState.ABSENT and entry.via == "pull-request":
            branch = _branch(wanted.item, manifest)
            url = tap.open_pull_request(branch)
            if url is not None and tap.file(wanted.path, branch) == wanted.content:
                return Delivery(DeliveryState.PROPOSED, url)
        return Delivery(wanted.state, wanted.detail)

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
        if wanted.state is not DeliveryState.ABSENT:
            same = wanted.state is DeliveryState.SAME
            return Receipt(Sent.ACCEPTED if same else Sent.REFUSED, wanted.detail)
        title = f"{wanted.item.name} {manifest.version}"
        if entry.via == "commit":
            return Receipt(Sent.ACCEPTED, tap.commit(wanted.branch, wanted.path, wanted.content, title))
        branch = _branch(wanted.item, manifest)
        if tap.file(wanted.path, branch) != wanted.content:
            tap.commit(branch, wanted.path, wanted.content, title)
        return Receipt(Sent.ACCEPTED, tap.pull_request(branch, title, self._body(wanted.item, manifest)))

    def _rendered(self, entry: PlannedDelivery, manifest: Manifest) -> Item:
        return self.render(settings_of(entry, self.Settings), Source(self.manager, manifest, self._base))

    def _wanted(self, tap: Tap, entry: PlannedDelivery, manifest: Manifest) -> _Wanted:
        item = self._rendered(entry, manifest)
        branch = tap.default_branch()
        path, found = self._place(tap, branch, item.name + self.suffix)
        state, said = self._compare(item, found, manifest.version)
        return _Wanted(item, branch, path, state, f"{path} on {branch}{said}")

    def _compare(self, item: Item, found: bytes | None, version: str) -> tuple[DeliveryState, str]:
        """What is to be thought of the file that is there. One whose version cannot be read may be newer (T67)."""
        if found is None:
            return DeliveryState.ABSENT, ""
        if found == item.text.encode():
            return DeliveryState.SAME, ""
        stated = self.version_in(found.decode(errors="replace"))
        if stated is None:
            return DeliveryState.CONFLICT, " states no version that can be read"
        try:
            there = Version.parse(stated)
        except ConfigError:
            return DeliveryState.CONFLICT, f" states the version {stated!a}, which cannot be compared"
        if there > Version.parse(version):
            return DeliveryState.NEWER, f" is at {there}"
        return DeliveryState.ABSENT, ""

    def _place(self, tap: Tap, branch: str, name: str) -> tuple[str, bytes | None]:
        """Where the file is, or belongs, and what is there.

        A new folder ahead of the one that is read now would hide the rest of the tap. A folder's files may be
        sorted into folders by first letter.
        """
        for folder in self.folders:
            prefix = f"{folder}/" if folder else ""
            for path in (prefix + name, f"{prefix}{name[0]}/{name}"):
                if (found := tap.file(path, branch)) is not None:
                    return path, found
            listing = tap.file(folder, branch)
            if listing is not None and (folder or f"{self.suffix}\n".encode() in listing):
                return prefix + name, None
        return f"{self.folders[0]}/{name}", None

    def _body(self, item: Item, manifest: Manifest) -> str:
        page = Source(self.manager, manifest, self._base).page
        return f"Updates `{item.name}` to {manifest.version}.\n\n- Release: {page}\n- Manifest: `{manifest.digest()}`\n"


def _branch(item: Item, manifest: Manifest) -> str:
    return f"releaser/{item.name}-{manifest.version}"
