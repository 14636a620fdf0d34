"""Gate ``artifacts``: the folder holds every file the policy expects, and nothing else."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from releaser.errors import ReleaserError
from releaser.model.artifact import Inspected, Kind
from releaser.model.facts import Unobserved
from releaser.model.plan import GateRow
from releaser.model.policy import ArtifactGroup, Policy
from releaser.model.spelling import Ecosystem, spell
from releaser.model.version import Version
from releaser.policy.case import Case, Row

_NEXT = "mend the build, or name the file in [artifacts]"


def artifacts(case: Case) -> Iterator[GateRow]:
    """Let through a folder in which each file belongs to one group and each expectation is met."""
    if isinstance(case.facts.artifacts, Unobserved):
        yield Row("artifacts", "all").missing(case.facts.artifacts)
        return
    if case.version is None:
        yield Row("artifacts", "all").skip("the tag gate comes first")
        return
    words = placeholders(case.version, case.tag)
    patterns = patterns_of(case.policy, words)
    placed = [(file, groups_of(file.artifact.name, patterns)) for file in case.facts.artifacts]
    for file, groups in placed:
        if len(groups) != 1:
            yield _misplaced(file, groups)
    for name, group in case.policy.artifacts.items():
        yield from _group(name, group, [file for file, groups in placed if groups == [name]], words)


def placeholders(version: Version, tag: str) -> Mapping[str, str]:
    """What ``{version}``, ``{pep440}`` and ``{tag}`` stand for; ``{pep440}`` only where it exists."""
    words = {"version": str(version), "tag": tag}
    try:
        return words | {"pep440": spell(version, Ecosystem.PEP440)}
    except ReleaserError:
        return words


def fill(text: str, words: Mapping[str, str]) -> str:
    """*text* with its placeholders replaced; unknown ones stay as they are."""
    for word, value in words.items():
        text = text.replace("{" + word + "}", value)
    return text


def patterns_of(policy: Policy, words: Mapping[str, str]) -> Mapping[str, re.Pattern[str]]:
    """What the file names of every artifact group match: its globs, filled with *words*."""
    globs = {name: tuple(fill(glob, words) for glob in group.files) for name, group in policy.artifacts.items()}
    return {name: _any_of(rules) for name, rules in globs.items() if rules}


@lru_cache(maxsize=256)  # the same few for every artifact of a release
def _any_of(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(fnmatch.translate, globs)))


def groups_of(name: str, patterns: Mapping[str, re.Pattern[str]]) -> list[str]:
    """The artifact groups whose *patterns* the file *name* matches."""
    return [group for group, pattern in patterns.items() if pattern.match(name)]


def _misplaced(file: Inspected, groups: list[str]) -> GateRow:
    row = Row("artifacts", file.artifact.name)
    if groups:
        return row.fail("the file belongs to several groups", found=", ".join(groups), wanted="exactly one", hint=_NEXT)
    return row.fail("an extra file: no group names it", found=file.artifact.name, wanted="no such file", hint=_NEXT)


def _group(name: str, group: ArtifactGroup, members: list[Inspected], words: Mapping[str, str]) -> Iterator[GateRow]:
    row = Row("artifacts", name)
    expected = [fill(pattern, words) for pattern in group.expect]
    met = {pattern: [m for m in members if _meets(m, pattern)] for pattern in expected}
    missing = [pattern for pattern, files in met.items() if not files]
    for pattern in missing:
        yield Row("artifacts", f"{name}: {pattern}").fail(
            "an expected file is missing",
            found=", ".join(m.artifact.name for m in members) or "no file of this group",
            wanted=pattern,
            hint="build it and run this again",
        )
    for member in members:
        if expected and not any(member in files for files in met.values()):
            yield Row("artifacts", member.artifact.name).fail(
                f"the group {name} does not expect this file",
                found=", ".join(member.contents.platforms) or member.artifact.name,
                wanted=" or ".join(expected),
                hint=_NEXT,
            )
    if not members and not expected:
        yield row.fail(
            "no file of this group",
            found="nothing",
            wanted=" or ".join(fill(pattern, words) for pattern in group.files),
            hint="build it and run this again",
        )
    elif not missing and members:
        yield row.passed(f"{len(members)} file{'s' if len(members) != 1 else ''}")


def _meets(file: Inspected, pattern: str) -> bool:
    names = file.contents.platforms if file.artifact.kind is Kind.WHEEL else ()
    return any(fnmatch.fnmatchcase(name, pattern) for name in (*names, file.artifact.name))
