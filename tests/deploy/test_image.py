"""The Dockerfile's packages, files and stages. No container engine is needed: the file is read, not built."""

import re
import subprocess

import pytest

from image_files import DOCKERFILE, IMAGE_TAGS, STAGES, files, folders
from manifests import BIN, ROOT

PROGRAMS = ("deeprack", "deeprack-coordinator", "deeprack-worker")
# Libraries that come with CUDA's packages or with the card's driver, not with Debian.
OF_CUDA = re.compile(r"lib(nccl|cuda)\.so")


def packages(path):
    lines = (ROOT / path).read_text().splitlines()
    found = [line.split() for line in lines if line and not line.startswith("#")]
    assert all(len(line) > 1 for line in found), "each package has its purpose"
    return {line[0] for line in found}


@pytest.fixture(scope="module")
def libraries_of_the_image():
    """The names of the files of the listed packages, which are installed where deeprack is built."""
    names = set()
    for package in packages("deploy/image/packages.txt"):
        listed = subprocess.run(["dpkg", "-L", package], capture_output=True, text=True)
        assert listed.returncode == 0, f"{package}: {listed.stderr}"
        names |= {path.rpartition("/")[2] for path in listed.stdout.splitlines()}
    return names


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_image_has_the_libraries_of_every_program(libraries_of_the_image, program):
    header = subprocess.run(["readelf", "-d", BIN / program], capture_output=True, text=True, check=True).stdout
    libraries = {name for name in re.findall(r"\(NEEDED\).*\[(.*)\]", header) if not OF_CUDA.match(name)}
    assert len(libraries) > 5
    missing = libraries - libraries_of_the_image
    assert not missing, f"deploy/image/packages.txt has no package with {sorted(missing)} of {program}"


def test_both_variants_have_all_programs():
    assert {f"/usr/local/bin/{program}" for program in (*PROGRAMS, "deeprack-run-ranks")} <= files()
    for variant in ("cpu", "cuda"):
        assert f"COPY --from=build-{variant} /image/ /" in STAGES[variant]
        built = " ".join(STAGES[f"build-{variant}"])
        assert re.search(r"--target deeprack deeprack-coordinator deeprack-worker +&& deploy/image/fill-root build/bin /image$", built)
    assert "-DDEEPRACK_CUDA=OFF" in " ".join(STAGES["build-cpu"]) and "-DDEEPRACK_CUDA" not in " ".join(STAGES["build-cuda"])


def test_the_demo_model_is_where_the_command_looks():
    """cli/serve/programs.cc looks in ../share/deeprack/demo/model beside its own folder."""
    assert "../share/deeprack/demo/model" in (ROOT / "cli/serve/programs.cc").read_text()
    there = {path for path in files() if path.startswith("/usr/local/share/deeprack/demo/model/")}
    assert {path.rpartition("/")[2] for path in there} == {path.name for path in (ROOT / "demo/model").iterdir()}
    assert "/etc/deeprack/configs/demo.yaml" in files() and "/etc/deeprack/configs/kustomization.yaml" not in files()


def test_nobody_is_root():
    run = STAGES["run"]
    assert "USER 10001:10001" in run and not any(line.startswith("USER") for stage in ("cpu", "cuda") for line in STAGES[stage])
    assert {"/models", "/etc/deeprack/tls", "/etc/deeprack/api-keys"} <= folders()


def test_images_have_the_version_of_the_build():
    version = re.search(r"project\(deeprack VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text()).group(1)
    assert IMAGE_TAGS == {"cpu": f"{version}-cpu", "cuda": f"{version}-cuda"}
    assert re.findall(r"^FROM (\S+) AS \S+$", DOCKERFILE, re.M)[:2] == ["debian:bookworm-slim", "build-tools"]
