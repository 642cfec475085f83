"""aiperf: a load test that counts tokens by the usage of each event."""
import json
import pathlib
import subprocess
import sys

from scripted_servers import MODEL

BIN = pathlib.Path(sys.executable).parent


def run(*command, folder):
    done = subprocess.run([str(BIN / command[0]), *map(str, command[1:])], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=300, cwd=folder)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_aiperf(endless, tmp_path):
    run("aiperf", "profile", "--model", MODEL, "--url", endless.url, "--endpoint-type", "chat", "--streaming", "--tokenizer",
        endless.folder, "--concurrency", "4", "--request-count", "20", "--isl", "64", "--osl", "32", "--use-server-token-count",
        "--extra-inputs", '{"stream_options": {"include_usage": true, "continuous_usage_stats": true}, "ignore_eos": true}',
        "--ui", "none", "--artifact-dir", tmp_path / "out", folder=tmp_path)
    report = json.loads(next((tmp_path / "out").rglob("profile_export_aiperf.json")).read_text())
    assert report["request_count"]["avg"] == 20 and not report.get("error_summary")
