"""Containers as they are: empty environments, folders and limits that are too small. Each ends, or goes on, with one clear line
and an exit code of base/exit_code.h."""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import pytest

from processes import processes_under
from ranks_cluster import eventually
from serve_command import BIN, ROOT, Serve, run

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="another user, a mount and limits of users need root")
NOBODY = 54321  # a user without a name, whose processes nobody else counts
AS_NOBODY = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]


def ends(command, code, *texts, **options):
    """The command ends with this code and a line that has all these texts. Returns standard error."""
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == code, (done.returncode, done.stderr)
    assert any(all(text in line for text in texts) for line in done.stderr.splitlines()), done.stderr
    return done.stderr


@pytest.fixture
def programs():
    """The programs and the demo model in a folder that every user can read; pytest's own folders are closed to others."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="deeprack-limits-", dir="/tmp"))
    folder.chmod(0o755)
    for name in ("deeprack", "deeprack-coordinator", "deeprack-worker"):
        shutil.copy(BIN / name, folder / name)
    shutil.copytree(ROOT / "demo" / "model", folder / "model")
    subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
    yield folder
    shutil.rmtree(folder)


def test_an_empty_environment_serves_with_two_ranks():
    with Serve("--tp", 2, prefix=["env", "-i"]) as serve:
        answer = serve.post("/v1/completions", {"prompt": "1 + 1", "max_tokens": 1})
        assert answer["usage"]["completion_tokens"] == 1
        assert "mpirun" not in serve.read_log() and "warning" not in serve.read_log()
    assert serve.exit_code == 0


def test_a_path_without_mpirun_is_named():
    ends([BIN / "deeprack", "serve", "--tp", 2, "--port", 0], 78, "mpirun", "No such file", env={"PATH": "/nonexistent"})


@needs_root
def test_a_temporary_folder_that_cannot_be_written_is_named_before_anything_starts(programs):
    serve = [*AS_NOBODY, programs / "deeprack", "serve", programs / "model", "--tp", 2, "--port", 0]
    closed = pathlib.Path(tempfile.mkdtemp(prefix="deeprack-closed-", dir="/tmp"))
    try:
        closed.chmod(0o555)
        told = ends(serve, 78, str(closed), "$TMPDIR", "Permission denied", "mpirun", env={**os.environ, "TMPDIR": str(closed)})
        assert len(told.splitlines()) == 1, told
    finally:
        closed.rmdir()
    ends(serve, 78, "/nonexistent-folder", "No such file", env={**os.environ, "TMPDIR": "/nonexistent-folder"})


@needs_root
def test_a_user_without_a_name_and_an_empty_environment_serve(programs):
    """As in a container that runs under any user id."""
    with Serve(programs / "model", "--tp", 2, prefix=[*AS_NOBODY, "env", "-i"], bin=programs) as serve:
        assert serve.post("/v1/completions", {"prompt": "1 + 1", "max_tokens": 1})["usage"]["completion_tokens"] == 1
    assert serve.exit_code == 0, serve.read_log()


@needs_root
@pytest.mark.parametrize("program", ["deeprack", "deeprack-coordinator", "deeprack-worker"])
def test_a_limit_of_processes_is_named(programs, program):
    arguments = {"deeprack": ["serve", programs / "model", "--port", 0], "deeprack-coordinator": [programs / "model", "--port", 0],
                 "deeprack-worker": ["--coordinator", "127.0.0.1:1"]}
    command = ["prlimit", "--nproc=12", *AS_NOBODY, programs / program, *arguments[program]]
    told = ends(command, 78, "threads", "refuses thread", "ulimit -u")
    assert len(told.splitlines()) == 1, told


@needs_root
def test_a_thread_that_is_refused_in_the_middle_of_work_is_one_line(programs, tmp_path):
    command = ["prlimit", "--nproc=4", *AS_NOBODY, programs / "deeprack", "quantize", programs / "model", "/dev/shm/never.gguf", "--type", "Q8_0",
               "--threads", 64]
    ends(command, 75, "deeprack: the system refuses another thread", "ulimit -u")


def test_nothing_is_left_behind(tmp_path):
    """mpirun's session and the ranks' shared memory are gone after the end, and after `deeprack` itself is killed."""
    for number in (signal.SIGINT, signal.SIGKILL):
        with Serve("--tp", 2, env={**os.environ, "TMPDIR": str(tmp_path)}) as serve:
            running = processes_under(serve.process.pid)
            assert os.listdir(tmp_path)
            shared = {line.split()[-1] for pid in running for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
                      if "/dev/shm/vader" in line}
            assert len(shared) == 2, shared
            serve.process.send_signal(number)
            serve.process.wait(timeout=60)
            assert eventually(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in running), 60)
        assert eventually(lambda: not os.listdir(tmp_path), 10), os.listdir(tmp_path)
        assert not [path for path in shared if os.path.exists(path)]


@pytest.mark.parametrize("program", ["deeprack", "deeprack-coordinator", "deeprack-worker"])
def test_a_limit_of_files_is_named(program):
    model = ROOT / "demo" / "model"
    arguments = {"deeprack": ["serve", model, "--port", 0], "deeprack-coordinator": [model, "--port", 0],
                 "deeprack-worker": ["--coordinator", "127.0.0.1:1"]}
    told = ends(["prlimit", "--nofile=40:40", BIN / program, *arguments[program]], 78, "open files", "limit is 40", "ulimit -n")
    assert len(told.splitlines()) == 1, told


def test_a_low_soft_limit_of_files_is_raised():
    with Serve(prefix=["prlimit", "--nofile=70:4096"]) as serve:
        limits = {}
        for pid in processes_under(serve.process.pid):
            name = pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
            limits[name] = next(line.split()[3] for line in pathlib.Path(f"/proc/{pid}/limits").read_text().splitlines()
                                if line.startswith("Max open files"))
        assert int(limits["deeprack-coordi"]) >= 1024 and int(limits["deeprack-worker"]) >= 1024, limits


@pytest.mark.parametrize("program", ["deeprack-coordinator", "deeprack-worker"])
def test_a_limit_of_memory_is_named(program):
    """Each thread's stack takes 8 MiB of address space."""
    arguments = {"deeprack-coordinator": [ROOT / "demo" / "model", "--port", 0, "--http-threads", 64],
                 "deeprack-worker": ["--coordinator", "127.0.0.1:1", "--threads", 64]}
    ends(["prlimit", f"--as={400 << 20}", BIN / program, *arguments[program]], 78, "refuses thread", "ulimit -v")


