"""Bugs planted in a copy of the product, and how many seeds it takes the simulator to see each of them.

A mutant is an exact edit of one file. The shipped code is never touched: each is applied to a copy that stands before
it on the import path of a child process. Only a broken promise counts as seen. A mutant that does not fit its file,
does not start or crashes is no evidence and fails the run; so does a story that breaks a promise without a bug, too.
Run by `make mutants`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.options import positive, writable

ROOT = Path(__file__).parents[2]
LIMIT = 5000
"""Seeds within which every planted bug has to be seen."""


class Unsound(Exception):
    """What the stories of a copy show is no evidence."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A planted bug: in ``file`` of the product, ``old`` becomes ``new``."""

    name: str
    file: str
    old: str
    new: str

    def plant(self, package: Path) -> None:
        """Edit the copy at *package*; raises Unsound where the edit does not fit exactly once."""
        path = package / self.file
        text = path.read_text()
        if text.count(self.old) != 1:
            raise Unsound(f"{self.name}: {text.count(self.old)} places in {self.file}")
        path.write_text(text.replace(self.old, self.new))


@dataclass(frozen=True, slots=True)
class Caught:
    """``seeds`` is how many it took, None where none of them saw it; ``broken`` is what was found."""

    mutant: str
    seeds: int | None
    broken: str


_INTENTS, _LEDGER, _REGISTRIES = "engine/intents.py", "engine/ledger.py", "engine/registries.py"
_RECONCILE, _RUN, _VIEW, _DELIVER = "engine/reconcile.py", "engine/run.py", "engine/view.py", "engine/deliver.py"
_UNDRAFT, _VOTES, _DRAFT = "engine/undraft.py", "policy/approval.py", "engine/draft.py"

