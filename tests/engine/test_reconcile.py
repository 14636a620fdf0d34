"""The loop that publishes, in a world where everything that can go wrong does."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from releaser.engine.ports import Receipt, Sent
from releaser.engine.reconcile import Result
from releaser.engine.run import Patience
from releaser.engine.states import State
from releaser.errors import ConfigError, ConflictError, Exit, ExternalError, RefusedError, ReleaserError, WaitingError
from releaser.model.approval import Approval, Decision
from releaser.model.facts import CheckState, Freeze
from releaser.model.manifest import ASSET, CHECKSUMS, Person
from releaser.model.policy import policy_digest
from releaser.model.terms import Pace
from tests.engine.scene import (
    BOT,
    CLI,
    CLIENT,
    CRATE,
    FIRST,
    LINUX,
    MAC,
    PATIENCE,
    POLICY,
    SDIST,
    SECOND,
    STRANGER,
    TAGGER,
    TAP,
    THIRD,
    WHEEL,
    Scene,
    content,
)
from tests.world import BRANCH, EPOCH, Crash, Fault, unreachable

NPM_NAME = "cog-1.2.0.tgz"  # as npm calls it
EVERYTHING = {MAC, LINUX, CRATE, NPM_NAME, WHEEL, SDIST}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A release that is drafted and approved."""
    return Scene(tmp_path).approved()


def assert_released(scene: Scene, result: Result) -> None:
    """Everything is out, once, read back, and on record."""
    assert result.state is State.RELEASED
    assert sorted(scene.arrived()) == sorted(EVERYTHING)
    assert scene.proposed()
    assert not scene.release.draft
    assert scene.open_intents() == []


def killed_after(scene: Scene, call: str) -> None:
    """A run whose process ends right after the next *call*."""
    scene.world.after(call, lambda: scene.world.crash_after(0))
    with pytest.raises(Crash):
        scene.publish()


def problem(result: Result) -> ReleaserError:
    """The one thing that stands in the way."""
    assert len(result.problems) == 1
    return result.problems[0]


# A release that goes well


def test_everything_goes_out_in_order_and_is_read_back(scene: Scene) -> None:
    scene.world.pypi.index_lag = 60
    result = scene.publish()
    assert_released(scene, result)
    assert result.problems == ()
    assert scene.world.forge.latest == "v1.2.0"
    first = {a.name for a in scene.world.arrived if a.at == EPOCH}
    assert first == {NPM_NAME, CRATE, MAC, LINUX}, "independent targets go out in the same look"
    dependants = [a.at for a in scene.world.arrived if a.name in (WHEEL, SDIST)]
    assert min(dependants) >= EPOCH + timedelta(seconds=60), "a dependant waits for the consumer's index"


def test_the_record_tells_the_whole_story(scene: Scene) -> None:
    scene.publish()
    kinds = [(r["kind"], r["body"].get("result")) for r in scene.world.ledger.records]
    assert kinds.count(("intent", None)) == len(EVERYTHING) + 2  # and the release, and the tap
    assert kinds.count(("outcome", "done")) == len(EVERYTHING) + 2
    assert scene.world.ledger.records[-1]["body"] == {"manifest": scene.manifest.digest(), "state": "released"}


def test_no_right_to_publish_outlives_the_run(scene: Scene) -> None:
    scene.publish()
    assert [r.rights for r in scene.world.registries.values()] == [{}, {}, {}]
    assert scene.world.issuer.issued == 10, "one for the preflight of each target, one for each wave of its files"


def test_no_more_leave_at_once_than_are_guarded_together(tmp_path: Path) -> None:
    scene = Scene(tmp_path, wheels=40).approved()
    assert scene.publish().state is State.RELEASED
    waves = " ".join(scene.world.power.calls).split("forge.freeze_of")
    assert max(wave.count("pypi.publish") for wave in waves) == 16
    assert len(scene.world.pypi.arrived) == 44


def test_what_is_frozen_while_a_first_file_is_sent_sends_no_second(scene: Scene) -> None:
    scene.world.after("pypi.publish", lambda: scene.world.forge.freezes.append(Freeze("", "wait", "somebody", EPOCH)))
    result = scene.publish()
    assert (result.state, problem(result).code) == (State.FROZEN, "gate-freeze")
    assert [a.name for a in scene.world.pypi.arrived] == [MAC]


def test_a_second_run_writes_nothing(scene: Scene) -> None:
    scene.publish()
    before = scene.world.snapshot()
    result = scene.publish()
    assert (result.state, result.problems) == (State.RELEASED, ())
    assert scene.world.snapshot() == before


def test_a_finished_release_stays_finished_when_its_approval_does_not(scene: Scene) -> None:
    scene.publish()
    scene.remove(FIRST)
    scene.world.policy(POLICY + "# another policy\n")
    before = scene.world.snapshot()
    assert scene.publish().state is State.RELEASED
    assert scene.world.snapshot() == before


