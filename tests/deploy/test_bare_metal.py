"""The units of deploy/systemd and the scripts of deploy/slurm: their flags are known, and the scripts start what they say."""

import configparser
import os
import re
import shlex
import shutil
import signal
import subprocess

import pytest

from image_files import files
from manifests import ROOT, settings_table

UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
PROGRAMS = {"deeprack": "deeprack", "deeprack-coordinator": "coordinator", "deeprack-worker": "worker"}
FLAGS = settings_table().values()
PAGE = (ROOT / "docs/FLAGS.md").read_text()


class Multi(dict):
    """Keeps the values of a key that stands more than once."""

    def __setitem__(self, key, value):
        if isinstance(value, list) and key in self:
            value = self[key] + value
        super().__setitem__(key, value)


def read_unit(path):
    parser = configparser.RawConfigParser(dict_type=Multi, strict=False, comment_prefixes="#", delimiters="=")
    parser.optionxform = str
    parser.read_string(re.sub(r"\\\n\s*", " ", path.read_text()))
    return parser


def check_flags(words):
    """`words`: a program and its arguments."""
    program = PROGRAMS[words[0].rpartition("/")[2]]
    given = [word for word in words if word.startswith("--")]
    assert given
    for flag in given:
        if f", `{flag}` |" in PAGE:  # a switch's second flag: | `--x`, `--no-x` |
            flag = flag.replace("--no-", "--")
        assert flag == "--config" or any(flag == known and program in programs for known, programs in FLAGS), f"{program}: {flag}"


def command_of(unit):
    words = shlex.split(unit["Service"]["ExecStart"])
    return words[2].removeprefix("exec ").split() if words[0] == "/bin/sh" else words


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_runs_a_program_with_known_flags(path):
    unit = read_unit(path)
    words = command_of(unit)
    assert words[0] in files(), "the image and bare metal have the programs at the same place"
    check_flags(words)
    service = unit["Service"]
    assert service["User"] == "deeprack" and service["NoNewPrivileges"] == "true" and service["ProtectSystem"] == "strict"
    assert service["Restart"] == "always" and {"64", "65", "78"} == set(service["RestartPreventExitStatus"].split())
    if "--drain-seconds" in words:
        assert int(service["TimeoutStopSec"]) >= int(words[words.index("--drain-seconds") + 1]) + 10


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_knows_every_line(path, tmp_path):
    """The sections and keys are systemd's: by its own check where it is installed."""
    unit = read_unit(path)
    assert unit.sections() == ["Unit", "Service", "Install"]
    if not shutil.which("systemd-analyze"):
        return
    name = path.name.replace("@", "@0")
    text = path.read_text().replace("/usr/local/bin/deeprack", "/bin/true #").replace("User=deeprack", "User=root")
    (tmp_path / name).write_text(re.sub(r"^ExecStart=.*?(?<!\\)$", "ExecStart=/bin/true", text, flags=re.M | re.S, count=1))
    found = subprocess.run(["systemd-analyze", "verify", "--man=no", tmp_path / name], capture_output=True, text=True, timeout=60)
    assert path.name.partition(".")[0] not in found.stderr, found.stderr


def test_ranks_keep_their_weights_when_the_coordinator_is_restarted():
    words = command_of(read_unit(ROOT / "deploy/systemd/deeprack-coordinator.service"))
    assert "--no-stop-workers" in words


def test_a_rank_listens_on_the_port_of_its_card(tmp_path):
    """systemd replaces %i by the card and $$ by $; then a shell runs the line."""
    line = read_unit(ROOT / "deploy/systemd/deeprack-rank@.service")["Service"]["ExecStart"]
    shell, flag, text = shlex.split(line.replace("%i", "3").replace("$$", "$"))
    ran = subprocess.run([shell, flag, text.replace("exec /usr/local/bin/deeprack-worker", "echo")], capture_output=True, text=True)
    assert ran.stdout.split()[-4:] == ["--card", "3", "--listen", "0.0.0.0:7004"], ran.stderr


PROGRAM = """#!/bin/bash
echo "$(basename "$0") $*" >> {log}
case "$(basename "$0")" in
  scontrol) printf 'n1\\nn2\\n' ;;
  srun) shift; exec "$@" ;;
  deeprack-run-ranks) trap 'echo ranks ended >> {log}; exit 0' TERM; touch {log}.ranks; while sleep 0.05; do :; done ;;
  *) trap 'echo drained >> {log}; exit 0' TERM; touch {log}.up; while sleep 0.05; do :; done ;;
esac
"""


def run_script(tmp_path, script, arguments, wait_for, **environment):
    """Runs a Slurm script with recording programs instead of Slurm and deeprack, ends it as Slurm does, returns the record."""
    log = tmp_path / "log"
    for name in ("scontrol", "srun", *PROGRAMS, "deeprack-run-ranks"):
        (tmp_path / name).write_text(PROGRAM.format(log=log))
        (tmp_path / name).chmod(0o755)
    batch = subprocess.Popen(["bash", ROOT / "deploy/slurm" / script, *arguments],
                             env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_NODELIST": "n[1-2]"} | environment)
    try:
        while not all((tmp_path / f"log.{one}").exists() for one in wait_for):
            assert batch.poll() is None
        batch.send_signal(signal.SIGTERM)
        assert batch.wait(timeout=120) == 0
    finally:
        batch.kill()
    return log.read_text().splitlines()


def test_slurm_on_cpus(tmp_path):
    lines = run_script(tmp_path, "cpu.sbatch", ["/shared/model", "--kv-bytes", "4G"], ["up"], RANKS_OF_A_MACHINE="2")
    serve = only_line(lines, "deeprack ")
    check_flags(serve)
    assert serve[:3] == ["deeprack", "serve", "/shared/model"] and serve[-2:] == ["--kv-bytes", "4G"]
    assert serve[serve.index("--hosts") + 1] == "n1:2,n2:2" and serve[serve.index("--tp") + 1] == "4"
    assert serve[serve.index("--cluster-address") + 1] == "n1:7000"
    assert lines[-1] == "drained"


def test_slurm_on_cards(tmp_path):
    config = ROOT / "configs/r1-four-nodes-expert-parallel.yaml"
    lines = run_script(tmp_path, "cards.sbatch", [config], ["up", "ranks"], SLURM_GPUS_ON_NODE="8")
    coordinator, ranks = only_line(lines, "deeprack-coordinator "), only_line(lines, "deeprack-run-ranks ")
    check_flags(coordinator)
    assert ranks[1:5] == ["--ranks", "8", "--first-port", "7001"]
    check_flags(["deeprack-worker", *ranks[5:]])
    for words in (coordinator, ranks):
        assert words[words.index("--config") + 1] == str(config)
    assert coordinator[coordinator.index("--cluster-address") + 1] == ranks[ranks.index("--coordinator") + 1] == "n1:7000"
    assert lines[-2:] == ["drained", "ranks ended"]


def only_line(lines, start):
    found = [line for line in lines if line.startswith(start)]
    assert len(found) == 1, lines
    return found[0].split()
