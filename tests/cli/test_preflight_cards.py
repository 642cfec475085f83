"""`deeprack preflight` on one machine, with programs in the place of nvidia-smi and nccl-tests' all_reduce_perf."""

import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))
from serve_command import run  # noqa: E402

NVIDIA_SMI = "echo '0, Made-up card, 81559, {free}'"
GOOD_SUM = "echo '# Out of bounds values : 0 OK'; echo '# Avg bus bandwidth    : 321.5'"


def report_of(folder, *flags, **programs):
    for name, script in programs.items():
        program = folder / name.replace("_smi", "-smi")
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    ended = run("preflight", "--port", 0, "--json", *flags, env=environment)
    report = json.loads(ended.stdout)
    assert ended.returncode == (0 if report["fit"] else 69)
    return report


def row(report, check):
    return next(row for row in report["findings"] if row["check"] == check)


def test_cards_are_named_and_nccl_is_tested(tmp_path):
    report = report_of(tmp_path, nvidia_smi=NVIDIA_SMI.format(free=80000), all_reduce_perf=GOOD_SUM)
    assert row(report, "cards")["found"] == "1 x Made-up card"
    assert row(report, "memory")["subject"] == "this machine, card 0"
    assert row(report, "nccl")["found"] == "the sum is right; bus bandwidth 321.5 GB/s"
    assert report["fit"] and report["hosts"][0]["cards"][0]["free_bytes"] == 80000 << 20


def test_a_wrong_sum_is_a_fault(tmp_path):
    wrong = GOOD_SUM.replace("0 OK", "12 FAILED")
    report = report_of(tmp_path, nvidia_smi=NVIDIA_SMI.format(free=80000), all_reduce_perf=wrong)
    assert row(report, "nccl")["verdict"] == "fail" and "12 FAILED" in row(report, "nccl")["found"]


def test_a_full_card_is_a_fault_and_nccl_waits(tmp_path):
    report = report_of(tmp_path, nvidia_smi=NVIDIA_SMI.format(free=8))
    assert row(report, "memory")["verdict"] == "fail" and row(report, "memory")["found"].startswith("8.0 MiB free")
    assert "nccl" not in [found["check"] for found in report["findings"]]


def test_a_driver_that_fails_is_a_fault_for_ranks_on_cards(tmp_path):
    report = report_of(tmp_path, "--backend", "cuda", nvidia_smi="echo 'No devices were found'; exit 6")
    assert row(report, "cards")["verdict"] == "fail" and "No devices were found" in row(report, "cards")["found"]
