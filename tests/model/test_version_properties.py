"""What holds for every version, not only for the examples."""

from __future__ import annotations

import re
from contextlib import suppress

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from packaging.version import Version as PyVersion
from semver import Version as SemVer

from releaser.errors import ReleaserError
from releaser.model.spelling import Ecosystem, conflicts, spell
from releaser.model.version import MAX_LENGTH, Version

quickly = settings(deadline=None, database=None, max_examples=150)

small = st.integers(0, 12)
cores = st.builds("{}.{}.{}".format, small, small, small)
crowded_cores = st.sampled_from(["1.0.0", "1.0.1"])
phases = st.sampled_from(["alpha", "beta", "rc", "dev"])
counted = st.builds("-{}{}{}".format, phases, st.sampled_from([".", ""]), small)
identifier = st.from_regex(r"0|[1-9][0-9]{0,3}|[0-9]{0,2}[a-zA-Z-][0-9a-zA-Z-]{0,4}", fullmatch=True)
dotted_identifiers = st.lists(identifier, min_size=1, max_size=3).map(".".join)
tails = st.one_of(st.just(""), counted, dotted_identifiers.map("-{}".format))
builds = st.one_of(st.just(""), dotted_identifiers.map("+{}".format))

texts = st.builds("{}{}{}".format, cores, tails, builds)
versions = texts.map(Version.parse)
crowded = st.builds("{}{}".format, crowded_cores, st.one_of(st.just(""), counted)).map(Version.parse)
nearly = st.text(alphabet="0123456789.-+_!v abcdeprtlhosx\n\u0661\uff11", max_size=24)
ecosystems = st.sampled_from(Ecosystem)


def spelt(version: Version, ecosystem: Ecosystem) -> str | None:
    with suppress(ReleaserError):
        return spell(version, ecosystem)
    return None


@quickly
@given(texts)
def test_reading_and_writing_gives_the_same_text(text: str) -> None:
    version = Version.parse(text)
    assert str(version) == text
    rest = (f"-{version.prerelease}" if version.prerelease else "") + (f"+{version.build}" if version.build else "")
    assert f"{version.core}{rest}" == text


@quickly
@given(st.one_of(nearly, st.text(max_size=80), texts))
@example("\ud800")
@example("1!0.0.0" + "0" * 57)
@example("1." * 32)
def test_any_text_is_a_version_or_a_releaser_error(text: str) -> None:
    with suppress(ReleaserError):
        version = Version.parse(text)
        assert SemVer.is_valid(str(version))
        for ecosystem in Ecosystem:
            with suppress(ReleaserError):
                spell(version, ecosystem)


@quickly
@given(versions, versions)
def test_order_is_total_and_follows_semver(one: Version, two: Version) -> None:
    assert (one < two) + (one == two) + (one > two) == 1
    if precedence := SemVer.parse(str(one)).compare(str(two)):
        assert (one < two) is (precedence < 0)
    else:
        assert (one == two) is (one.build == two.build)


@quickly
@given(versions)
def test_a_spelling_stays_within_what_every_ecosystem_takes(version: Version) -> None:
    for ecosystem in Ecosystem:
        spelling = spelt(version, ecosystem)
        assert spelling is None or len(spelling) <= len(str(version)) <= MAX_LENGTH
    assert re.fullmatch(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", spell(version, Ecosystem.DOCKER_TAG))
    assert re.fullmatch(r"[\w\.\-+_]+", spelt(version, Ecosystem.SCOOP) or "-")
    assert not set(spelt(version, Ecosystem.WINGET) or "") & set('\\/:*?"<>|')


@quickly
@given(versions, ecosystems)
def test_a_refusal_names_a_version_that_works(version: Version, ecosystem: Ecosystem) -> None:
    try:
        spell(version, ecosystem)
    except ReleaserError as refusal:
        works = Version.parse(refusal.hint.split()[-1])
        assert works != version
        assert spell(works, ecosystem)


def read_back(spelling: PyVersion) -> Version:
    """The dotted version of a PEP 440 spelling, read by its own package."""
    words = {"a": "alpha", "b": "beta", "rc": "rc"}
    phase = f"-{words[spelling.pre[0]]}.{spelling.pre[1]}" if spelling.pre else ""
    return Version.parse(
        spelling.base_version + (phase or (f"-dev.{spelling.dev}" if spelling.dev is not None else ""))
    )


@quickly
@given(crowded | versions)
def test_pep440_there_and_back(version: Version) -> None:
    spelling = spelt(version, Ecosystem.PEP440)
    assume(spelling is not None)
    back = read_back(PyVersion(str(spelling)))
    assert back == version.dotted
    assert spell(back, Ecosystem.PEP440) == spelling == str(PyVersion(str(spelling)))


@quickly
@given(crowded | versions, crowded | versions)
def test_pep440_order_is_semver_order_unless_a_conflict_says_so(one: Version, two: Version) -> None:
    first, second = spelt(one, Ecosystem.PEP440), spelt(two, Ecosystem.PEP440)
    assume(one != two and first is not None and second is not None)
    agree = (PyVersion(str(first)) < PyVersion(str(second))) is (one < two) and first != second
    assert agree is not bool(conflicts(one, [two], [Ecosystem.PEP440]))


@quickly
@given(
    crowded_cores,
    st.sampled_from([(".", 30), ("", 9)]).flatmap(
        lambda style: st.lists(
            st.builds(
                "-{}{}{}".format,
                st.sampled_from(["alpha", "beta", "rc"]),
                st.just(style[0]),
                st.integers(0, style[1]),
            ),
            min_size=2,
            max_size=2,
        )
    ),
)
def test_one_style_of_the_safe_grammar_never_conflicts(core: str, tails: list[str]) -> None:
    version, *others = (Version.parse(core + tail) for tail in [*tails, ""])
    assert conflicts(version, others, tuple(Ecosystem)) == ()
    assert all(spell(version, ecosystem) for ecosystem in Ecosystem)


@quickly
@given(versions, versions, ecosystems)
def test_a_conflict_is_mutual(one: Version, two: Version, ecosystem: Ecosystem) -> None:
    there = [(c.ecosystem, c.kind) for c in conflicts(one, [two], [ecosystem])]
    assert there == [(c.ecosystem, c.kind) for c in conflicts(two, [one], [ecosystem])]


@quickly
@given(versions, versions)
def test_image_tags_differ_where_versions_do(one: Version, two: Version) -> None:
    assert (spell(one, Ecosystem.DOCKER_TAG) == spell(two, Ecosystem.DOCKER_TAG)) is (one == two)
    assert spell(one, Ecosystem.DOCKER_TAG).replace("_", "+") == str(one)
