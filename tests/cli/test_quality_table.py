"""`deeprack quantize --table`: larger files of the demo model have lower perplexity."""

import os
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))
from serve_command import ROOT, run  # noqa: E402

DEMO = ROOT / "demo" / "model"
SCORED = ("--text", ROOT / "demo" / "held_out.txt", "--context", 128)


def test_fewer_bits_cost_perplexity(tmp_path):
    table = run("quantize", DEMO, tmp_path, "--table", "--types", "Q2_K,Q4_K_M,Q8_0", *SCORED,
                env={**os.environ, "DEEPRACK_COMPUTE": "f32"})
    assert table.returncode == 0, table.stderr
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.stdout.splitlines()]
    assert cells[0] == ["type", "size", "% of F16", "perplexity", "delta"]
    rows = {row[0]: row for row in cells[2:]}
    assert list(rows) == ["F16", "Q2_K", "Q4_K_M", "Q8_0"], "F16 first, then as asked for"
    assert rows["F16"][2] == "100.0" and rows["F16"][4] == ""
    share = {name: float(row[2]) for name, row in rows.items()}
    perplexity = {name: float(row[3].split()[0]) for name, row in rows.items()}
    assert share["Q2_K"] < share["Q4_K_M"] < share["Q8_0"] < 60
    # The model predicts this text so well that only the types of fewest bits have a higher perplexity.
    assert perplexity["Q2_K"] > 1.0001 * max(perplexity["Q4_K_M"], perplexity["Q8_0"])
    delta, error = map(float, re.fullmatch(r"([+-][\d.]+) \+/- ([\d.]+)", rows["Q8_0"][4]).groups())
    assert abs(delta) < 3 * error, "Q8_0 is within the noise of F16"
    assert not list(tmp_path.iterdir()), "the files are removed"


def test_wrong_command_lines(tmp_path):
    assert run("quantize", DEMO).returncode == 64
    assert run("quantize", DEMO, "--table").returncode == 64
    assert run("quantize", DEMO, tmp_path / "x.gguf", *SCORED).returncode == 64
    unknown = run("quantize", DEMO, "--table", "--types", "Q9", *SCORED)
    assert unknown.returncode == 64 and "Q9" in unknown.stderr
    missing = run("quantize", DEMO, tmp_path / "nowhere", "--table", *SCORED)
    assert missing.returncode == 78 and "not a folder" in missing.stderr
