"""A look at a release as a document for people and programs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from releaser.engine.states import State, is_complete, next_step
from releaser.engine.view import View
from releaser.errors import ReleaserError
from releaser.model.facts import Delivery, DeliveryState, Freeze, Presence, Shelf, Unobserved
from releaser.model.manifest import ASSET, PlannedDelivery, PlannedPublication
from releaser.model.status import ChannelRow, ProblemRow, Shown, StatusReport


@dataclass(frozen=True, slots=True)
class Records:
    """The record that was read: ``where`` it is, how many records there are, the ``option`` that names it, if any."""

    where: str = ""
    count: int = 0
    option: str = ""


def report(
    view: View, state: State, problems: Sequence[ReleaserError] = (), records: Records = Records()
) -> StatusReport:
    """The status document of one look."""
    manifest, freeze, seen = view.manifest, view.world.freeze, view.world.deliveries.values()
    swapped = any(p.code == "manifest-swapped" for p in problems)
    step = next_step(
        state,
        draft=view.candidate.release.draft,
        all_frozen=isinstance(freeze, Freeze) and not freeze.tag,
        damaged=bool(view.world.damage) and not swapped,
        proposed=any(isinstance(d, Delivery) and d.state is DeliveryState.PROPOSED for d in seen),
    )
    return StatusReport(
        repository=manifest.repository.name,
        tag=manifest.tag.name,
        version=manifest.version,
        state=state,
        next=step.command.format(tag=manifest.tag.name, digest=manifest.digest(), ledger=records.option),
        remark=step.remark,
        ledger=records.where,
        records=records.count,
        manifest=manifest.digest(),
        release=view.candidate.release.url,
        draft=view.candidate.release.draft,
        assembled_by=next((a.by.login for a in view.candidate.release.assets if a.name == ASSET), ""),
        gates=() if swapped else view.rows,  # they are about a manifest that counts for nothing
        publications=tuple(_publication(p, view) for p in manifest.publications),
        downstream=tuple(_delivery(d, view.world.deliveries.get(d.id)) for d in manifest.downstream),
        problems=tuple(problem(p) for p in problems),
    )


def problem(error: ReleaserError) -> ProblemRow:
    """An error as a row."""
    return ProblemRow(
        code=error.code,
        message=error.message,
        object=error.object,
        found=error.found,
        wanted=error.wanted,
        hint=error.hint,
    )


def _publication(publication: PlannedPublication, view: View) -> ChannelRow:
    shelf = view.world.shelves.get(publication.id, Unobserved("not read", failed=True))
    shown, detail = _shelf(shelf, view.visible.get(publication.id))
    return ChannelRow(
        id=publication.id,
        target=publication.registry,
        item=f"{publication.package} {publication.version}",
        shown=shown,
        detail=detail,
    )


def _shelf(shelf: Shelf | Unobserved, visible: Shelf | Unobserved | None) -> tuple[Shown, str]:
    if isinstance(shelf, Unobserved):
        return Shown.UNKNOWN, shelf.reason
    if conflict := _conflict(shelf) or (_conflict(visible) if isinstance(visible, Shelf) else ""):
        return Shown.CONFLICT, conflict
    states = list(shelf.files.values())
    if Presence.UNKNOWN in states:
        return Shown.UNKNOWN, "listed without a digest"
    same = states.count(Presence.SAME)
    if not same:
        return Shown.ABSENT, ""
    if same < len(states):
        return Shown.PARTIAL, f"{same} of {len(states)} files"
    if isinstance(visible, Unobserved):
        return Shown.UNKNOWN, f"recorded; {visible.reason}"
    if visible is not None and is_complete(visible):
        return Shown.VISIBLE, f"{same} file{'s' if same != 1 else ''}, same digest"
    return Shown.RECORDED, "not in the consumer's index yet"


def _conflict(shelf: Shelf) -> str:
    """What a registry or an index shows that is not ours, empty when there is nothing."""
    if shelf.foreign:
        return "not ours: " + ", ".join(shelf.foreign)
    different = [n for n, p in shelf.files.items() if p is Presence.DIFFERENT]
    return "other bytes: " + ", ".join(different) if different else ""


_SHOWN = {
    DeliveryState.SAME: Shown.VISIBLE,
    DeliveryState.NEWER: Shown.VISIBLE,
    DeliveryState.PROPOSED: Shown.RECORDED,
    DeliveryState.SUBMITTED: Shown.SUBMITTED,
    DeliveryState.CONFLICT: Shown.CONFLICT,
    DeliveryState.ABSENT: Shown.ABSENT,
}


def _delivery(entry: PlannedDelivery, seen: Delivery | Unobserved | None) -> ChannelRow:
    known = seen if isinstance(seen, Delivery) else None
    return ChannelRow(
        id=entry.id,
        target=entry.kind,
        item=entry.repository,
        shown=_SHOWN[known.state] if known else Shown.UNKNOWN,
        detail=known.detail if known else seen.reason if isinstance(seen, Unobserved) else "",
    )
