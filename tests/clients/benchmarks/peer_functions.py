"""Loads single files of the vllm and sglang packages, whose other parts need a GPU's libraries.

The packages come from PyPI when a test asks for them. They are not installed; `build/clients/wheels` keeps them.
"""
import importlib.abc
import importlib.util
import pathlib
import subprocess
import sys
import unittest.mock
import zipfile

WHEELS = pathlib.Path(__file__).resolve().parents[3] / "build" / "clients" / "wheels"


class _Stubs(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers every import of a package, or of a module inside, with a stub."""

    def __init__(self, package):
        self.package = package

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == self.package:
            return importlib.util.spec_from_loader(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return unittest.mock.MagicMock(__name__=spec.name, __path__=[], __spec__=spec)

    def exec_module(self, module):
        pass


def load(requirement, path, stubbed):
    """The module at `path` of the wheel of `requirement` ("name==version"). Imports of the package `stubbed` give stubs."""
    WHEELS.mkdir(parents=True, exist_ok=True)
    pattern = requirement.replace("-", "_").replace("==", "-") + "-*.whl"
    if not list(WHEELS.glob(pattern)):
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
                        "--dest", str(WHEELS), requirement], check=True)
    wheel, = WHEELS.glob(pattern)
    stubs = _Stubs(stubbed)
    sys.meta_path.insert(0, stubs)
    try:
        module = type(sys)(f"{stubbed}_{pathlib.Path(path).stem}")
        sys.modules[module.__name__] = module  # dataclasses look their module up
        with zipfile.ZipFile(wheel) as archive:
            exec(compile(archive.read(path), path, "exec"), module.__dict__)
    finally:
        sys.meta_path.remove(stubs)
        for name in [name for name in sys.modules if name.split(".")[0] == stubbed]:
            del sys.modules[name]
    return module