@pytest.mark.parametrize(
    ("there", "latest"),
    [
        pytest.param([], "v1.2.0", id="the first release"),
        pytest.param(["v1.1.9", "v1.3.0-rc.1", "nightly", "v1.x"], "v1.2.0", id="older ones, pre-releases, other tags"),
        pytest.param(["v1.3.0"], None, id="a late patch"),
    ],
)
def test_only_the_highest_stable_version_becomes_the_latest(scene: Scene, there: list[str], latest: str | None) -> None:
    for tag in there:
        scene.world.forge.undraft(scene.world.forge.create_draft(tag, "", tag, "", False).id)
    scene.publish()
    assert scene.world.forge.latest == latest


def test_a_registry_that_is_busy_and_slow_is_not_asked_for_ever(scene: Scene) -> None:
    scene.world.crates.faults = [Fault.BUSY] * 1000
    scene.world.crates.slowness = 31.0
    began = scene.world.clock.elapsed()
    result = scene.publish()
    assert (result.state, problem(result).code) == (State.PUBLISHING, "registry-refused")
    assert scene.world.clock.elapsed() - began < PATIENCE.visible + 600


# What is taken away again


def test_a_file_that_was_there_and_is_not_any_more_is_for_people(scene: Scene) -> None:
    scene.publish()
    scene.world.pypi.take_down(MAC)
    assert [p.code for p in scene.publish(patience=replace(PATIENCE, visible=0.0)).problems] == ["index-lags"]
    scene.later(hours=1)
    before = scene.world.clock.elapsed()
    result = scene.publish()
    assert (result.state, problem(result).code) == (State.NEEDS_HUMAN, "file-gone")
    assert scene.world.clock.elapsed() - before >= PATIENCE.visible, "an index may be out of order"
    before = scene.world.clock.elapsed()
    result = scene.publish()
    assert (result.state, problem(result).code) == (State.NEEDS_HUMAN, "file-gone")
    assert scene.world.clock.elapsed() == before
    assert scene.arrived().count(MAC) == 1


def test_a_file_that_is_there_again_is_done(scene: Scene) -> None:
    scene.publish()
    scene.world.pypi.take_down(MAC)
    scene.later(hours=1)
    assert scene.publish().state is State.NEEDS_HUMAN
    scene.world.pypi.plant("coglet", "1.2.0", MAC, content(MAC))
    assert_released(scene, scene.publish())


def test_a_file_that_was_accepted_and_is_never_seen_is_for_people(scene: Scene) -> None:
    scene.world.after("crates.io.publish", lambda: scene.world.crates.take_down(CRATE))
    result = scene.publish()
    assert [p.code for p in result.problems] == ["index-lags"]
    scene.later(hours=1)
    result = scene.publish()
    assert (result.state, problem(result).code) == (State.NEEDS_HUMAN, "file-gone")
    assert scene.arrived().count(CRATE) == 1


# A process that dies


@pytest.mark.parametrize("quarter", range(4))
def test_killed_after_any_port_call_the_next_run_ends_released(tmp_path: Path, quarter: int) -> None:
    golden = Scene(tmp_path).approved()
    begin = len(golden.world.power.calls)
    golden.publish()
    calls = golden.world.power.calls[begin:]
    for number, call in list(enumerate(calls, 1))[quarter::4]:
        scene = Scene(tmp_path).approved()
        with pytest.raises(Crash):
            scene.publish(crash=number)
        try:
            assert_released(scene, scene.publish())
        except (AssertionError, ReleaserError) as error:
            error.add_note(f"killed after call {number}, {call}")
            raise


def test_killed_twice_the_third_run_ends_released(tmp_path: Path) -> None:
    seeded = random.Random(7)  # noqa: S311 - not for secrets
    for _ in range(40):
        first, second = seeded.randint(1, 200), seeded.randint(1, 120)
        scene = Scene(tmp_path).approved()
        scene.world.crates.faults = [seeded.choice(list(Fault)) for _ in range(2) if seeded.random() < 0.5]
        scene.world.pypi.index_lag = seeded.choice([0, 30])
        crashes = 0
        for limit in (first, second):
            try:
                scene.publish(crash=limit)
            except Crash:
                crashes += 1
        try:
            assert_released(scene, scene.finish())
        except (AssertionError, ReleaserError) as error:
            error.add_note(f"killed {crashes} times, after {first} and {second} calls")
            raise


def test_what_was_accepted_before_the_crash_is_never_sent_again(scene: Scene) -> None:
    scene.world.pypi.record_lag = scene.world.pypi.index_lag = 3600
    killed_after(scene, "clock.sleep")  # the first thing that is done when all is sent
    assert {MAC, LINUX} < set(scene.arrived())
    scene.later(minutes=10)
    assert isinstance(problem(scene.publish()), WaitingError)
    assert_released(scene, scene.finish())


def test_what_may_have_been_sent_before_the_crash_is_not_sent_too_soon(scene: Scene) -> None:
    scene.world.crates.faults = [Fault.LATE]
    killed_after(scene, "crates.io.publish")
    assert_released(scene, scene.publish())


def test_what_never_arrived_before_the_crash_is_sent_after_the_settle_time(scene: Scene) -> None:
    scene.world.crates.faults = [Fault.REQUEST_LOST]
    killed_after(scene, "crates.io.publish")
    assert_released(scene, scene.publish())
    sent = next(a.at for a in scene.world.arrived if a.name == CRATE)
    assert sent >= EPOCH + timedelta(seconds=PATIENCE.settle)


