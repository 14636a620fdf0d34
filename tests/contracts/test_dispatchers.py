"""Every package manager: what is delivered is there once, and what somebody else put there is never overwritten."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from releaser.adapters.chocolatey import Chocolatey
from releaser.adapters.endpoints import ChocolateyEndpoints
from releaser.adapters.homebrew import HomebrewCask, HomebrewFormula
from releaser.adapters.http import Client
from releaser.adapters.scoop import Scoop
from releaser.adapters.tap_item import TapItem
from releaser.engine.ports import Dispatcher, Sent
from releaser.model.facts import DeliveryState
from releaser.model.manifest import Manifest, PlannedDelivery
from releaser.rehearsal.chocolatey import Chocolatey as Feed
from releaser.rehearsal.server import Fault, Faults, Journal
from tests.adapters import taps
from tests.adapters.taps import BASE, TAP, manifest
from tests.adapters.wires import Clock
from tests.contracts.table import Column, Documented, Instead, columns

TITLE = "Dispatchers: package managers of the rehearsal world"

FORMULA, CASK = Column("formula", "Homebrew formula"), Column("cask", "Homebrew cask")
SCOOP, CHOCOLATEY = Column("scoop", "Scoop"), Column("chocolatey", "Chocolatey")
UNIX = {"macos-arm64": "tool-{version}-arm64.tar.gz", "linux-x86_64": "tool-{version}-amd64.tar.gz"}
WINDOWS = {"windows-x86_64": "tool-{version}-x64.zip"}
ABOUT = {"description": "Does one thing, and does it well enough", "homepage": "https://tool.example.invalid/"}
LINES, UNREADABLE = "two\nlines", "one point two"
SIDE_BY_SIDE = "a feed keeps all versions, and its clients take the highest: a later patch moves nobody down"
OTHERS = "a feed keeps a version as it was first pushed, whoever pushed it, so this is for people to sort out"


@dataclass(frozen=True)
class Manager:
    """One package manager with its rehearsal server."""

    dispatcher: Dispatcher
    entry: PlannedDelivery
    assets: dict[str, str]
    by_hand: Callable[[str], object]
    """Somebody else's file, or package, of a version."""
    writes: Callable[[], int]
    """How often what users get was changed so far."""
    faults: Faults
    operation: str
    """The last request of a delivery, as faults name it."""

    def release(self, version: str = "1.2.3") -> Manifest:
        return manifest(self.assets, version)

    def deliver(self, version: str = "1.2.3") -> Sent:
        return self.dispatcher.deliver(self.entry, self.release(version)).sent

    def state(self, version: str = "1.2.3") -> DeliveryState:
        return self.dispatcher.observe(self.entry, self.release(version)).state


def _entry(kind: str, repository: str, via: str, settings: dict[str, Any]) -> PlannedDelivery:
    data = {"id": kind, "kind": kind, "repository": repository, "via": via, "needs": (), "settings": settings}
    return PlannedDelivery.model_validate(data)


def _described(entry: PlannedDelivery, text: str) -> PlannedDelivery:
    return entry.model_copy(update={"settings": {**entry.settings, "description": text}})


@contextmanager
def _tap(root: Path, kind: type[TapItem[Any]], assets: dict[str, str], path: str, stranger: str) -> Iterator[Manager]:
    licence = {} if kind is HomebrewCask else {"license": "MIT"}
    with taps.up(root) as tap:
        before = tap.commits()
        yield Manager(
            tap.of(kind),
            _entry(kind.kind, TAP, "commit", {**ABOUT, **licence, "assets": assets}),
            assets,
            lambda version: tap.write(path, stranger.replace("VERSION", version).encode()),
            lambda: tap.commits() - before,
            tap.server.faults,
            "github.update-ref",
        )


@contextmanager
def _feed(root: Path) -> Iterator[Manager]:
    journal, faults = Journal(), Faults()
    feed = Feed(root / "feed", journal, faults)
    feed.start()
    with closing(Client(clock=Clock())) as client:
        dispatcher = Chocolatey(ChocolateyEndpoints(feed.feed), client, feed.api_key, BASE)
        settings = {**ABOUT, "authors": "The Tool Makers", "tags": ["tool"], "assets": WINDOWS}
        entry = _entry("chocolatey", "https://packages.example.invalid/api/v2", "push", settings)
        other = entry.model_copy(
            update={"settings": {**settings, "description": "Somebody else's, of the same version"}}
        )
        yield Manager(
            dispatcher,
            entry,
            WINDOWS,
            lambda version: None if version == UNREADABLE else dispatcher.deliver(other, manifest(WINDOWS, version)),
            lambda: len(journal.writes()),
            faults,
            "chocolatey.push",
        )
    feed.stop()


@pytest.fixture(params=columns(FORMULA, CASK, SCOOP, CHOCOLATEY))
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    formula, cask = 'class Tool < Formula\n  version "VERSION"\nend\n', 'cask "tool" do\n  version "VERSION"\nend\n'
    made: dict[Column, Callable[[], AbstractContextManager[Manager]]] = {
        FORMULA: lambda: _tap(tmp_path, HomebrewFormula, UNIX, "Formula/tool.rb", formula),
        CASK: lambda: _tap(tmp_path, HomebrewCask, UNIX, "Casks/tool.rb", cask),
        SCOOP: lambda: _tap(tmp_path, Scoop, WINDOWS, "bucket/tool.json", '{"version": "VERSION"}'),
        CHOCOLATEY: lambda: _feed(tmp_path),
    }
    with made[request.param]() as manager:
        yield manager


def test_nothing_is_there_before_a_delivery(manager: Manager) -> None:
    """Before a delivery nothing is there."""
    assert (manager.state(), manager.writes()) == (DeliveryState.ABSENT, 0)


