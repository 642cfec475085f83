"""A full disk: the message names the file and its bytes, no partial file is left, and serving goes on."""

import contextlib
import os
import pathlib
import re
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))
from serve_command import ROOT, Serve, run  # noqa: E402
from test_coordinator_restart import ByHand  # noqa: E402
from test_recovery import Stream, body  # noqa: E402

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a small file system is mounted by root")
DEMO = ROOT / "demo" / "model"


@contextlib.contextmanager
def disk(folder, size):
    """A file system of this size at `folder`."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_packed_weights(tmp_path):
    with disk(tmp_path / "small", "1m") as small:
        with Serve(DEMO, "--packed", small, "--max-context", 512, "--threads", 1) as server:
            assert server.post("/v1/completions", {"prompt": "1 + 2", "max_tokens": 4})["usage"]["completion_tokens"] > 0
        log = server.read_log()
        told = re.search(rf"{small}/\S+\.packed\.partial: cannot write: No space left on device; the file takes (\d+) bytes, and "
                         rf"(\d+) are free in {small}; the next start will load from", log)
        assert told, log
        assert int(told.group(1)) > int(told.group(2)) > 0
        packed = run("pack", DEMO, small, "--max-context", 512)
        assert packed.returncode != 0 and "No space left on device; the file takes" in packed.stderr, packed.stderr
        assert list(small.iterdir()) == []


def test_keys(tmp_path):
    with disk(tmp_path / "small", "64k") as small:
        file = small / "keys"
        assert run("keys", "add", "alice", "--file", file).returncode == 0
        before = file.read_bytes()
        filler = small / "filler"
        with open(filler, "wb", buffering=0) as full, contextlib.suppress(OSError):
            while full.write(b"x" * 4096):
                pass
        added = run("keys", "add", "bob", "--file", file)
        assert added.returncode == 69 and added.stdout == "", added
        assert re.search(rf"{file}: No space left on device; the file takes \d+ bytes, and what was there before stays", added.stderr), added.stderr
        assert file.read_bytes() == before
        assert sorted(path.name for path in small.iterdir()) == ["filler", "keys", "keys.lock"]
        filler.unlink()
        assert run("keys", "add", "bob", "--file", file).returncode == 0


def test_logs():
    loud = ("--log-level", "trace")
    with ByHand(*loud, workers=[loud, loud], log=open("/dev/full", "r+b", buffering=0)) as cluster:
        assert Stream(cluster, body(1)).result()[3] is None
        cluster.stop_coordinator()
        assert cluster.exit_codes() == [0, 0]
