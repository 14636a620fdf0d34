"""Registries: every publication sent in dependency order, each file once, and looked for until consumers see it.

A wave is what may be sent now, side by side. Its intents are recorded in one go before it, its answers in one go
after, and the gates are read in between; so what a freeze or another run does not stop is what is under way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from releaser.engine import survey
from releaser.engine.intents import Ending
from releaser.engine.ledger import Entry
from releaser.engine.ports import Clock, Credential, Fetched, Identity, Receipt, Registry, Sent
from releaser.engine.run import Run
from releaser.engine.states import has_begun, is_complete, is_conflict
from releaser.errors import ConflictError, ExternalError, ReleaserError, WaitingError
from releaser.model.artifact import Artifact
from releaser.model.facts import Presence, Shelf, Unobserved
from releaser.model.manifest import PlannedPublication
from releaser.policy.world import action_for

_REFUSALS = {"burned": Sent.TAKEN, "refused": Sent.REFUSED, "later": Sent.LATER, "unknown": Sent.UNKNOWN}
_UNSEEN = Unobserved("not looked for")
_ABREAST = 16
"""Publications of a wave, and files of each: as many as leave at once, so that none is sent long after its guard."""
_FRESH = 300.0
"""Seconds for which a right is used before another one is asked for: a third of the shortest life (PyPI's)."""
_LAPSED = 600.0
"""Seconds after which a right that is denied may no longer be the one that was given."""


def effect(publication: PlannedPublication, name: str) -> str:
    """The key of one irreversible write: at most one accepted write ever happens under it."""
    return f"{publication.registry}/{publication.package}/{publication.version}/{name}"


def shown(
    publication: PlannedPublication, shelf: Shelf | Unobserved, artifacts: Mapping[str, Artifact]
) -> Iterator[Ending]:
    """The ends of the writes whose files a registry shows, with our digest or with another one."""
    for name, presence in shelf.files.items() if isinstance(shelf, Shelf) else ():
        if presence is Presence.SAME:
            yield Ending(effect(publication, name), "done", _read_back(artifacts[name]))
        elif presence is Presence.DIFFERENT:
            yield Ending(effect(publication, name), "conflict", "other bytes")


def _read_back(artifact: Artifact) -> str:
    """The digest by which a registry shows an artifact: npm's is SHA-512, the others' SHA-256."""
    return f"sha512:{artifact.sha512}" if artifact.sha512 else f"sha256:{artifact.sha256}"


@dataclass(frozen=True, slots=True)
class _Step:
    """The files of a publication that are to be sent now."""

    publication: PlannedPublication
    artifacts: Sequence[Artifact]


@dataclass(slots=True)
class _Sent:
    """What came of a step: the answer to each file that left, and what kept the others back: no right, or a problem."""

    answers: dict[str, Receipt] = field(default_factory=dict)
    unauthorized: ReleaserError | None = None
    problem: ReleaserError | None = None


class Publications:
    """The publications of one run: which are done, which failed, and which may be sent now."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.done: set[str] = set()
        self.failed: set[str] = set()
        self._waited: set[str] = set()
        self._renewed: set[str] = set()  # effects that were denied: a second time that is meant
        self._turns: dict[str, list[float]] = defaultdict(list)
        self._visible: Mapping[str, Shelf | Unobserved] = {}

    def converge(self) -> set[str]:
        """Publish until every target is visible, refused, or held back by one that is; those that are visible."""
        clock, patience = self.run.outside.clock, self.run.patience
        deadline, overdue = clock.elapsed() + patience.visible, False
        while ready := self._ready():
            shelves = self._look(ready)
            moved = self._take_in(ready, shelves)
            if overdue and not moved:  # by a look behind the deadline, after which nothing is sent
                self._give_up(self._ready(), shelves)
                break
            steps = self._steps(ready, shelves)
            moved = self._send(steps) or moved
            if moved:
                deadline = clock.elapsed() + patience.visible
            overdue = not moved and clock.elapsed() >= deadline
            if not (moved or steps or overdue):
                self._say_waiting(shelves)
                clock.sleep(patience.poll)
        return self.done

    def _ready(self) -> list[PlannedPublication]:
        return [
            p
            for p in self.run.manifest.publications
            if p.id not in self.done | self.failed and self.done.issuperset(p.needs)
        ]

    def _look(
        self, publications: Sequence[PlannedPublication], *, visible: bool = False
    ) -> dict[str, Shelf | Unobserved]:
        outside = self.run.outside
        return survey.shelves(outside.registries, outside.workers, publications, self.run.artifacts, visible=visible)

    def _take_in(self, ready: Sequence[PlannedPublication], shelves: Mapping[str, Shelf | Unobserved]) -> bool:
        """Note what the registries now show; True when a publication is finished either way."""
        self.run.begun = self.run.begun or has_begun(shelves)
        self._visible = visible = self._look([p for p in ready if is_complete(shelves[p.id])], visible=True)
        before = len(self.done) + len(self.failed)
        for publication in ready:
            self.run.intents.close(shown(publication, shelves[publication.id], self.run.artifacts))
            for shelf in (shelves[publication.id], visible.get(publication.id, _UNSEEN)):
                if isinstance(shelf, Shelf) and is_conflict(shelf):
                    self._fail(publication, _conflict(publication, shelf))
            if publication.id not in self.failed and is_complete(visible.get(publication.id, _UNSEEN)):
                self.done.add(publication.id)
                self.run.say("visible", publication=publication.id, registry=publication.registry)
        return len(self.done) + len(self.failed) > before

    # What to send

    def _steps(self, ready: Sequence[PlannedPublication], shelves: Mapping[str, Shelf | Unobserved]) -> list[_Step]:
        """The files to send now: absent at their registry, and not on their way.

        The first file makes the release at the registry and fixes its metadata, so it goes alone: where it is refused,
        nothing else of the publication is out.
        """
        steps: list[_Step] = []
        intents = self.run.intents
        for publication in ready:
            shelf = shelves[publication.id]
            if publication.id in self.failed or not isinstance(shelf, Shelf) or len(steps) == _ABREAST:
                continue
            absent = [n for n, p in shelf.files.items() if p is Presence.ABSENT]
            due = [n for n in absent if self._may_send(publication, n)]
            keys = {n: effect(publication, n) for n in shelf.files}
            opens = not (has_begun({publication.id: shelf}) or any(map(intents.accepted, keys.values())))
            if opens:
                under_way = [n for n in keys if intents.is_open(keys[n])]
                due = [n for n in due if not under_way or n in under_way][:1]
            if due and publication.id not in self.failed and not (opens and self._is_paced(publication.registry)):
                steps.append(_Step(publication, [self.run.artifacts[n] for n in due[:_ABREAST]]))
        return steps

    def _is_paced(self, registry: str) -> bool:
        """Whether the registry's rate limit has no room for one more version now; where it has, that one counts."""
        pace, sent = self.run.subject.registries[registry].pace, self._turns[registry]
        now = self.run.outside.clock.elapsed()
        if pace is not None and sent and len(sent) >= pace.burst + (now - sent[0]) // pace.interval.total_seconds():
            return True
        sent.append(now)
        return False

    def _may_send(self, publication: PlannedPublication, name: str) -> bool:
        """Whether an absent file may be sent (again). An accepted one is waited for, a refused one not resent."""
        key, intents = effect(publication, name), self.run.intents
        if intents.ended.get(key) == "gone":
            self._fail(publication, _gone(publication, name, self.run.again))
        if not intents.may_send(key):
            return False
        receipt = intents.last_word(key)
        if receipt is not None:
            result = "burned" if receipt.sent is Sent.TAKEN else receipt.sent
            intents.close([Ending(key, result, receipt.detail)])
            self._fail(publication, _refusal(publication, name, receipt))
        return receipt is None

    # Sending

    def _send(self, steps: Sequence[_Step]) -> bool:
        """Send a wave: bytes hashed, intents on record, and then each step by itself. True when a file was accepted.

        Raises what must stop the whole run, once every answer is on record.
        """
        if not steps:
            return False
        run = self.run
        wanted = [a for step in steps for a in step.artifacts]
        files = dict(zip((a.name for a in wanted), run.outside.workers.map(self._fetched, wanted), strict=True))
        meant = {effect(s.publication, a.name): f"sha256:{a.sha256}" for s in steps for a in s.artifacts}
        run.intents.begin(meant)
        sent = run.outside.workers.map(lambda step: self._send_step(step, files), steps)
        answers = {key: receipt for one in sent for key, receipt in one.answers.items()}
        run.intents.answered(answers)
        run.intents.close(Ending(key, "unsent") for key in meant if key not in answers)
        for step, one in zip(steps, sent, strict=True):
            if one.unauthorized is not None:
                self._fail(step.publication, one.unauthorized)
        for problem in (one.problem for one in sent if one.problem is not None):
            raise problem
        return any(receipt.sent is Sent.ACCEPTED for receipt in answers.values())

    def _send_step(self, step: _Step, files: Mapping[str, Fetched]) -> _Sent:
        """Send each file of a step once, side by side, with the gates read again and a fresh right."""
        outside, publication = self.run.outside, step.publication
        registry, sent = outside.registries[publication.registry], _Sent()
        try:
            self.run.guard()
        except ReleaserError as error:
            sent.problem = error
            return sent
        rights = _Rights(registry, publication.package, outside.identity, outside.clock)

        def send(artifact: Artifact) -> None:
            key = effect(publication, artifact.name)
            try:
                right, asked = rights.current()
            except ReleaserError as error:
                sent.unauthorized = error
                return
            try:
                with outside.reporter.transfer(f"{artifact.name} → {publication.registry}", artifact.size) as progress:
                    receipt = registry.publish(publication, artifact, files[artifact.name].file, right, progress)
            except ReleaserError as error:
                sent.problem, receipt = error, Receipt(Sent.UNKNOWN, error.message)
            if receipt.sent is Sent.DENIED:
                lapsed = outside.clock.elapsed() - asked >= _LAPSED and key not in self._renewed
                self._renewed.add(key)
                receipt = Receipt(Sent.LATER if lapsed else Sent.REFUSED, receipt.detail)
            sent.answers[key] = receipt
            self.run.say("sent", effect=key, answer=receipt.sent, detail=receipt.detail)

        try:
            rights.current()  # one for all, before they go side by side
            outside.workers.map(send, step.artifacts)
        except ReleaserError as error:
            sent.unauthorized = error
        finally:
            rights.discard()
        return sent

    def _fetched(self, artifact: Artifact) -> Fetched:
        """A private copy of an artifact whose bytes were hashed as they arrived and are the approved ones (T18)."""
        asset = next(a for a in self.run.view.candidate.release.assets if a.name == artifact.name)
        fetched = self.run.outside.scratch.fetch(asset)
        if fetched.sha256 != artifact.sha256 or (artifact.sha512 and fetched.sha512 != artifact.sha512):
            raise ConflictError(
                "asset-swapped",
                "the release's file is not the approved one",
                object=artifact.name,
                found=f"sha256:{fetched.sha256}",
                wanted=f"sha256:{artifact.sha256}",
                hint="find out who replaced it; the approval does not cover these bytes",
            )
        return fetched

    # What stands in the way

    def _fail(self, publication: PlannedPublication, error: ReleaserError) -> None:
        if publication.id in self.failed:
            return
        self.failed.add(publication.id)
        self.run.problem(error)
        self.run.intents.record(_failed(publication, error))
        self.run.say("refused", publication=publication.id, reason=error.message, found=error.found)

    def _say_waiting(self, shelves: Mapping[str, Shelf | Unobserved]) -> None:
        """Say once of each publication that it is being waited for, and why."""
        for publication in self._ready():
            shelf = shelves[publication.id]
            if publication.id in self._waited or isinstance(shelf, Unobserved):
                continue
            self._waited.add(publication.id)
            what = "the index to show it" if is_complete(shelf) else "what was sent to turn up, or to be sent again"
            self.run.say("waiting", publication=publication.id, registry=publication.registry, what=what)

    def _give_up(self, waiting: Sequence[PlannedPublication], shelves: Mapping[str, Shelf | Unobserved]) -> None:
        """Say of every publication that is not finished what it was waiting for."""
        for publication in waiting:
            what, shelf = f"{publication.package} {publication.version}", shelves[publication.id]
            if gone := self._gone(publication, shelf):
                self.run.intents.close(Ending(effect(publication, n), "gone", "not shown") for n in gone)
                self._fail(publication, _gone(publication, gone[0], self.run.again))
                continue
            index = self._visible.get(publication.id, shelf)
            error: ReleaserError
            answers = ((n, self.run.intents.latest(effect(publication, n))) for n in publication.files)
            later = [(n, receipt) for n, receipt in answers if receipt and receipt.sent is Sent.LATER]
            if later:
                error = _refusal(publication, *later[0])
            elif isinstance(shelf, Shelf) and isinstance(index, Shelf):
                error = WaitingError(
                    "index-lags",
                    f"{publication.registry} does not show {what} yet",
                    object=publication.id,
                    found="accepted, not visible" if is_complete(shelf) else action_for(publication, shelf)[1],
                    wanted="our digest in the consumer's index",
                    hint=self.run.again,
                )
            else:
                text = f"{publication.registry} could not be asked about {what}"
                found = "; ".join(dict.fromkeys(s.reason for s in (shelf, index) if isinstance(s, Unobserved)))
                error = ExternalError("registry-unread", text, object=publication.id, found=found, hint=self.run.again)
            self.run.problem(error)

    def _gone(self, publication: PlannedPublication, shelf: Shelf | Unobserved) -> list[str]:
        """The files that were seen or accepted long ago, and are not there."""
        files = shelf.files if isinstance(shelf, Shelf) else {}
        absent = [n for n, p in files.items() if p is Presence.ABSENT]
        return [n for n in absent if self.run.intents.is_overdue(effect(publication, n))]


class _Rights:
    """The right to publish one package: asked for when it is needed, and again before it could lapse (T50)."""

    def __init__(self, registry: Registry, package: str, identity: Identity, clock: Clock) -> None:
        self._registry = registry
        self._package = package
        self._identity = identity
        self._clock = clock
        self._held: list[tuple[Credential, float]] = []

    def current(self) -> tuple[Credential, float]:
        """A right with time left, and the moment (`Clock.elapsed`) it was asked for."""
        now = self._clock.elapsed()
        if not self._held or now - self._held[-1][1] >= _FRESH:
            self._held.append((self._registry.authorize(self._package, self._identity), now))
        return self._held[-1]

    def discard(self) -> None:
        """Give every right back."""
        for right, _ in self._held:
            self._registry.discard(right)


def setbacks(
    publication: PlannedPublication, shelf: Shelf | Unobserved, known: Mapping[str, Ending], again: str
) -> Iterator[ReleaserError]:
    """What stands in the way of a publication by the *known* ends of its files' writes, once for each reason."""
    if isinstance(shelf, Shelf) and is_conflict(shelf):
        yield _conflict(publication, shelf)
    told = set[tuple[str, str]]()
    for name in publication.files:
        end = known.get(effect(publication, name), Ending("", ""))
        if (end.result, end.evidence) in told:
            continue
        told.add((end.result, end.evidence))
        if end.result == "gone":
            yield _gone(publication, name, again)
        elif end.result in _REFUSALS:
            yield _refusal(publication, name, Receipt(_REFUSALS[end.result], end.evidence))


def _failed(publication: PlannedPublication, error: ReleaserError) -> Entry:
    return "failed", {"publication": publication.id, "code": error.code, "found": error.found}


def _conflict(publication: PlannedPublication, shelf: Shelf) -> ConflictError:
    return ConflictError(
        "registry-conflict",
        action_for(publication, shelf)[1],
        object=f"{publication.package} {publication.version} at {publication.registry}",
        found="other bytes",
        wanted="the approved bytes",
        hint="other bytes are public under this version: choose a new version",
    )


def _gone(publication: PlannedPublication, name: str, again: str) -> ConflictError:
    return ConflictError(
        "file-gone",
        f"{publication.registry} took {name} and does not show it",
        object=f"{publication.package} {publication.version} at {publication.registry}",
        found="not shown an hour later, or later still",
        wanted="our digest",
        hint=f"find out who deleted it, and choose a new version; if it is there again: {again}",
    )


def _refusal(publication: PlannedPublication, name: str, receipt: Receipt) -> ReleaserError:
    where, found = f"{publication.package} {publication.version} at {publication.registry}", receipt.detail
    if receipt.sent is Sent.TAKEN:
        return ConflictError(
            "version-burned",
            f"{publication.registry} takes no file of the name {name} any more",
            object=where,
            found=found,
            wanted="a version that was never used there",
            hint="choose a new version; what is out of this one stays as it is",
        )
    return ExternalError(
        "registry-refused",
        f"{publication.registry} refused {name}",
        retryable=receipt.sent is not Sent.REFUSED,
        object=where,
        found=found or receipt.sent,
        wanted="acceptance",
        hint="mend the cause and run `releaser publish` again; what is already out stays as it is",
    )
