"""Gate ``tag``: the tag's name, the version in it, and the object behind it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from releaser.errors import ReleaserError
from releaser.model.facts import Source, Unobserved
from releaser.model.plan import GateRow
from releaser.model.policy import Publication
from releaser.model.spelling import Ecosystem, conflicts, spell
from releaser.model.version import Version
from releaser.policy.case import Case, Row

GRAMMAR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]{0,63}", re.ASCII)
"""What a tag may consist of before anything else looks at it: no shell, markup or escape character gets through."""


def tag(case: Case) -> Iterator[GateRow]:
    """Let through a plain name of the policy's form, a version every target can spell, and an unmoved tag."""
    shown = case.shown
    row = Row("tag", shown)
    if not GRAMMAR.fullmatch(case.tag):
        yield row.fail(
            "the tag's name has characters that a release tag cannot have",
            found=shown,
            wanted="up to 64 ASCII letters, digits and . _ / + - , beginning with a letter or digit",
            hint=_delete(case.tag) + ", and tag again",
        )
        return
    if case.version is None:
        yield _not_a_version(case, row)
        return
    yield from _spellings(case, case.version)
    if case.facts.source is None:
        yield row.fail(
            "the repository has no such tag",
            found="no refs/tags/" + shown,
            wanted="an existing tag",
            hint=f"git fetch --tags, or plan it before tagging: releaser plan {shown} --at HEAD",
        )
        return
    yield from _object(case, row, case.facts.source)


def _delete(tag: str) -> str:
    """How to delete a tag of any name; a command only where a shell takes the pasted text for that name alone."""
    if tag.isascii() and tag.isprintable():
        return f"delete it (`git push origin --delete {shlex.quote('refs/tags/' + tag)}`)"
    return "delete it on the forge's page of tags"


def _not_a_version(case: Case, row: Row) -> GateRow:
    try:
        case.policy.version_of(case.tag)
    except ReleaserError as error:
        return row.fail(error.message, found=error.found, wanted=error.wanted, hint=error.hint)
    return row.fail(
        "the tag does not have the form of a release tag",
        found=row.object,
        wanted=case.policy.tag,
        hint="tag again with the policy's form, or change `tag` in the policy",
    )


def _spellings(case: Case, version: Version) -> Iterator[GateRow]:
    registries = {p.registry for p in _scheduled(case)} & case.registries.keys()
    ecosystems = sorted({case.registries[name].ecosystem for name in registries})
    for ecosystem in ecosystems:
        row = Row("tag", f"{version} as {ecosystem}")
        try:
            spelled = spell(version, ecosystem)
        except ReleaserError as error:
            yield row.fail(error.message, found=error.found, wanted=error.wanted, hint=error.hint)
        else:
            yield row.passed(f"{ecosystem} spells it {spelled}")
    if case.facts.source is not None:
        yield from _neighbours(version, case.facts.source, ecosystems)


def _scheduled(case: Case) -> Iterator[Publication]:
    return iter(case.policy.publications(case.channel).values()) if case.channel else iter(())


def _neighbours(version: Version, source: Source, ecosystems: list[Ecosystem]) -> Iterator[GateRow]:
    for conflict in conflicts(version, source.released, ecosystems):
        yield Row("tag", f"{version} beside {conflict.other}").fail(
            conflict.reason,
            found=f"an earlier tag {conflict.other}",
            wanted=f"a version that {conflict.ecosystem} keeps apart and in order",
            hint="choose the next number, in the style of the earlier tags",
        )


def _object(case: Case, row: Row, source: Source) -> Iterator[GateRow]:
    seen = source.tag
    kind = "annotated tag" if seen.annotated else "lightweight tag"
    remote = case.facts.world.tag
    if isinstance(remote, Unobserved):
        if remote.failed:
            yield row.missing(remote)
        else:
            yield row.passed(
                f"{kind} on commit {seen.commit[:12]}" if seen.object else f"would be created at {seen.commit[:12]}"
            )
    elif remote is None:
        yield row.fail(
            "the forge does not have this tag",
            found="no such tag at the forge",
            wanted=f"{seen.object[:12]} on {seen.commit[:12]}",
            hint=f"git push origin refs/tags/{case.tag}",
        )
    elif (remote.object, remote.commit, remote.tagger) != (seen.object, seen.commit, seen.tagger):
        yield row.fail(
            "the tag was moved",
            found=f"{remote.object[:12]} on {remote.commit[:12]} at the forge",
            wanted=f"{seen.object[:12]} on {seen.commit[:12]}",
            hint="a moved tag voids the release: choose a new version and tag again",
        )
    else:
        yield row.passed(f"{kind} on commit {seen.commit[:12]}, the same at the forge")
