"""Gate ``archive``: no artifact is an archive that two programs would unpack differently, or out of its folder."""

from __future__ import annotations

from collections.abc import Iterator

from releaser.model.facts import Unobserved
from releaser.model.plan import GateRow
from releaser.policy.case import Case, Row


def archive(case: Case) -> Iterator[GateRow]:
    """Let through files in which the inspection found no problem."""
    if isinstance(case.facts.artifacts, Unobserved):
        yield Row("archive", "all").missing(case.facts.artifacts)
        return
    for file in case.facts.artifacts:
        row = Row("archive", file.artifact.name)
        for problem in file.contents.problems:
            yield row.fail(problem, found=problem, wanted="a plain archive", hint="mend the build that made this file")
        if not file.contents.problems:
            entries = file.contents.entries
            yield row.passed(f"{entries} entries, safe to unpack" if entries else "a plain file")
