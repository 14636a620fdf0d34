"""Homebrew: the Ruby that is rendered, and how it gets into a tap."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from releaser.adapters.github_tap import GitHubTap
from releaser.adapters.homebrew import (
    CaskSettings,
    FormulaSettings,
    HomebrewCask,
    HomebrewFormula,
    render_cask,
    render_formula,
)
from releaser.engine.ports import Dispatcher, Sent
from releaser.errors import ConfigError
from releaser.model.artifact import Artifact, Kind
from releaser.model.document import Sha256
from releaser.model.facts import DeliveryState
from releaser.model.manifest import Manifest, PlannedDelivery, PolicyRef, RepositoryRef, TagRef
from releaser.rehearsal.github import GitHub as Rehearsal
from releaser.rehearsal.gitrepo import BareRepository, Person
from releaser.rehearsal.server import Fault, Faults, Journal

BASE = "https://forge.example.invalid"
GOLDEN = Path(__file__).parent / "golden"
PLATFORMS = ("macos-arm64", "macos-x86_64", "linux-arm64", "linux-x86_64")
TRIPLES = ("aarch64-apple-darwin", "x86_64-apple-darwin", "aarch64-unknown-linux-gnu", "x86_64-unknown-linux-gnu")
ARCHIVES = {p: f"tool-{{version}}-{t}.tar.gz" for p, t in zip(PLATFORMS, TRIPLES, strict=True)}
BINARIES = {p: f"tool-{p}" for p in PLATFORMS}
UNEVEN = {**BINARIES, "linux-x86_64": "tool-linux-amd64"}
ABOUT = {"description": "Does one thing", "homepage": "https://tool.example.invalid/#start"}
HOSTILE = {"description": '"; system("id") # #{`id`} #$0 #@a \\', "homepage": 'https://x.example.invalid/"#{exit}'}


def manifest(
    assets: dict[str, str], version: str = "1.2.3", tag: str = "v{version}", repository: str = "acme/Tool"
) -> Manifest:
    """A release whose files are those of *assets*; archives by their suffix."""
    tag = tag.replace("{version}", version)
    names = sorted({a.replace("{version}", version).replace("{tag}", tag) for a in assets.values()})
    return Manifest(
        repository=RepositoryRef(name=repository, id=1),
        tag=TagRef(name=tag, object="a" * 40, commit="a" * 40),
        version=version,
        channel="stable",
        policy=PolicyRef(path="releaser.toml", digest=Sha256("sha256:" + "0" * 64)),
        artifacts=tuple(artifact(name, f"{number:x}" * 64) for number, name in enumerate(names, 1)),
        publications=(),
        downstream=(),
    )


def artifact(name: str, sha256: str = "f" * 64, kind: Kind | None = None) -> Artifact:
    found = kind or (Kind.ARCHIVE if name.endswith((".tar.gz", ".zip")) else Kind.FILE)
    return Artifact(name=name, kind=found, group="binaries", size=1, sha256=sha256)


def some(assets: dict[str, str], *platforms: str) -> dict[str, str]:
    return {p: a for p, a in assets.items() if p in platforms}


def formula(assets: dict[str, str], about: dict[str, str] = ABOUT, **more: Any) -> FormulaSettings:
    return FormulaSettings.model_validate({**about, "license": "MIT", "assets": assets, **more})


def cask(assets: dict[str, str], about: dict[str, str] = ABOUT, **more: Any) -> CaskSettings:
    return CaskSettings.model_validate({**about, "assets": assets, **more})


# Rendering

MAC = ("macos-arm64", "macos-x86_64")


@pytest.mark.parametrize(
    ("golden", "rendered"),
    [
        ("formula-archives.rb", lambda: render_formula(formula(ARCHIVES), manifest(ARCHIVES), BASE)),
        ("formula-binaries.rb", lambda: render_formula(formula(BINARIES), manifest(BINARIES), BASE)),
        (
            "formula-one-platform.rb",
            lambda: render_formula(formula(some(BINARIES, "macos-arm64")), manifest(BINARIES), BASE),
        ),
        (
            "formula-three-platforms.rb",
            lambda: render_formula(
                formula(some(ARCHIVES, "macos-arm64", "linux-arm64", "linux-x86_64"), license="MIT OR Apache-2.0"),
                manifest(ARCHIVES),
                BASE,
            ),
        ),
        (
            "formula-versioned.rb",
            lambda: render_formula(
                formula(some(ARCHIVES, *MAC), item="foo-bar2@1.2", binary="foo"),
                manifest(ARCHIVES, "1.2.3-rc.1", "tools/v{version}"),
                BASE,
            ),
        ),
        ("formula-hostile.rb", lambda: render_formula(formula(ARCHIVES, HOSTILE), manifest(ARCHIVES), BASE)),
        ("cask-archives.rb", lambda: render_cask(cask(ARCHIVES), manifest(ARCHIVES), BASE)),
        ("cask-binaries.rb", lambda: render_cask(cask(BINARIES), manifest(BINARIES), BASE)),
        ("cask-uneven-names.rb", lambda: render_cask(cask(UNEVEN), manifest(UNEVEN), BASE)),
        ("cask-macos.rb", lambda: render_cask(cask(some(ARCHIVES, *MAC)), manifest(ARCHIVES), BASE)),
        (
            "cask-one-platform.rb",
            lambda: render_cask(cask(some(ARCHIVES, "linux-x86_64"), binary="t"), manifest(ARCHIVES), BASE),
        ),
        ("cask-hostile.rb", lambda: render_cask(cask(ARCHIVES, HOSTILE), manifest(ARCHIVES), BASE)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_renderings_are_as_agreed(golden: str, rendered: Any) -> None:
    assert rendered() == (GOLDEN / golden).read_text()


STRING = r'"(?:[^"\\#\n]|\\["\\#]|\\u\{[0-9a-f]+\}|#(?![{$@])|#\{(?:version|arch|os)\})*"'
WORDS = "|".join(
    (
        r"class [A-Z][A-Za-z0-9]* < Formula",
        rf"cask {STRING} do",
        rf"(?:desc|homepage|version|name|url|sha256) {STRING}",
        rf"license (?:{STRING}|a(?:ny|ll)_of: \[{STRING}(?:, {STRING})+\])",
        r"on_(?:macos|linux|arm|intel) do",
        r"depends_on (?::macos|:linux|arch: :arm64|arch: :x86_64)",
        r"def install|test do|end|",
        rf"bin\.install {STRING}(?: => {STRING})?",
        r"(?:els)?if OS\.(?:mac|linux)\? && Hardware::CPU\.(?:arm|intel)\?",
        rf'system bin/{STRING}, "--version"',
        rf"arch arm: {STRING}, intel: {STRING}|os macos: {STRING}, linux: {STRING}",
        rf"(?:sha256)? *(?:arm|intel|arm64_linux|x86_64_linux): +{STRING},?",
        rf"binary {STRING}(?:, target: {STRING})?",
    )
)
OPENERS = re.compile(r" *(?:class|cask|on_\w+ do|def|test do|if) ?.*")


def is_harmless(ruby: str) -> bool:
    """Whether every line is one that we write, with no interpolation but ours, and every block ends."""
    lines = ruby.split("\n")
    opened = sum(bool(OPENERS.fullmatch(line)) for line in lines)
    ended = sum(line.strip() == "end" for line in lines)
    return opened == ended and all(re.fullmatch(f" *(?:{WORDS})", line) for line in lines)


def value(literal: str) -> str:
    """What Ruby makes of a double-quoted literal without interpolation."""
    inner = literal.strip()[1:-1]
    return re.sub(r"\\u\{([0-9a-f]+)\}|\\(.)", lambda m: chr(int(m[1], 16)) if m[1] else m[2], inner, flags=re.DOTALL)


@given(
    text=st.text(
        st.sampled_from('"\\#{}$@`ab \u2028\u202e\x85é') | st.characters(exclude_categories=["Cs", "Cc"]), min_size=1
    )
)
@settings(max_examples=150, deadline=None)
def test_no_text_gets_out_of_its_literal(text: str) -> None:
    about = {**ABOUT, "description": text}
    for ruby in (
        render_formula(formula(ARCHIVES, about), manifest(ARCHIVES), BASE),
        render_cask(cask(UNEVEN, about), manifest(UNEVEN), BASE),
    ):
        assert is_harmless(ruby)
        assert value(re.findall(r"^  desc (.*)$", ruby, re.MULTILINE)[0]) == text


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.rb")), ids=lambda path: path.stem)
def test_what_was_agreed_is_harmless(path: Path) -> None:
    assert is_harmless(path.read_text())


def test_a_cask_with_one_address_means_every_files_address() -> None:
    ruby = render_cask(cask(ARCHIVES), release := manifest(ARCHIVES), BASE)
    address = value(re.findall(r"^  url (.*)$", ruby, re.MULTILINE)[0])
    assert "on_" not in ruby
    for triple in TRIPLES:
        arch, _, system = triple.partition("-")
        meant = address.replace("#{version}", "1.2.3").replace("#{arch}", arch).replace("#{os}", system)
        assert meant.rpartition("/")[2] in {a.name for a in release.artifacts}


@pytest.mark.parametrize(
    ("item", "name"),
    [
        ("tool", "Tool"),
        ("foo-bar", "FooBar"),
        ("foo_bar.baz", "FooBarBaz"),
        ("a2ps", "A2ps"),
        ("c-2go", "C2go"),
        ("libstdc++", "Libstdcxx"),
        ("python@3.12", "PythonAT312"),
    ],
)
def test_class_names_are_homebrews(item: str, name: str) -> None:
    assert render_formula(formula(ARCHIVES, item=item), manifest(ARCHIVES), BASE).startswith(f"class {name} < Formula")


@pytest.mark.parametrize(
    ("change", "names"),
    [
        pytest.param({"license": 'MIT"'}, "license", id="a licence of other letters"),
        pytest.param({"license": "MIT OR BSD AND X"}, "license", id="a mixed licence"),
        pytest.param({"homepage": "javascript:x"}, "homepage", id="no web address"),
        pytest.param({"description": "a\nb"}, "description", id="two lines"),
        pytest.param({"description": ""}, "description", id="nothing"),
        pytest.param({"binary": "../sh"}, "binary", id="a path"),
        pytest.param({"binary": "tool\n"}, "binary", id="a line end"),
        pytest.param({"assets": {}}, "assets", id="no platform"),
        pytest.param({"assets": {"windows": "x"}}, "assets", id="another platform"),
        pytest.param({"licence": "MIT"}, "licence", id="an unknown key"),
    ],
)
def test_settings_are_strict(change: dict[str, Any], names: str) -> None:
    with pytest.raises(ValidationError) as caught:
        FormulaSettings.model_validate({**ABOUT, "license": "MIT", "assets": ARCHIVES, **change})
    assert {error["loc"][0] for error in caught.value.errors()} == {names}


# Objections


def entry(kind: str, assets: dict[str, str], via: str = "commit", **more: Any) -> PlannedDelivery:
    about = {**ABOUT, "license": "MIT"} if kind.endswith("formula") else ABOUT
    return PlannedDelivery.model_validate(
        {
            "id": "brew",
            "kind": kind,
            "repository": TAP,
            "via": via,
            "needs": (),
            "settings": {**about, "assets": assets, **more},
        }
    )


TAP = "acme/homebrew-tap"
NOBODY = HomebrewFormula(lambda name: pytest.fail(f"{name} was opened"), BASE)


def with_artifacts(*artifacts: Artifact) -> Manifest:
    return manifest({}).model_copy(update={"artifacts": artifacts})


@pytest.mark.parametrize(
    ("planned", "release", "words"),
    [
        pytest.param(entry("homebrew-formula", ARCHIVES), manifest(ARCHIVES), (), id="none"),
        pytest.param(
            entry("homebrew-formula", {"macos-arm64": "tool-*-{version}"}),
            with_artifacts(artifact("tool-x-1.2.3")),
            (),
            id="a pattern that meets one",
        ),
        pytest.param(
            entry("homebrew-formula", {"macos-arm64": "tool-*"}),
            with_artifacts(artifact("tool-a"), artifact("tool-b")),
            ("tool-* matches tool-a, tool-b", "edit `assets.macos-arm64`"),
            id="a pattern that meets two",
        ),
        pytest.param(
            entry("homebrew-formula", {"linux-arm64": "tool-{tag}"}),
            manifest(ARCHIVES),
            ("tool-v1.2.3 matches nothing", "edit `assets.linux-arm64`"),
            id="a pattern that meets none",
        ),
        pytest.param(
            entry("homebrew-formula", {"linux-arm64": "tool.whl"}),
            with_artifacts(artifact("tool.whl", kind=Kind.WHEEL)),
            ("tool.whl (wheel)",),
            id="a file of another kind",
        ),
        pytest.param(
            entry("homebrew-formula", {"linux-arm64": "to*"}),
            with_artifacts(artifact('to"ol')),
            ("letters, digits",),
            id="a file of odd name",
        ),
        pytest.param(
            entry("homebrew-formula", {"linux-arm64": "tool"}),
            with_artifacts(artifact("tool", sha256='"; exit')),
            ("SHA-256",),
            id="a digest that is none",
        ),
        pytest.param(
            entry("homebrew-formula", ARCHIVES, item="2ping"), manifest(ARCHIVES), ("2ping", "set `item`"), id="a name"
        ),
        pytest.param(
            entry("homebrew-formula", ARCHIVES),
            manifest(ARCHIVES, repository="acme/_"),
            ("set `item`",),
            id="a repository's name that cannot be an item's",
        ),
        pytest.param(
            entry("homebrew-formula", ARCHIVES),
            manifest(ARCHIVES, "1.2.3-nightly.1"),
            ("1.2.3-nightly.1",),
            id="a version that sorts differently there",
        ),
        pytest.param(
            entry("homebrew-formula", ARCHIVES, colour="red"),
            manifest(ARCHIVES),
            ("colour", "edit [downstream.brew]"),
            id="an unknown setting",
        ),
    ],
)
def test_what_cannot_be_rendered_is_objected_to(
    planned: PlannedDelivery, release: Manifest, words: Sequence[str]
) -> None:
    found = list(NOBODY.objections(planned, release))
    assert len(found) == bool(words)
    assert all(word in found[0] for word in words)


@pytest.mark.parametrize("base", ["http://forge.example.invalid", "forge.example.invalid", "file:///x"])
def test_downloads_are_over_https(base: str) -> None:
    with pytest.raises(ConfigError) as caught:
        render_formula(formula(ARCHIVES), manifest(ARCHIVES), base)
    assert caught.value.code == "homebrew-url"


# Delivery

AUTHOR = Person("Ana", "ana@example.invalid", "2026-01-02T03:04:05Z")
FORMULA = HomebrewFormula.kind
RELEASE = manifest(ARCHIVES)
RENDERED = render_formula(formula(ARCHIVES), RELEASE, BASE).encode()


@dataclass
class World:
    """A rehearsal with one tap, and the dispatchers that feed it."""

    server: Rehearsal
    tap: GitHubTap

    @property
    def git(self) -> BareRepository:
        return self.server.repository(TAP).git

    def write(self, path: str, content: bytes) -> None:
        tip = self.git.ref("refs/heads/main")
        tree = self.git.write_tree(tip.sha if tip else None, [(path, "100644", self.git.write_blob(content))])
        commit = self.git.write_commit(tree, [tip.sha] if tip else [], "by hand", AUTHOR, AUTHOR)
        assert self.git.move("refs/heads/main", commit, tip.sha if tip else None)

    def read(self, path: str, branch: str = "main") -> bytes | None:
        commit = self.git.commit_of(f"refs/heads/{branch}")
        found = self.git.entry(commit, path) if commit else None
        return self.git.blob(found.sha) if found else None

    def commits(self) -> int:
        tip = self.git.commit_of("refs/heads/main")
        return len(self.git.log(None, tip, 100)) if tip else 0

    def formulae(self) -> Dispatcher:
        return HomebrewFormula(self._open, BASE)

    def casks(self) -> Dispatcher:
        return HomebrewCask(self._open, BASE)

    def _open(self, repository: str) -> GitHubTap:
        assert repository == TAP
        return self.tap


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    server = Rehearsal(tmp_path / "github", Journal(), Faults())
    token = server.add_user("tap-bot", 21)
    server.add_repository(TAP, 7, 70)
    server.grant("tap-bot", TAP, "write")
    server.start()
    tap = GitHubTap(TAP, token, server.url, sleep=lambda _: None)
    world = World(server, tap)
    world.write("README.md", b"a tap\n")
    yield world
    tap.close()
    server.stop()


def test_a_commit_puts_the_formula_there_once(world: World) -> None:
    planned, brew = entry(FORMULA, ARCHIVES), world.formulae()
    assert brew.observe(planned, RELEASE).state is DeliveryState.ABSENT

    receipts = [brew.deliver(planned, RELEASE) for _ in range(2)]

    assert [receipt.sent for receipt in receipts] == [Sent.ACCEPTED] * 2
    assert brew.observe(planned, RELEASE).state is DeliveryState.SAME
    assert (world.read("Formula/tool.rb"), world.read("README.md"), world.commits()) == (RENDERED, b"a tap\n", 2)
    assert world.git.commit(receipts[0].detail).message.strip() == "tool 1.2.3"


def test_a_pull_request_proposes_the_cask_once(world: World) -> None:
    planned, brew = entry(HomebrewCask.kind, ARCHIVES, "pull-request"), world.casks()

    receipts = [brew.deliver(planned, RELEASE) for _ in range(2)]

    seen = brew.observe(planned, RELEASE)
    assert (seen.state, seen.detail) == (DeliveryState.PROPOSED, receipts[0].detail)
    assert receipts[0] == receipts[1]
    assert world.read("Casks/tool.rb") is None
    assert world.read("Casks/tool.rb", "releaser/tool-1.2.3") == render_cask(cask(ARCHIVES), RELEASE, BASE).encode()


def test_a_pull_request_says_where_it_comes_from(world: World) -> None:
    url = world.formulae().deliver(entry(FORMULA, ARCHIVES, "pull-request"), RELEASE).detail
    (pull,) = httpx.get(f"{world.server.url}/repos/{TAP}/pulls", headers={"User-Agent": "test"}).json()
    assert (pull["html_url"], pull["title"]) == (url, "tool 1.2.3")
    assert f"{BASE}/acme/Tool/releases/tag/v1.2.3" in pull["body"]
    assert RELEASE.digest() in pull["body"]


def test_a_proposal_of_other_bytes_is_none(world: World) -> None:
    planned, brew = entry(FORMULA, ARCHIVES, "pull-request"), world.formulae()
    brew.deliver(planned, RELEASE)
    world.tap.commit("releaser/tool-1.2.3", "Formula/tool.rb", b"swapped\n", "hm")
    assert brew.observe(planned, RELEASE).state is DeliveryState.ABSENT
    brew.deliver(planned, RELEASE)
    assert brew.observe(planned, RELEASE).state is DeliveryState.PROPOSED


@pytest.mark.parametrize(
    ("there", "state"),
    [
        pytest.param('class Tool < Formula\n  version "1.10.0"\nend\n', DeliveryState.NEWER, id="newer"),
        pytest.param('class Tool < Formula\n  version "1.9.0"\nend\n', DeliveryState.NEWER, id="newer, one digit"),
        pytest.param('class Tool < Formula\n  version "1.2.3-rc.1"\nend\n', DeliveryState.ABSENT, id="its candidate"),
        pytest.param('class Tool < Formula\n  version "1.2.3"\nend\n', DeliveryState.ABSENT, id="same, other bytes"),
        pytest.param('class Tool < Formula\n  version "0.9.0"\nend\n', DeliveryState.ABSENT, id="older"),
        pytest.param("class Tool < Formula\nend\n", DeliveryState.ABSENT, id="no version"),
        pytest.param('  version "latest"\n', DeliveryState.ABSENT, id="no version that can be compared"),
        pytest.param(
            '  url "https://x/acme/tool/releases/download/v2.0.0/tool.tgz"\n', DeliveryState.NEWER, id="in the address"
        ),
    ],
)
def test_what_is_newer_stays(world: World, there: str, state: DeliveryState) -> None:
    world.write("Formula/tool.rb", there.encode())
    planned, brew = entry(FORMULA, ARCHIVES), world.formulae()
    assert brew.observe(planned, RELEASE).state is state
    receipt = brew.deliver(planned, RELEASE)
    stays = state is DeliveryState.NEWER
    assert (receipt.sent is Sent.REFUSED) is stays
    assert world.read("Formula/tool.rb") == (there.encode() if stays else RENDERED)


@pytest.mark.parametrize(
    ("present", "path"),
    [
        pytest.param([], "Formula/tool.rb", id="an empty tap"),
        pytest.param(["Formula/other.rb"], "Formula/tool.rb", id="Formula"),
        pytest.param(["HomebrewFormula/other.rb"], "HomebrewFormula/tool.rb", id="HomebrewFormula"),
        pytest.param(["other.rb"], "tool.rb", id="the top"),
        pytest.param(["Formula/other.rb", "tool.rb"], "Formula/tool.rb", id="a file where Homebrew does not look"),
        pytest.param(["Formula/t/tool.rb"], "Formula/t/tool.rb", id="sorted by letter"),
    ],
)
def test_a_formula_goes_where_homebrew_looks(world: World, present: list[str], path: str) -> None:
    """A new `Formula` folder would hide every formula that lies elsewhere."""
    for old in present:
        world.write(old, b"# old\n")
    world.formulae().deliver(entry(FORMULA, ARCHIVES), RELEASE)
    assert world.read(path) == RENDERED


@pytest.mark.parametrize(
    ("present", "path"),
    [
        pytest.param("other.rb", "Casks/tool.rb", id="new"),
        pytest.param("Casks/tool.rb", "Casks/tool.rb", id="there"),
        pytest.param("Casks/t/tool.rb", "Casks/t/tool.rb", id="sorted by letter"),
    ],
)
def test_a_cask_goes_where_homebrew_looks(world: World, present: str, path: str) -> None:
    world.write(present, b"# old\n")
    world.casks().deliver(entry(HomebrewCask.kind, ARCHIVES), RELEASE)
    assert world.read(path) == render_cask(cask(ARCHIVES), RELEASE, BASE).encode()


@pytest.mark.parametrize(
    ("fault", "sent", "there"),
    [
        pytest.param(Fault("github.update-ref", "drop"), Sent.UNKNOWN, True, id="the answer is lost"),
        pytest.param(Fault("github.create-blob", "status", status=503), Sent.UNKNOWN, False, id="a 503"),
        pytest.param(Fault("github.create-blob", "status", status=403), Sent.REFUSED, False, id="no permission"),
        pytest.param(Fault("github.update-ref", "status", status=409), Sent.LATER, False, id="a race"),
    ],
)
def test_a_receipt_says_what_is_known(world: World, fault: Fault, sent: Sent, there: bool) -> None:
    world.server.faults.add(fault)
    planned, brew = entry(FORMULA, ARCHIVES), world.formulae()
    assert brew.deliver(planned, RELEASE).sent is sent
    assert (brew.observe(planned, RELEASE).state is DeliveryState.SAME) is there
    brew.deliver(planned, RELEASE)
    assert (world.read("Formula/tool.rb"), world.commits()) == (RENDERED, 2)
