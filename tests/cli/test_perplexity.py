"""Compares `deeprack perplexity` with results of transformers (tests/parity/make_perplexity_golden.py); also its errors."""

import json
import pathlib
import re
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))
from serve_command import ROOT, run  # noqa: E402

DEMO = ROOT / "demo" / "model"
TEXT = ROOT / "tests" / "parity" / "perplexity.txt"
GOLDEN = json.loads((ROOT / "tests" / "parity" / "perplexity.json").read_text())
WINDOWED = ("--text", TEXT, "--context", GOLDEN["context"])


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """The demo model with another routed_scaling_factor."""
    folder = tmp_path_factory.mktemp("other")
    for file in DEMO.iterdir():
        shutil.copy(file, folder)
    config = json.loads((DEMO / "config.json").read_text())
    config["routed_scaling_factor"] = GOLDEN["other_routed_scaling_factor"]
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def measured(output, label):
    """Value and standard error in the line that begins with `label`."""
    found = re.search(rf"^{label}\s+([\d.]+)%?(?: \+/- ([\d.]+))?", output, re.MULTILINE)
    assert found, output
    return tuple(float(number) for number in found.groups() if number)


def test_equals_transformers(other):
    result = run("perplexity", other, "--reference", DEMO, *WINDOWED, "--compute", "f32", "--tp", 2)
    assert result.returncode == 0, result.stderr
    assert f"{GOLDEN['tokens']} tokens scored, the second half of each of {GOLDEN['windows']} windows" in result.stdout
    close = lambda *values: pytest.approx(values, rel=1e-4, abs=1e-4)  # noqa: E731
    assert measured(result.stdout, "perplexity") == close(GOLDEN["other"]["perplexity"], GOLDEN["other"]["error"])
    assert measured(result.stdout, "reference") == close(GOLDEN["demo"]["perplexity"])
    assert measured(result.stdout, "KL divergence") == pytest.approx((GOLDEN["kl"], GOLDEN["kl_error"]), rel=1e-4, abs=2e-6)
    assert measured(result.stdout, "same top token") == pytest.approx(
        (100 * GOLDEN["same_top"], 100 * GOLDEN["same_top_error"]), abs=0.006)
    assert "at least" not in result.stdout, "the whole vocabulary was compared"


def test_partial_distributions_bound_the_divergence_from_below(other):
    result = run("perplexity", other, "--reference", DEMO, *WINDOWED, "--compute", "f32", "--top", 20)
    assert result.returncode == 0, result.stderr
    bound, _ = measured(result.stdout, "KL divergence")
    assert 0.8 * GOLDEN["kl"] < bound <= GOLDEN["kl"] + 1e-6
    assert re.search(r"KL divergence.*, at least$", result.stdout, re.MULTILINE)


def test_the_reference_keeps_its_cache_in_the_compute_type():
    result = run("perplexity", DEMO, "--reference", DEMO, *WINDOWED, "--kv-cache-dtype", "fp8")
    assert result.returncode == 0, result.stderr
    divergence, _ = measured(result.stdout, "KL divergence")
    assert 0 < divergence < 0.05, result.stdout


def test_the_demo_model_knows_its_trade():
    result = run("perplexity", "--text", ROOT / "demo" / "held_out.txt", "--context", 128, "--windows", 40)
    assert result.returncode == 0, result.stderr
    assert "2520 tokens scored, the second half of each of 40 windows of 128" in result.stdout
    perplexity, error = measured(result.stdout, "perplexity")
    assert 1 < perplexity < 1.01 and error < 0.005


def test_a_text_too_short_for_a_window(tmp_path):
    (tmp_path / "short.txt").write_text("What is 1 + 1?")
    result = run("perplexity", "--text", tmp_path / "short.txt")
    assert result.returncode == 78
    assert "--context is 512: not one window is full" in result.stderr


def test_a_text_that_is_not_there():
    result = run("perplexity", "--text", "/no/such/text")
    assert result.returncode == 78 and "/no/such/text: cannot be read" in result.stderr
    assert run("perplexity").returncode == 64, "--text is needed"
