"""Package managers: sent once everything they point at can be downloaded, and looked for until they show it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from releaser.engine import survey
from releaser.engine.draft import release_of
from releaser.engine.intents import Ending
from releaser.engine.planner import delivery_action
from releaser.engine.ports import Receipt, Release, Sent
from releaser.engine.run import Run
from releaser.engine.view import has_arrived
from releaser.errors import ConflictError, ExternalError, ReleaserError, WaitingError
from releaser.model.facts import Delivery, Unobserved
from releaser.model.manifest import Manifest, PlannedDelivery
from releaser.model.plan import Action


def delivery_key(entry: PlannedDelivery, manifest: Manifest) -> str:
    """The key of one delivery: at most one is under way under it."""
    return f"{entry.kind}/{entry.repository}/{entry.id}/{manifest.version}"


def arrivals(manifest: Manifest, seen: Mapping[str, Delivery | Unobserved]) -> Iterator[Ending]:
    """The ends of the deliveries that their package managers show."""
    for entry in manifest.downstream:
        delivery = seen.get(entry.id)
        if isinstance(delivery, Delivery) and has_arrived(delivery):
            yield Ending(delivery_key(entry, manifest), "done", delivery.detail or delivery.state)


def delivered(manifest: Manifest, ended: Mapping[str, str]) -> frozenset[str]:
    """The deliveries that are on record as done, whatever became of them since: nothing is delivered twice."""
    return frozenset(d.id for d in manifest.downstream if ended.get(delivery_key(d, manifest)) == "done")


def deliver(run: Run, done: Collection[str]) -> None:
    """Update the package managers whose publications are in *done*. What stops one is a problem of the run."""
    outside, manifest = run.outside, run.manifest
    before = delivered(manifest, run.intents.ended)
    due = [d for d in manifest.downstream if set(done).issuperset(d.needs) and d.id not in before]
    seen = survey.deliveries(outside.dispatchers, outside.workers, due, manifest)
    actions = {d.id: delivery_action(d, seen[d.id]) for d in due}
    for entry in due:
        action, found = actions[entry.id]
        if action is Action.WAIT:
            run.problem(
                ExternalError(
                    "delivery-unread",
                    f"{entry.repository} could not be read, so nothing was delivered",
                    object=entry.id,
                    found=found,
                    hint=run.again,
                )
            )
        elif action is Action.CONFLICT:
            run.problem(
                ConflictError(
                    "delivery-conflict",
                    f"{entry.repository} has something that may not be replaced, so nothing was delivered",
                    object=entry.id,
                    found=found,
                    wanted="the rendered file, an older version of it, or nothing",
                    hint=f"find out whose it is; once it is out of the way: {run.again}",
                )
            )
    pending = [d for d in due if actions[d.id][0] is Action.PUBLISH]
    if pending:
        _wait_for_files(run)
    for entry in pending:
        try:
            _deliver(run, entry)
        except _Undelivered as error:
            run.problem(error.problem)
            run.say("delivery-failed", downstream=entry.id, reason=error.problem.message)


class _Undelivered(Exception):
    """One package manager was not served; the others still may be."""

    def __init__(self, problem: ReleaserError) -> None:
        super().__init__(problem.code)
        self.problem = problem


def _deliver(run: Run, entry: PlannedDelivery) -> None:
    """Send, unless what was sent before may still turn up, and look until it is there."""
    dispatcher, key = run.outside.dispatchers[entry.kind], delivery_key(entry, run.manifest)

    def arrived() -> Delivery | None:
        seen = dispatcher.observe(entry, run.manifest)
        return seen if has_arrived(seen) else None

    def found(receipt: Receipt) -> Delivery | None:
        patient = receipt.sent in (Sent.ACCEPTED, Sent.UNKNOWN)
        try:
            return run.until(run.patience.settle if patient else run.patience.refused, arrived)
        except ReleaserError as error:
            raise _Undelivered(error) from error

    receipt = run.intents.latest(key)
    seen = found(receipt) if receipt else None
    if receipt is None or (seen is None and run.intents.may_send(key)):
        run.intents.begin({key: run.manifest.digest()})
        receipt = _send(run, entry)
        run.intents.answered({key: receipt})
        seen = found(receipt)
    if seen is None:
        if receipt.sent is Sent.REFUSED:
            run.intents.close([Ending(key, receipt.sent, receipt.detail)])
        raise _Undelivered(_unseen(entry, receipt, run.again))
    run.intents.close(arrivals(run.manifest, {entry.id: seen}))
    run.say("delivered", downstream=entry.id, detail=seen.detail or seen.state)


def _send(run: Run, entry: PlannedDelivery) -> Receipt:
    """Send once, if every gate still lets it through; else the intent ends unsent."""
    try:
        run.guard()
    except ReleaserError:
        run.intents.close([Ending(delivery_key(entry, run.manifest), "unsent")])
        raise
    try:
        receipt = run.outside.dispatchers[entry.kind].deliver(entry, run.manifest)
    except ReleaserError as error:
        return Receipt(Sent.UNKNOWN, error.message)
    return replace(receipt, sent=Sent.REFUSED) if receipt.sent is Sent.DENIED else receipt  # there is no fresh right


def setbacks(manifest: Manifest, known: Mapping[str, Ending], again: str) -> Iterator[ExternalError]:
    """What stands in the way of the deliveries whose writes are *known* to have been refused."""
    for entry in manifest.downstream:
        end = known.get(delivery_key(entry, manifest))
        if end and end.result == "refused":
            yield _unseen(entry, Receipt(Sent.REFUSED, end.evidence), again)


def _unseen(entry: PlannedDelivery, receipt: Receipt, again: str) -> ExternalError:
    """What to say of a delivery that does not show."""
    found = receipt.detail or receipt.sent
    if receipt.sent in (Sent.ACCEPTED, Sent.UNKNOWN):
        return ExternalError(
            "delivery-unseen",
            f"{entry.repository} does not show what was delivered",
            object=entry.id,
            found=found,
            wanted="the rendered file",
            hint=again,
        )
    return ExternalError(
        "delivery-refused",
        f"{entry.repository} did not take the delivery",
        retryable=receipt.sent is Sent.LATER,
        object=entry.id,
        found=found,
        wanted="acceptance",
        hint=again,
    )


def _wait_for_files(run: Run) -> None:
    """Return once anybody can download every file; a package manager must not point at a draft (T63)."""
    names = {a.name for a in run.manifest.artifacts}

    def public() -> Release | None:
        release = release_of(run.outside.forge.releases(run.subject.tag))
        files = [a for a in release.assets if a.name in names] if release and not release.draft else []
        downloadable = run.outside.workers.map(run.outside.forge.is_public, files)
        return release if len(files) == len(names) and all(downloadable) else None

    if run.until(run.patience.visible, public) is None:
        raise WaitingError(
            "files-not-public",
            "the release's files cannot be downloaded yet",
            object=run.view.candidate.release.url,
            found="a file that only members of the repository can download",
            wanted="every file public",
            hint=run.again,
        )
