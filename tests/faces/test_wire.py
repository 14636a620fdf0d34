"""What is built of the environment, and what waits until it is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from releaser.adapters.oidc import REQUEST_TOKEN, REQUEST_URL
from releaser.adapters.store_file import FileStore
from releaser.adapters.store_sqlite import SqliteStore
from releaser.engine.ledger import Ledger
from releaser.engine.ports import Store
from releaser.errors import ConfigError, ExternalError
from releaser.faces.log import LineReporter
from releaser.faces.wire import Wiring
from tests.world import Clock, Power


def test_an_identity_provider_whose_address_is_none_is_an_error_only_where_an_identity_is_needed() -> None:
    wiring = Wiring(LineReporter(), environ={REQUEST_URL: "https://[x", REQUEST_TOKEN: "opaque"})
    assert set(wiring.registries) == {"pypi", "crates.io", "npm"}
    with pytest.raises(ExternalError) as caught:
        wiring.identity.token("registry")
    assert (caught.value.code, caught.value.retryable) == ("host-not-allowed", False)


# Where a ledger is kept


def wiring(home: Path, repository: str = "harbor/cog", **environ: str) -> Wiring:
    return Wiring(LineReporter(), repository, environ={"XDG_STATE_HOME": str(home), **environ})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("a/b", "a%2Fb", id="a slash and its escape"),
        pytest.param("v1", "v2", id="versions"),
        pytest.param("..", ".", id="dots"),
    ],
)
def test_every_tag_has_a_file_of_its_own_below_the_state_folder(tmp_path: Path, one: str, other: str) -> None:
    places = [Path(wiring(tmp_path).records(None, tag)[0]) for tag in (one, other)]
    assert places[0] != places[1]
    assert {p.resolve().parent for p in places} == {tmp_path / "releaser" / "harbor%2Fcog"}


def test_a_repository_has_one_ledger_however_it_is_written(tmp_path: Path) -> None:
    assert wiring(tmp_path).records(None, "v1") == wiring(tmp_path, "Harbor/Cog").records(None, "v1")


@pytest.mark.parametrize("where", ["mysql://user:hunter2@db/x", "SQLite:x", "https://example.invalid/", "c3:"])
def test_a_place_of_an_unknown_kind_is_refused_and_not_repeated(tmp_path: Path, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        wiring(tmp_path).records(where, "v1")
    assert caught.value.code == "ledger-kind-unknown"
    assert "hunter2" not in f"{caught.value} {caught.value.found} {caught.value.hint}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["postgresql", "postgres", "PostgreSQL", "sqlite", "Forge", "FORGE"])
def test_a_kind_of_place_alone_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught, wiring(tmp_path).ledger(where, "v1"):
        pass
    assert (caught.value.code, caught.value.found) == ("ledger-kind-unknown", where)
    assert caught.value.hint.startswith(f"write {caught.value.wanted}, or ./{where} ")
    assert list(tmp_path.iterdir()) == []
    assert wiring(tmp_path).records(f"./{where}", "v1") == (f"./{where}", [], b"")


def test_a_job_whose_ledger_is_an_unset_variable_keeps_it_where_the_next_one_finds_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        wiring(tmp_path, "", GITHUB_ACTIONS="true").records("", "v1")
    assert caught.value.code == "repository-unknown", "the forge's ledger is that of a repository"


@pytest.mark.parametrize("where", ["./mysql:x", "C:"])
def test_a_file_may_have_a_colon_in_its_name(tmp_path: Path, where: str) -> None:
    assert wiring(tmp_path).records(where, "v1") == (where, [], b"")


def test_reading_a_ledger_that_is_not_there_makes_none(tmp_path: Path) -> None:
    assert not wiring(tmp_path).records(f"sqlite:{tmp_path}/none.db", "v1")[1]
    assert list(tmp_path.iterdir()) == []


def claimed(store: Store, release: str) -> None:
    """Let a run of *release* claim the ledger in *store*."""
    Ledger(store, Clock(Power()), "a run", release).claim()


def assert_foreign(wiring: Wiring, where: str, tag: str) -> None:
    with pytest.raises(ConfigError) as caught:
        wiring.records(where, tag)
    assert (caught.value.code, caught.value.found) == ("ledger-foreign", "other/cog v7")


def test_the_ledger_of_another_release_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with FileStore(path) as store:
        claimed(store, "other/cog v7")
    assert len(wiring(tmp_path, "Other/Cog").records(str(path), "v7")[1]) == 1
    assert_foreign(wiring(tmp_path), str(path), "v7")
    assert_foreign(wiring(tmp_path, "other/cog"), str(path), "v8")


def test_a_ledger_that_was_copied_to_the_name_of_another_release_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "ledgers.db"
    with SqliteStore(path, "harbor/cog v7") as store:
        claimed(store, "other/cog v7")
    assert_foreign(wiring(tmp_path), f"sqlite:{path}", "v7")


def test_a_file_that_somebody_was_sent_is_held_against_the_tag_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with FileStore(path) as store:
        claimed(store, "other/cog v7")
    assert len(wiring(tmp_path, "").records(str(path), "v7")[1]) == 1
    assert_foreign(wiring(tmp_path, ""), str(path), "v8")


def test_a_path_that_cannot_be_one_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        wiring(tmp_path).records(str(tmp_path / ("x" * 300)), "v1")
    assert caught.value.code == "ledger-unreadable"