MUTANTS: tuple[Mutant, ...] = (
    # What is on record, and when
    Mutant(
        "no intent is recorded",
        _INTENTS,
        'self.record(*(("intent", {"effect": k, "digest": d, "epoch": epoch}) for k, d in effects.items()))',
        "self.record()",
    ),
    Mutant(
        "intents are recorded after the send",
        _REGISTRIES,
        """        run.intents.begin(meant)
        sent = run.outside.workers.map(lambda step: self._send_step(step, files), steps)
""",
        """        sent = run.outside.workers.map(lambda step: self._send_step(step, files), steps)
        run.intents.begin(meant)
""",
    ),
    Mutant(
        "the intent of making it public is recorded afterwards",
        _UNDRAFT,
        """        intents.begin({key: manifest.digest()})
        try:
            release = guard()
        except ReleaserError:
            intents.close([Ending(key, "unsent")])
            raise
""",
        """        release = guard()
        try:
            outside.forge.publish(release, latest=latest)
        finally:
            intents.begin({key: manifest.digest()})
""",
    ),
    Mutant(
        "an answer of yes counts as done",
        _REGISTRIES,
        "        run.intents.answered(answers)\n",
        """        run.intents.answered(answers)
        run.intents.close(Ending(k, "done", r.detail) for k, r in answers.items() if r.sent is Sent.ACCEPTED)
""",
    ),
    Mutant(
        "what a look shows is not put on record",
        _RECONCILE,
        "    if any(map(run.intents.is_news, endings)):\n",
        "    if False:\n",
    ),
    Mutant(
        "a finished release is put on record again and again",
        _RECONCILE,
        "    if last[-1:] != [body]:\n",
        "    if True:\n",
    ),
    Mutant(
        "records are not chained",
        _LEDGER,
        '"previous": GENESIS if previous is None else previous["hash"],',
        '"previous": GENESIS,',
    ),
    Mutant(
        "a torn line stays in the way",
        _LEDGER,
        "            return before, last\n",
        "            pass\n",
    ),
    Mutant(
        "a lost answer of the ledger is taken for a yes",
        _LEDGER,
        "                problem = error\n",
        "                return True\n",
    ),
    # Runs that race
    Mutant(
        "the epoch is ignored",
        _LEDGER,
        "self._newest() == self.epoch and self._extend(entries)",
        "self._extend(entries)",
    ),
    Mutant(
        "nobody claims the release", _LEDGER, '            if self._extend([("run", body)]):', "            if True:"
    ),
    Mutant(
        "what others recorded until the claim is not taken up",
        _INTENTS,
        "            self._ledger.claim(self._manifest)\n            self._recall()\n",
        "            self._ledger.claim(self._manifest)\n",
    ),
    Mutant(
        "every run has the same epoch",
        _LEDGER,
        "            epoch = self._newest() + 1\n",
        "            epoch = self._newest() or 1\n",
    ),
    # Waiting, and sending again
    Mutant(
        "no settling time",
        _RUN,
        "                return max(receipt.wait, self.settle)",
        "                return 0.0",
    ),
    Mutant(
        "what was accepted is sent again while it does not show",
        _INTENTS,
        "receipt.sent is not Sent.ACCEPTED and self._clock.elapsed() >= self._not_before[key]",
        "self._clock.elapsed() >= self._not_before[key]",
    ),
    Mutant(
        "what is done is sent again where a reader lags",
        _INTENTS,
        '_SETTLED = ("done", "conflict", "gone")',
        "_SETTLED = ()",
    ),
    Mutant(
        "a refused file is sent again and again",
        _INTENTS,
        "receipt.sent in (Sent.REFUSED, Sent.TAKEN) or attempts >= _ATTEMPTS",
        "attempts > 10**6",
    ),
    Mutant("attempts have no bound", _INTENTS, "_ATTEMPTS = 3", "_ATTEMPTS = 10**6"),
    Mutant(
        "a name that was used up is tried again",
        _RECONCILE,
        "    require_unburned(run.intents.ended, subject.tag)\n",
        "",
    ),
    Mutant(
        "what cannot be read counts as absent",
        "engine/survey.py",
        "            return publication.id, _failed(error)\n",
        "            return publication.id, shelf(registry, publication, ours, Listing(package=True))\n",
    ),
    Mutant(
        "other bytes of the same name count as ours",
        "engine/survey.py",
        "    return Presence.SAME if same else Presence.DIFFERENT",
        "    return Presence.SAME",
    ),
    Mutant(
        "a release counts as public when the forge said so",
        _UNDRAFT,
        "        seen = until(outside.clock, patience.poll, patience.after(receipt) or patience.refused, public)\n",
        "        seen = release\n",
    ),
    Mutant(
        "a refusal for a right that has lapsed is final",
        _REGISTRIES,
        "_LAPSED = 600.0\n",
        "_LAPSED = 1e9\n",
    ),
    Mutant("a denied right counts as lapsed at once", _REGISTRIES, "_LAPSED = 600.0\n", "_LAPSED = 0.0\n"),
    Mutant("an unfinished upload stays on the draft", _DRAFT, "        forge.remove(ghost)\n", "        pass\n"),
    # What is read again before an effect
    Mutant(
        "nothing is read again before a file is sent",
        _REGISTRIES,
        "            self.run.guard()\n",
        "            pass\n",
    ),
    Mutant(
        "nothing is read again before the release is made public",
        _RECONCILE,
        "        return run.guard().candidate.release\n",
        "        return run.view.candidate.release\n",
    ),
    Mutant("nothing is read again before a delivery", _DELIVER, "        run.guard()\n", "        pass\n"),
    Mutant(
        "a freeze is not noticed",
        "policy/freeze.py",
        "        case Freeze(tag=tag) as frozen:\n            yield row.wait(",
        "        case Freeze(tag=tag) as frozen:\n            yield row.passed('late')\n        case _:\n"
        "            frozen, tag = case.facts.world.freeze, ''\n            yield row.wait(",
    ),
    Mutant(
        "a rewritten branch is not noticed",
        "policy/branch.py",
        "    if matching:\n",
        "    if True:\n        matching = ['main']\n",
    ),
    Mutant("a swapped file is sent", _REGISTRIES, "if fetched.sha256 != artifact.sha256 or", "if False and"),
    Mutant(
        "a moved tag is not noticed",
        "policy/tag.py",
        "    elif (remote.object, remote.commit, remote.tagger) != (seen.object, seen.commit, seen.tagger):\n",
        "    elif False:\n",
    ),
    Mutant(
        "a freeze that cannot be looked up counts as none",
        "policy/freeze.py",
        "            yield row.missing(unknown)\n",
        "            yield row.passed('unknown')\n",
    ),
    Mutant(
        "a check that cannot be looked up counts as green",
        "policy/checks.py",
        "            yield row.missing(case.facts.world.checks)\n",
        "            yield row.passed('unknown')\n",
    ),
    # Approvals
    Mutant(
        "an approval of other bytes counts", _VOTES, "    if vote.manifest != ballot.manifest:\n", "    if False:\n"
    ),
    Mutant(
        "a policy that was changed since is not noticed",
        _VOTES,
        "    if manifest.policy.digest != ballot.policy:\n",
        "    if False:\n",
    ),
    Mutant(
        "an approval never expires",
        _VOTES,
        "not reject and not ballot.begun and ballot.now - vote.at >= rule.lifetime",
        "False",
    ),
    Mutant(
        "approvals expire by this machine's clock", "engine/candidate.py", "outside.forge.time()", "outside.clock.now()"
    ),
    Mutant("a rejection is not counted", _VOTES, "    if count.rejected:\n", "    if False:\n"),
    Mutant(
        "one approval too few is enough",
        _VOTES,
        "    if len(count.approved) >= rule.quorum:\n",
        "    if len(count.approved) >= rule.quorum - 1:\n",
    ),
    Mutant(
        "those who left the team still count",
        _VOTES,
        "    if vote.by.roles is not None and vote.by.roles.isdisjoint(rule.approvers):\n",
        "    if False:\n",
    ),
    Mutant(
        "those who cannot be looked up count",
        _VOTES,
        "        elif vote.by.roles is None:\n",
        "        elif False:\n",
    ),
    # Order
    Mutant(
        "dependencies are not waited for",
        _REGISTRIES,
        " and self.done.issuperset(p.needs)",
        "",
    ),
    Mutant(
        "dependants start when a registry has it, before anybody can install it",
        _REGISTRIES,
        "if publication.id not in self.failed and is_complete(visible.get(publication.id, _UNSEEN)):",
        "if publication.id not in self.failed and is_complete(shelves[publication.id]):",
    ),
    Mutant(
        "package managers are told before the files are public",
        _DELIVER,
        "        _wait_for_files(run)\n",
        "        pass\n",
    ),
    Mutant(
        "package managers are told before the registries have it",
        _DELIVER,
        "if set(done).issuperset(d.needs) and d.id not in before]",
        "if d.id not in before]",
    ),
    Mutant(
        "one target's refusal does not hold back the others' beginning",
        _RECONCILE,
        "    if refused:\n",
        "    if False:\n",
    ),
    Mutant("the newest draft counts", _DRAFT, "return min(published or releases", "return max(published or releases"),
)

