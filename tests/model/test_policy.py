"""The policy file: short where the case is simple, strict everywhere, and every mistake named with its place."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from releaser.errors import ConfigError, Exit
from releaser.model.policy import ApprovalRule, Policy, policy_digest
from releaser.model.version import Version
from tests.cases import FULL, SIMPLE, policy

FOUR_LINES = """\
artifacts.all.files = "*.whl"
[publish.demo]
registry = "pypi"
files = "all"
"""
TAP = """\
[downstream.brew]
kind = "homebrew-cask"
repository = "acme/tap"
description = "Demonstrates"
homepage = "https://example.invalid"
assets = { macos-arm64 = "demo" }
"""


FEED = """\
[downstream.choco]
kind = "chocolatey"
repository = "https://feed.example.invalid/api/v2"
description = "Demonstrates how it is to be delivered"
authors = "Ana"
homepage = "https://example.invalid"
tags = "demo"
assets = { windows-x86_64 = "demo.zip" }
"""


def refusal(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        policy(text)
    return caught.value


# What works


def test_four_lines_are_a_policy_with_stated_defaults() -> None:
    short = policy(FOUR_LINES)
    assert short.tag == "v{version}"
    assert (short.version.source, short.version.lockstep) == (None, ())
    assert {name: channel.branches for name, channel in short.channels.items()} == {
        "stable": ("main",),
        "prerelease": ("main",),
    }
    assert all(channel.draft and channel.publish is None for channel in short.channels.values())
    assert short.checks.required == ()
    assert short.approval == ApprovalRule(
        quorum=1, approvers=("role:admin",), exclude=("tagger", "initiator"), expires="72h"
    )
    assert short.approval.lifetime == timedelta(hours=72)
    assert short.publish["demo"].package is None
    assert short.publish["demo"].needs == ()
    assert (short.artifacts["all"].files, short.artifacts["all"].expect) == (("*.whl",), ())
    assert short.downstream == {}


def test_what_an_empty_file_means() -> None:
    empty = policy("")
    assert empty == Policy()
    assert empty.publications("stable") == {}


def test_one_text_is_a_list_of_one() -> None:
    assert policy('[checks]\nrequired = "ci"\n') == policy('[checks]\nrequired = ["ci"]\n')


def test_a_delivery_has_defaults_too() -> None:
    brew = policy(TAP).downstream["brew"]
    assert (brew.via, brew.channels, brew.needs) == ("pull-request", ("stable",), None)
    assert set(brew.settings) == {"description", "homepage", "assets"}
    assert policy(FEED).downstream["choco"].via == "push"


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("v1.2.3", "1.2.3"),
        ("v1.2.3-rc.1+b", "1.2.3-rc.1+b"),
        ("1.2.3", None),
        ("V1.2.3", None),
        ("xv1.2.3", None),
    ],
)
def test_the_version_in_a_tag(tag: str, expected: str | None) -> None:
    found = policy(SIMPLE).version_of(tag)
    assert (str(found) if found else None) == expected


@pytest.mark.parametrize(
    ("pattern", "tag", "version"),
    [
        ("{version}", "1.2.3", "1.2.3"),
        ("demo-v{version}", "demo-v1.2.3", "1.2.3"),
        ("release/{version}", "release/1.2.3", "1.2.3"),
        ("v{version}-final", "v1.2.3-final", "1.2.3"),
    ],
)
def test_a_pattern_may_have_words_around_the_version(pattern: str, tag: str, version: str) -> None:
    rules = policy(f'tag = "{pattern}"\n')
    assert rules.version_of(tag) == Version.parse(version)


@pytest.mark.parametrize("tag", ["v-final", "v", "-final", ""])
def test_the_ends_of_a_pattern_do_not_overlap(tag: str) -> None:
    rules = policy('tag = "v-{version}-final"\n')
    assert rules.version_of(tag) is None


def test_a_tag_of_the_right_form_with_a_wrong_version_says_so() -> None:
    with pytest.raises(ConfigError) as caught:
        policy(SIMPLE).version_of("v01.2.3")
    assert caught.value.code == "version-invalid"


@pytest.mark.parametrize(
    ("version", "channel"),
    [
        ("1.2.3", "stable"),
        ("1.2.3+build", "stable"),
        ("1.2.3-alpha.1", "prerelease"),
        ("1.2.3-rc1", "prerelease"),
        ("1.2.3-1", "prerelease"),
        ("1.2.3-devel.1", "prerelease"),
        ("1.2.3-dev.1", "dev"),
        ("1.2.3-dev", "dev"),
    ],
)
def test_the_channel_of_a_version(version: str, channel: str) -> None:
    assert policy(SIMPLE).channel_for(Version.parse(version)) == channel


def test_what_each_channel_makes() -> None:
    rules = policy(FULL)
    assert list(rules.publications("prerelease")) == ["core-pypi", "core-crate", "sdk"]
    assert rules.publications("dev") == {}
    assert list(rules.deliveries("stable")) == ["brew"]
    assert rules.deliveries("prerelease") == {}


@pytest.mark.parametrize(
    ("text", "lifetime"),
    [("1m", timedelta(minutes=1)), ("48h", timedelta(hours=48)), ("30d", timedelta(days=30))],
)
def test_how_long_an_approval_holds(text: str, lifetime: timedelta) -> None:
    assert policy(f'[approval]\nexpires = "{text}"\n').approval.lifetime == lifetime


def test_approvals_are_bound_to_the_bytes_of_the_file() -> None:
    empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert policy_digest(b"") == empty
    assert policy_digest(b"# a comment\n") != empty


@pytest.mark.parametrize("path", sorted(Path("policies").glob("*.toml")), ids=lambda path: path.stem)
def test_the_worked_policies_can_be_read(path: Path) -> None:
    assert policy(path.read_text()).artifacts


# What does not


@pytest.mark.parametrize(
    ("text", "line", "found", "wanted", "hint"),
    [
        pytest.param(
            "quorum = 2\n", 1, "unknown key 'quorum'", "approval, artifacts", "schema policy", id="a key of nowhere"
        ),
        pytest.param(
            SIMPLE + "[aproval]\nquorum = 2\n",
            6,
            "unknown key 'aproval'",
            "approval, artifacts",
            "did you mean 'approval'?",
            id="a typo at the top",
        ),
        pytest.param(
            SIMPLE + '[approval]\nexpires = "1h"\nquorom = 2\n',
            8,
            "unknown key 'quorom'",
            "approvers, exclude, expires, quorum",
            "did you mean 'quorum'?",
            id="a typo in a table",
        ),
        pytest.param(
            "approval.quorom = 2\n", 1, "unknown key 'quorom'", "quorum", "'quorum'?", id="a typo in a dotted key"
        ),
        pytest.param(
            "\napproval = { quorom = 2 }\n", 2, "unknown key 'quorom'", "quorum", "'quorum'?", id="a typo on one line"
        ),
        pytest.param(
            '[artifacts.all]\nfiles = "*"\n[publish.demo]\nregistry = "pypi"\nfiles = "all"\nneed = []\n',
            6,
            "unknown key 'need'",
            "needs",
            "did you mean 'needs'?",
            id="a typo in a named table",
        ),
        pytest.param(
            '[artifacts.all]\nfiles = "*"\n[publish.demo]\nregistri = "pypi"\nfiles = "all"\n',
            4,
            "unknown key 'registri'",
            "registry",
            "did you mean 'registry'?",
            id="a typo in a key that must be there",
        ),
        pytest.param(
            '[channels.stabel]\nbranches = "main"\n',
            1,
            "'stabel'",
            "'stable', 'prerelease' or 'dev'",
            "did you mean 'stable'?",
            id="a channel of the wrong name",
        ),
        pytest.param(
            TAP + 'licence = "MIT"\n', 7, "unknown key 'licence'", "homepage", "schema policy", id="a key of no kind"
        ),
        pytest.param(
            TAP.replace("homepage", "homepge"),
            5,
            "unknown key 'homepge'",
            "homepage",
            "did you mean 'homepage'?",
            id="a typo in a package manager's own setting",
        ),
        pytest.param(
            TAP + 'chanels = ["stable"]\n',
            7,
            "unknown key 'chanels'",
            "channels",
            "did you mean 'channels'?",
            id="a typo in a setting of every package manager",
        ),
        pytest.param(
            TAP.replace("repository", "repostory"),
            1,
            "nothing",
            "the key 'repository'",
            "did you mean 'repository' by 'repostory'?",
            id="a typo in a required setting",
        ),
        pytest.param(
            TAP.replace("macos-arm64", "macos-arm"),
            6,
            "'macos-arm'",
            "'macos-arm64'",
            "did you mean 'macos-arm64'?",
            id="a typo in a setting's table",
        ),
        pytest.param(
            TAP.replace("homebrew-cask", "homebrew-cast"),
            2,
            "'homebrew-cast'",
            "one of chocolatey, homebrew-cask",
            "did you mean 'homebrew-cask'?",
            id="an unknown package manager",
        ),
        pytest.param(
            TAP + 'via = "comit"\n',
            7,
            "'comit'",
            "'pull-request', 'commit' or 'push'",
            "did you mean 'commit'?",
            id="an unknown way",
        ),
        pytest.param(
            TAP + 'via = "push"\n', 7, "'push'", "'pull-request' or 'commit'", "schema policy", id="a push to a tap"
        ),
        pytest.param(
            TAP.replace("acme/tap", "https://tap.example.invalid/x"),
            3,
            "'https://tap.example.invalid/x'",
            "OWNER/NAME",
            "schema policy",
            id="a tap that is a feed",
        ),
        pytest.param(
            FEED.replace("https://feed.example.invalid/api/v2", "acme/feed"),
            3,
            "'acme/feed'",
            "a feed's address, such as",
            "schema policy",
            id="a feed that is a tap",
        ),
        pytest.param(FEED + 'via = "commit"\n', 9, "'commit'", "'push'", "schema policy", id="a commit to a feed"),
        pytest.param(
            FEED.replace("https:", "http:"),
            3,
            "'http://feed.example.invalid/api/v2'",
            "match pattern",
            "schema policy",
            id="a feed for all to read",
        ),
        pytest.param(
            TAP + 'channels = ["stabel"]\n',
            7,
            "'stabel'",
            "'stable'",
            "did you mean 'stable'?",
            id="a delivery for an unknown channel",
        ),
        pytest.param(
            TAP.replace("acme/tap", "tap"), 3, "'tap'", "match pattern", "schema policy", id="a tap without an owner"
        ),
        pytest.param(
            TAP + 'needs = "demo"\n', 7, "'demo'", "nothing: none is defined", "schema", id="a delivery's unknown need"
        ),
        pytest.param(
            FOUR_LINES.replace('"pypi"', '"pipy"'),
            3,
            "'pipy'",
            "one of crates.io, npm, pypi",
            "did you mean 'pypi'?",
            id="an unknown registry",
        ),
        pytest.param(
            FOUR_LINES.replace('files = "all"', 'files = "al"'),
            4,
            "'al'",
            "one of all",
            "did you mean 'all'?",
            id="an unknown artifact group",
        ),
        pytest.param(
            FOUR_LINES + 'needs = "dmo"\n', 5, "'dmo'", "one of demo", "did you mean 'demo'?", id="an unknown need"
        ),
        pytest.param(
            FOUR_LINES + 'needs = "demo"\n', 5, "a circle: demo", "an order", "schema", id="a publication needs itself"
        ),
        pytest.param(
            FOUR_LINES + 'needs = "b"\n[publish.b]\nregistry = "npm"\nfiles = "all"\nneeds = "demo"\n',
            9,
            "a circle: b, demo",
            "an order",
            "schema",
            id="a circle of two",
        ),
        pytest.param(
            FOUR_LINES + '[channels.stable]\nbranches = "main"\npublish = ["dem"]\n',
            7,
            "'dem'",
            "one of demo",
            "did you mean 'demo'?",
            id="a channel's unknown publication",
        ),
        pytest.param(
            FOUR_LINES + '[publish.more]\nregistry = "pypi"\npackage = "demo"\nfiles = "all"\n',
            7,
            "'demo' at pypi, which publish.demo has",
            "one publication for each package",
            "put all artifact groups into the `files` of publish.demo",
            id="two publications of one package",
        ),
        pytest.param(
            FOUR_LINES.replace("publish.demo", "publish.de-mo")
            + '[publish.more]\nregistry = "pypi"\npackage = "De.mo"\nfiles = "all"\n',
            7,
            "'De.mo' at pypi, which publish.de-mo has",
            "one publication for each package",
            "publish.de-mo",
            id="two spellings that a registry takes for one",
        ),
        pytest.param("[publish.demo]\nfiles = []\n", 1, "nothing", "the key 'registry'", "schema", id="no registry"),
        pytest.param("[artifacts.all]\n", 1, "nothing", "the key 'files'", "schema", id="a group without files"),
        pytest.param("[channels.dev]\n", 1, "nothing", "the key 'branches'", "schema", id="a channel without branches"),
        pytest.param("[approval]\napprovers = []\n", 2, "nobody", "at least one", "schema", id="no approver"),
        pytest.param(
            '[approval]\napprovers = "grace"\n', 2, "'grace'", "`user:LOGIN`", "schema", id="an approver of no kind"
        ),
        pytest.param('[approval]\napprovers = "user:"\n', 2, "'user:'", "`user:LOGIN`", "schema", id="nobody's login"),
        pytest.param(
            '[approval]\napprovers = "role:read"\n',
            2,
            "'role:read'",
            "admin|maintain|write",
            "schema",
            id="a weak role",
        ),
        pytest.param(
            '[approval]\nexclude = "taggers"\n',
            2,
            "'taggers'",
            "tagger",
            "did you mean 'tagger'?",
            id="nobody to exclude",
        ),
        pytest.param("[channels.dev]\nbranches = []\n", 2, "no branch", "at least one", "schema", id="no branch"),
        pytest.param("[approval]\nquorum = 0\n", 2, "0", "greater than or equal to 1", "schema", id="a quorum of none"),
        pytest.param('[approval]\nquorum = "2"\n', 2, "'2'", "an integer", "schema", id="a quorum in quotes"),
        pytest.param("[approval]\nquorum = true\n", 2, "True", "an integer", "schema", id="a quorum of yes"),
        pytest.param("[approval]\nquorum = 1.0\n", 2, "1.0", "an integer", "schema", id="a quorum with a point"),
        pytest.param(
            '[channels.dev]\nbranches = "*"\ndraft = false\n',
            3,
            "draft = false with publications",
            "publish = []",
            "add `publish = []`",
            id="public at once and published",
        ),
        pytest.param(
            FOUR_LINES + '[channels.dev]\nbranches = "*"\ndraft = false\npublish = ["demo"]\n',
            7,
            "draft = false with publications",
            "publish = []",
            "add `publish = []`",
            id="public at once and one publication",
        ),
        pytest.param(
            FOUR_LINES + 'environment = "one"\n[publish.other]\nregistry = "npm"\nfiles = "all"\nenvironment = "two"\n',
            9,
            "several environments: one, two",
            "one for all publications",
            "schema policy",
            id="a job in two environments",
        ),
        pytest.param(
            TAP + 'channels = ["dev"]\n[channels.dev]\nbranches = "*"\ndraft = false\npublish = []\n',
            7,
            "dev releases, which nobody approves",
            "draft = true",
            "take 'dev' out",
            id="public at once and delivered",
        ),
        pytest.param(
            '[channels.dev]\nbranches = "*"\ndraft = "false"\n',
            3,
            "'false'",
            "true or false",
            "schema",
            id="no in quotes",
        ),
        pytest.param('tag = "v"\n', 1, "'v'", "one `{version}`", "schema", id="a tag without a version"),
        pytest.param(
            'tag = "{version}-{version}"\n', 1, "'{version}-{version}'", "one `{version}`", "schema", id="two versions"
        ),
        pytest.param('tag = "v{version}}"\n', 1, "'v{version}}'", "one `{version}`", "schema", id="a stray brace"),
        pytest.param('tag = "v{Version}"\n', 1, "'v{Version}'", "one `{version}`", "schema", id="another placeholder"),
        pytest.param('tag = "-{version}"\n', 1, "'-{version}'", "beginning with", "schema", id="a tag like an option"),
        pytest.param('tag = "v {version}"\n', 1, "'v {version}'", "letters", "schema", id="a blank in the tag"),
        pytest.param('tag = "$({version})"\n', 1, "'$({version})'", "letters", "schema", id="a command in the tag"),
        pytest.param("tag = 1\n", 1, "1", "a string", "schema", id="a number for a tag"),
        pytest.param('[approval]\nexpires = "3 days"\n', 2, "'3 days'", "pattern", "schema", id="three days in words"),
        pytest.param('[approval]\nexpires = "0h"\n', 2, "'0h'", "pattern", "schema", id="an approval of no time"),
        pytest.param("[approval]\nexpires = 72\n", 2, "72", "a string", "schema", id="hours without a unit"),
        pytest.param(
            "[checks]\nrequired = 5\n", 2, "5", "a string or a list of strings", "schema", id="a number for names"
        ),
        pytest.param('[checks]\nrequired = ["ci", 5]\n', 2, "5", "a string", "schema", id="a number among names"),
        pytest.param("approval = 3\n", 1, "3", "a table", "schema", id="a number for a table"),
        pytest.param('publish = "all"\n', 1, "'all'", "a table", "schema", id="a text for a table"),
        pytest.param(
            '[artifacts.All]\nfiles = "*"\n', 1, "'All'", "lower-case letters", "schema", id="a name in capitals"
        ),
        pytest.param(
            '[artifacts."a\\n"]\nfiles = "*"\n', 1, "'a\\n'", "lower-case letters", "schema", id="a name with a newline"
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, line: int, found: str, wanted: str, hint: str) -> None:
    error = refusal(text)
    assert (error.code, error.exit) == ("policy-invalid", Exit.USAGE)
    assert error.object == f"releaser.toml:{line}"
    assert error.found == found
    assert wanted in error.wanted
    assert hint in error.hint


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param('tag = "v{version}"\n[approval\n', 2, id="an open header"),
        pytest.param("[approval]\nquorum 2\n", 2, id="no equals sign"),
        pytest.param("[approval]\nquorum = 2\nquorum = 3\n", 3, id="a key twice"),
        pytest.param("[a]\n[a]\n", 2, id="a table twice"),
        pytest.param('[approval]\n\nexpires = "72h', 3, id="an open text at the end of the file"),
        pytest.param("x = " + "1" * 5000 + "\n", 1, id="a number without end"),
        pytest.param("x = " + "[" * 20_000, 1, id="lists without end"),
    ],
)
def test_what_is_not_toml(text: str, line: int) -> None:
    error = refusal(text)
    assert (error.code, error.exit, error.wanted) == ("policy-syntax", Exit.USAGE, "TOML 1.0")
    assert error.object == f"releaser.toml:{line}"
    assert error.found
    assert error.hint == "edit releaser.toml"


def test_without_a_package_manager_none_is_known() -> None:
    with pytest.raises(ConfigError) as caught:
        Policy.parse(TAP, "p.toml", registries=(), dispatchers={})
    assert (caught.value.object, caught.value.wanted) == ("p.toml:2", "one of nothing: none is defined")


def test_the_message_names_the_key() -> None:
    assert refusal("[approval]\nquorum = 0\n").message == "the policy file is not usable: approval.quorum"