def test_a_clock_that_was_set_back_does_not_prolong_the_wait(scene: Scene) -> None:
    scene.world.crates.faults = [Fault.REQUEST_LOST]
    killed_after(scene, "crates.io.publish")
    scene.world.clock.skew = timedelta(hours=-5)
    assert_released(scene, scene.publish())


# Writes that go wrong


@pytest.mark.parametrize(
    ("fault", "lag", "not_before"),
    [
        pytest.param(Fault.ANSWER_LOST, 0, 0, id="applied, answer lost"),
        pytest.param(Fault.ANSWER_LOST, 100, 0, id="applied, answer lost, listed late"),
        pytest.param(Fault.ERROR_AFTER, 0, 0, id="applied, answered 500"),
        pytest.param(Fault.LATE, 0, 0, id="applied a minute later"),
        pytest.param(Fault.REQUEST_LOST, 0, 120, id="never arrived"),
        pytest.param(Fault.BUSY, 0, 30, id="429 with wait 30"),
        pytest.param(None, 900, 0, id="accepted, listed late"),
    ],
)
@pytest.mark.parametrize(("name", "file"), [("pypi", MAC), ("crates.io", CRATE), ("npm", NPM_NAME)])
def test_one_bad_write_costs_time_and_nothing_else(
    scene: Scene, name: str, file: str, fault: Fault | None, lag: float, not_before: float
) -> None:
    registry = scene.world.registries[name]
    registry.faults = [fault] if fault else []
    registry.record_lag = registry.index_lag = lag
    result = scene.publish()
    assert_released(scene, result)
    assert result.problems == ()
    assert next(a.at for a in registry.taken if a.name == file) >= EPOCH + timedelta(seconds=not_before)


def test_refused_for_good_holds_back_its_dependants_only(scene: Scene) -> None:
    scene.world.pypi.refused = {"coglet"}
    result = scene.publish()
    assert result.state is State.PARTIAL
    error = problem(result)
    assert isinstance(error, ExternalError)
    assert (error.code, error.exit, error.retryable) == ("registry-refused", Exit.OUTSIDE, False)
    assert error.found == "400 not on this registry"
    assert set(scene.arrived()) == {CRATE, NPM_NAME}
    assert not scene.proposed()
    assert scene.open_intents() == []


def test_what_was_accepted_beside_a_refused_file_is_on_record_in_the_end(scene: Scene) -> None:
    scene.world.pypi.faults = [None, Fault.REFUSED]
    scene.world.pypi.record_lag = PATIENCE.refused + 1
    scene.world.crates.index_lag = 60
    assert scene.publish().state is State.PARTIAL
    assert {MAC, CRATE, NPM_NAME} == set(scene.arrived())
    assert scene.open_intents() == []


def test_where_the_first_file_is_refused_the_others_are_not_sent(scene: Scene) -> None:
    scene.world.pypi.faults = [Fault.REFUSED]
    assert scene.publish().state is State.PARTIAL
    assert {CRATE, NPM_NAME} == set(scene.arrived())


@pytest.mark.parametrize("fault", [Fault.REQUEST_LOST, Fault.ANSWER_LOST, Fault.ERROR_AFTER, Fault.LATE, Fault.BUSY])
def test_the_others_wait_until_the_first_file_is_known_to_be_there(scene: Scene, fault: Fault) -> None:
    scene.world.pypi.faults = [fault]
    assert_released(scene, scene.publish())
    first, second = (a for a in scene.world.pypi.arrived if a.name in (LINUX, MAC))
    assert (first.name, second.name) == (MAC, LINUX)
    assert second.at >= first.at


def test_with_the_first_file_there_one_that_stays_away_does_not_hold_up_the_others(scene: Scene) -> None:
    scene.world.pypi.plant("coglet", "1.2.0", MAC, content(MAC))
    scene.world.pypi.faults = [Fault.REQUEST_LOST]
    assert scene.publish().state is State.RELEASED
    assert sorted(scene.arrived()) == sorted(EVERYTHING - {MAC})


def test_what_was_refused_goes_out_once_the_cause_is_mended(scene: Scene) -> None:
    scene.world.pypi.refused = {"coglet"}
    scene.publish()
    scene.world.pypi.refused = set()
    assert_released(scene, scene.publish())


@pytest.mark.parametrize(
    ("slept", "state"),
    [
        pytest.param(599, State.PARTIAL, id="still fresh: the denial is meant"),
        pytest.param(600, State.RELEASED, id="old enough to have lapsed"),
    ],
)
def test_a_denied_right_is_asked_for_again_only_where_it_may_have_lapsed(
    scene: Scene, slept: int, state: State
) -> None:
    after = scene.world.after

    def lapse() -> None:
        """Behind the last look at the right's age."""
        scene.later(seconds=slept)
        scene.world.crates.rights.clear()

    def sleep() -> None:
        """Before the files go side by side, where the right is looked at and another one asked for."""
        scene.later(seconds=300)
        after("identity.token", lambda: after("crates.io.authorize", lapse))

    after("forge.publish", lambda: after("crates.io.authorize", sleep))
    result = scene.publish()
    assert result.state is state
    assert (CRATE in scene.arrived()) is (state is State.RELEASED)