_PLAY = """
import json, sys
from tests.simulation.play import play
from tests.simulation.seeds import story
found = None
for seed in json.load(sys.stdin):
    if broken := play(story(seed)).violations:
        crashed = [violation for violation in broken if violation.invariant == "bug"]
        found = seed, str((crashed or broken)[0]), bool(crashed)
        break
print(json.dumps({"found": found}))
"""


@contextmanager
def copied() -> Iterator[Path]:
    """A folder that holds a copy of the product."""
    with tempfile.TemporaryDirectory(prefix="releaser-mutant-") as name:
        folder = Path(name)
        shutil.copytree(ROOT / "releaser", folder / "releaser", ignore=shutil.ignore_patterns("__pycache__"))
        yield folder


@contextmanager
def planted(mutant: Mutant) -> Iterator[Path]:
    """A folder that holds the product with the bug in it."""
    with copied() as folder:
        mutant.plant(folder / "releaser")
        yield folder


def first_broken(folder: Path, seeds: Iterable[int]) -> tuple[int, str] | None:
    """The first of *seeds* whose story breaks a promise of the product in *folder*, and which it breaks.

    Raises Unsound where they cannot be played to their end, or where the program itself breaks.
    """
    path = os.pathsep.join((str(folder), str(ROOT)))
    done = subprocess.run(
        [sys.executable, "-c", _PLAY],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        input=json.dumps(list(seeds)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or not done.stdout:
        last = done.stderr.strip().rpartition("\n")[2]
        raise Unsound(last or f"the stories ended with {done.returncode} and without a word")
    found = json.loads(done.stdout)["found"]
    if found is None:
        return None
    seed, broken, crashed = found
    if crashed:
        raise Unsound(f"seed {seed}, {broken}")
    return seed, broken


def hunt(mutant: Mutant, limit: int = LIMIT) -> Caught:
    """Play seeds against the mutant until one sees it. Raises Unsound."""
    with planted(mutant) as folder:
        found = first_broken(folder, range(limit))
    return Caught(mutant.name, found[0] + 1, found[1]) if found else Caught(mutant.name, None, "")


def control(found: Iterable[Caught]) -> None:
    """Play the stories that saw a bug once more, without one; raises Unsound where they see one all the same."""
    with copied() as folder:
        broken = first_broken(folder, sorted({caught.seeds - 1 for caught in found if caught.seeds}))
    if broken:
        raise Unsound("seed {}, without a planted bug: {}".format(*broken))


def table(found: Sequence[Caught]) -> str:
    """A line a mutant: the seeds it took, and what was seen."""
    rows = [f"{c.seeds or 'none':>6}  {c.mutant}: {c.broken or 'not seen'}" for c in found]
    caught = sum(c.seeds is not None for c in found)
    return "\n".join((" seeds  planted bug", *rows, f"{caught} of {len(found)} planted bugs were seen"))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument(
        "--seeds", type=positive, default=LIMIT, help="how many to play against each (default: %(default)s)"
    )
    parser.add_argument("--jobs", type=positive, default=2)
    parser.add_argument("--only", default="", help="those whose name holds this")
    parser.add_argument("--json", type=writable, help="write the table there too")
    options = parser.parse_args(arguments)
    chosen = [m for m in MUTANTS if options.only in m.name]
    if not chosen:
        parser.error(f"--only: no name of a planted bug holds {options.only!r}")
    found: list[Caught] = []
    unsound: list[str] = []
    with ThreadPoolExecutor(options.jobs) as pool:
        hunts = [(mutant, pool.submit(hunt, mutant, options.seeds)) for mutant in chosen]
        for number, (mutant, hunted) in enumerate(hunts, 1):
            try:
                found.append(hunted.result())
                said = str(found[-1].seeds or "NOT SEEN")
            except Unsound as error:
                unsound.append(f"{mutant.name}: {error}")
                said = "NO EVIDENCE"
            print(f"{number}/{len(chosen)}  {said}  {mutant.name}", file=sys.stderr)
    try:
        control(found)
    except Unsound as error:
        unsound.append(str(error))
    print(table(found), *(f"no evidence: {why}" for why in unsound), sep="\n")
    if options.json:
        options.json.write_text(json.dumps([asdict(c) for c in found], indent=2))
    return 2 if unsound else 0 if all(c.seeds for c in found) else 1


if __name__ == "__main__":
    sys.exit(main())
