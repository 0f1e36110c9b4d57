"""The Dockerfiles, read: pinned, small, without root, without secrets."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.dockerfile import Dockerfile

pytestmark = pytest.mark.deploy
ROOT = Path(__file__).parents[2]
IMAGES = ("server", "site", "proxy")
PYTHON_IMAGES = ("server", "site")
COMPILERS = ("gcc", "g++", "build-essential", "make", "-dev")


@pytest.fixture(params=IMAGES)
def dockerfile(request: pytest.FixtureRequest, deploy: Path) -> Dockerfile:
    return Dockerfile(deploy / f"docker/Dockerfile.{request.param}")


def test_base_images_are_pinned_by_tag_and_may_be_by_content(dockerfile: Dockerfile) -> None:
    images = {step.text.split()[0] for step in dockerfile.all("FROM")}
    [argument] = {re.fullmatch(r"\$\{(\w+)\}", image)[1] for image in images}  # type: ignore[index]
    name, tag = dockerfile.defaults[argument].split(":")
    assert re.fullmatch(r"\d+\.\d+(\.\d+)?-slim(-\w+)?", tag), f"{name} needs an exact tag"
    assert f"--build-arg {argument}={name}:{tag}@sha256:DIGEST" in dockerfile.path.read_text()


def test_it_never_runs_as_root(dockerfile: Dockerfile) -> None:
    user, _, group = dockerfile.last("USER").text.partition(":")
    assert user == group == "10001"
    started = dockerfile.final.index(dockerfile.last("ENTRYPOINT"))
    assert dockerfile.final.index(dockerfile.last("USER")) < started
    assert not any("sudo" in step.text or "setcap" in step.text for step in dockerfile.instructions)


def test_nothing_is_fetched_but_by_package_managers(dockerfile: Dockerfile) -> None:
    assert dockerfile.all("ADD") == []
    for step in dockerfile.all("RUN"):
        assert not re.search(r"\b(curl|wget|git)\b", step.text)


def test_no_package_lists_and_no_compiler_stay(dockerfile: Dockerfile) -> None:
    for step in dockerfile.all("RUN"):
        if "apt-get install" in step.text:
            assert "--no-install-recommends" in step.text and "rm -rf /var/lib/apt/lists/*" in step.text
    for step in dockerfile.final:
        if step.name == "RUN":
            assert not any(compiler in step.text.split() for compiler in COMPILERS)
            assert "pip" not in step.text


def test_no_secret_stands_in_it(dockerfile: Dockerfile) -> None:
    for step in dockerfile.instructions:
        if step.name in ("ENV", "ARG"):
            assert not re.search(r"(?i)(password|secret|token|private|api_?key)", step.text)
        if step.name == "COPY":
            sources = [word for word in step.text.split() if not word.startswith("--")][:-1]
            allowed = {"pyproject.toml", "constraints.txt", "README.md", "hqgnet", "client", "server"}
            assert set(sources) <= allowed | {"deploy/nginx", "/opt/hqgnet"}


def test_it_tells_its_health_and_ends_in_order(dockerfile: Dockerfile) -> None:
    assert "--timeout=" in dockerfile.last("HEALTHCHECK").text
    assert dockerfile.last("STOPSIGNAL").text in ("SIGTERM", "SIGQUIT")
    assert dockerfile.last("ENTRYPOINT").words, "the exec form: a shell would keep signals from the program"


def test_shell_lines_are_well_formed(dockerfile: Dockerfile) -> None:
    for step in dockerfile.all("RUN"):
        checked = subprocess.run(["sh", "-n", "-c", step.text], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("image", PYTHON_IMAGES)
def test_versions_are_those_that_are_tested(deploy: Path, image: str) -> None:
    dockerfile = Dockerfile(deploy / f"docker/Dockerfile.{image}")
    [install] = [step.text for step in dockerfile.all("RUN") if " install --constraint" in step.text]
    assert "--constraint constraints.txt" in install
    assert dockerfile.defaults["PYTHON_IMAGE"].startswith("python:3.11.")


@pytest.mark.parametrize(
    ("variant", "arguments"),
    [
        ("cpu", "--extra-index-url https://example.org/cpu ."),
        ("cuda", "."),
        ("rocm", None),
    ],
)
def test_the_sites_variant_chooses_torchs_build(deploy: Path, variant: str, arguments: str | None) -> None:
    dockerfile = Dockerfile(deploy / "docker/Dockerfile.site")
    [install] = [step.text for step in dockerfile.all("RUN") if "VARIANT" in step.text]
    script = 'pip() { echo "$@"; }\n' + install
    environment = {"VARIANT": variant, "TORCH_INDEX": "https://example.org/cpu", "PATH": "/usr/bin:/bin"}
    ran = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=environment)
    if arguments is None:
        assert ran.returncode != 0 and "VARIANT is cpu or cuda" in ran.stderr
    else:
        assert ran.stdout.strip().endswith(f"--constraint constraints.txt {arguments}")


def test_the_build_context_holds_code_and_nothing_else() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*", "first everything is left out"
    taken = {line[1:] for line in lines if line.startswith("!")}
    needed = {
        source
        for image in IMAGES
        for step in Dockerfile(ROOT / f"deploy/docker/Dockerfile.{image}").all("COPY")
        if "--from" not in step.text
        for source in step.text.split()[:-1]
    }
    assert needed <= taken
    assert taken - needed == {"server/provision/templates/site.yaml"}
    left_out = set(lines[1:]) - {f"!{name}" for name in taken}
    assert {"**/*.key", "**/*.pem", "**/*.fab", "**/site.yaml"} <= left_out
