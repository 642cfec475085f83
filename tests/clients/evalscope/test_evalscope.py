"""`evalscope perf`: a load test of the chat endpoint."""
import json
import pathlib
import subprocess
import sys

from scripted_servers import MODEL


def test_perf(endless, tmp_path):
    (tmp_path / "questions.txt").write_text("".join(f"What is {i} + {i} in plain words?\n" for i in range(20)))
    command = [str(pathlib.Path(sys.executable).parent / "evalscope"), "perf", "--url", endless.v1 + "/chat/completions",
               "--api", "openai", "--model", MODEL, "--dataset", "line_by_line", "--dataset-path", str(tmp_path / "questions.txt"),
               "--parallel", "4", "--number", "20", "--max-tokens", "32", "--min-tokens", "32", "--stream", "--outputs-dir", str(tmp_path)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    summary = json.loads(next(tmp_path.rglob("benchmark_summary.json")).read_text())
    assert summary["Success Requests"] == 20 and summary["Failed Requests"] == 0