def answers_about_the_crate(scene: Scene) -> list[str]:
    return [r["body"]["result"] for r in scene.world.ledger.records if r["kind"] == "answer" and CRATE in str(r)]


def test_a_right_that_is_denied_again_is_refused_however_late_that_is_said(scene: Scene) -> None:
    def take_long() -> None:
        scene.later(seconds=600)
        scene.world.after("crates.io.observe", lambda: scene.world.after("crates.io.publish", take_long))

    scene.world.crates.denying = True
    scene.world.after("crates.io.publish", take_long)
    assert scene.publish().state is State.PARTIAL
    assert answers_about_the_crate(scene) == ["later", "refused"]


def test_a_right_that_is_denied_for_good_is_used_once(scene: Scene) -> None:
    scene.world.crates.denying = True
    result = scene.publish()
    error = problem(result)
    assert isinstance(error, ExternalError)
    assert (result.state, error.code, error.retryable) == (State.PARTIAL, "registry-refused", False)
    assert error.found == "403 no right to this package"
    assert answers_about_the_crate(scene) == ["refused"]
    scene.world.crates.denying = False
    assert_released(scene, scene.publish())


def test_what_was_refused_stays_refused_however_long_the_machine_slept_then(scene: Scene) -> None:
    scene.world.crates.faults = [Fault.REFUSED]
    scene.world.after("crates.io.publish", lambda: scene.later(seconds=1000))
    assert scene.publish().state is State.PARTIAL
    assert CRATE not in scene.arrived()


def test_refused_although_it_is_there_is_no_refusal(scene: Scene) -> None:
    def somebody_sends_the_same() -> None:
        scene.world.crates.plant("coglet", "1.2.0", CRATE, content(CRATE))

    scene.world.crates.faults = [Fault.REFUSED]
    scene.world.crates.record_lag = scene.world.crates.index_lag = 4
    scene.world.after("crates.io.publish", somebody_sends_the_same)
    result = scene.publish()
    assert (result.state, result.problems) == (State.RELEASED, ())
    assert CRATE not in scene.arrived()


