"""Gate ``limits``: nothing that a registry is known to refuse, for any target, before the first upload to any."""

from __future__ import annotations

from collections.abc import Iterator

from releaser.model.facts import Unobserved
from releaser.model.plan import GateRow
from releaser.policy.case import Case, Row


def limits(case: Case) -> Iterator[GateRow]:
    """Let through artifacts that meet the size, name and platform rules of every registry they go to."""
    if isinstance(case.facts.artifacts, Unobserved):
        yield Row("limits", "all").missing(case.facts.artifacts)
        return
    blocked = {o.publication for o in case.facts.objections}
    for objection in case.facts.objections:
        yield Row("limits", objection.artifact).fail(
            f"{objection.publication} would be refused",
            found=objection.found,
            wanted=objection.wanted,
            hint=objection.hint,
        )
    for publication in case.publications:
        row = Row("limits", publication.id)
        if not publication.files:
            yield row.fail(
                "the publication has no file",
                found="no file in " + ", ".join(case.policy.publish[publication.id].files),
                wanted="one file or more",
                hint="build it and run this again",
            )
        elif publication.id not in blocked:
            yield row.passed(f"meets the rules of {publication.registry}")
