"""The ledger at the command line: whoever reads it learns whether to believe it, and what to do when it is broken."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from releaser.errors import Exit
from releaser.rehearsal.sample import REPOSITORY
from tests.contracts.ledgers import Rows, Tables
from tests.contracts.postgres import Cluster
from tests.faces.stage import QUICK, Ran, Stage, run, succeed
from tests.places import SERVERS

RECOVER = (Path(__file__).parents[2] / "docs" / "howto" / "recover.md").read_text(encoding="utf-8")


@pytest.fixture
def published(approved: Stage) -> Stage:
    succeed(approved.publish())
    return approved


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A drafted release, with a pipe beside it; nothing here changes it."""
    with Stage(tmp_path_factory.mktemp("waiting")) as stage:
        os.mkfifo(stage.home / "pipe")
        yield stage.draft()


def test_the_ledger_of_another_repository_is_not_believed(published: Stage) -> None:
    """Whoever copied it; a burned version of theirs is none of ours."""
    where = ("--ledger", str(published.ledger))
    for command in (("status",), ("ledger", "verify"), ("ledger", "show")):
        told = published.run(*command, published.tag, *where, "--repository", "other/repo")
        assert (told.code, told.out) == (Exit.USAGE, "")
        assert "[ledger-foreign]" in told.err
        assert f"found  {REPOSITORY} {published.tag}" in told.err
    sent = run("ledger", "verify", "v0.0.1", *where, cwd=published.home, environ={})
    assert (sent.code, "[ledger-foreign]" in sent.err) == (Exit.USAGE, True)
    succeed(run("ledger", "verify", published.tag, *where, cwd=published.home, environ={}))


def test_what_lies_behind_the_last_record_is_said_as_it_is_known(published: Stage) -> None:
    whole = published.ledger.read_bytes()
    verify = ("ledger", "verify", published.tag, "--ledger", str(published.ledger))
    told = succeed(published.run(*verify)).out
    published.ledger.write_bytes(whole[:-1])
    assert succeed(published.run(*verify)).out == told, "the line end alone is no record"
    published.ledger.write_bytes(whole[:-2])
    torn = succeed(published.run(*verify)).out
    assert re.search("behind them, [0-9]+ bytes of a record without its end, as a crash leaves it", torn)
    assert "--head HASH" in torn
    head = told.splitlines()[0].split()[-1]
    assert "[ledger-cut]" in published.run(*verify, "--head", head).err


@pytest.mark.parametrize("command", ["status {tag}", "ledger verify {tag}", "ledger show {tag}"])
@pytest.mark.parametrize("place", ["{home}/pipe", "/dev/full", "{home}", "sqlite:", "sqlite:."])
def test_what_is_no_regular_file_is_not_read(waiting: Stage, command: str, place: str) -> None:
    words = command.format(tag=waiting.tag).split()
    told = waiting.run(*words, "--ledger", place.format(home=waiting.home))
    assert told.code == Exit.USAGE
    assert "[ledger-unreadable]" in told.err
    assert "hint: give --ledger the path of a regular file" in told.err


# What docs/howto/recover.md says to do about a broken one


def publish(stage: Stage, where: str, **environment: str) -> Ran:
    return stage.run("publish", stage.tag, "--ledger", where, *QUICK, **environment)


def assert_broken(stage: Stage, where: str, **environment: str) -> None:
    verified = stage.run("ledger", "verify", stage.tag, "--ledger", where, **environment)
    for told in (publish(stage, where, **environment), verified):
        assert (told.code, "[ledger-broken]" in told.err) == (Exit.USAGE, True)


def test_a_broken_file_is_renamed(published: Stage) -> None:
    assert "A file: rename it." in RECOVER
    where = published.ledger
    where.write_bytes(where.read_bytes().replace(b'"accepted"', b'"refused"', 1))
    assert_broken(published, str(where))
    where.rename(where.with_suffix(".broken"))
    succeed(publish(published, str(where)))


def test_for_broken_rows_another_database_is_named(approved: Stage) -> None:
    assert "`--ledger sqlite:OTHER.db`" in RECOVER
    path, where = approved.home / "ledgers.db", f"sqlite:{approved.home}/ledgers.db"
    succeed(publish(approved, where))
    lines = Rows(path).read(f"{REPOSITORY} {approved.tag}")
    Rows(path).write(f"{REPOSITORY} {approved.tag}", [*lines[:3], *lines[4:]])
    assert_broken(approved, where)
    succeed(publish(approved, f"sqlite:{approved.home}/OTHER.db"))
    assert_broken(approved, where)


@pytest.mark.servers("postgresql/initdb")
def test_for_a_broken_table_another_database_is_named(
    approved: Stage, cluster: Cluster, schema: str, request: pytest.FixtureRequest
) -> None:
    assert "`--ledger postgresql:dbname=OTHER` after\n`createdb OTHER`" in RECOVER
    there = {name: value for name, value in os.environ.items() if name.startswith("PG")}
    succeed(publish(approved, "postgresql:", **there))
    release = f"{REPOSITORY} {approved.tag}"
    table = Tables(cluster, schema)
    table.write(release, table.read(release)[1:])
    assert_broken(approved, "postgresql:", **there)
    environ = {"PATH": os.environ["PATH"], **there}
    subprocess.run([SERVERS / "postgresql" / "createdb", "OTHER"], env=environ, check=True)
    request.addfinalizer(lambda: drop(cluster))
    there["PGOPTIONS"] = ""
    succeed(publish(approved, "postgresql:dbname=OTHER", **there))


def drop(cluster: Cluster) -> None:
    with cluster.owner("public") as owner:
        owner.execute('DROP DATABASE "OTHER" WITH (FORCE)')


def test_a_broken_reference_is_kept_under_another_name(approved: Stage) -> None:
    """By the two commands of the page, as they stand there, with real git."""
    succeed(publish(approved, "forge"))
    git, ref = approved.world.github.repository(REPOSITORY).git, f"refs/releaser/ledger/{approved.tag}"
    tip = git.commit_of(ref)
    assert tip is not None
    somebody = git.commit(tip).author
    broken = git.write_commit(git.commit(tip).tree, [tip], "by hand\n\n{}", somebody, somebody)
    assert git.move(ref, broken, tip)
    assert_broken(approved, "forge")
    (commands,) = re.findall(r"^```sh\n(git fetch .*?)^```$", RECOVER, re.MULTILINE | re.DOTALL)
    script = ["sh", "-ec", commands.replace("TAG", approved.tag)]
    subprocess.run(script, cwd=approved.checkout, check=True, capture_output=True)
    assert (git.commit_of(ref), git.commit_of(f"refs/evidence/{approved.tag}")) == (None, broken)
    succeed(publish(approved, "forge"))
