"""`--tls` and `--policy` of serve, pull, push and receive, with folders that `memsync ca` made."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from conftest import MEMSYNC, MOVE, READ, UPDATE, memsync
from pushing import Inbox, content, inbox  # noqa: F401

POLICY = """\
schema: 1
allow:
  - {who: alice, publish: ["logs/*"], read: ["*data"]}
  - {who: bob, read: [other]}
"""


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A CA and three hosts: the one that listens, alice and bob."""
    folder = tmp_path / "keys"
    outcome = memsync("ca", folder, "--name", "server,127.0.0.1,localhost", "--name", "alice", "--name", "bob")
    assert outcome.code == 0, outcome.stderr
    assert outcome.stdout.splitlines() == [f"{folder}/{host}" for host in ("server", "alice", "bob")]
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_bytes(content(1))
    return path


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def test_ca_makes_what_openssl_takes_and_keeps_keys_private(keys: Path) -> None:
    for host in ("server", "alice"):
        verified = subprocess.run(
            ["openssl", "verify", "-x509_strict", "-CAfile", keys / "ca.pem", keys / host / "cert.pem"],
            capture_output=True,
            text=True,
        )
        assert verified.returncode == 0, verified.stderr
        assert (keys / host / "key.pem").stat().st_mode & 0o077 == 0
        assert (keys / host / "ca.pem").read_text() == (keys / "ca.pem").read_text()
    assert (keys / "ca-key.pem").stat().st_mode & 0o077 == 0


def test_ca_goes_on_with_the_ca_that_is_there(keys: Path) -> None:
    before = (keys / "ca.pem").read_text(), (keys / "alice/cert.pem").read_text()
    assert memsync("ca", keys, "--name", "alice").code == 0
    assert (keys / "ca.pem").read_text() == before[0]
    assert (keys / "alice/cert.pem").read_text() != before[1]


@pytest.mark.parametrize("name", ["..", "../x", "", "a b", "a,x/y", ".hidden"])
def test_ca_refuses_what_is_no_host(keys: Path, name: str) -> None:
    outcome = memsync("ca", keys, "--name", name)
    assert outcome.code == 64
    assert "name" in outcome.stderr


def test_ca_names_the_half_that_is_missing(keys: Path) -> None:
    (keys / "ca-key.pem").unlink()
    outcome = memsync("ca", keys, "--name", "eve")
    assert outcome.code == 64
    assert "has one of ca.pem and ca-key.pem, not both" in outcome.stderr


def test_the_example_of_the_help_works(run_in_background, tmp_path: Path, data: Path) -> None:
    """The lines of `memsync ca --help` as they stand, with this host's address and without scp."""
    lines = [line.split("   ")[0].split() for line in memsync("ca", "--help").stdout.splitlines() if "  memsync " in line[:10]]
    lines = [[word.replace("192.0.2.1:7001", "{}").replace("192.0.2.1", "127.0.0.1") for word in line] for line in lines]
    assert [line[1] for line in lines] == ["ca", "receive", "push"]
    assert memsync(*lines[0][1:], cwd=tmp_path).code == 0
    there, here = tmp_path / "there", tmp_path / "here"
    for host, folder in (("files.example", there), ("laptop", here)):
        shutil.copytree(tmp_path / "keys" / host, folder / "keys")
    (there / "inbox").mkdir()
    receiver = run_in_background(MEMSYNC, *[w.format("127.0.0.1:0") for w in lines[1][1:]], cwd=there)
    shutil.copy(data, here / "big.img")
    pushed = memsync(*[w.format(receiver.first_line) for w in lines[2][1:]], cwd=here)
    assert pushed.code == 0, pushed.stderr
    assert (there / "inbox/big.img").read_bytes() == data.read_bytes()


