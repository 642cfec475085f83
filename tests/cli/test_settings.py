"""Settings of the three programs as a person gives them: by flag, by variable, by file; and that they act."""

import os
import pathlib
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))
from serve_command import BIN, ROOT, Serve, run  # noqa: E402

# program -> what it needs besides the setting in question
PROGRAMS = {"deeprack": ("serve",), "deeprack-coordinator": (ROOT / "demo" / "model",),
            "deeprack-worker": ("--coordinator", "127.0.0.1:1")}
RANGE = "must be a whole number from 0 to 1024"


def start(program, *arguments, **variables):
    return subprocess.run([str(BIN / program), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60, env={**os.environ, **variables})


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_wrong_value_is_named_with_its_place(program, tmp_path):
    needed = PROGRAMS[program]
    by_flag = start(program, *needed, "--threads", "many")
    assert by_flag.returncode == 64, by_flag.stderr
    assert f"{program}: --threads: 'many' {RANGE}" in by_flag.stderr
    by_variable = start(program, *needed, DEEPRACK_THREADS="1025")
    assert by_variable.returncode == 78, by_variable.stderr
    assert f"{program}: DEEPRACK_THREADS: '1025' {RANGE}" in by_variable.stderr
    file = tmp_path / "rack.yaml"
    file.write_text("threads: -1\n")
    by_file = start(program, *needed, "--config", file)
    assert by_file.returncode == 78, by_file.stderr
    assert f"{program}: {file}: threads: '-1' {RANGE}" in by_file.stderr
    missing = start(program, *needed, "--config", tmp_path / "none.yaml")
    assert missing.returncode == 78 and "none.yaml: cannot be read" in missing.stderr


def test_what_a_program_needs_is_named():
    coordinator = start("deeprack-coordinator", "--port", "0")
    assert coordinator.returncode == 64 and "MODEL is required" in coordinator.stderr
    worker = start("deeprack-worker")
    assert worker.returncode == 64 and "--coordinator is required" in worker.stderr


@pytest.mark.parametrize("arguments", [("deeprack", "serve"), ("deeprack-coordinator",), ("deeprack-worker",)])
def test_help_fits_a_terminal_and_has_the_defaults(arguments):
    text = start(*arguments, "--help")
    assert text.returncode == 0
    assert "DEEPRACK_" in text.stdout and "Default: auto" in text.stdout or "Default: bf16" in text.stdout
    assert max(map(len, text.stdout.splitlines())) <= 120, text.stdout
    if "deeprack-worker" not in arguments:
        assert "Default: 2048. Values: 1 to 1048576 tokens." in text.stdout


def test_sizes_take_units():
    plan = ("plan", "--tp", 2, "--device-memory", "1G", "--kv-bytes")
    assert run(*plan, "16M").stdout == run(*plan, 16 << 20).stdout
    wrong = run(*plan, "16MB")
    assert wrong.returncode == 64 and "K, M, G or T" in wrong.stderr


def test_the_http_servers_settings_act():
    with Serve("--max-connections", 1, "--http-threads", 1) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as only:
            only.sendall(b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n")
            assert b"200" in only.recv(1000)
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(server.url + "/health", timeout=30)
        assert refused.value.code == 503


def test_variables_of_serve_do_not_reach_around_its_flags():
    """`serve` hands its own settings over; the programs that it starts do not read the variables again."""
    environment = {**os.environ, "DEEPRACK_MAX_LOGPROBS": "3", "DEEPRACK_THREADS": "1"}
    with Serve("--max-logprobs", 20, env=environment) as server:
        answer = server.post("/v1/completions", {"prompt": "1 + 1", "max_tokens": 1, "logprobs": 5})
        assert len(answer["choices"][0]["logprobs"]["top_logprobs"][0]) >= 5
