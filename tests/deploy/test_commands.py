"""The commands that deployments and their documents give, read by the programs' own parsers."""

from __future__ import annotations

import re
import shlex
import string
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from tests.deploy.dockerfile import Dockerfile

pytestmark = pytest.mark.deploy
ROOT = Path(__file__).parents[2]
PROGRAMS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
DOCUMENTS = (
    "deploy/README.md",
    "docs/runbook.md",
    "docs/threat-model.md",
    "server/provision/templates/README.md",
)
# What stands before our programs in a line of a document.
BEFORE = re.compile(
    r"^(sudo -u [\w-]+ |docker compose (exec|run --rm) [\w-]+ |kubectl [^;|]*? -- |/opt/hqgnet/bin/)+"
)


def of_dockerfiles() -> Iterator[tuple[str, list[str]]]:
    for image in ("server", "site"):
        dockerfile = Dockerfile(ROOT / f"deploy/docker/Dockerfile.{image}")
        entry = dockerfile.last("ENTRYPOINT").words
        yield f"Dockerfile.{image} CMD", entry + dockerfile.last("CMD").words
        yield f"Dockerfile.{image} HEALTHCHECK", dockerfile.last("HEALTHCHECK").words


def of_units() -> Iterator[tuple[str, list[str]]]:
    units = [*(ROOT / "deploy/systemd").glob("*.service"), *(ROOT / "server/provision").rglob("*.service")]
    for unit in sorted(units):
        for line in re.findall(r"^Exec\w+=(.+)$", unit.read_text(), re.MULTILINE):
            words = shlex.split(line)
            assert Path(words[0]).parent == Path("/opt/hqgnet/bin")
            yield unit.name, [Path(words[0]).name, *words[1:]]


def of_containers() -> Iterator[tuple[str, list[str]]]:
    for path in sorted((ROOT / "deploy/kubernetes").rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            pod = (document or {}).get("spec", {}).get("template", {}).get("spec", {})
            for container in pod.get("containers", []):
                entry = {"server": "hqgnet-server", "site": "hqgnet-client"}.get(container["name"])
                if entry is not None:
                    yield f"{path.name} args", [entry, *container["args"]]
                    for probe in ("startupProbe", "livenessProbe"):
                        yield f"{path.name} {probe}", container[probe]["exec"]["command"]
    template = (ROOT / "server/provision/templates/compose.yaml").read_text()
    kit = yaml.safe_load(
        string.Template(template).substitute(site="site-1", federation="retina", version="0.1.0")
    )
    service = kit["services"]["site"]
    yield "compose.yaml of a kit", [*service.get("entrypoint", ["hqgnet-client"]), *service["command"]]


def of_documents() -> Iterator[tuple[str, list[str]]]:
    for name in DOCUMENTS:
        text = (ROOT / name).read_text()
        blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
            command = BEFORE.sub("", line.strip())
            if command.split(" ", 1)[0] in PROGRAMS:
                words = shlex.split(command.replace("$$", "$"), comments=True)
                yield f"{name}: {line.strip()}", words


def collected() -> list[tuple[str, list[str]]]:
    return [*of_dockerfiles(), *of_units(), *of_containers(), *of_documents()]


@pytest.mark.parametrize(("where", "words"), [pytest.param(*entry, id=entry[0]) for entry in collected()])
def test_the_program_takes_this_command(where: str, words: list[str]) -> None:
    module, _, _ = PROGRAMS[words[0]].partition(":")
    parser = import_module(module).build_parser()
    try:
        parser.parse_args(words[1:])
    except SystemExit as ended:
        pytest.fail(f"{where}: {' '.join(words)} ended with {ended.code}")


def test_the_runbook_gives_commands_at_all() -> None:
    named = {words[1] for where, words in of_documents() if "runbook" in where}
    assert {"provision", "renew", "revoke", "up", "run", "status", "stop", "check", "approve"} <= named


@pytest.mark.parametrize("name", ["docs/runbook.md", "docs/threat-model.md"])
def test_documents_name_files_that_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    ours = r"`((?:client|deploy|docs|hqgnet|server|tests)/[\w./@-]+|\.dockerignore)`"
    linked = [str(Path("docs") / file) for file in re.findall(r"\]\(([\w-]+\.md)\)", text)]
    missing = sorted({path for path in [*re.findall(ours, text), *linked] if not (ROOT / path).exists()})
    assert missing == []
