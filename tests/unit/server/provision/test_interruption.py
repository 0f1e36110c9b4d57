"""A kill at any step: the same command, given again, ends what it began."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from server.federation import Federation
from server.provision.kit import KitOptions
from server.provision.provision import provision, renew, revoke
from server.provision.site_index import active_keys, load_index
from server.provision.site_keys import belong_together, fingerprint_of

Command = Callable[[Federation, KitOptions], object]
KILLED = 9
STEPS = ("replace", "rename", "mkdir", "unlink", "rmdir")


def killed_at(step: int, command: Callable[[], object]) -> bool:
    """Run a command in a child that dies, with no clean-up, before its change of the disk of that number."""
    child = os.fork()
    if child == 0:
        done = 0

        def counted(operation: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                nonlocal done
                if done == step:
                    os._exit(KILLED)
                done += 1
                return operation(*arguments, **options)

            return call

        for name in STEPS:
            setattr(os, name, counted(getattr(os, name)))
        try:
            command()
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, KILLED)
    return code == KILLED


def check(federation: Federation, out: Path) -> None:
    keys = active_keys(federation)
    assert set(keys) == set(federation.site_names)
    for site, public_key in keys.items():
        assert belong_together(out / site / "keys" / f"{site}.key", public_key)
        assert {path.name for path in (out / site).iterdir()} == {
            "README.md",
            "compose.yaml",
            "hqgnet-site.service",
            "keys",
            "site.yaml",
        }
    assert not {path.name for path in out.iterdir() if path.name.startswith(".")}


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill is not a power cut: what was written is there, synchronised or not."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def kill_at_each_step(
    make: Callable[..., Federation], folder: Path, *, prepared: bool, command: Command
) -> Iterator[tuple[Federation, KitOptions]]:
    """Kill a command at each of its steps in turn, each in a fresh federation; yield what it left."""
    step = 0
    while True:
        federation = make("site-1", extra=f"home: home-{step}\nclient_certificates: true")
        options = KitOptions(folder / f"kits-{step}")
        if prepared:
            provision(federation, options)
        if not killed_at(step, partial(command, federation, options)):
            assert step >= 4
            return
        yield federation, options
        step += 1


def recorded_keys(federation: Federation) -> set[Path]:
    return {federation.sites_folder / key.file for key in load_index(federation).keys}


def renew_site(federation: Federation, options: KitOptions) -> None:
    renew(federation, "site-1", options)


def renew_server(federation: Federation, options: KitOptions) -> None:
    renew(federation, "server", options)


def revoke_site(federation: Federation, options: KitOptions) -> None:
    revoke(federation, "site-1")


@pytest.mark.parametrize(
    ("prepared", "command"), [(False, provision), (True, renew_site), (True, renew_server)]
)
def test_a_killed_command_given_again_ends_what_it_began(
    make_federation: Callable[..., Federation], tmp_path: Path, prepared: bool, command: Command
) -> None:
    for federation, options in kill_at_each_step(
        make_federation, tmp_path, prepared=prepared, command=command
    ):
        command(federation, options)
        check(federation, options.out)
        assert recorded_keys(federation) == set(federation.sites_folder.glob("*.pub"))


def test_a_killed_revocation_given_again_is_complete(
    make_federation: Callable[..., Federation], tmp_path: Path
) -> None:
    for federation, options in kill_at_each_step(
        make_federation, tmp_path, prepared=True, command=revoke_site
    ):
        revoke_site(federation, options)
        assert active_keys(federation) == {}
        assert not (federation.sites_folder / "site-1.pub").exists()
        assert len(list(x509.load_pem_x509_crl(federation.revocation_list.read_bytes()))) == 1


def test_a_killed_renewal_never_admits_old_and_new(
    make_federation: Callable[..., Federation], tmp_path: Path
) -> None:
    for federation, options in kill_at_each_step(
        make_federation, tmp_path, prepared=True, command=renew_site
    ):
        first = load_index(federation).keys[0]
        # Either nothing has happened yet, or the old key is out, whatever has come of the new one.
        active = active_keys(federation).get("site-1")
        old_is_out = first.revoked is not None
        assert old_is_out == (active is None or fingerprint_of(active) != first.fingerprint)
        provision(federation, options)
        active = active_keys(federation).get("site-1")
        assert old_is_out == (active is None or fingerprint_of(active) != first.fingerprint)
