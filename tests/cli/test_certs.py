"""`deeprack certs`: what it makes is accepted by OpenSSL's own command, nothing is overwritten, and errors have the table's codes."""

import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))
from serve_command import run  # noqa: E402


def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_certificates_are_made_added_and_shown(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    made = run("certs", "make", first, "--host", "node1", "--host", "10.0.0.1")
    assert made.returncode == 0 and "node1, 10.0.0.1" in made.stdout, made.stderr
    assert run("certs", "add", first, second, "--host", "node2", "--days", 30).returncode == 0
    for folder in (first, second):
        for purpose in ("sslserver", "sslclient"):
            assert "OK" in openssl("verify", "-x509_strict", "-purpose", purpose, "-verify_hostname", "deeprack", "-CAfile", first / "ca.crt",
                                   folder / "tls.crt")
        assert openssl("pkey", "-in", folder / "tls.key", "-pubout") == openssl("x509", "-in", folder / "tls.crt", "-noout", "-pubkey")
        assert (folder / "tls.key").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in second.iterdir()) == ["ca.crt", "tls.crt", "tls.key"]
    assert "-----BEGIN" in (first / "ca.key").read_text()

    shown = run("certs", "show", second)
    assert shown.returncode == 0 and "deeprack, node2" in shown.stdout and "29 days left" in shown.stdout, shown.stdout

    again = run("certs", "make", first)
    assert again.returncode == 78 and "ca.key exists already" in again.stderr
    assert run("certs", "add", first, second).returncode == 78


def test_errors_are_told(tmp_path):
    assert run("certs", "make", tmp_path / "x", "--days", 0).returncode == 64
    wrong = run("certs", "make", tmp_path / "x", "--host", "no name")
    assert wrong.returncode == 64 and "'no name'" in wrong.stderr
    assert not (tmp_path / "x").exists()
    missing = run("certs", "show", tmp_path / "x")
    assert missing.returncode == 78 and "x: no such folder" in missing.stderr
    assert run("certs", "make", tmp_path / "made").returncode == 0
    long = run("certs", "add", tmp_path / "made", tmp_path / "y", "--days", 3650)
    assert long.returncode == 0, long.stderr
    (tmp_path / "empty").mkdir()
    empty = run("certs", "add", tmp_path / "empty", tmp_path / "z")
    assert empty.returncode == 78 and f"no authority in {tmp_path / 'empty'} (ca.crt and ca.key)" in empty.stderr
    (tmp_path / "made" / "ca.key").unlink()
    keyless = run("certs", "add", tmp_path / "made", tmp_path / "z")
    assert keyless.returncode == 78 and "(ca.crt and ca.key): ca.key is missing" in keyless.stderr
    (tmp_path / "made" / "tls.crt").write_text("hello")
    damaged = run("certs", "show", tmp_path / "made")
    assert damaged.returncode == 78 and "tls.crt: holds no PEM certificate" in damaged.stderr
    blocked = run("certs", "make", "/proc/certificates")
    assert blocked.returncode == 78 and "/proc/certificates: cannot be written" in blocked.stderr
