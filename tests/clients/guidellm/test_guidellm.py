"""guidellm: a load test of 20 seconds, which must end without an error."""
import json
import pathlib
import subprocess
import sys

from scripted_servers import MODEL


def test_run(endless, tmp_path):
    command = [pathlib.Path(sys.executable).parent / "guidellm", "run",
               "--backend", f"kind=openai_http,target={endless.url},model={MODEL}",
               "--profile", "kind=concurrent,streams=4", "--constraint", "kind=max_duration,seconds=20",
               "--data", "kind=synthetic_text,prompt_tokens=64,output_tokens=32",
               "--tokenizer", f"kind=huggingface_auto,model={endless.folder}",
               "--output", f"kind=json,path={tmp_path / 'report.json'}", "--disable-console-interactive"]
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
                          cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    benchmark, = json.loads((tmp_path / "report.json").read_text())["benchmarks"]
    totals = benchmark["metrics"]["request_totals"]
    assert totals["successful"] > 10 and totals["errored"] == 0
