"""What a version is, how each ecosystem spells it, and what is refused."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from releaser.errors import ConfigError, Exit, RefusedError
from releaser.model.spelling import SPELLINGS, Ecosystem, conflicts, spell
from releaser.model.version import MAX_LENGTH, Phase, Version

PRECEDENCE = [  # the example of SemVer 2.0.0, item 11, between two releases
    "0.9.9",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.0+a",
    "1.0.0+b",
    "1.0.1-0",
]


def v(text: str) -> Version:
    return Version.parse(text)


def refusal(text: str, ecosystem: Ecosystem) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        spell(v(text), ecosystem)
    return caught.value


# Reading


@pytest.mark.parametrize(
    ("text", "why", "hint"),
    [
        pytest.param("", "empty", "write 1.2.3 or 1.2.3-rc.1", id="nothing"),
        pytest.param("01.0.0", "leading zero", "write 1.0.0", id="leading zero in the core"),
        pytest.param("1.0.0-rc.01", "leading zero", "write 1.0.0-rc.1", id="leading zero in the pre-release"),
        pytest.param("1.0.0-rc.01+x.01", "leading zero", "write 1.0.0-rc.1+x.01", id="a build part may have it"),
        pytest.param("v1.0.0", "tag", "write 1.0.0", id="v prefix"),
        pytest.param("V1.0.0", "tag", "write 1.0.0", id="V prefix"),
        pytest.param(" 1.0.0", "white space", "write 1.0.0", id="leading space"),
        pytest.param("1.0.0\n", "white space", "write 1.0.0", id="trailing newline"),
        pytest.param("\tv01.0 ", "white space", "write 1.0.0", id="several faults, one hint"),
        pytest.param("1", "one number", "write 1.0.0", id="one component"),
        pytest.param("1.0", "2 numbers", "write 1.0.0", id="two components"),
        pytest.param("1.0-rc.1", "2 numbers", "write 1.0.0-rc.1", id="two components and a pre-release"),
        pytest.param("1.2.3.4", "4 numbers", "write 1.2.3", id="four components"),
        pytest.param("1..0", "missing", "write 1.2.3 or 1.2.3-rc.1", id="empty component"),
        pytest.param("-rc.1", "missing", "write 1.2.3 or 1.2.3-rc.1", id="pre-release alone"),
        pytest.param("1.0.0-", "identifier is empty", "drop the last one", id="empty pre-release"),
        pytest.param("1.0.0-rc..1", "identifier is empty", "between", id="empty identifier"),
        pytest.param("1.0.0+", "identifier is empty", "drop the last one", id="empty build part"),
        pytest.param("1.0.0-rc.1+a..b", "identifier is empty", "between", id="empty build identifier"),
        pytest.param("1.0.0+a+b", "'+' cannot", "letters", id="second plus"),
        pytest.param("1.0.0-rc_1", "'_' cannot", "letters", id="underscore"),
        pytest.param("1.0.0-rc\x1b[31m", r"'\x1b' cannot", "letters", id="terminal escape"),
        pytest.param("1.0.0a1", "PEP 440", "write 1.0.0-alpha.1", id="PEP 440 alpha"),
        pytest.param("1.0.0b2", "PEP 440", "write 1.0.0-beta.2", id="PEP 440 beta"),
        pytest.param("1.0.0rc3", "PEP 440", "write 1.0.0-rc.3", id="PEP 440 candidate"),
        pytest.param("1.0rc3", "PEP 440", "write 1.0.0-rc.3", id="PEP 440 candidate of two components"),
        pytest.param("1.0.0.dev1", "PEP 440", "write 1.0.0-dev.1", id="PEP 440 dev release"),
        pytest.param("1.0.0.post1", "PEP 440", "write 1.0.1", id="PEP 440 post-release"),
        pytest.param("1!1.0", "PEP 440", "write 1.0.0", id="PEP 440 epoch"),
        pytest.param("latest", "MAJOR.MINOR.PATCH", "write 1.2.3 or 1.2.3-rc.1", id="a word"),
        pytest.param("\uff11.0.0", r"'\uff11' is not an ASCII", "ASCII", id="fullwidth digit"),
        pytest.param("1.0.0-rc.\u0661", r"'\u0661' is not an ASCII", "ASCII", id="arabic digit"),
        pytest.param("1.0.0-\u0430lpha", r"'\u0430' is not an ASCII", "ASCII", id="cyrillic letter"),
        pytest.param("1.0.0\u200b", r"'\u200b' is not an ASCII", "ASCII", id="zero-width space"),
        pytest.param("1.0.0-" + "a" * 59, "65 characters", "shorten", id="one character too many"),
        pytest.param("9" * 10_000 + ".0.0", "10004 characters", "shorten", id="far too long"),
    ],
)
def test_a_trap_is_named_and_its_way_out_too(text: str, why: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        v(text)
    error = caught.value
    assert error.code == "version-invalid"
    assert error.exit is Exit.USAGE
    assert why in error.message
    assert hint in error.hint
    assert (error.message + error.found + error.hint).isascii()
    assert (error.message + error.found + error.hint).isprintable()
    assert len(error.found) < 2 * MAX_LENGTH


def test_the_longest_version() -> None:
    assert len(str(v("1.0.0-" + "a" * 58))) == MAX_LENGTH


@pytest.mark.parametrize(
    ("text", "phase", "number", "dotted"),
    [
        ("1.2.3", Phase.FINAL, None, "1.2.3"),
        ("1.2.3+rc.1", Phase.FINAL, None, "1.2.3+rc.1"),
        ("1.2.3-alpha3", Phase.ALPHA, 3, "1.2.3-alpha.3"),
        ("1.2.3-beta.0", Phase.BETA, 0, "1.2.3-beta.0"),
        ("1.2.3-rc10+b.1", Phase.RC, 10, "1.2.3-rc.10+b.1"),
        ("1.2.3-dev1", Phase.DEV, 1, "1.2.3-dev.1"),
        ("1.2.3-alpha", Phase.ALPHA, None, "1.2.3-alpha"),
        ("1.2.3-rc01", Phase.OTHER, None, "1.2.3-rc01"),
        ("1.2.3-RC.1", Phase.OTHER, None, "1.2.3-RC.1"),
        ("1.2.3-rc.1.dev.2", Phase.OTHER, None, "1.2.3-rc.1.dev.2"),
        ("1.2.3-1", Phase.OTHER, None, "1.2.3-1"),
        ("1.2.3-nightly.20250101", Phase.OTHER, None, "1.2.3-nightly.20250101"),
    ],
)
def test_phase_and_number(text: str, phase: Phase, number: int | None, dotted: str) -> None:
    version = v(text)
    assert (version.phase, version.number, version.dotted) == (phase, number, v(dotted))
    assert version.is_prerelease is (phase is not Phase.FINAL)


def test_the_parts_of_a_version() -> None:
    version = v("1.20.300-rc.1+build.5")
    assert (version.major, version.minor, version.patch) == (1, 20, 300)
    assert (version.core, version.prerelease, version.build) == ("1.20.300", "rc.1", "build.5")
    assert (v("1.0.0").prerelease, v("1.0.0").build) == ("", "")


def test_versions_sort_by_precedence_and_then_by_build() -> None:
    shuffled = [v(text) for text in PRECEDENCE]
    Random(1).shuffle(shuffled)  # noqa: S311 - an order, not a secret
    assert [str(version) for version in sorted(shuffled)] == PRECEDENCE
    assert len({*shuffled, *map(v, PRECEDENCE)}) == len(PRECEDENCE)


# Spelling


@pytest.mark.parametrize(
    ("text", "pep440"),
    [
        ("0.17.0", "0.17.0"),
        ("0.17.0-alpha3", "0.17.0a3"),
        ("0.17.0-beta1", "0.17.0b1"),
        ("0.17.0-rc1", "0.17.0rc1"),
        ("0.17.0-rc.1", "0.17.0rc1"),
        ("0.17.0-dev1", "0.17.0.dev1"),
        ("0.17.0-dev.1", "0.17.0.dev1"),
        ("0.17.0-alpha.0", "0.17.0a0"),
        ("0.17.0-alpha.1", "0.17.0a1"),
        ("0.17.0-beta.2", "0.17.0b2"),
        ("0.17.0-beta2", "0.17.0b2"),
        ("0.17.0-rc.10", "0.17.0rc10"),
        ("10.20.30-dev.20250101", "10.20.30.dev20250101"),
    ],
)
def test_pep440_spelling(text: str, pep440: str) -> None:
    assert spell(v(text), Ecosystem.PEP440) == pep440


@pytest.mark.parametrize(
    ("prerelease", "why", "works"),
    [
        # no number: the same as .0
        ("-alpha", "takes it for -alpha.0", "1.0.0-alpha.1"),
        ("-beta", "takes it for -beta.0", "1.0.0-beta.1"),
        ("-rc", "takes it for -rc.0", "1.0.0-rc.1"),
        ("-dev", "takes it for -dev.0", "1.0.0-dev.1"),
        # other spellings of one version
        ("-alpha-1", "takes it for 1.0.0-alpha.1", "1.0.0-alpha.1"),
        ("-a.1", "takes it for 1.0.0-alpha.1", "1.0.0-alpha.1"),
        ("-a1", "takes it for 1.0.0-alpha.1", "1.0.0-alpha.1"),
        ("-ALPHA.1", "takes it for 1.0.0-alpha.1", "1.0.0-alpha.1"),
        ("-beta-2", "takes it for 1.0.0-beta.2", "1.0.0-beta.2"),
        ("-b2", "takes it for 1.0.0-beta.2", "1.0.0-beta.2"),
        ("-rc-1", "takes it for 1.0.0-rc.1", "1.0.0-rc.1"),
        ("-c1", "takes it for 1.0.0-rc.1", "1.0.0-rc.1"),
        ("-pre.1", "takes it for 1.0.0-rc.1", "1.0.0-rc.1"),
        ("-preview.1", "takes it for 1.0.0-rc.1", "1.0.0-rc.1"),
        ("-rc01", "takes it for 1.0.0-rc.1", "1.0.0-rc.1"),
        # text order in SemVer, numeric order in PEP 440
        ("-rc10", "as text", "1.0.0-rc.10"),
        ("-dev20250101", "as text", "1.0.0-dev.20250101"),
        # dev releases of pre-releases
        ("-rc.1.dev.2", "before it", "1.0.0-rc.1"),
        ("-alpha.1.dev", "before it", "1.0.0-alpha.1"),
        ("-alpha.1-dev", "before it", "1.0.0-alpha.1"),
        # post-releases
        ("-1", "post-release", "1.0.0-rc.1"),
        ("-0", "post-release", "1.0.0-rc.0"),
        ("-20250101", "post-release", "1.0.0-rc.20250101"),
        ("-post.1", "post-release", "1.0.1"),
        ("-r1", "post-release", "1.0.1"),
        ("-rev.1", "post-release", "1.0.1"),
        ("-rc.1.post.1", "nothing else", "1.0.0-rc.1"),
        # local versions
        ("+build", "build metadata", "1.0.0"),
        ("+build.5", "build metadata", "1.0.0"),
        ("+a-b", "build metadata", "1.0.0"),
        ("+Ubuntu.1", "build metadata", "1.0.0"),
        ("+001", "build metadata", "1.0.0"),
        ("+21AF26D3---117B344092BD", "build metadata", "1.0.0"),
        ("-beta+exp.sha.5114f85", "build metadata", "1.0.0-beta.1"),
        # a second counter
        ("-alpha.beta", "nothing else", "1.0.0-alpha.1"),
        ("-alpha.1.2", "nothing else", "1.0.0-alpha.1"),
        ("-beta.1.2", "nothing else", "1.0.0-beta.1"),
        ("-dev.rc.1", "nothing else", "1.0.0-dev.1"),
        ("-dev.1.rc.1", "nothing else", "1.0.0-dev.1"),
        # words that PEP 440 does not have
        ("-nightly", "has no -nightly", "1.0.0-dev.1"),
        ("-nightly.20250101", "has no -nightly", "1.0.0-dev.20250101"),
        ("-snapshot", "has no -snapshot", "1.0.0-dev.1"),
        ("-next.3", "has no -next", "1.0.0-dev.3"),
        ("-canary.1", "has no -canary", "1.0.0-dev.1"),
        ("-m1", "has no -m1", "1.0.0-dev.1"),
        ("-gamma", "has no -gamma", "1.0.0-dev.1"),
        ("-p1", "has no -p1", "1.0.0-dev.1"),
        ("-patch.1", "has no -patch", "1.0.0-dev.1"),
        ("-hotfix.1", "has no -hotfix", "1.0.0-dev.1"),
        ("-0.3.7", "has no -0.3.7", "1.0.0-rc.0"),
        ("-1.2", "has no -1.2", "1.0.0-rc.1"),
        ("-x.7.z.92", "has no -x.7.z.92", "1.0.0-dev.7"),
        ("-a.b.c", "has no -a.b.c", "1.0.0-alpha.1"),
        ("--rc1", "has no --rc1", "1.0.0-rc.1"),
    ],
)
def test_what_pep440_cannot_say_is_refused(prerelease: str, why: str, works: str) -> None:
    error = refusal(f"1.0.0{prerelease}", Ecosystem.PEP440)
    assert error.code == "version-not-expressible"
    assert error.exit is Exit.REFUSED
    assert error.object == f"1.0.0{prerelease} as pep440"
    assert error.found in prerelease
    assert "alpha.N" in error.wanted
    assert why in error.message
    assert error.hint == f"release {works}"
    assert spell(v(works), Ecosystem.PEP440)


@pytest.mark.parametrize(
    ("ecosystem", "text", "spelling"),
    [
        (Ecosystem.SEMVER, "1.0.0-x.7.z.92+a.01", "1.0.0-x.7.z.92+a.01"),
        (Ecosystem.CARGO, "1.0.0-alpha.beta", "1.0.0-alpha.beta"),
        (Ecosystem.CARGO, f"{2**64 - 1}.0.0", f"{2**64 - 1}.0.0"),
        (Ecosystem.NPM, "1.0.0-RC.1", "1.0.0-RC.1"),
        (Ecosystem.NPM, f"0.{2**53 - 1}.0", f"0.{2**53 - 1}.0"),
        (Ecosystem.DOCKER_TAG, "1.0.0-rc.1", "1.0.0-rc.1"),
        (Ecosystem.DOCKER_TAG, "1.0.0-rc.1+build.5", "1.0.0-rc.1_build.5"),
        (Ecosystem.NUGET, "1.0.0-alpha10", "1.0.0-alpha10"),
        (Ecosystem.NUGET, "1.0.2147483647-rc.1", "1.0.2147483647-rc.1"),
        (Ecosystem.CHOCOLATEY, "1.0.0-rc.1", "1.0.0-rc.1"),
        (Ecosystem.HOMEBREW, "1.0.0-rc.10", "1.0.0-rc.10"),
        (Ecosystem.HOMEBREW, "1.0.0-beta2", "1.0.0-beta2"),
        (Ecosystem.SCOOP, "1.0.0", "1.0.0"),
        (Ecosystem.SCOOP, "1.0.0-alpha.1", "1.0.0-alpha.1"),
        (Ecosystem.WINGET, "1.0.0-nightly.1", "1.0.0-nightly.1"),
    ],
)
def test_spelling(ecosystem: Ecosystem, text: str, spelling: str) -> None:
    assert spell(v(text), ecosystem) == spelling


def test_every_ecosystem_has_a_spelling() -> None:
    assert set(SPELLINGS) == set(Ecosystem)
    assert all(spell(v("1.2.3"), ecosystem) == "1.2.3" for ecosystem in Ecosystem)


@pytest.mark.parametrize(
    ("ecosystem", "text", "why", "works"),
    [
        (Ecosystem.CARGO, "1.0.0-rc.1+a", "build metadata", "1.0.0-rc.1"),
        (Ecosystem.CARGO, f"{2**64}.0.0", "numbers hold", "1.0.0"),
        (Ecosystem.NPM, "1.0.0+a", "build metadata", "1.0.0"),
        (Ecosystem.NPM, f"1.0.{2**53}", "numbers hold", "1.0.0"),
        (Ecosystem.NUGET, "1.0.0+a", "build metadata", "1.0.0"),
        (Ecosystem.NUGET, "1.0.0-RC.1", "ignores case", "1.0.0-rc.1"),
        (Ecosystem.NUGET, "1.0.0-RC.1+A", "build metadata", "1.0.0-rc.1"),
        (Ecosystem.NUGET, "1.0.2147483648", "numbers hold", "1.0.0"),
        (Ecosystem.NUGET, "1.0.0-dev.20250101120000", "numbers hold", "1.0.0"),
        (Ecosystem.CHOCOLATEY, "1.0.0+a", "build metadata", "1.0.0"),
        (Ecosystem.CHOCOLATEY, "2147483648.0.0", "numbers hold", "1.0.0"),
        (Ecosystem.HOMEBREW, "1.0.0+a", "build metadata", "1.0.0"),
        (Ecosystem.HOMEBREW, "1.0.0-dev.1", "above the release", "1.0.0-alpha.1"),
        (Ecosystem.HOMEBREW, "1.0.0-nightly.3", "above the release", "1.0.0-alpha.3"),
        (Ecosystem.HOMEBREW, "1.0.0-rc", "above the release", "1.0.0-rc.1"),
        (Ecosystem.HOMEBREW, "1.0.0-rc10", "as text", "1.0.0-rc.10"),
        (Ecosystem.SCOOP, "1.0.0+a", "build metadata", "1.0.0"),
        (Ecosystem.SCOOP, "1.0.0-dev.1", "above the release", "1.0.0-alpha.1"),
        (Ecosystem.SCOOP, "1.0.0-1", "above the release", "1.0.0-rc.1"),
        (Ecosystem.SCOOP, f"1.0.0-rc.{2**63}", "numbers hold", "1.0.0"),
        (Ecosystem.WINGET, "1.0.0+a", "build metadata", "1.0.0"),
        (Ecosystem.WINGET, "1.0.0-Beta.1", "ignores case", "1.0.0-beta.1"),
    ],
)
def test_what_an_ecosystem_cannot_say_is_refused(ecosystem: Ecosystem, text: str, why: str, works: str) -> None:
    error = refusal(text, ecosystem)
    assert (error.code, error.object) == ("version-not-expressible", f"{text} as {ecosystem}")
    assert why in error.message
    assert error.hint.endswith(works)
    assert spell(v(works), ecosystem) == works


# Conflicts


@pytest.mark.parametrize(
    ("one", "two", "ecosystem", "kind"),
    [
        pytest.param("-rc1", "-rc.1", Ecosystem.PEP440, "collision", id="two styles, one PEP 440 version"),
        pytest.param("-rc2", "-rc.3", Ecosystem.PEP440, "order", id="two styles, PEP 440 counts"),
        pytest.param("-dev.1", "-alpha.1", Ecosystem.PEP440, "order", id="dev comes before alpha in PEP 440"),
        pytest.param("-dev.1", "-beta.1", Ecosystem.PEP440, "order", id="dev comes before beta in PEP 440"),
        pytest.param("-dev.1", "-rc.1", Ecosystem.PEP440, None, id="dev comes before rc everywhere"),
        pytest.param("-alpha.9", "-alpha.10", Ecosystem.PEP440, None, id="dotted numbers"),
        pytest.param("-rc1", "-rc.1", Ecosystem.CARGO, None, id="two SemVer versions"),
        pytest.param("-rc1", "-rc.1", Ecosystem.SCOOP, "collision", id="Scoop puts the dot in"),
        pytest.param("-rc2", "-rc.3", Ecosystem.SCOOP, "order", id="two styles, Scoop counts"),
        pytest.param("-rc2", "-rc.3", Ecosystem.HOMEBREW, None, id="Homebrew has rc.3 before rc2, as SemVer"),
        pytest.param("-rc0", "-rc.0", Ecosystem.HOMEBREW, "collision", id="Homebrew takes no number for 0"),
        pytest.param("-rc0", "-rc.1", Ecosystem.HOMEBREW, "order", id="Homebrew has rc0 before rc.1"),
        pytest.param("-rc", "-rc.0", Ecosystem.WINGET, "collision", id="winget drops zeros at the end"),
        pytest.param("-x.2", "-x.1a", Ecosystem.WINGET, "order", id="winget counts the 1 of 1a"),
        pytest.param("-x.5", "-x.-5", Ecosystem.WINGET, None, id="winget reads a minus sign"),
        pytest.param("-x.a", "-x.99999999999999999999z", Ecosystem.WINGET, None, id="too long for winget to count"),
        pytest.param("-rc2", "-rc10", Ecosystem.WINGET, None, id="text order in winget as in SemVer"),
        pytest.param("-rc.1", "", Ecosystem.HOMEBREW, None, id="release after candidate in Homebrew"),
        pytest.param("-rc.1", "", Ecosystem.SCOOP, None, id="release after candidate in Scoop"),
        pytest.param("-rc.1", "", Ecosystem.WINGET, None, id="release after candidate in winget"),
        pytest.param("+a", "+b", Ecosystem.DOCKER_TAG, None, id="two builds, two tags"),
        pytest.param("-nightly", "-rc.1", Ecosystem.PEP440, None, id="one of them cannot be spelt"),
    ],
)
def test_conflict_within_one_release(one: str, two: str, ecosystem: Ecosystem, kind: str | None) -> None:
    for ours, theirs in itertools.permutations([v(f"1.0.0{one}"), v(f"1.0.0{two}")]):
        found = conflicts(ours, [theirs], [ecosystem])
        assert [(c.ecosystem, c.other, c.kind) for c in found] == ([(ecosystem, theirs, kind)] if kind else [])
        assert all(str(ours) in c.reason and str(theirs) in c.reason for c in found)


def test_conflicts_look_at_every_rival_in_every_ecosystem() -> None:
    others = [v("1.0.0-rc1"), v("1.0.0-rc.1"), v("1.0.1-rc1"), v("1.0.0-alpha.1"), v("1.0.0-rc2")]
    found = conflicts(v("1.0.0-rc.1"), others, [Ecosystem.CARGO, Ecosystem.PEP440, Ecosystem.SCOOP])
    assert [(c.ecosystem, str(c.other)) for c in found] == [
        (Ecosystem.PEP440, "1.0.0-rc1"),
        (Ecosystem.SCOOP, "1.0.0-rc1"),
    ]


def test_a_conflict_is_said_in_a_sentence() -> None:
    order, collision = conflicts(v("1.0.0-dev.1"), [v("1.0.0-alpha.1"), v("1.0.0-dev1")], [Ecosystem.PEP440])
    assert order.reason == "SemVer puts 1.0.0-alpha.1 before 1.0.0-dev.1, pep440 after it"
    assert collision.reason == "pep440 takes 1.0.0-dev.1 and 1.0.0-dev1 for the same version"