def test_a_registry_that_is_always_busy_is_left_for_another_run(scene: Scene) -> None:
    scene.world.crates.faults = [Fault.BUSY] * (int(PATIENCE.visible) // 30 + 1)
    result = scene.publish()
    error = problem(result)
    assert isinstance(error, ExternalError)
    assert (result.state, error.code, error.retryable) == (State.PUBLISHING, "registry-refused", True)
    assert not scene.proposed()
    assert_released(scene, scene.publish())


def test_a_registry_that_is_busy_for_long_does_not_use_up_the_attempts(scene: Scene) -> None:
    scene.world.crates.faults = [Fault.BUSY] * 12
    assert_released(scene, scene.publish())


def test_a_known_rate_limit_is_kept_without_being_told(scene: Scene) -> None:
    scene.known["pypi"] = replace(scene.known["pypi"], pace=Pace(1, timedelta(minutes=5)))
    assert_released(scene, scene.publish())
    first, *_, last = (a.at for a in scene.world.pypi.arrived)
    assert last - first >= timedelta(minutes=5)


def test_what_a_tap_accepted_and_does_not_show_yet_is_not_sent_again(scene: Scene) -> None:
    scene.world.casks.slow = True
    codes = [problem(scene.publish()).code for _ in range(3)]
    assert (codes, scene.world.casks.asked) == (["delivery-unseen"] * 3, 1)


def test_what_a_delivery_lacks_is_said_before_anything_is_out(scene: Scene) -> None:
    scene.world.casks.unready = True
    with pytest.raises(ConfigError) as caught:
        scene.publish()
    assert caught.value.code == "delivery-key-missing"
    assert (scene.arrived(), scene.release.draft) == ([], True)


def test_a_wait_that_was_asked_for_outlives_the_process(scene: Scene) -> None:
    scene.world.crates.faults = [Fault.BUSY]
    killed_after(scene, "pypi.publish")
    scene.publish()
    assert next(a.at for a in scene.world.arrived if a.name == CRATE) >= EPOCH + timedelta(seconds=30)


def test_an_index_that_stays_behind_is_waited_for_in_the_next_run(scene: Scene) -> None:
    scene.world.pypi.index_lag = 2 * PATIENCE.visible
    result = scene.publish()
    error = problem(result)
    assert (result.state, error.code, error.exit) == (State.PUBLISHING, "index-lags", Exit.WAITING)
    assert error.found == "accepted, not visible"
    assert set(scene.arrived()) == EVERYTHING - {WHEEL, SDIST}
    assert_released(scene, scene.finish())


def test_a_registry_that_cannot_be_asked_is_not_written_to(scene: Scene) -> None:
    scene.world.after("forge.publish", lambda: setattr(scene.world.crates, "down", True))
    result = scene.publish()
    assert (result.state, problem(result).code) == (State.PUBLISHING, "registry-unread")
    assert CRATE not in scene.arrived()
    scene.world.crates.down = False
    assert_released(scene, scene.publish())


def test_an_index_that_cannot_be_asked_is_not_taken_for_one_that_lags(scene: Scene) -> None:
    scene.world.crates.index = unreachable("the index")
    result = scene.publish()
    error = problem(result)
    assert (result.state, error.code, error.exit) == (State.PUBLISHING, "registry-unread", Exit.OUTSIDE)
    assert error.found == "the index does not answer (no answer)"
    assert CRATE in scene.arrived()


def test_a_publisher_that_is_closed_midway_holds_back_its_package(scene: Scene) -> None:
    scene.world.after("forge.publish", lambda: scene.world.crates.closed.add("coglet"))
    result = scene.publish()
    assert (result.state, problem(result).code) == (State.PARTIAL, "publisher-refused")
    assert set(scene.arrived()) == EVERYTHING - {CRATE}


# Bytes that are not ours


@pytest.mark.parametrize(
    "plant",
    [
        pytest.param(lambda w: w.crates.plant("coglet", "1.2.0", CRATE, b"other"), id="other bytes under our name"),
        pytest.param(lambda w: w.pypi.plant("coglet", "1.2.0", "coglet-1.2.0.tar.gz", b"extra"), id="a file not ours"),
    ],
)
def test_a_conflict_stops_everything_before_the_first_write(scene: Scene, plant: Callable[[object], None]) -> None:
    plant(scene.world)
    before = scene.world.snapshot()
    assert scene.look().state is State.NEEDS_HUMAN
    with pytest.raises(ConflictError) as caught:
        scene.publish()
    assert (caught.value.code, caught.value.exit) == ("gate-world", Exit.CONFLICT)
    assert scene.world.snapshot() == before


def test_a_conflict_midway_needs_a_human_and_is_not_written_over(scene: Scene) -> None:
    world = scene.world
    world.after("forge.publish", lambda: world.crates.plant("coglet", "1.2.0", CRATE, b"other"))
    result = scene.publish()
    assert result.state is State.NEEDS_HUMAN
    assert isinstance(problem(result), ConflictError)
    assert problem(result).code == "registry-conflict"
    assert set(scene.arrived()) == EVERYTHING - {CRATE}
    assert not scene.proposed()


def test_an_unanswered_write_that_somebody_else_won_ends_as_a_conflict(scene: Scene) -> None:
    world = scene.world
    world.crates.faults = [Fault.REQUEST_LOST]
    world.after("crates.io.publish", lambda: world.crates.plant("coglet", "1.2.0", CRATE, b"other"))
    assert scene.publish().state is State.NEEDS_HUMAN
    assert scene.open_intents() == []
    assert [r["body"]["result"] for r in world.ledger.records if r["kind"] == "outcome"].count("conflict") == 1


def test_a_file_listed_without_a_digest_is_waited_for(scene: Scene) -> None:
    scene.world.pypi.plant("coglet", "1.2.0", MAC, content(MAC))
    scene.world.pypi.digests = False
    before = scene.world.snapshot()
    with pytest.raises(WaitingError, match="without a digest"):
        scene.publish()
    assert scene.world.snapshot() == before


def test_a_digest_that_vanishes_midway_is_no_confirmation(scene: Scene) -> None:
    scene.world.after("pypi.publish", lambda: setattr(scene.world.pypi, "digests", False))
    result = scene.publish()
    assert (result.state, problem(result).exit) == (State.PUBLISHING, Exit.WAITING)
    assert "without a digest" in problem(result).found
    assert not {WHEEL, SDIST} & set(scene.arrived())


# Before the first write


@pytest.mark.parametrize("registry", ["pypi", "crates.io", "npm"])
def test_one_closed_publisher_stops_all_before_the_first_write(scene: Scene, registry: str) -> None:
    scene.world.registries[registry].closed = {"cog", "coglet", "@harbor/cog"}
    before = scene.world.snapshot()
    with pytest.raises(ExternalError) as caught:
        scene.publish()
    assert (caught.value.code, caught.value.retryable) == ("publisher-refused", False)
    assert scene.world.snapshot() == before


def test_a_full_disk_stops_all_before_the_first_write(scene: Scene) -> None:
    scene.world.ledger.full = True
    before = scene.world.snapshot()
    with pytest.raises(ConfigError) as caught:
        scene.publish()
    assert caught.value.code == "ledger-unwritable"
    assert scene.world.snapshot() == before


def test_a_disk_that_fills_up_midway_stops_at_the_next_write(scene: Scene) -> None:
    scene.world.after("crates.io.publish", lambda: setattr(scene.world.ledger, "full", True))
    result = scene.publish()
    assert (result.state, problem(result).code) == (State.PUBLISHING, "ledger-unwritable")
    assert set(scene.arrived()) == {MAC, NPM_NAME, CRATE}  # one wave, whose intents were on record
    scene.world.ledger.full = False
    assert_released(scene, scene.publish())


# The release on the forge


def test_an_undrafting_without_an_answer_is_read_back(scene: Scene) -> None:
    scene.world.forge.mute = True
    result = scene.publish()
    assert_released(scene, result)
    assert result.problems == ()


def test_an_undrafting_that_is_refused_stops_everything(scene: Scene) -> None:
    scene.world.forge.refuses = True
    result = scene.publish()
    assert (result.state, problem(result).code) == (State.PARTIAL, "forge-refused")
    assert scene.release.draft
    assert scene.arrived() == []


def test_a_forge_that_is_down_at_the_end_loses_nothing(scene: Scene) -> None:
    scene.world.after(f"{TAP}.pull_request", lambda: setattr(scene.world.forge, "down", True))
    result = scene.publish()
    assert (result.state, problem(result).code) == (State.PUBLISHING, "unreachable")
    scene.world.forge.down = False
    before = scene.world.snapshot()[:-1]
    assert_released(scene, scene.publish())
    assert scene.world.snapshot()[:-1] == before


def test_a_manifest_that_is_replaced_after_the_last_write_is_noticed(scene: Scene) -> None:
    scene.world.after(f"{TAP}.pull_request", lambda: replace_manifest(scene))
    result = scene.publish()
    assert (result.state, problem(result).code) == (State.NEEDS_HUMAN, "manifest-swapped")


# Package managers


def test_nothing_points_at_files_that_the_public_cannot_download(scene: Scene) -> None:
    scene.world.forge.members_only = True
    result = scene.publish()
    assert (result.state, problem(result).code) == (State.PUBLISHING, "files-not-public")
    assert problem(result).exit is Exit.WAITING
    assert set(scene.arrived()) == EVERYTHING
    assert not scene.proposed()
    scene.world.forge.members_only = False
    assert_released(scene, scene.publish())


@pytest.mark.parametrize(
    ("answer", "state", "retryable", "there"),
    [
        pytest.param(Receipt(Sent.UNKNOWN, "no answer"), State.RELEASED, None, True, id="delivered, answer lost"),
        pytest.param(Receipt(Sent.REFUSED, "protected"), State.PARTIAL, False, False, id="refused for good"),
        pytest.param(Receipt(Sent.DENIED, "no right"), State.PARTIAL, False, False, id="denied the right"),
        pytest.param(Receipt(Sent.LATER, "raced"), State.PUBLISHING, True, False, id="somebody was faster"),
    ],
)
def test_a_delivery_is_what_the_tap_shows(
    scene: Scene, answer: Receipt, state: State, retryable: bool | None, there: bool
) -> None:
    scene.world.casks.answer = answer
    result = scene.publish()
    assert result.state is state
    assert [p.retryable for p in result.problems if isinstance(p, ExternalError)] == (
        [] if retryable is None else [retryable]
    )
    assert scene.proposed() is there
    assert_released(scene, scene.publish())


def test_a_tap_that_cannot_be_read_is_not_written_to(scene: Scene) -> None:
    scene.world.casks.down = True
    result = scene.publish()
    assert (result.state, problem(result).code) == (State.PUBLISHING, "delivery-unread")
    assert not scene.proposed()
    scene.world.casks.down = False
    assert_released(scene, scene.publish())


def test_a_tap_that_is_ahead_is_left_alone(scene: Scene) -> None:
    scene.world.tap(TAP).branches["main"]["homebrew.rb"] = b"1.3.0 newer"
    assert scene.publish().state is State.RELEASED
    assert not scene.proposed()


# Approvals


def expire(scene: Scene) -> None:
    scene.later(hours=72, seconds=1)


def redraft(scene: Scene) -> None:
    """The draft now holds another manifest; the approvals of the first are still on it."""
    for name in (ASSET, CHECKSUMS):
        scene.world.forge.drop(scene.release.id, name)
    scene.manifest = scene.manifest.model_copy(update={"initiator": None})
    scene.files = scene.written(scene.manifest)
    scene.drafted()


def replace_manifest(scene: Scene) -> None:
    """Somebody puts another whole manifest in the place of the approved one."""
    other = scene.manifest.model_copy(update={"initiator": None})
    for name, data in ((ASSET, other.canonical()), (CHECKSUMS, other.checksums())):
        scene.world.forge.drop(scene.release.id, name)
        scene.world.forge.put(scene.release.id, name, data, STRANGER)


def swap(scene: Scene) -> None:
    other = bytes(reversed(content(CLI)))
    scene.world.forge.drop(scene.release.id, CLI)
    scene.world.forge.put(scene.release.id, CLI, other, STRANGER)


def lose_rights(scene: Scene) -> None:
    scene.world.forge.accounts[SECOND.id].roles = None


@pytest.mark.parametrize(
    ("change", "kind", "code", "state"),
    [
        pytest.param(redraft, WaitingError, "gate-approval", State.DRAFTED, id="approval of an older digest"),
        pytest.param(expire, WaitingError, "gate-approval", State.EXPIRED, id="one second past the approval's end"),
        pytest.param(
            lambda s: s.remove(SECOND), WaitingError, "gate-approval", State.DRAFTED, id="approver left the team"
        ),
        pytest.param(lose_rights, WaitingError, "gate-approval", State.DRAFTED, id="rights cannot be looked up"),
        pytest.param(
            lambda s: s.vote(THIRD, Decision.REJECT), RefusedError, "gate-approval", State.REJECTED, id="rejected"
        ),
        pytest.param(
            lambda s: s.world.policy(POLICY + "#\n"), RefusedError, "gate-approval", State.VOIDED, id="policy edited"
        ),
        pytest.param(lambda s: s.move_tag(), RefusedError, "gate-tag", State.VOIDED, id="tag moved"),
        pytest.param(lambda s: s.world.forge.tags.clear(), RefusedError, "gate-tag", State.VOIDED, id="tag deleted"),
        pytest.param(
            lambda s: s.world.forge.states.update({"ci-complete": CheckState.FAILURE}),
            RefusedError,
            "gate-checks",
            State.VOIDED,
            id="check failed since",
        ),
        pytest.param(
            lambda s: s.world.forge.branches[BRANCH].clear(),
            RefusedError,
            "gate-branch",
            State.VOIDED,
            id="its branch was rewritten",
        ),
    ],
)
def test_what_voids_an_approval_stops_all_before_the_first_write(
    scene: Scene, change: Callable[[Scene], object], kind: type[ReleaserError], code: str, state: State
) -> None:
    change(scene)
    before = scene.world.snapshot()
    assert scene.look().state is state
    with pytest.raises(kind) as caught:
        scene.publish()
    assert caught.value.code == code
    assert scene.world.snapshot() == before


def test_without_approval_nothing_is_written(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.drafted()
    before = scene.world.snapshot()
    with pytest.raises(WaitingError) as caught:
        scene.publish()
    assert "0/2 approvals" in str(caught.value)
    assert scene.world.snapshot() == before


@pytest.mark.parametrize("person", [TAGGER, STRANGER, BOT, FIRST], ids=lambda p: str(p.login))
def test_a_record_of_the_wrong_person_does_not_fill_the_quorum(tmp_path: Path, person: Person) -> None:
    scene = Scene(tmp_path)
    scene.drafted()
    scene.vote(FIRST)
    record = Approval(
        repository=scene.manifest.repository.name,
        tag=scene.tag,
        manifest=scene.manifest.digest(),
        policy=policy_digest(POLICY.encode()),
        decision=Decision.APPROVE,
    )
    scene.world.forge.put(scene.release.id, f"approval-{SECOND.id}-by-hand.json", record.canonical(), person)
    before = scene.world.snapshot()
    with pytest.raises(WaitingError, match="1/2 approvals"):
        scene.publish()
    assert scene.world.snapshot() == before


def test_an_approval_holds_until_its_last_second(scene: Scene) -> None:
    scene.later(hours=71, minutes=59, seconds=59)
    assert_released(scene, scene.publish())


def test_a_swapped_asset_of_the_same_name_and_size_stops_all(scene: Scene) -> None:
    swap(scene)
    before = scene.world.snapshot()
    with pytest.raises(ConflictError) as caught:
        scene.publish()
    assert (caught.value.code, caught.value.object) == ("asset-conflict", CLI)
    assert scene.world.snapshot() == before


def test_bytes_that_differ_from_the_digest_on_show_are_not_sent(scene: Scene) -> None:
    scene.world.forge.tamper(scene.release.id, CRATE, b"other")
    result = scene.publish()
    assert (result.state, problem(result).code) == (State.NEEDS_HUMAN, "asset-swapped")
    assert CRATE not in scene.arrived()
    assert not scene.proposed()


def test_an_approval_that_expires_after_the_first_bytes_still_holds(scene: Scene) -> None:
    killed_after(scene, "pypi.publish")
    scene.later(hours=80)
    assert_released(scene, scene.publish())


def test_one_that_expires_before_them_does_not(scene: Scene) -> None:
    killed_after(scene, "forge.publish")
    scene.later(hours=80)
    with pytest.raises(WaitingError):
        scene.publish()
    assert scene.arrived() == []
    assert scene.open_intents() == [], "the release is public, and that is on record now"


@pytest.mark.parametrize(
    ("change", "code", "state"),
    [
        pytest.param(Scene.move_tag, "gate-tag", State.VOIDED, id="tag moved"),
        pytest.param(lambda s: s.remove(FIRST), "gate-approval", State.DRAFTED, id="approver left the team"),
        pytest.param(lambda s: s.world.policy(POLICY + "#\n"), "gate-approval", State.VOIDED, id="policy edited"),
        pytest.param(
            lambda s: s.world.forge.put(s.release.id, "extra", b"", STRANGER),
            "asset-extra",
            State.NEEDS_HUMAN,
            id="asset added",
        ),
        pytest.param(swap, "asset-conflict", State.NEEDS_HUMAN, id="asset swapped"),
        pytest.param(replace_manifest, "manifest-swapped", State.NEEDS_HUMAN, id="manifest replaced"),
    ],
)
@pytest.mark.parametrize(
    ("call", "out"),
    [
        pytest.param("forge.publish", set(), id="after the release became public"),
        pytest.param("crates.io.publish", {NPM_NAME, CRATE}, id="between two targets"),
        pytest.param("pypi.visible", EVERYTHING - {WHEEL, SDIST}, id="between two waves"),
        pytest.param("forge.is_public", EVERYTHING, id="before the taps"),
    ],
)
def test_what_voids_it_midway_stops_at_the_next_target(
    scene: Scene, call: str, out: set[str], change: Callable[[Scene], None], code: str, state: State
) -> None:
    scene.world.after(call, lambda: change(scene))
    result = scene.publish()
    assert problem(result).code == code
    assert set(scene.arrived()) == out
    assert not scene.proposed()
    assert result.state is state


@pytest.mark.parametrize(
    "change", [Scene.move_tag, expire, swap], ids=["tag moved", "approval expired", "asset swapped"]
)
def test_what_voids_it_during_the_preflight_leaves_the_draft_a_draft(
    scene: Scene, change: Callable[[Scene], None]
) -> None:
    scene.world.after("npm.discard", lambda: change(scene))
    assert len(scene.publish().problems) == 1
    assert scene.release.draft
    assert (scene.arrived(), scene.open_intents()) == ([], [])


@pytest.mark.parametrize(
    ("call", "ends"),
    [
        pytest.param("forge.publish", State.EXPIRED, id="before the first bytes"),
        pytest.param("pypi.visible", State.RELEASED, id="after them"),
    ],
)
def test_an_approval_that_expires_midway(scene: Scene, call: str, ends: State) -> None:
    scene.world.after(call, lambda: expire(scene))
    result = scene.publish()
    assert result.state is ends
    assert set(scene.arrived()) == (EVERYTHING if ends is State.RELEASED else set())


def test_bytes_of_ours_that_were_sent_by_hand_count_as_a_beginning(scene: Scene) -> None:
    scene.world.crates.plant("coglet", "1.2.0", CRATE, content(CRATE))
    expire(scene)
    assert scene.publish().state is State.RELEASED
    assert set(scene.arrived()) == EVERYTHING - {CRATE}


def test_making_the_draft_public_by_hand_is_an_approval(tmp_path: Path) -> None:
    scene = Scene(tmp_path, policy=POLICY.replace("quorum = 2", "quorum = 1"))
    scene.drafted()
    scene.publish_by_hand(FIRST)
    assert_released(scene, scene.publish())


@pytest.mark.parametrize("person", [TAGGER, STRANGER, BOT], ids=lambda p: str(p.login))
def test_making_it_public_is_none_by_somebody_who_may_not_approve(tmp_path: Path, person: Person) -> None:
    scene = Scene(tmp_path, policy=POLICY.replace("quorum = 2", "quorum = 1"))
    scene.drafted()
    scene.publish_by_hand(person)
    with pytest.raises(WaitingError):
        scene.publish()
    assert scene.arrived() == []


def test_nor_is_it_one_of_another_release(tmp_path: Path) -> None:
    scene = Scene(tmp_path, policy=POLICY.replace("quorum = 2", "quorum = 1"))
    scene.drafted()
    scene.publish_by_hand(FIRST)
    assert scene.published is not None
    scene.published = replace(scene.published, release=scene.release.id + 1)
    with pytest.raises(WaitingError):
        scene.publish()
    assert scene.arrived() == []


def test_nor_does_it_cover_a_file_that_came_afterwards(tmp_path: Path) -> None:
    scene = Scene(tmp_path, policy=POLICY.replace("quorum = 2", "quorum = 1"))
    scene.drafted()
    scene.publish_by_hand(FIRST)
    scene.later(seconds=1)
    replace_manifest(scene)
    with pytest.raises(WaitingError):
        scene.publish()
    assert scene.arrived() == []


def test_patience_of_none_is_one_look(scene: Scene) -> None:
    scene.world.pypi.index_lag = 10
    result = scene.publish(patience=Patience(poll=1, refused=0, settle=0, visible=0))
    assert problem(result).code == "index-lags"
    assert scene.world.clock.now() == EPOCH
    assert CLIENT not in scene.arrived()
    assert NPM_NAME in scene.arrived()


# What is on record


def test_a_tap_that_was_edited_after_the_delivery_is_left_alone(scene: Scene) -> None:
    assert_released(scene, scene.publish())
    tap = scene.world.tap(TAP)
    for files in tap.branches.values():
        files.clear()
    tap.proposals.clear()
    before = scene.world.snapshot()
    assert scene.publish().state is State.RELEASED
    assert scene.world.snapshot() == before


def test_a_name_that_counts_as_used_up_is_done_once_the_registry_shows_it(scene: Scene) -> None:
    npm = scene.world.npm
    npm.record_lag = npm.index_lag = 900.0
    npm.faults = [Fault.ANSWER_LOST]
    npm.exists = Sent.TAKEN
    assert scene.publish().state is State.BURNED
    with pytest.raises(ConflictError) as caught:
        scene.publish()
    assert caught.value.code == "version-burned"
    scene.later(hours=1)
    assert scene.finish().state is State.RELEASED
    assert scene.arrived().count(NPM_NAME) == 1
    assert scene.open_intents() == []


def test_a_finished_release_is_put_on_record_once(scene: Scene) -> None:
    assert_released(scene, scene.publish())
    assert_released(scene, scene.publish())
    assert [r["kind"] for r in scene.world.ledger.records].count("state") == 1
