"""The image: the instructions of deploy/image/Dockerfile, and the files that deploy/image/fill-root puts into its root."""

import functools
import pathlib
import re
import subprocess
import tempfile

from manifests import BIN, ROOT

DOCKERFILE = (ROOT / "deploy/image/Dockerfile").read_text()
IMAGE_TAGS = dict(re.findall(r"^#   docker build .* --target (\w+) +-t registry\.example/deeprack:(\S+) \.$", DOCKERFILE, re.M))


def read_stages():
    """Name of a stage -> its instructions, each on one line."""
    found, name = {}, None
    for line in re.sub(r"\\\n", " ", DOCKERFILE).splitlines():
        if match := re.fullmatch(r"FROM \S+ AS (\S+)", line):
            name = match.group(1)
            found[name] = []
        elif name and line and not line.startswith("#"):
            found[name].append(line)
    return found


STAGES = read_stages()


@functools.cache
def contents():
    """Files and folders of the image, apart from Debian's, as absolute paths."""
    with tempfile.TemporaryDirectory() as root:
        subprocess.run([ROOT / "deploy/image/fill-root", BIN, root], check=True)
        paths = sorted(pathlib.Path(root).rglob("*"))
        return (frozenset(f"/{path.relative_to(root)}" for path in paths if path.is_file()),
                frozenset(f"/{path.relative_to(root)}" for path in paths if path.is_dir()))


def files():
    return contents()[0]


def folders():
    return contents()[1]
