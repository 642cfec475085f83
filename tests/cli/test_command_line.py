"""Runs `deeprack` as a user does: the demo, a conversation from a pipe, and no processes left after a failure."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))
from processes import processes_under  # noqa: E402
from serve_command import BIN, Serve, run  # noqa: E402

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def command_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for_all_gone(pids, seconds=30):
    deadline = time.monotonic() + seconds
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [command_of(pid) for pid in pids if is_alive(pid)]


@pytest.fixture(scope="module")
def served():
    with Serve("--tp", 2) as serve:
        yield serve


def chat(url, questions, *arguments):
    return subprocess.run([str(BIN / "deeprack"), "chat", "--url", url, *arguments], input=questions, text=True,
                          capture_output=True, timeout=120)


def test_the_demo_answers_its_three_questions():
    demo = run("demo")
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert demo.stdout.splitlines()[-1] == "demo: 3 of 3 answers right"
    assert "\x1b" not in demo.stdout, "colours are for terminals"


def test_chat_answers_a_question_a_line(served):
    talk = chat(served.url, "What is 17 + 25?\n\n/clear\nWhat is 30 - 4?\n")
    assert talk.returncode == 0, talk.stderr
    assert re.search(r"\b42\b", talk.stdout) and re.search(r"\b26\b", talk.stdout)
    assert "\x1b" not in talk.stdout


def test_chat_quits_when_told(served):
    talk = chat(served.url, "/quit\nWhat is 17 + 25?\n")
    assert (talk.returncode, talk.stdout) == (0, "")


def test_chat_says_what_the_server_refuses(served):
    talk = chat(served.url, "hi\n", "--model", "no-such-model")
    assert talk.returncode == 78
    assert "no-such-model" in talk.stderr


def test_chat_without_a_server():
    talk = chat("http://127.0.0.1:1", "hi\n")
    assert talk.returncode == 69
    assert "deeprack serve" in talk.stderr


def test_sigterm_lets_a_stream_finish_and_ends_everything_in_order():
    with Serve("--tp", 2) as serve:
        children = processes_under(serve.process.pid)
        assert len(children) == 4, "coordinator, mpirun, two ranks"
        body = json.dumps({"prompt": "1 + 2 = ", "max_tokens": 300, "ignore_eos": True, "stream": True}).encode()
        request = urllib.request.Request(serve.url + "/v1/completions", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as stream:
            stream.readline()
            serve.process.send_signal(signal.SIGTERM)
            lines = stream.read().decode().split("\n\n")
        assert lines[-2] == "data: [DONE]" and '"finish_reason":"length"' in lines[-3], lines[-3:]
        assert serve.process.wait(timeout=60) == 0, serve.read_log()
        assert wait_for_all_gone(children) == []


@pytest.mark.parametrize("victim, words", [("deeprack-coordinator", r"the coordinator \(pid \d+\) has ended: signal 9"),
                                           ("deeprack-worker", r"the workers \(pid \d+\) have ended.*rank \d")])
def test_without_recovery_a_killed_process_is_named_and_takes_the_rest_along(victim, words):
    with Serve("--tp", 2, "--recovery-timeout", 0) as serve:
        children = processes_under(serve.process.pid)
        os.kill(next(pid for pid in children if pathlib.Path(command_of(pid).split()[0]).name == victim), signal.SIGKILL)
        assert serve.process.wait(timeout=60) == 69, serve.read_log()
        assert re.search(words, serve.read_log()), serve.read_log()
        assert wait_for_all_gone(children) == []


def test_nothing_outlives_a_killed_serve():
    with Serve("--tp", 2) as serve:
        children = processes_under(serve.process.pid)
        serve.process.kill()
        serve.process.wait()
        assert wait_for_all_gone(children) == []


def test_too_few_workers_are_counted():
    serve = run("serve", "--tp", 2, "--port", 0, "--workers", "external", "--worker-timeout", 1)
    assert serve.returncode == 69
    assert "deeprack-worker --coordinator 127.0.0.1:" in serve.stderr, "how to start one"
    assert "0 of 2 workers" in serve.stderr


@pytest.mark.parametrize("coordinator, reason", [
    ("127.0.0.1:1", "connection refused: nothing listens there"),
    ("node7.invalid:7000", "this machine cannot look up the name node7.invalid")])
def test_a_worker_says_at_once_why_it_waits(coordinator, reason, tmp_path):
    made = run("certs", "make", tmp_path / "tls")
    assert made.returncode == 0, made.stderr
    worker = subprocess.Popen([str(BIN / "deeprack-worker"), "--backend", "cpu", "--coordinator", coordinator,
                               "--cluster-tls", str(tmp_path / "tls")], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True)
    told = next(line for line in worker.stderr if "waiting for the coordinator" in line)
    worker.terminate()
    rest = worker.stderr.read()
    assert worker.wait(timeout=30) == 0 and f"waiting for the coordinator at {coordinator}: {reason}" in told
    assert "waiting for the coordinator" not in rest, "each reason is told once"


def test_preflight_tells_settings_from_models(tmp_path):
    nobody = run("preflight", "--agents", "127.0.0.1:1")
    assert nobody.returncode == 69 and "no model is named" in nobody.stdout, nobody.stdout + nobody.stderr
    wrong = run("preflight", "--max-context", 4096)
    assert wrong.returncode == 69 and "change this setting" in wrong.stdout
    assert "the settings are refused" in wrong.stdout and "mend the model" not in wrong.stdout


def test_preflight_starts_agents_from_an_empty_environment():
    """mpirun needs PATH and HOME, which systemd and cron may not set."""
    ended = run("preflight", "--port", 0, "--json", "--hosts", "127.0.0.1:1", env={})
    host = next(row for row in json.loads(ended.stdout)["findings"] if row["check"] == "host")
    assert host["verdict"] == "ok", host["found"] + ended.stderr


def test_preflight_looks_where_mpirun_keeps_its_files(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name not in ("TMPDIR", "TMP")}
    ended = run("preflight", "--port", 0, "--json", env={**environment, "TEMP": str(tmp_path / "none")})
    disk = next(row for row in json.loads(ended.stdout)["findings"] if row["check"] == "disk")
    assert disk["verdict"] == "fail" and disk["found"].startswith(str(tmp_path / "none")), disk


@pytest.mark.parametrize("arguments, words", [
    (("sevre",), "there is no command 'sevre': did you mean 'serve'? `deeprack --help` lists the commands"),
    (("weigh-anchor",), "there is no command 'weigh-anchor'; `deeprack --help` lists the commands"),
    (("bench", "--prompt-tokens", 0), "--prompt-tokens: Value 0 not in range 1 to 1048576; `deeprack bench --help` has more"),
    (("serve", "--tpp", 2), "`deeprack serve --help` has more")])
def test_a_wrong_command_line_is_named(arguments, words):
    wrong = run(*arguments)
    assert wrong.returncode == 64 and wrong.stderr.startswith("deeprack: ") and words in wrong.stderr, wrong.stderr


def test_plan_says_whether_it_fits():
    cards = ("plan", "--backend", "cuda", "--tp", 2)
    fits = run(*cards, "--device-memory", "1G")
    assert fits.returncode == 0 and "2 ranks on cards with plain kernels" in fits.stdout, fits.stderr
    tokens = int(fits.stdout.splitlines()[-1].split()[-1])
    assert tokens == 256 * 2048, "all that 256 sequences of the longest context can use"
    full = run(*cards, "--device-memory", "30M")
    assert full.returncode == 78 and "does not fit a device of 30.0 MiB" in full.stderr and "are missing" in full.stderr
    assert "--max-step-tokens 512" in full.stderr and full.stdout.startswith("tp=2"), "the table and what would help"
    assert run(*cards, "--device-memory", "80GB").returncode == 64
    assert run(*cards, "--max-context", 4096).returncode == 78
    hopper = run(*cards, "--unverified-kernels")
    assert "Hopper kernels" in hopper.stdout
    assert run(*cards, env={**os.environ, "DEEPRACK_UNVERIFIED_KERNELS": "true"}).stdout == hopper.stdout


def test_plan_does_without_the_weights(tmp_path):
    (tmp_path / "config.json").write_text((REPOSITORY / "demo/model/config.json").read_text())
    whole = run("plan", REPOSITORY / "demo/model", "--tp", 2)
    assert whole.returncode == 0 and whole.stderr == ""
    for weights in (None, b"half of a header"):
        if weights is not None:
            (tmp_path / "model.safetensors").write_bytes(weights)
        missing = run("plan", tmp_path, "--tp", 2)
        assert missing.returncode == 0 and missing.stdout == whole.stdout
        assert "the weights are not read" in missing.stderr and "counted by config.json" in missing.stderr
        dummy = run("plan", tmp_path, "--tp", 2, "--load-format", "dummy")
        assert dummy.returncode == 0 and dummy.stdout == whole.stdout and dummy.stderr == ""


def test_settings_come_from_flags_environment_and_file(tmp_path):
    config = tmp_path / "rack.yaml"
    config.write_text("tp: 7\nmax_context: 128\n")
    assert "tp=7" in run("plan", "--config", config).stderr
    environment = {**os.environ, "DEEPRACK_CONFIG": str(config), "DEEPRACK_TP": "2"}
    assert run("plan", env=environment).stdout.startswith("tp=2 dp=1 ep=2 pp=1")
    assert run("plan", "--tp", 4, env=environment).stdout.startswith("tp=4 dp=1 ep=4 pp=1")
    config.write_text("tpp: 2\n")
    wrong = run("plan", "--config", config)
    assert wrong.returncode == 78 and "did you mean 'tp'?" in wrong.stderr


def test_quantize_takes_threads(tmp_path):
    """`--threads` is a flag of `quantize`, too: what is wrong is the model."""
    done = run("quantize", tmp_path / "none", tmp_path / "out.gguf", "--threads", 2)
    assert done.returncode == 78 and "none" in done.stderr, done.stderr
