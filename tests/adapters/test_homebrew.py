"""Homebrew: the Ruby that is rendered, and how it gets into a tap."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from releaser.adapters.delivery import Source
from releaser.adapters.homebrew import HomebrewCask, HomebrewFormula
from releaser.adapters.homebrew_render import CaskSettings, FormulaSettings
from releaser.engine.ports import Sent
from releaser.errors import ConfigError
from releaser.model.artifact import Kind
from releaser.model.facts import DeliveryState
from releaser.model.manifest import Manifest, PlannedDelivery
from releaser.model.spelling import Ecosystem
from releaser.rehearsal.server import Fault
from tests.adapters.taps import BASE, TAP, Taps, artifact, manifest, some, with_artifacts

GOLDEN = Path(__file__).parent / "golden"
PLATFORMS = ("macos-arm64", "macos-x86_64", "linux-arm64", "linux-x86_64")
TRIPLES = ("aarch64-apple-darwin", "x86_64-apple-darwin", "aarch64-unknown-linux-gnu", "x86_64-unknown-linux-gnu")
ARCHIVES = {p: f"tool-{{version}}-{t}.tar.gz" for p, t in zip(PLATFORMS, TRIPLES, strict=True)}
BINARIES = {p: f"tool-{p}" for p in PLATFORMS}
UNEVEN = {**BINARIES, "linux-x86_64": "tool-linux-amd64"}
ABOUT = {"description": "Does one thing", "homepage": "https://tool.example.invalid/#start"}
HOSTILE = {"description": '"; system("id") # #{`id`} #$0 #@a \\', "homepage": 'https://x.example.invalid/"#{exit}'}


def render_formula(settings: FormulaSettings, release: Manifest, base: str = BASE) -> str:
    return HomebrewFormula.render(settings, Source(Ecosystem.HOMEBREW, release, base)).text


def render_cask(settings: CaskSettings, release: Manifest) -> str:
    return HomebrewCask.render(settings, Source(Ecosystem.HOMEBREW, release, BASE)).text


def formula(assets: dict[str, str], about: dict[str, str] = ABOUT, **more: Any) -> FormulaSettings:
    return FormulaSettings.model_validate({**about, "license": "MIT", "assets": assets, **more})


def cask(assets: dict[str, str], about: dict[str, str] = ABOUT, **more: Any) -> CaskSettings:
    return CaskSettings.model_validate({**about, "assets": assets, **more})


# Rendering

MAC = ("macos-arm64", "macos-x86_64")


@pytest.mark.parametrize(
    ("golden", "rendered"),
    [
        ("formula-archives.rb", lambda: render_formula(formula(ARCHIVES), manifest(ARCHIVES))),
        ("formula-binaries.rb", lambda: render_formula(formula(BINARIES), manifest(BINARIES))),
        (
            "formula-one-platform.rb",
            lambda: render_formula(formula(some(BINARIES, "macos-arm64")), manifest(BINARIES)),
        ),
        (
            "formula-three-platforms.rb",
            lambda: render_formula(
                formula(some(ARCHIVES, "macos-arm64", "linux-arm64", "linux-x86_64"), license="MIT OR Apache-2.0"),
                manifest(ARCHIVES),
            ),
        ),
        (
            "formula-versioned.rb",
            lambda: render_formula(
                formula(some(ARCHIVES, *MAC), item="foo-bar2@1.2", binary="foo"),
                manifest(ARCHIVES, "1.2.3-rc.1", "tools/v{version}"),
            ),
        ),
        ("formula-hostile.rb", lambda: render_formula(formula(ARCHIVES, HOSTILE), manifest(ARCHIVES))),
        ("cask-archives.rb", lambda: render_cask(cask(ARCHIVES), manifest(ARCHIVES))),
        ("cask-binaries.rb", lambda: render_cask(cask(BINARIES), manifest(BINARIES))),
        ("cask-uneven-names.rb", lambda: render_cask(cask(UNEVEN), manifest(UNEVEN))),
        ("cask-macos.rb", lambda: render_cask(cask(some(ARCHIVES, *MAC)), manifest(ARCHIVES))),
        (
            "cask-one-platform.rb",
            lambda: render_cask(cask(some(ARCHIVES, "linux-x86_64"), binary="t"), manifest(ARCHIVES)),
        ),
        ("cask-hostile.rb", lambda: render_cask(cask(ARCHIVES, HOSTILE), manifest(ARCHIVES))),
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
        render_formula(formula(ARCHIVES, about), manifest(ARCHIVES)),
        render_cask(cask(UNEVEN, about), manifest(UNEVEN)),
    ):
        assert is_harmless(ruby)
        assert value(re.findall(r"^  desc (.*)$", ruby, re.MULTILINE)[0]) == text


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.rb")), ids=lambda path: path.stem)
def test_what_was_agreed_is_harmless(path: Path) -> None:
    assert is_harmless(path.read_text())


def test_a_cask_with_one_address_means_every_files_address() -> None:
    ruby = render_cask(cask(ARCHIVES), release := manifest(ARCHIVES))
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
    assert render_formula(formula(ARCHIVES, item=item), manifest(ARCHIVES)).startswith(f"class {name} < Formula")


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


NOBODY = HomebrewFormula(lambda name: pytest.fail(f"{name} was opened"), BASE)


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
    assert caught.value.code == "delivery-url"


# Delivery

FORMULA = HomebrewFormula.kind
RELEASE = manifest(ARCHIVES)
OLD = b'version "0.1.0"\n'
RENDERED = render_formula(formula(ARCHIVES), RELEASE).encode()


def test_a_commit_puts_the_formula_there_once(taps: Taps) -> None:
    planned, brew = entry(FORMULA, ARCHIVES), taps.of(HomebrewFormula)
    assert brew.observe(planned, RELEASE).state is DeliveryState.ABSENT

    receipts = [brew.deliver(planned, RELEASE) for _ in range(2)]

    assert [receipt.sent for receipt in receipts] == [Sent.ACCEPTED] * 2
    assert brew.observe(planned, RELEASE).state is DeliveryState.SAME
    assert (taps.read("Formula/tool.rb"), taps.read("README.md"), taps.commits()) == (RENDERED, b"a tap\n", 2)
    assert taps.git.commit(receipts[0].detail).message.strip() == "tool 1.2.3"


def test_a_pull_request_proposes_the_cask_once(taps: Taps) -> None:
    planned, brew = entry(HomebrewCask.kind, ARCHIVES, "pull-request"), taps.of(HomebrewCask)

    receipts = [brew.deliver(planned, RELEASE) for _ in range(2)]

    seen = brew.observe(planned, RELEASE)
    assert (seen.state, seen.detail) == (DeliveryState.PROPOSED, receipts[0].detail)
    assert receipts[0] == receipts[1]
    assert taps.read("Casks/tool.rb") is None
    assert taps.read("Casks/tool.rb", "releaser/tool-1.2.3") == render_cask(cask(ARCHIVES), RELEASE).encode()


def test_a_pull_request_says_where_it_comes_from(taps: Taps) -> None:
    url = taps.of(HomebrewFormula).deliver(entry(FORMULA, ARCHIVES, "pull-request"), RELEASE).detail
    (pull,) = httpx.get(f"{taps.server.url}/repos/{TAP}/pulls", headers={"User-Agent": "test"}).json()
    assert (pull["html_url"], pull["title"]) == (url, "tool 1.2.3")
    assert f"{BASE}/acme/Tool/releases/tag/v1.2.3" in pull["body"]
    assert RELEASE.digest() in pull["body"]


def test_a_proposal_of_other_bytes_is_none(taps: Taps) -> None:
    planned, brew = entry(FORMULA, ARCHIVES, "pull-request"), taps.of(HomebrewFormula)
    brew.deliver(planned, RELEASE)
    taps.tap.commit("releaser/tool-1.2.3", "Formula/tool.rb", b"swapped\n", "hm")
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
        pytest.param("class Tool < Formula\nend\n", DeliveryState.CONFLICT, id="no version"),
        pytest.param('  version "latest"\n', DeliveryState.CONFLICT, id="no version that can be compared"),
        pytest.param(
            '  url "https://x/acme/tool/releases/download/v2.0.0/tool.tgz"\n', DeliveryState.NEWER, id="in the address"
        ),
    ],
)
def test_what_may_be_newer_stays(taps: Taps, there: str, state: DeliveryState) -> None:
    taps.write("Formula/tool.rb", there.encode())
    planned, brew = entry(FORMULA, ARCHIVES), taps.of(HomebrewFormula)
    assert brew.observe(planned, RELEASE).state is state
    receipt = brew.deliver(planned, RELEASE)
    stays = state is not DeliveryState.ABSENT
    assert (receipt.sent is Sent.REFUSED) is stays
    assert taps.read("Formula/tool.rb") == (there.encode() if stays else RENDERED)


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
def test_a_formula_goes_where_homebrew_looks(taps: Taps, present: list[str], path: str) -> None:
    """A new `Formula` folder would hide every formula that lies elsewhere."""
    for old in present:
        taps.write(old, OLD)
    taps.of(HomebrewFormula).deliver(entry(FORMULA, ARCHIVES), RELEASE)
    assert taps.read(path) == RENDERED


@pytest.mark.parametrize(
    ("present", "path"),
    [
        pytest.param("other.rb", "Casks/tool.rb", id="new"),
        pytest.param("Casks/tool.rb", "Casks/tool.rb", id="there"),
        pytest.param("Casks/t/tool.rb", "Casks/t/tool.rb", id="sorted by letter"),
    ],
)
def test_a_cask_goes_where_homebrew_looks(taps: Taps, present: str, path: str) -> None:
    taps.write(present, OLD)
    taps.of(HomebrewCask).deliver(entry(HomebrewCask.kind, ARCHIVES), RELEASE)
    assert taps.read(path) == render_cask(cask(ARCHIVES), RELEASE).encode()


@pytest.mark.parametrize(
    ("fault", "sent", "there"),
    [
        pytest.param(Fault("github.update-ref", "drop"), Sent.UNKNOWN, True, id="the answer is lost"),
        pytest.param(Fault("github.create-blob", "status", status=503), Sent.UNKNOWN, False, id="a 503"),
        pytest.param(Fault("github.create-blob", "status", status=403), Sent.REFUSED, False, id="no permission"),
        pytest.param(Fault("github.update-ref", "status", status=409), Sent.LATER, False, id="a race"),
    ],
)
def test_a_receipt_says_what_is_known(taps: Taps, fault: Fault, sent: Sent, there: bool) -> None:
    taps.server.faults.add(fault)
    planned, brew = entry(FORMULA, ARCHIVES), taps.of(HomebrewFormula)
    assert brew.deliver(planned, RELEASE).sent is sent
    assert (brew.observe(planned, RELEASE).state is DeliveryState.SAME) is there
    brew.deliver(planned, RELEASE)
    assert (taps.read("Formula/tool.rb"), taps.commits()) == (RENDERED, 2)