def test_a_delivery_is_read_back(manager: Manager) -> None:
    """A delivery is accepted, and read back as ours."""
    assert manager.deliver() is Sent.ACCEPTED
    assert (manager.state(), manager.writes()) == (DeliveryState.SAME, 1)


def test_a_second_delivery_changes_nothing(manager: Manager, documented: Documented) -> None:
    """A second delivery changes nothing."""
    manager.deliver()
    unknown = Instead(Sent.UNKNOWN, "a feed answers 409 to what exists, whatever it holds; the read-back decides")
    assert manager.deliver() is documented(Sent.ACCEPTED, chocolatey=unknown)
    assert (manager.state(), manager.writes()) == (DeliveryState.SAME, 1)


def test_the_next_version_takes_its_place(manager: Manager) -> None:
    """The next version is delivered after it."""
    manager.deliver()
    assert manager.deliver("1.3.0") is Sent.ACCEPTED
    assert (manager.state("1.3.0"), manager.writes()) == (DeliveryState.SAME, 2)


def test_a_late_patch_moves_nobody_down(manager: Manager, documented: Documented) -> None:
    """A late patch of an older line does not replace a newer version (T67)."""
    manager.deliver("2.0.0")
    assert manager.state("1.9.1") is documented(
        DeliveryState.NEWER, chocolatey=Instead(DeliveryState.ABSENT, SIDE_BY_SIDE)
    )
    assert manager.deliver("1.9.1") is documented(Sent.REFUSED, chocolatey=Instead(Sent.ACCEPTED, SIDE_BY_SIDE))
    assert manager.state("2.0.0") is DeliveryState.SAME


def test_another_content_under_our_version(manager: Manager, documented: Documented) -> None:
    """Somebody else's file of our version is not taken for ours."""
    manager.by_hand("1.2.3")
    assert manager.state() is documented(DeliveryState.ABSENT, chocolatey=Instead(DeliveryState.CONFLICT, OTHERS))


def test_a_file_without_a_readable_version_stays(manager: Manager, documented: Documented) -> None:
    """A file whose version cannot be read is never overwritten (T67)."""
    none = Instead(DeliveryState.ABSENT, "a feed takes no package without a version, so none can be there")
    manager.by_hand(UNREADABLE)
    before = manager.writes()
    assert manager.state() is documented(DeliveryState.CONFLICT, chocolatey=none)
    taken = Instead((Sent.ACCEPTED, before + 1), none.why)
    assert (manager.deliver(), manager.writes()) == documented((Sent.REFUSED, before), chocolatey=taken)


def test_a_lost_answer_is_found_by_reading(manager: Manager) -> None:
    """An answer that is lost after the effect is unknown, and found by reading (T45)."""
    manager.faults.add(Fault(manager.operation, "drop"))
    assert manager.deliver() is Sent.UNKNOWN
    assert (manager.state(), manager.writes()) == (DeliveryState.SAME, 1)


def test_an_error_before_the_effect_leaves_nothing(manager: Manager) -> None:
    """An error before the effect is unknown too, and nothing is found; the delivery can be repeated."""
    manager.faults.add(Fault(manager.operation, "status", status=502))
    assert manager.deliver() is Sent.UNKNOWN
    assert (manager.state(), manager.writes()) == (DeliveryState.ABSENT, 0)
    assert manager.deliver() is Sent.ACCEPTED
    assert manager.state() is DeliveryState.SAME


def test_a_missing_right_is_a_refusal(manager: Manager) -> None:
    """A missing right is a refusal, of the right or of the delivery, in the server's words."""
    manager.faults.add(Fault(manager.operation, "status", status=403))
    receipt = manager.dispatcher.deliver(manager.entry, manager.release())
    assert receipt.sent is (Sent.DENIED if manager.entry.kind == "chocolatey" else Sent.REFUSED)
    assert (bool(receipt.detail), manager.writes()) == (True, 0)


def test_a_release_without_its_file_is_objected_to(manager: Manager) -> None:
    """A release that lacks the file that users would download is objected to, and nothing is sent."""
    (objection, *_) = manager.dispatcher.objections(manager.entry, manifest({"windows-arm64": "other.zip"}))
    assert next(iter(manager.assets.values())).partition("{")[0] in objection
    assert (list(manager.dispatcher.objections(manager.entry, manager.release())), manager.writes()) == ([], 0)


@pytest.mark.parametrize("text", ['"; exit #{exit} $(exit) `exit`', "'@ ]]> </id> & \\ \u2019"], ids=["quotes", "ends"])
def test_hostile_text_stays_text(manager: Manager, text: str) -> None:
    """Text with quotes, interpolation and the ends of literals is delivered as text, or objected to (T62)."""
    entry = _described(manager.entry, f"{text} and then enough about all of it")
    assert list(manager.dispatcher.objections(entry, manager.release())) == []
    assert manager.dispatcher.deliver(entry, manager.release()).sent is Sent.ACCEPTED
    assert manager.dispatcher.observe(entry, manager.release()).state is DeliveryState.SAME


@pytest.mark.parametrize("text", [LINES, "a\x00b", "\x1b[2J"], ids=["line end", "nul", "escape"])
def test_control_characters_are_refused(manager: Manager, text: str, documented: Documented) -> None:
    """A line end or a control character in a description is objected to."""
    entry = _described(manager.entry, f"{text} and then enough about all of it")
    markdown = Instead(0, "a package's description is Markdown of several lines")
    several = {"chocolatey": markdown} if text == LINES else {}
    wanted = documented(1, **several)
    assert len(list(manager.dispatcher.objections(entry, manager.release()))) == wanted
