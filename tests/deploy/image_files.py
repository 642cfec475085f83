"""The files and folders that deploy/image/Dockerfile puts into the image, read from its lines."""

import glob
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "deploy/image/Dockerfile").read_text()
IGNORED = [line for line in (ROOT / "deploy/image/Dockerfile.dockerignore").read_text().splitlines() if not line.startswith("#")]


def stages():
    """Name of a stage -> its instructions, each on one line."""
    found, name = {}, None
    for line in re.sub(r"\\\n", " ", DOCKERFILE).splitlines():
        if match := re.fullmatch(r"FROM \S+ AS (\S+)", line):
            name = match.group(1)
            found[name] = []
        elif name and line and not line.startswith("#"):
            found[name].append(line)
    return found


def copied(instructions):
    """Path in the image -> path in the repository, or None for what another stage has built."""
    files = {}
    for line in instructions:
        if not line.startswith("COPY "):
            continue
        *sources, target = [part for part in line.split()[1:] if not part.startswith("--")]
        for source in sources:
            if "--from" in line:
                files[target + source.rpartition("/")[2]] = None
                continue
            for path in sorted(ROOT.glob(source)) if glob.has_magic(source) else [ROOT / source]:
                inner = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
                assert inner, f"{source} is not there"
                for file in inner:
                    if str(file.relative_to(ROOT)) in IGNORED:
                        continue
                    name = file.relative_to(path.parent if path.is_file() and target.endswith("/") else path)
                    files[(target if target.endswith("/") else target + "/") + str(name) if str(name) != "." else target] = file
    return files


STAGES = stages()
FILES = copied(STAGES["run"]) | copied(STAGES["cpu"])
FOLDERS = set(re.search(r"mkdir -p ([^&]*)", " ".join(STAGES["run"])).group(1).split()) | {
    str(parent) for name in FILES for parent in pathlib.PurePosixPath(name).parents}
IMAGE_TAGS = dict(re.findall(r"^#   docker build .* --target (\w+) +-t registry\.example/deeprack:(\S+) \.$", DOCKERFILE, re.M))