def test_pull_reads_what_serve_serves(keys: Path, data: Path, policy: Path, run_in_background, tmp_path: Path) -> None:
    server = run_in_background(MEMSYNC, "serve", data, "--tls", keys / "server", "--policy", policy)
    out = tmp_path / "out"
    outcome = memsync("pull", server.first_line, "--out", out, "--tls", keys / "alice")
    assert outcome.code == 0, outcome.stderr
    assert out.read_bytes() == data.read_bytes()


def test_pull_is_told_that_it_may_not_read(keys: Path, data: Path, policy: Path, run_in_background, tmp_path: Path) -> None:
    server = run_in_background(MEMSYNC, "serve", data, "--tls", keys / "server", "--policy", policy)
    outcome = memsync("pull", server.first_line, "--out", tmp_path / "out", "--tls", keys / "bob")
    assert outcome.code == 4
    assert "refused this end ('bob'): its policy does not let 'bob' in" in outcome.stderr
    assert not (tmp_path / "out").exists()
    assert re.search(
        r"refused the peer at 127.0.0.1 port \d+: its certificate \('bob'\) is right, but .*policy.yaml does not "
        rf"let 'bob' read '{data}'",
        server.stop()[2],
    )


def test_pull_and_serve_want_tls_at_both_ends_or_at_none(keys: Path, data: Path, run_in_background, tmp_path: Path) -> None:
    plain = run_in_background(MEMSYNC, "serve", data)
    outcome = memsync("pull", plain.first_line, "--out", tmp_path / "out", "--tls", keys / "alice")
    assert outcome.code == 4
    assert "ended the connection in mid-handshake; does it speak TLS?" in outcome.stderr
    safe = run_in_background(MEMSYNC, "serve", data, "--tls", keys / "server")
    outcome = memsync("pull", safe.first_line, "--out", tmp_path / "out")
    assert outcome.code == 4
    assert "which speaks TLS while this end does not (--tls)" in outcome.stderr
    assert "speaks no TLS while this end does" in safe.stop()[2]


def test_pull_wants_the_name_that_it_dialled_or_another_one(keys: Path, data: Path, run_in_background, tmp_path: Path) -> None:
    server = run_in_background(MEMSYNC, "serve", data, "--tls", keys / "bob")
    words = ["pull", server.first_line, "--out", tmp_path / "out", "--tls", keys / "alice"]
    outcome = memsync(*words)
    assert outcome.code == 4
    assert "its certificate ('bob') is not for '127.0.0.1', which was dialled, but for bob" in outcome.stderr
    assert memsync(*words, "--tls-name", "bob").code == 0
    assert "the host that it dialled is none of our certificate's names" in server.stop()[2]


def test_push_brings_what_its_identity_may_publish(keys: Path, data: Path, policy: Path, inbox: Inbox) -> None:  # noqa: F811
    inbox.run("--tls", keys / "server", "--policy", policy)
    outcome = memsync("push", f"logs/today={data}", inbox.address, "--tls", keys / "alice")
    assert outcome.code == 0, outcome.stderr
    assert inbox.read("logs/today") == data.read_bytes()
    outcome = memsync("push", f"etc/passwd={data}", inbox.address, "--tls", keys / "alice")
    assert outcome.code == 4
    assert "policy.yaml does not let 'alice' publish 'etc/passwd'" in outcome.stderr
    assert not (inbox.folder / "etc").exists()
    outcome = memsync("push", f"logs/today={data}", inbox.address, "--tls", keys / "bob")
    assert outcome.code == 4
    assert "its policy does not let 'bob' in" in outcome.stderr
    told = inbox.running.stop()[2]
    assert "policy.yaml does not let 'alice' publish 'etc/passwd'" in told
    assert "policy.yaml does not let 'bob' publish anything" in told