@needs_root
def test_with_little_shared_memory_ranks_exchange_over_tcp_and_one_line_says_so():
    small = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$0" "$@"']
    with Serve("--tp", 2, prefix=small) as serve:
        assert serve.post("/v1/completions", {"prompt": "1 + 1", "max_tokens": 1})["usage"]["completion_tokens"] == 1
        told = [line for line in serve.read_log().splitlines() if "/dev/shm" in line]
        assert len(told) == 1 and "TCP" in told[0] and "--shm-size" in told[0], serve.read_log()
    assert serve.exit_code == 0, serve.read_log()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_waits_for_its_coordinator_ends_at_once_at_a_signal(number):
    worker = subprocess.Popen([BIN / "deeprack-worker", "--coordinator", "127.0.0.1:1"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              text=True)

    def waits():  # its port is open
        return len(list(pathlib.Path(f"/proc/{worker.pid}/task").iterdir())) > 4

    assert eventually(waits, 20)
    worker.send_signal(number)
    # 30 seconds is how long it would wait for the coordinator.
    _, told = worker.communicate(timeout=20)
    assert worker.returncode == 0, told
    assert "before it joined a coordinator" in told, told


@pytest.mark.parametrize("program", ["deeprack", "deeprack-coordinator", "deeprack-worker"])
def test_every_program_tells_its_version(program):
    done = subprocess.run([BIN / program, "--version"], capture_output=True, text=True, timeout=60, env={})
    assert done.returncode == 0 and done.stderr == ""
    name, number = done.stdout.split()
    assert name == program and number == run("version").stdout.split()[1]
