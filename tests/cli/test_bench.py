"""Runs `deeprack bench` as a user does: its table, a server that already runs, errors, Ctrl-C."""

import pathlib
import signal
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))
from serve_command import BIN, Serve, run  # noqa: E402

SMALL = ("--prompt-tokens", 70, "--output-tokens", 5)


def rows(text):
    """The table's rows, each a dictionary with the column names as keys."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [dict(zip(cells[0], row)) for row in cells[2:]]


def test_it_serves_measures_and_stops():
    bench = run("bench", "--tp", 2, "--concurrency", "1,3", *SMALL)
    assert bench.returncode == 0, bench.stderr
    assert "demo, prompts of 70 tokens, 5 tokens generated for each" in bench.stdout
    one, three = rows(bench.stdout)
    assert [one["concurrency"], one["requests"], one["failed"]] == ["1", "4", "0"]
    assert [three["concurrency"], three["requests"], three["failed"]] == ["3", "6", "0"]
    assert float(one["output tok/s"]) > 0 and float(one["tok/s a stream"]) > float(one["output tok/s"])
    assert one["TTFT p50"].endswith("s") and one["TPOT p99"].endswith("s")


def test_a_running_server_is_measured_with_cold_prompts():
    with Serve() as serve:
        measure = ("bench", "--url", serve.url, "--concurrency", "2", "--requests", 3, *SMALL)
        for bench in (run(*measure), run(*measure)):
            assert bench.returncode == 0, bench.stderr
            assert rows(bench.stdout)[0]["requests"] == "3"
        assert metric(serve.url, "vllm:prefix_cache_queries_total") > 0
        assert metric(serve.url, "vllm:prefix_cache_hits_total") == 0, "the second run found nothing of the first"
        serve.process.send_signal(signal.SIGINT)
        assert serve.process.wait(timeout=60) == 0


def metric(url, name):
    with urllib.request.urlopen(url + "/metrics", timeout=60) as reply:
        return sum(float(line.rsplit(" ", 1)[1]) for line in reply.read().decode().splitlines()
                   if line.startswith(name + "{"))


def test_what_the_server_refuses_is_counted():
    bench = run("bench", "--concurrency", "2", "--max-context", 80, "--prompt-tokens", 90, "--output-tokens", 64)
    assert bench.returncode == 78
    assert "the prompt has 90 tokens; the context holds 80" in bench.stderr


def test_failed_requests_are_shown():
    """The server runs one request and lets one wait: of six streams it first refuses four."""
    bench = run("bench", "--concurrency", "6", "--requests", 8, "--max-sequences", 1, "--max-waiting", 1,
                "--prompt-tokens", 70, "--output-tokens", 64)
    assert bench.returncode == 0, bench.stderr
    row, = rows(bench.stdout)
    assert row["requests"] == "8" and 1 <= int(row["failed"]) <= 7
    assert f"{row['failed']} of 8 requests failed: the server answered 429" in bench.stderr


def test_wrong_command_lines():
    assert run("bench", "--url", "http://127.0.0.1:1", "--tp", 2).returncode == 64
    assert run("bench", "--concurrency", "1,64", "--requests", 8).returncode == 64
    assert run("bench", "--concurrency", "0").returncode == 64
    assert run("bench", "--url", "http://127.0.0.1:1").returncode == 69


def test_ctrl_c_ends_it():
    bench = subprocess.Popen([str(BIN / "deeprack"), "bench", "--concurrency", "2", "--requests", "1000000",
                              "--prompt-tokens", "64", "--output-tokens", "64"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert bench.stdout.readline().startswith("demo, prompts of 64 tokens")
    time.sleep(0.5)
    start = time.monotonic()
    bench.send_signal(signal.SIGINT)
    _, errors = bench.communicate(timeout=60)
    assert bench.returncode == 130, errors
    assert time.monotonic() - start < 15
