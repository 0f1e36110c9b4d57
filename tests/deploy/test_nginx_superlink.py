"""The door before a real SuperLink, with a real SuperNode outside: the node joins, Control stays shut."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE

from tests.deploy.authority import Authority, Issued
from tests.deploy.door import Door, Folder, free_port

pytestmark = pytest.mark.deploy
COMMANDS = Path(sys.executable).parent


def environment(home: Path) -> dict[str, str]:
    quiet = {
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    }
    return {**os.environ, **quiet, "FLWR_HOME": str(home), "NO_COLOR": "1"}


@contextmanager
def running(command: list[str], folder: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment(folder / "flower"))
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(text: str, log: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while text not in log.read_text():
        assert time.monotonic() < deadline, f"no {text!r} in {log.name}: {log.read_text()}"
        time.sleep(0.1)


def node_keys(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP384R1())
    private, public = folder / "node.key", folder / "node.pub"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
    )
    private.chmod(0o600)
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    )
    return private, public


def superlink_command(folder: Path, port: int, issued: Issued) -> list[str]:
    for name, content in (("ca", issued.authority), ("server", issued.certificate), ("key", issued.key)):
        (folder / f"{name}.pem").write_bytes(content)
    (folder / "superexec.bin").write_bytes(os.urandom(32))
    return [
        str(COMMANDS / "flower-superlink"),
        *("--host", "127.0.0.1", "--port", str(port), "--ssl-ca-certfile", str(folder / "ca.pem")),
        *("--ssl-certfile", str(folder / "server.pem"), "--ssl-keyfile", str(folder / "key.pem")),
        *("--enable-supernode-auth", "--disable-runtime-dependency-installation", "--isolation", "process"),
        *("--superexec-auth-secret-file", str(folder / "superexec.bin")),
        *("--database", str(folder / "state.db")),
    ]


def test_a_node_joins_through_the_door_and_control_stays_shut(
    nginx: str, deploy: Path, authority: Authority, folder: Folder, tmp_path: Path
) -> None:
    port = free_port()
    command = superlink_command(tmp_path, port, authority.issue("server", "localhost", "127.0.0.1"))
    private, public = node_keys(tmp_path)
    superlink_log, node_log = tmp_path / "superlink.log", tmp_path / "node.log"
    with (
        running(command, tmp_path, superlink_log),
        Door.fleet(nginx, deploy / "nginx", folder, authority, port) as door,
    ):
        wait_for("Uvicorn running", superlink_log)
        connection = f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{port}"\n'
        (tmp_path / "flower").mkdir(exist_ok=True)
        (tmp_path / "flower/config.toml").write_text(
            connection + f'root-certificates = "{tmp_path / "ca.pem"}"\n'
        )
        register = [str(COMMANDS / "flwr"), "supernode", "register", str(public), "here"]
        subprocess.run(register, check=True, capture_output=True, env=environment(tmp_path / "flower"))
        through_the_door = httpx.Client(verify=door.context(), base_url=f"https://127.0.0.1:{door.port}")
        behind_it = httpx.Client(verify=door.context(), base_url=f"https://127.0.0.1:{port}")
        headers = {"content-type": PROTOBUF_MEDIA_TYPE, "accept": PROTOBUF_MEDIA_TYPE}
        for path in ("/v1/control/list-runs", "/v1/runtime/acquire-task"):
            assert behind_it.post(path, headers=headers).status_code != 404, "the SuperLink has this path"
            refused = through_the_door.post(path, headers=headers)
            assert (refused.status_code, refused.content) == (404, b"")
        assert behind_it.get("/health").status_code == 200
        assert through_the_door.get("/health").status_code == 404
        assert through_the_door.post("/v1/fleet/pull-messages", headers=headers).status_code == 401
        plain = through_the_door.post("/v1/fleet/pull-messages", headers={"content-type": "text/plain"})
        told = (plain.status_code, plain.headers["content-type"])
        assert told == (415, "application/json"), "by this hqgnet-client check knows Flower"
        node = [
            str(COMMANDS / "flower-supernode"),
            *("--superlink", f"127.0.0.1:{door.port}", "--root-certificates", str(tmp_path / "ca.pem")),
            *("--auth-supernode-private-key", str(private), "--host", "127.0.0.1"),
            *("--port", str(free_port()), "--isolation", "process"),
            *("--superexec-auth-secret-file", str(tmp_path / "superexec.bin")),
        ]
        with running(node, tmp_path, node_log):
            deadline = time.monotonic() + 60
            listed = ""
            while "online" not in listed:
                assert time.monotonic() < deadline, f"{listed}{node_log.read_text()}"
                listing = [str(COMMANDS / "flwr"), "supernode", "list", "here", "--format", "json"]
                listed = subprocess.run(
                    listing, capture_output=True, text=True, env=environment(tmp_path / "flower")
                ).stdout