def test_push_of_another_ca_is_refused_at_once_and_a_stranger_ends_nothing(
    keys: Path, data: Path, inbox: Inbox, tmp_path: Path  # noqa: F811
) -> None:
    inbox.run("--tls", keys / "server", "--once")
    with socket.create_connection(inbox.address.split(":")) as stranger:
        stranger.sendall(b"GET / HTTP/1.0\r\n\r\n")
        while stranger.recv(100):
            pass
    memsync("ca", tmp_path / "others", "--name", "alice")
    outcome = memsync("push", data, inbox.address, "--tls", tmp_path / "others/alice")
    assert outcome.code == 4
    assert "is of a CA that ca.pem here does not hold" in outcome.stderr
    outcome = memsync("push", data, inbox.address, "--tls", keys / "alice")
    assert outcome.code == 0, outcome.stderr
    assert inbox.running.end()[0] == 0
    assert inbox.read("data") == data.read_bytes()


def test_a_revoked_identity_is_refused_without_a_restart_and_a_new_one_is_taken(
    keys: Path, data: Path, inbox: Inbox  # noqa: F811
) -> None:
    inbox.run("--tls", keys / "server")
    words = ["push", data, inbox.address, "--tls", keys / "alice"]
    assert memsync(*words).code == 0
    assert memsync("ca", keys, "--revoke", "alice").code == 0
    # Her own folder has the list, too: she need not ask anybody to learn it.
    outcome = memsync(*words)
    assert outcome.code == 64
    assert "certificate revoked" in outcome.stderr
    (keys / "alice/crl.pem").unlink()
    outcome = memsync(*words)
    assert outcome.code == 4
    assert "refused this end ('alice'): our certificate is revoked" in outcome.stderr
    assert memsync("ca", keys, "--name", "alice").code == 0
    assert memsync(*words).code == 0
    assert "('alice') is revoked" in inbox.running.stop()[2]


def test_words_for_what_cannot_be_used(keys: Path, data: Path, policy: Path, tmp_path: Path) -> None:
    def refusal(*words: object) -> str:
        outcome = memsync(*words)
        assert outcome.code == 64
        return outcome.stderr

    assert "--policy needs --tls" in refusal("serve", data, "--policy", policy)
    assert "ca.pem is missing" in refusal("serve", data, "--tls", tmp_path)
    assert "--tls-name needs --tls" in refusal("pull", "127.0.0.1:1", "--out", tmp_path / "o", "--tls-name", "x")
    assert "a web server has https://" in refusal(
        "pull", "http://127.0.0.1:1", "--out", tmp_path / "o", "--tls", keys / "alice"
    )
    for text, words in {
        "schema: 2\nallow: []": "policy.yaml:1:",
        "schema: 1": "a policy has `schema: 1` and `allow:`",
        "schema: 1\nallow:\n  - {read: [a]}": "policy.yaml:3:",
        "schema: 1\nallow:\n  - {who: a, write: [a]}": "no 'write'",
        "schema: 1\nallow:\n  - {who: a, read: a}": "a list of names",
    }.items():
        policy.write_text(text)
        assert words in refusal("serve", data, "--tls", keys / "server", "--policy", policy)


def test_series_inside_tls_move_the_same_bytes(write_suite) -> None:
    suite = write_suite(
        workloads=f"{READ}\n{UPDATE}\n{MOVE}",
        approaches="\n".join(
            f"  - {{use: {use}, as: {use}-tls, with: {{tls: on}}}}" for use in ("tcp_copy", "userfaultfd", "mmap_push")
        )
        + "\n  - {use: openssl_copy}",
    )
    rows = memsync("run", suite, "--concurrent").rows
    assert {row["status"] for row in rows} <= {"ok", "unsupported"}
    ok = {(row["series"], row["workload"]) for row in rows if row["status"] == "ok"}
    assert {(use, "scan") for use in ("tcp_copy-tls", "userfaultfd-tls", "mmap_push-tls", "openssl_copy")} <= ok
    assert {("tcp_copy-tls", "nightly"), ("mmap_push-tls", "nightly"), ("openssl_copy", "nightly")} <= ok
    assert {("userfaultfd-tls", "move"), ("mmap_push-tls", "move")} <= ok
