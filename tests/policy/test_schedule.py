"""What goes where, in which order."""

from __future__ import annotations

import pytest

from releaser.errors import ConfigError
from releaser.model.artifact import Artifact
from releaser.model.policy import ChannelName
from releaser.model.version import Version
from releaser.policy import schedule
from tests.cases import FULL, REGISTRIES, SIMPLE, file, full_files, policy


def placed(text: str = FULL) -> tuple[Artifact, ...]:
    return schedule.sorted_artifacts(policy(text), Version.parse("1.2.3"), "v1.2.3", (f.artifact for f in full_files()))


def waves(text: str, channel: ChannelName = "stable") -> dict[str, int]:
    planned = schedule.publications(policy(text), Version.parse("1.2.3"), channel, (), REGISTRIES)
    return {p.id: p.wave for p in planned}


def graph(**needs: str) -> str:
    """A policy whose publications need what is named after them, separated by blanks."""
    tables = (
        f'[publish.{name}]\nregistry = "npm"\nfiles = "all"\nneeds = {needed.split()}\n'
        for name, needed in needs.items()
    )
    return '[artifacts.all]\nfiles = "*"\n' + "".join(tables)


def test_artifacts_are_sorted_into_their_groups_by_name() -> None:
    assert [(a.name, a.group) for a in placed()] == [
        ("core-1.2.3-cp310-abi3-macosx_11_0_arm64.whl", "core"),
        ("core-1.2.3-cp310-abi3-manylinux_2_17_x86_64.whl", "core"),
        ("core-1.2.3.crate", "crate"),
        ("demo_mac", "cli"),
        ("sdk-1.2.3-py3-none-any.whl", "sdk"),
        ("sdk-1.2.3.tar.gz", "sdk"),
    ]


def test_what_belongs_nowhere_or_twice_is_left_out() -> None:
    text = '[artifacts.a]\nfiles = "*.whl"\n[artifacts.b]\nfiles = "x*"\n'
    given = [file(name).artifact for name in ("x.whl", "y.whl", "z")]
    found = schedule.sorted_artifacts(policy(text), Version.parse("1.2.3"), "v1.2.3", given)
    assert [a.name for a in found] == ["y.whl"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(graph(a="", b="", c=""), {"a": 1, "b": 1, "c": 1}, id="independent ones go together"),
        pytest.param(graph(a="b", b="c", c=""), {"c": 1, "b": 2, "a": 3}, id="a chain"),
        pytest.param(graph(a="", b="a", c="a", d="b c"), {"a": 1, "b": 2, "c": 2, "d": 3}, id="a diamond"),
        pytest.param(graph(a="", b="a", c="a b"), {"a": 1, "b": 2, "c": 3}, id="the longest way counts"),
        pytest.param("", {}, id="nothing to publish"),
    ],
)
def test_a_wave_has_its_needs_in_earlier_ones(text: str, expected: dict[str, int]) -> None:
    assert waves(text) == expected


def test_the_order_in_the_file_does_not_matter() -> None:
    assert list(waves(graph(a="b", b=""))) == list(waves(graph(b="", a="b"))) == ["b", "a"]


def test_publications_say_what_goes_where() -> None:
    crate, wheels, sdk = schedule.publications(
        policy(FULL), Version.parse("1.2.3-rc.1"), "stable", placed(), REGISTRIES
    )
    assert (crate.id, crate.package, crate.version, crate.files) == (
        "core-crate",
        "core",
        "1.2.3-rc.1",
        ("core-1.2.3.crate",),
    )
    assert (wheels.id, wheels.package, wheels.version, wheels.environment) == ("core-pypi", "core", "1.2.3rc1", "pypi")
    assert len(wheels.files) == 2
    assert (sdk.id, sdk.package, sdk.needs, sdk.wave) == ("sdk", "sdk", ("core-pypi",), 2)


def test_a_registry_gets_only_the_kinds_it_takes() -> None:
    text = FULL.replace('files = "sdk"', 'files = ["sdk", "cli", "crate"]')
    *_, sdk = schedule.publications(policy(text), Version.parse("1.2.3"), "stable", placed(), REGISTRIES)
    assert sdk.files == ("sdk-1.2.3-py3-none-any.whl", "sdk-1.2.3.tar.gz")


def test_what_a_registry_cannot_spell_is_not_planned() -> None:
    planned = schedule.publications(policy(FULL), Version.parse("1.2.3-1"), "prerelease", (), REGISTRIES)
    assert [p.id for p in planned] == ["core-crate"]


@pytest.mark.parametrize(
    ("channel", "expected"),
    [("stable", ["core-crate", "core-pypi", "sdk"]), ("dev", [])],
)
def test_a_channel_makes_what_the_policy_says(channel: ChannelName, expected: list[str]) -> None:
    assert sorted(waves(FULL, channel)) == expected


def test_a_channel_that_the_policy_lacks_makes_nothing() -> None:
    assert waves(SIMPLE, "dev") == {}
    assert schedule.deliveries(policy(SIMPLE), "dev") == ()


def test_a_need_that_the_channel_does_not_make_is_named() -> None:
    text = graph(a="", b="a", c="b") + '[channels.stable]\nbranches = "main"\npublish = ["b", "c"]\n'
    with pytest.raises(ConfigError) as caught:
        waves(text)
    error = caught.value
    assert (error.code, error.object, error.found) == ("policy-needs", "publish.b.needs", "a")
    assert error.hint == "add them to channels.stable.publish"


TAP = (
    '[downstream.brew]\nkind = "homebrew-cask"\nrepository = "a/b"\ndescription = "x"\nhomepage = "https://e.invalid"\n'
)
TAP += 'assets = { macos-arm64 = "x" }\n'


def test_a_delivery_waits_for_everything_or_for_what_it_needs() -> None:
    (every,) = schedule.deliveries(policy(graph(b="", a="") + TAP), "stable")
    assert every.needs == ("a", "b")
    (some,) = schedule.deliveries(policy(graph(b="", a="") + TAP + 'needs = "b"\n'), "stable")
    assert some.needs == ("b",)
    (none,) = schedule.deliveries(policy(graph(b="", a="") + TAP + "needs = []\n"), "stable")
    assert none.needs == ()


def test_a_delivery_keeps_its_own_settings() -> None:
    (entry,) = schedule.deliveries(policy(FULL), "stable")
    assert (entry.id, entry.kind, entry.repository, entry.via) == (
        "brew",
        "homebrew-cask",
        "acme/homebrew-tap",
        "pull-request",
    )
    assert entry.settings == {
        "description": "Demonstrates",
        "homepage": "https://example.invalid",
        "assets": {"macos-arm64": "demo_mac"},
    }


def test_deliveries_are_for_their_channels_only() -> None:
    assert schedule.deliveries(policy(FULL), "prerelease") == ()


def test_a_delivery_that_could_never_begin_is_named() -> None:
    text = graph(a="", b="") + TAP + 'needs = "b"\n[channels.stable]\nbranches = "main"\npublish = ["a"]\n'
    with pytest.raises(ConfigError) as caught:
        schedule.deliveries(policy(text), "stable")
    assert (caught.value.code, caught.value.object, caught.value.found) == (
        "policy-needs",
        "downstream.brew.needs",
        "b",
    )
