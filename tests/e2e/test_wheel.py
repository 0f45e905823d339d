"""An installed wheel, not a checkout: built, put into an environment of its own, and used as an operator would."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from facegate.daemon.harness import DaemonProcess, Harness
from facegate.vision.composites import people
from tests.e2e.household import picture_of

ROOT = Path(__file__).parents[2]
ALICE = people()[0]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [*PIP, "wheel", "--no-deps", "--no-cache-dir", "--wheel-dir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and "hatchling" in done.stderr and os.environ.get("FACEGATE_TEST_REQUIRE") != "all":
        pytest.skip("the package index is not reachable: hatchling, which builds the wheel, cannot be had")
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("facegate-*.whl")
    return built


class Installed:
    """The wheel in an environment of its own; the libraries are lent by the tests' environment, facegate is not."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.data = folder / "data"
        self.folder = folder
        venv.create(folder / "venv", with_pip=False, symlinks=True)
        self.python = folder / "venv" / "bin" / "python"
        command = [*PIP, "--python", str(self.python), "install", "--no-deps", "--no-index", str(wheel)]
        subprocess.run(command, check=True, capture_output=True)
        own = Path(self.ask("import sysconfig; print(sysconfig.get_path('purelib'))"))
        (own / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")

    @property
    def program(self) -> str:
        return str(self.folder / "venv" / "bin" / "facegate")

    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {**kept, "FACEGATE_DATA_DIR": str(self.data)}

    def ask(self, code: str) -> str:
        done = subprocess.run(
            [self.python, "-c", code],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def facegate(self, *arguments: str) -> str:
        done = subprocess.run(
            [self.program, *arguments],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Iterator[Installed]:
    return Installed(tmp_path_factory.mktemp("installed"), wheel)


def test_the_wheel_carries_networks_and_migrations_and_nothing_of_the_workshop(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert "facegate/models/detector/face_detector.onnx" in names
    assert any(name.startswith("facegate/models/verifier/") and name.endswith("/network.onnx") for name in names)
    assert "facegate/models/composites/people.tsv" in names
    assert "facegate/migrations/env.py" in names
    assert any(name.startswith("facegate/migrations/versions/0001_") for name in names)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"facegate"}
    assert not [name for name in names if "__pycache__" in name or "/tests/" in name]
    assert wheel.stat().st_size < 20_000_000


def test_the_installed_facegate_enrolls_checks_itself_runs_and_decides(installed):
    where = Path(installed.ask("import facegate; print(facegate.__file__)"))
    assert where.is_relative_to(installed.folder)
    installed.facegate("db", "upgrade")
    installed.facegate("doors", "add", "front", "--camera", "porch")
    installed.facegate("enroll", ALICE.slug, str(ALICE.picture_path(0)), "--name", ALICE.name)
    report = json.loads(installed.facegate("doctor", "--json"))
    assert report["ready"], report
    daemon = DaemonProcess(installed.data, program=[installed.program])
    daemon.start()
    try:
        with Harness(daemon.port) as harness:
            harness.wait_until_online(daemon)
            harness.send("porch", "first", picture_of(ALICE.slug))
            decision = harness.decision_on("first", 20)
            maps = Path(f"/proc/{daemon.pid}/maps").read_text()
    finally:
        stopped = daemon.stop()
    assert decision is not None, daemon.log.read_text()
    assert (decision["outcome"], decision["user"]) == ("grant", ALICE.slug)
    assert "torch" not in maps
    assert stopped.code == 0
    assert "Traceback" not in daemon.log.read_text()
