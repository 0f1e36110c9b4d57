"""The systemd units, judged by systemd's own tools."""

from __future__ import annotations

import shutil
import string
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.deploy
ROOT = Path(__file__).parents[2]
# systemd's exposure level: 0 best, 10 worst; `--threshold` takes it ten times.
MOST_EXPOSED = {"hqgnet-server.service": 15, "hqgnet-site@site-1.service": 20, "hqgnet-site.service": 60}


@pytest.fixture(scope="module")
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("systemd-analyze is not installed: apt-get install systemd")
    return found


@pytest.fixture(params=sorted(MOST_EXPOSED))
def unit(request: pytest.FixtureRequest, deploy: Path, tmp_path: Path) -> Path:
    """A unit, with a program in the place of the installed one."""
    name: str = request.param
    if name == "hqgnet-site.service":
        template = string.Template((ROOT / f"server/provision/templates/{name}").read_text())
        text = template.substitute(site="site-1", federation="retina")
    else:
        text = (deploy / "systemd" / name.replace("@site-1", "@")).read_text()
    for program in ("hqgnet-server", "hqgnet-client"):
        text = text.replace(f"/opt/hqgnet/bin/{program} ", "/bin/true ")
    assert "/opt/hqgnet/bin" not in text
    placed = tmp_path / name
    placed.write_text(text)
    return placed


def test_systemd_understands_it(analyze: str, unit: Path) -> None:
    verified = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True)
    complaints = [line for line in verified.stderr.splitlines() if unit.name in line]
    assert (verified.returncode, complaints) == (0, []), verified.stderr


def test_systemd_finds_it_little_exposed(analyze: str, unit: Path) -> None:
    threshold = MOST_EXPOSED[unit.name]
    command = [analyze, "security", "--offline=true", f"--threshold={threshold}", "--no-pager", str(unit)]
    judged = subprocess.run(command, capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout.splitlines()[-1]


def test_the_gpu_addition_is_understood(analyze: str, deploy: Path, tmp_path: Path) -> None:
    unit = tmp_path / "hqgnet-site@site-1.service"
    text = (deploy / "systemd/hqgnet-site@.service").read_text()
    unit.write_text(text.replace("/opt/hqgnet/bin/hqgnet-client ", "/bin/true "))
    additions = tmp_path / "hqgnet-site@site-1.service.d"
    additions.mkdir()
    shutil.copy(deploy / "systemd/gpu.conf", additions)
    verified = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True)
    assert verified.returncode == 0, verified.stderr
    assert "gpu.conf" not in verified.stderr
