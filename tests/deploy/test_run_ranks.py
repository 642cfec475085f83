"""deeprack-run-ranks (deploy/image/run-ranks) with a recording program in the place of deeprack-worker."""

import os
import signal
import subprocess
import time

import pytest

from manifests import ROOT

RUN_RANKS = ROOT / "deploy/image/run-ranks"
WORKER = """#!/usr/bin/env python3
import os, pathlib, signal, sys, time
folder = pathlib.Path(os.environ["RECORD"])
with open(folder / "starts", "a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
starts = (folder / "starts").read_text().splitlines().count(" ".join(sys.argv[1:]))
if os.environ.get("DEAF"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (folder / "deaf").touch()
codes = os.environ["CODES"].split()
if starts <= len(codes):
    sys.exit(int(codes[starts - 1]))
time.sleep(600)
"""


@pytest.fixture
def start(tmp_path):
    (tmp_path / "deeprack-worker").write_text(WORKER)
    (tmp_path / "deeprack-worker").chmod(0o755)
    running = []

    def run(*arguments, codes="", **environment):
        process = subprocess.Popen([RUN_RANKS, *arguments], stderr=subprocess.PIPE, text=True, start_new_session=True,
                                   env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "RECORD": str(tmp_path), "CODES": codes,
                                                     **environment})
        running.append(process)
        return process

    yield run
    for process in running:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


def starts(tmp_path):
    file = tmp_path / "starts"
    return file.read_text().splitlines() if file.exists() else []


def eventually(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def end(process):
    process.send_signal(signal.SIGTERM)
    error = process.communicate(timeout=120)[1]
    return process.returncode, error


def ends_with_its_group(process):
    """True when no process of the group is left."""
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_every_rank_has_its_card_and_port(start, tmp_path):
    process = start("--ranks", "3", "--first-port", "7001", "--backend", "cuda")
    eventually(lambda: len(starts(tmp_path)) == 3)
    assert sorted(starts(tmp_path)) == [f"--card {i} --listen 0.0.0.0:{7001 + i} --backend cuda" for i in range(3)]
    assert end(process)[0] == 0
    eventually(lambda: ends_with_its_group(process))


def test_one_rank_takes_any_card_and_port(start, tmp_path):
    process = start("--ranks", "1", "--coordinator", "127.0.0.1:7000")
    eventually(lambda: starts(tmp_path) == ["--coordinator 127.0.0.1:7000"])
    assert end(process)[0] == 0


def test_a_rank_that_ends_starts_again_alone(start, tmp_path):
    """0: the coordinator has stopped. 69, 70, 75: the table of docs/OPERATING.md says to start again."""
    process = start("--ranks", "1", codes="0 69")
    eventually(lambda: len(starts(tmp_path)) == 3)
    code, error = end(process)
    assert code == 0 and "rank 0 of this machine has ended with 69; starting it again in 1 s" in error


@pytest.mark.parametrize("code", ["64", "65", "78"])
def test_what_no_new_start_changes_ends_all(start, tmp_path, code):
    process = start("--ranks", "2", codes=code)
    assert process.wait(timeout=120) == int(code)
    assert len(starts(tmp_path)) <= 2
    eventually(lambda: ends_with_its_group(process))


def test_a_rank_that_does_not_hear_sigterm_is_killed(start, tmp_path):
    process = start("--ranks", "1", DEAF="1")
    eventually((tmp_path / "deaf").exists)
    assert end(process)[0] == 0
    eventually(lambda: ends_with_its_group(process))


@pytest.mark.parametrize("arguments", [(), ("--ranks",), ("--ranks", "0"), ("--ranks", "2", "--first-port", "x"),
                                       ("--ranks", "2", "--first-port", "65535"), ("--ranks", "1", "--steady", "0")])
def test_wrong_arguments_are_told(start, arguments):
    process = start(*arguments)
    error = process.communicate(timeout=120)[1]
    assert process.returncode == 64 and "deeprack-run-ranks --ranks N" in error and len(error.splitlines()) == 2
