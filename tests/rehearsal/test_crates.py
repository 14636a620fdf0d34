"""The rehearsal crate registry answers like the real one, and real cargo publishes to and builds from it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from releaser.errors import ConfigError
from releaser.rehearsal.crates import Crates
from releaser.rehearsal.issuer import Issuer
from releaser.rehearsal.server import Fault, Faults, Journal

MANIFEST = '[package]\nname = "{name}"\nversion = "{version}"\ndescription = "A widget"\nlicense = "MIT"\n'


def crate_bytes(
    name: str = "widget", version: str = "1.0.0", manifest: str = MANIFEST, top: str = "", note: str = ""
) -> bytes:
    buffer = io.BytesIO()
    with (
        gzip.GzipFile("", "wb", fileobj=buffer, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for member, text in (("Cargo.toml", manifest.format(name=name, version=version)), ("src/lib.rs", note)):
            entry = tarfile.TarInfo(f"{top or f'{name}-{version}'}/{member}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def framed(content: bytes, name: str = "widget", version: str = "1.0.0", **metadata: Any) -> bytes:
    text = json.dumps({"name": name, "vers": version, "deps": [], "features": {}, **metadata}).encode()
    return struct.pack("<I", len(text)) + text + struct.pack("<I", len(content)) + content


class World:
    def __init__(self, root: Path, issuer: Issuer) -> None:
        self.journal, self.faults, self.issuer = Journal(), Faults(), issuer
        self.crates = Crates(root / "crates", self.journal, self.faults, issuer)
        self.clock = 1_800_000_000.0
        self.crates.now = lambda: self.clock
        self.crates.start()
        self.http = httpx.Client(base_url=self.crates.url, headers={"User-Agent": "releaser-tests"})

    def put(self, body: bytes, token: str | None = None, **headers: str) -> httpx.Response:
        credential = self.crates.user_token if token is None else token
        return self.http.put(
            "/api/v1/crates/new",
            content=body,
            headers={"Authorization": credential, **{k.replace("_", "-"): v for k, v in headers.items()}},
        )

    def publish(self, version: str = "1.0.0", name: str = "widget", token: str | None = None) -> httpx.Response:
        return self.put(framed(crate_bytes(name, version), name, version), token)

    def exchange(self, **claims: str) -> httpx.Response:
        jwt = self.issuer.token("crates.io", **claims)
        return self.http.post("/api/v1/trusted_publishing/tokens", json={"jwt": jwt})

    def token(self) -> str:
        return str(self.exchange().json()["token"])

    def lines(self, path: str = "wi/dg/widget") -> list[dict[str, Any]]:
        answer = self.http.get(f"/index/{path}")
        return [json.loads(line) for line in answer.text.splitlines()] if answer.status_code == 200 else []

    def versions(self) -> list[str]:
        return [line["vers"] for line in self.lines()]


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    issuer = Issuer(tmp_path_factory.mktemp("oidc"), Journal(), Faults())
    issuer.start()
    yield issuer
    issuer.stop()


@pytest.fixture
def world(tmp_path: Path, issuer: Issuer) -> Iterator[World]:
    world = World(tmp_path, issuer)
    world.crates.add_package("widget")
    yield world
    world.http.close()
    world.crates.stop()


def detail(answer: httpx.Response) -> str:
    (error,) = answer.json()["errors"]
    return str(error["detail"])


def test_a_published_crate_is_stored_byte_for_byte(world: World) -> None:
    content = crate_bytes()

    answer = world.put(framed(content))

    assert answer.status_code == 200
    assert answer.json()["warnings"] == {"invalid_categories": [], "invalid_badges": [], "other": []}
    old, new = world.lines()
    assert (old["vers"], new["vers"], new["cksum"]) == ("0.0.1", "1.0.0", hashlib.sha256(content).hexdigest())
    config = world.http.get("/index/config.json").json()
    assert httpx.get(config["dl"].format(crate="widget", version="1.0.0")).content == content


def test_the_index_line_carries_dependencies_and_features(world: World) -> None:
    said = {
        "name": "serde",
        "version_req": "^1",
        "features": ["derive"],
        "optional": True,
        "default_features": False,
        "target": "cfg(unix)",
        "kind": "build",
        "registry": None,
        "explicit_name_in_toml": "serde_one",
    }
    features = {"default": ["a"], "a": [], "b": ["dep:serde_one"], "c": ["serde_one?/std"]}

    world.put(framed(crate_bytes(), deps=[said], features=features, links="z", rust_version="1.70"))

    line = world.lines()[-1]
    assert line["deps"] == [
        {
            "name": "serde_one",
            "req": "^1",
            "features": ["derive"],
            "optional": True,
            "default_features": False,
            "target": "cfg(unix)",
            "kind": "build",
            "registry": None,
            "package": "serde",
        }
    ]
    assert line["features"] == {"default": ["a"], "a": []}
    assert line["features2"] == {"b": ["dep:serde_one"], "c": ["serde_one?/std"]}
    assert (line["links"], line["rust_version"], line["v"], line["yanked"]) == ("z", "1.70", 2, False)


@pytest.mark.parametrize(
    ("name", "path"),
    [("a", "1/a"), ("Ab", "2/ab"), ("abc", "3/a/abc"), ("Ab-Cd", "ab/-c/ab-cd"), ("widgets", "wi/dg/widgets")],
)
def test_index_paths_follow_the_length_of_the_name(world: World, name: str, path: str) -> None:
    world.crates.add_package(name)

    assert [line["name"] for line in world.lines(path)] == [name]
    assert world.http.get(f"/index/{path}x").status_code == 404


def test_a_known_index_file_is_not_sent_again(world: World) -> None:
    tag = world.http.get("/index/wi/dg/widget").headers["etag"]

    assert world.http.get("/index/wi/dg/widget", headers={"If-None-Match": tag}).status_code == 304
    world.publish()
    assert world.http.get("/index/wi/dg/widget", headers={"If-None-Match": tag}).status_code == 200


def test_the_index_lags_behind_the_api(world: World) -> None:
    world.crates.index_lag = 30.0

    assert world.publish().status_code == 200

    assert world.versions() == ["0.0.1"]
    assert world.http.get("/api/v1/crates/widget/1.0.0").status_code == 200
    world.clock += 30
    assert world.versions() == ["0.0.1", "1.0.0"]


def test_a_crate_new_to_the_index_is_absent_until_it_shows(world: World) -> None:
    world.crates.index_lag = 30.0
    world.publish(name="gadget")

    assert world.http.get("/index/ga/dg/gadget").status_code == 404


@pytest.mark.parametrize("again", ["1.0.0", "1.0.0+b"], ids=["equal bytes", "other build metadata"])
def test_a_version_is_taken_whatever_its_build_metadata(world: World, again: str) -> None:
    world.publish("1.0.0")

    answer = world.publish(again)

    assert (answer.status_code, detail(answer)) == (400, f"crate version `{again}` is already uploaded")
    assert world.versions() == ["0.0.1", "1.0.0"]


MISSING = "missing or empty metadata fields: description, license."
REFUSALS: dict[str, tuple[bytes, int, str]] = {
    "name differs in Cargo.toml": (
        framed(crate_bytes("gadget", top="widget-1.0.0")),
        400,
        "name `gadget` in Cargo.toml",
    ),
    "version differs in Cargo.toml": (
        framed(crate_bytes(version="1.0.1", top="widget-1.0.0")),
        400,
        "version `1.0.1` in Cargo.toml",
    ),
    "nothing about it": (
        framed(crate_bytes(manifest='[package]\nname = "{name}"\nversion = "{version}"\n')),
        400,
        MISSING,
    ),
    "another directory": (framed(crate_bytes(top="other")), 400, "invalid path found: other/Cargo.toml"),
    "outside its directory": (framed(crate_bytes(top="widget-1.0.0/..")), 400, "invalid path found"),
    "not a manifest": (framed(crate_bytes(manifest="[[[")), 400, "failed to parse `Cargo.toml`"),
    "no archive": (framed(b"nothing"), 400, "uploaded tarball is malformed"),
    "version not semver": (framed(b"", version="1.0"), 400, '"1.0" is an invalid semver version'),
    "name not allowed": (framed(b"", name="1widget"), 400, "invalid crate name"),
    "spelled otherwise before": (framed(crate_bytes("Widget"), "Widget"), 400, "crate was previously named `widget`"),
    "no json": (struct.pack("<I", 2) + b"{[", 400, "invalid upload request"),
    "no body": (b"", 400, "invalid payload"),
    "archive cut short": (framed(crate_bytes())[:-1], 400, "invalid crate length"),
    "bytes after the archive": (framed(crate_bytes()) + b"x", 400, "invalid crate length"),
    "long metadata": (struct.pack("<I", (1 << 20) + 1), 413, "max upload size is: 1048576"),
    "long archive": (framed(b"")[:-4] + struct.pack("<I", (10 << 20) + 1), 413, "max upload size is: 10485760"),
}


@pytest.mark.parametrize(("body", "status", "sentence"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_wrong_crate_is_refused_and_not_stored(world: World, body: bytes, status: int, sentence: str) -> None:
    answer = world.put(body)

    assert answer.status_code == status
    assert detail(answer).startswith(sentence)
    assert world.versions() == ["0.0.1"]


@pytest.mark.parametrize(
    ("token", "status"),
    [("", 403), ("secret", 401), ("cio_tp_unknown", 403)],
    ids=["none", "of another form", "unknown"],
)
def test_a_bad_token_is_refused(world: World, token: str, status: int) -> None:
    assert world.publish(token=token).status_code == status
    assert world.versions() == ["0.0.1"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/v1/crates/widget", 403), ("/index/wi/dg/widget", 200), ("/crates/widget/widget-0.0.1.crate", 200)],
    ids=["api", "index", "archive"],
)
def test_only_the_api_demands_a_user_agent(world: World, path: str, status: int) -> None:
    assert world.http.get(path, headers={"User-Agent": ""}).status_code == status


def test_a_rate_limit_names_a_date(world: World) -> None:
    world.faults.add(Fault("crates.publish", "status", 429))

    answer = world.publish()

    assert answer.status_code == 429
    assert parsedate_to_datetime(answer.headers["retry-after"]).timestamp() == world.clock + 60
    assert world.versions() == ["0.0.1"]


def test_the_api_tells_whose_run_published_a_version(world: World) -> None:
    world.crates.trust("widget", "acme/widget", "release.yml")
    world.publish(token=world.token())

    version = world.http.get("/api/v1/crates/widget/1.0.0").json()["version"]
    seeded = world.http.get("/api/v1/crates/widget/0.0.1").json()["version"]

    assert version["checksum"] == hashlib.sha256(crate_bytes()).hexdigest()
    assert version["trustpub_data"] == {
        "provider": "github",
        "repository": "acme/widget",
        "run_id": "7001",
        "sha": "0" * 40,
    }
    assert seeded["trustpub_data"] is None
    assert world.http.get("/api/v1/crates/widget").json()["crate"]["newest_version"] == "1.0.0"


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/api/v1/crates/gadget", "crate `gadget` does not exist"),
        ("/api/v1/crates/widget/9.9.9", "crate `widget` does not have a version `9.9.9`"),
    ],
)
def test_what_does_not_exist_is_not_found(world: World, path: str, sentence: str) -> None:
    answer = world.http.get(path)

    assert (answer.status_code, detail(answer)) == (404, sentence)


def test_a_download_leads_to_the_archive(world: World) -> None:
    world.publish("1.0.0+b")
    path = "/api/v1/crates/widget/1.0.0+b/download"

    redirect = world.http.get(path).headers["location"]

    assert world.http.get(path, headers={"Accept": "application/json"}).json() == {"url": redirect}
    assert httpx.get(redirect).content == crate_bytes(version="1.0.0+b")
    assert world.http.get("/crates/widget/..%2F..%2Fx").status_code == 403


def test_a_minted_token_publishes_its_crates_and_no_other(world: World) -> None:
    world.crates.add_package("gadget")
    world.crates.trust("widget", "acme/widget", "release.yml", "release")
    token = world.token()

    assert world.publish(token=token).status_code == 200
    other = world.publish(name="gadget", token=token)
    assert (other.status_code, detail(other)) == (403, "The provided access token is not valid for crate `gadget`")
    new = world.publish(name="brand-new", token=token)
    assert (new.status_code, "do not support creating new crates" in detail(new)) == (403, True)


def test_a_minted_token_has_its_form_and_thirty_minutes(world: World) -> None:
    world.crates.trust("widget", "acme/widget", "release.yml")
    token = world.token()

    assert token.startswith("cio_tp_")
    assert len(token) == len("cio_tp_") + 32
    world.clock += 1800
    assert world.publish(token=token).status_code == 403


def test_a_revoked_token_is_worthless(world: World) -> None:
    world.crates.trust("widget", "acme/widget", "release.yml")
    headers = {"Authorization": f"Bearer {world.token()}"}

    revoked = [world.http.delete("/api/v1/trusted_publishing/tokens", headers=headers).status_code for _ in range(2)]

    assert revoked == [204, 204]
    assert world.publish(token=headers["Authorization"]).status_code == 403


def test_a_crate_must_exist_before_it_has_a_publisher(world: World) -> None:
    with pytest.raises(ConfigError) as refused:
        world.crates.trust("gadget", "acme/widget", "release.yml")

    assert refused.value.code == "publisher-without-package"


MISMATCHES: dict[str, tuple[dict[str, str], str]] = {
    "another repository": ({"repository": "evil/widget"}, "No Trusted Publishing config found for repository"),
    "another owner of the same name": ({"repository_owner_id": "666"}, "does not match the repository owner ID (666)"),
    "another workflow": (
        {"workflow_ref": "acme/widget/.github/workflows/ci.yml@refs/tags/v1.0.0"},
        "does not match the workflow filename `ci.yml`",
    ),
    "another environment": ({"environment": "staging"}, "does not match the environment `staging`"),
    "no environment": ({"environment": ""}, "requires an environment"),
    "pull_request_target": ({"event_name": "pull_request_target"}, "pull_request_target"),
    "workflow_run": ({"event_name": "workflow_run"}, "workflow_run"),
    "another audience": ({"aud": "pypi"}, "Failed to decode JWT"),
    "another issuer": ({"iss": "https://example.invalid"}, "Unsupported JWT issuer"),
}


@pytest.mark.parametrize(("claims", "sentence"), MISMATCHES.values(), ids=MISMATCHES.keys())
def test_an_identity_that_does_not_match_is_told_why(world: World, claims: dict[str, str], sentence: str) -> None:
    world.crates.trust("widget", "acme/widget", "release.yml", "Release")

    answer = world.exchange(**claims)

    assert answer.status_code == 400
    assert sentence in detail(answer)


def test_a_reusable_workflow_counts_by_its_caller(world: World) -> None:
    world.crates.trust("widget", "ACME/widget", "release.yml", "Release")

    called = "acme/shared/.github/workflows/publish.yml@refs/heads/main"
    assert world.exchange(job_workflow_ref=called).status_code == 200


def test_an_identity_is_spent_by_success_alone(world: World) -> None:
    body = {"jwt": world.issuer.token("crates.io")}
    refused = world.http.post("/api/v1/trusted_publishing/tokens", json=body)
    world.crates.trust("widget", "acme/widget", "release.yml")
    accepted = world.http.post("/api/v1/trusted_publishing/tokens", json=body)
    replayed = world.http.post("/api/v1/trusted_publishing/tokens", json=body)

    assert (refused.status_code, accepted.status_code) == (400, 200)
    assert (replayed.status_code, detail(replayed)) == (400, "JWT has already been used")


def test_a_person_yanks_and_a_minted_token_does_not(world: World) -> None:
    world.crates.trust("widget", "acme/widget", "release.yml")
    path = "/api/v1/crates/widget/0.0.1"

    minted = world.http.delete(f"{path}/yank", headers={"Authorization": world.token()})
    assert (minted.status_code, world.lines()[0]["yanked"]) == (403, False)
    world.http.delete(f"{path}/yank", headers={"Authorization": world.crates.user_token})
    assert (world.lines()[0]["yanked"], world.http.get(path).json()["version"]["yanked"]) == (True, True)
    world.http.put(f"{path}/unyank", headers={"Authorization": world.crates.user_token})
    assert world.lines()[0]["yanked"] is False


def test_a_crate_may_refuse_the_tokens_of_people(world: World) -> None:
    world.crates.trustpub_only.add("widget")
    world.crates.trust("widget", "acme/widget", "release.yml")

    assert world.publish().status_code == 403
    assert world.publish(token=world.token()).status_code == 200


def test_a_dropped_connection_leaves_the_crate_published(world: World) -> None:
    world.faults.add(Fault("crates.publish", "drop"))

    with pytest.raises(httpx.RemoteProtocolError):
        world.publish()

    assert world.versions() == ["0.0.1", "1.0.0"]


def test_the_journal_holds_no_token(world: World) -> None:
    world.crates.trust("widget", "acme/widget", "release.yml")
    token = world.token()
    world.publish(token=token)

    assert token not in repr(world.journal.calls())
    assert [c.operation for c in world.journal.writes()] == ["crates.exchange", "crates.publish"]


@pytest.mark.clients("cargo")
def test_cargo_publishes_and_a_dependant_builds(world: World, tmp_path: Path) -> None:
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("cargo is not installed")
    home = tmp_path / "cargo"
    home.mkdir()
    (home / "config.toml").write_text(f'[registries.lo]\nindex = "{world.crates.index}"\n')
    environment = {
        **{k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN")},
        "CARGO_HOME": str(home),
        "CARGO_REGISTRIES_LO_TOKEN": world.crates.user_token,
    }
    described = 'edition = "2021"\ndescription = "x"\nlicense = "MIT"\n'
    packages = {
        "widget": f'[package]\nname = "widget"\nversion = "1.0.0"\n{described}[features]\nextra = []\n',
        "user": f'[package]\nname = "user"\nversion = "0.1.0"\n{described}'
        '[dependencies]\nw = {{ package = "widget", version = "1", registry = "lo", features = ["extra"] }}\n'.format(),
    }
    sources = {"widget": '#[cfg(feature = "extra")]\npub fn one() -> u8 { 1 }\n', "user": "pub use w::one;\n"}
    for name, manifest in packages.items():
        (tmp_path / name / "src").mkdir(parents=True)
        (tmp_path / name / "Cargo.toml").write_text(manifest)
        (tmp_path / name / "src" / "lib.rs").write_text(sources[name])

    for name, command in (
        ("widget", ["publish", "--registry", "lo", "--allow-dirty", "--no-verify"]),
        ("user", ["fetch"]),
        ("user", ["build", "--offline"]),
        ("user", ["publish", "--registry", "lo", "--allow-dirty", "--no-verify"]),
    ):
        done = subprocess.run(
            [cargo, *command], cwd=tmp_path / name, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    assert world.lines()[-1]["features"] == {"extra": []}
    assert world.lines()[-1]["cksum"] in (tmp_path / "user" / "Cargo.lock").read_text()
    (dependency,) = world.lines("us/er/user")[-1]["deps"]
    said = {key: dependency[key] for key in ("name", "package", "req", "features", "registry", "kind")}
    assert said == {
        "name": "w",
        "package": "widget",
        "req": "^1",
        "features": ["extra"],
        "registry": None,
        "kind": "normal",
    }
