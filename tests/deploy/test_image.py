"""The Dockerfile's packages, files and stages. No container engine is needed: the file is read, not built."""

import re
import subprocess

import pytest

from image_files import DOCKERFILE, FILES, FOLDERS, IMAGE_TAGS, STAGES
from manifests import ROOT

PROGRAMS = ("deeprack", "deeprack-coordinator", "deeprack-worker")
# Libraries that come with CUDA's packages or with the card's driver, not with Debian.
OF_CUDA = re.compile(r"lib(nccl|cuda)\.so")


def packages(path):
    lines = (ROOT / path).read_text().splitlines()
    found = [line.split() for line in lines if line and not line.startswith("#")]
    assert all(len(line) > 1 for line in found), "each package has its purpose"
    return {line[0] for line in found}


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_image_has_the_packages_of_every_library(deeprack_bin, program):
    """Each library that a program names comes from a package of the list."""
    listed = packages("deploy/image/packages.txt")
    header = subprocess.run(["readelf", "-d", deeprack_bin / program], capture_output=True, text=True, check=True).stdout
    libraries = [name for name in re.findall(r"\(NEEDED\).*\[(.*)\]", header) if not OF_CUDA.match(name)]
    assert len(libraries) > 5
    owners = subprocess.run(["dpkg", "-S", *(f"*/{library}" for library in libraries)], capture_output=True, text=True).stdout
    for library in libraries:
        names = {re.sub(":.*", "", name) for line in owners.splitlines() if line.endswith(f"/{library}")
                 for name in line.rpartition(": ")[0].split(", ")}
        assert names & listed, f"{program} needs {library} of {sorted(names)}, which deploy/image/packages.txt does not list"


def test_both_variants_have_all_programs():
    for variant in ("cpu", "cuda"):
        copied = " ".join(line for line in STAGES[variant] if line.startswith("COPY"))
        for program in PROGRAMS:
            assert f"/source/build/bin/{program} " in copied and f"/usr/local/bin/{program}" in FILES
        built = " ".join(STAGES[f"build-{variant}"])
        assert all(re.search(rf"--target [^&]*\b{program}\b", built) for program in PROGRAMS)
    assert "-DDEEPRACK_CUDA=OFF" in " ".join(STAGES["build-cpu"]) and "-DDEEPRACK_CUDA" not in " ".join(STAGES["build-cuda"])


def test_the_demo_model_is_where_the_command_looks():
    """cli/serve/programs.cc looks in ../share/deeprack/demo/model beside its own folder."""
    assert "../share/deeprack/demo/model" in (ROOT / "cli/serve/programs.cc").read_text()
    there = {path for path in FILES if path.startswith("/usr/local/share/deeprack/demo/model/")}
    assert {path.rpartition("/")[2] for path in there} == {path.name for path in (ROOT / "demo/model").iterdir()}
    assert "/etc/deeprack/configs/demo.yaml" in FILES and "/etc/deeprack/configs/kustomization.yaml" not in FILES


def test_nobody_is_root():
    run = STAGES["run"]
    assert "USER 10001:10001" in run and not any(line.startswith("USER") for stage in ("cpu", "cuda") for line in STAGES[stage])
    assert {"/models", "/etc/deeprack/tls", "/etc/deeprack/api-keys"} <= FOLDERS


def test_images_have_the_version_of_the_build():
    version = re.search(r"project\(deeprack VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text()).group(1)
    assert IMAGE_TAGS == {"cpu": f"{version}-cpu", "cuda": f"{version}-cuda"}
    assert re.findall(r"^FROM (\S+) AS \S+$", DOCKERFILE, re.M)[:2] == ["debian:bookworm-slim", "build-tools"]
