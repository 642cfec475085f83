"""The image's root, made without a container engine (deploy/image/make-root), run as a container runs it: a user who is not root, a
read-only root, an empty environment, and /tmp as the only place that can be written."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

from image_files import STAGES, files
from manifests import BIN, ROOT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="making a root and changing to it need root")

MOST_MEGABYTES = 300
# Runs a command in the root $1. NCCL, which the test's build may need, comes from this machine, as in the image's CUDA variant.
ENTER = """
set -e
root=$1 nccl=$2; shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
[ -z "$nccl" ] || mount --bind "$nccl" "$root/usr/lib/x86_64-linux-gnu/libnccl.so.2"
mount -o remount,bind,ro "$root"
exec chroot --userspec=10001:10001 "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp "$@"
"""


class ImageRoot:
    def __init__(self, folder):
        self.folder = folder
        made = subprocess.run(["timeout", "1200", ROOT / "deploy/image/make-root", BIN, folder], capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
        needed = subprocess.run(["ldd", BIN / "deeprack-worker"], capture_output=True, text=True).stdout
        found = re.search(r"libnccl\.so\.2 => (\S+)", needed)
        self.nccl = found.group(1) if found else ""
        if self.nccl:
            (folder / "usr/lib/x86_64-linux-gnu/libnccl.so.2").touch()

    def command(self, *command):
        return ["unshare", "--mount", "--fork", "--kill-child", "bash", "-c", ENTER, "enter", self.folder, self.nccl, *command]


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image") / "root"
    yield ImageRoot(folder)
    shutil.rmtree(folder)


def test_it_is_small_and_has_every_file(image):
    megabytes = sum(os.lstat(path).st_size for path in image.folder.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6
    assert 50 < megabytes < MOST_MEGABYTES
    for path in files():
        assert (image.folder / path.lstrip("/")).is_file(), path


def test_it_is_as_a_container_is(image):
    ran = subprocess.run(image.command("sh", "-c", "id -u; touch /tmp/x && echo tmp; touch /x /usr/local/bin/x || echo read-only; env"),
                         capture_output=True, text=True, timeout=60)
    lines = ran.stdout.split()
    assert lines[:3] == ["10001", "tmp", "read-only"], ran.stderr
    assert {line.partition("=")[0] for line in lines[3:]} <= {"PATH", "HOME", "PWD"}


@pytest.mark.parametrize("ranks", [1, 2])
def test_it_answers_a_chat(image, ranks):
    """The image's own command, with a free port. Two ranks are started by mpirun."""
    command = only_command(STAGES["run"])
    assert command == ["deeprack", "serve", "--host", "0.0.0.0"]
    server = subprocess.Popen(image.command(*command[:2], "--port", "0", "--tp", str(ranks)), stdin=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True)
    try:
        log = ""
        while "ready on http" not in log:
            line = server.stderr.readline()
            assert line, log
            log += line
        url = re.search(r"ready on (http://\S+)", log).group(1)
        chat = subprocess.run(image.command("deeprack", "chat", "--url", url), input="What is 17 + 25?\n", capture_output=True, text=True,
                              timeout=120)
        assert "42" in chat.stdout, chat.stderr
    finally:
        end(server)
    assert server.returncode == 0


def end(server):
    """Ends `deeprack serve`, the child of unshare, with SIGTERM."""
    children = pathlib.Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGTERM)
    deadline = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    if server.poll() is None:
        server.kill()
    server.communicate()


def only_command(instructions):
    commands = [line for line in instructions if line.startswith("CMD ")]
    assert len(commands) == 1
    return re.findall(r'"([^"]*)"', commands[0])
