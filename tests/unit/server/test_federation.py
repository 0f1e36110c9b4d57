"""The federation YAML: its defaults, its places, and its mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from hqgnet.config_reference import keys
from hqgnet.errors import ConfigurationError
from server.federation import Federation, load_federation
from server.federation_reference import reference

PAGE = Path(__file__).parents[3] / "docs" / "federation-file.md"

SMALLEST = "name: retina\nserver: {address: 'federation.example.org:8443'}\nsites: [{name: site-1}]\n"


def test_the_page_of_keys_is_up_to_date() -> None:
    assert PAGE.read_text() == reference(), "run `make docs`"
    assert all(field.description for _, field in keys(Federation))


def load(folder: Path, text: str) -> Federation:
    file = folder / "federation.yaml"
    file.write_text(text)
    return load_federation(file)


def problems(folder: Path, text: str) -> dict[str, tuple[str, str]]:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, text)
    return {p.where.replace(f"{folder}/", ""): (p.what, p.remedy) for p in caught.value.problems}


def test_the_smallest_file_has_safe_defaults_and_absolute_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "federation.yaml").write_text(SMALLEST)
    monkeypatch.chdir(tmp_path)
    federation = load_federation(Path("federation.yaml"))
    assert (federation.server.host, federation.server.port, federation.server.health_port) == (
        "127.0.0.1",
        8443,
        8444,
    )
    assert not federation.client_certificates
    assert federation.runs == tmp_path / "runs"
    places = {
        "ca/ca.pem": federation.ca_certificate,
        "ca/ca.key": federation.ca_key,
        "ca/crl.pem": federation.revocation_list,
        "tls/server.pem": federation.server_certificate,
        "tls/server.key": federation.server_key,
        "secrets/superexec.bin": federation.superexec_secret,
        "state/superlink.db": federation.database,
        "logs": federation.logs,
        "sites": federation.sites_folder,
        "sites/index.json": federation.sites_index,
        "flower": federation.flower_home,
    }
    assert {tmp_path / "home" / name for name in places} == set(places.values())
    assert all(path == tmp_path / "home" / name for name, path in places.items())


def test_names_in_the_certificate_are_each_there_once(tmp_path: Path) -> None:
    text = SMALLEST.replace("8443'", "8443', names: [Other.Example, 10.0.0.5, LOCALHOST, '0:0::1']")
    assert load(tmp_path, text).server.certificate_names == (
        "federation.example.org",
        "other.example",
        "10.0.0.5",
        "localhost",
        "::1",
        "127.0.0.1",
    )


@pytest.mark.parametrize(
    ("address", "name"),
    [("[2001:db8::7]:443", "2001:db8::7"), ("10.1.2.3:1", "10.1.2.3"), ("hub:65535", "hub")],
)
def test_addresses_that_hospitals_can_reach(tmp_path: Path, address: str, name: str) -> None:
    federation = load(tmp_path, SMALLEST.replace("federation.example.org:8443", address))
    assert federation.server.certificate_names[0] == name


def test_an_address_that_nobody_can_reach(tmp_path: Path) -> None:
    found = problems(tmp_path, SMALLEST.replace("federation.example.org:8443", "https://host:8443"))
    assert "is not host:port" in found["federation.yaml: server.address"][0]


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "name: Retina!\n"
        "hom: home\n"
        "server: {address: nowhere, names: ['a b'], host: '?', port: 0, healthport: 1}\n"
        "certificates: {ca_days: 0, server_days: 99999}\n"
        "client_certificates: sure\n"
        "sites: [{name: server}, {name: a, key: x}, {name: a/b}]\n",
    )
    assert set(found) == {
        "federation.yaml: name",
        "federation.yaml: hom",
        "federation.yaml: server.address",
        "federation.yaml: server.names",
        "federation.yaml: server.host",
        "federation.yaml: server.port",
        "federation.yaml: server.healthport",
        "federation.yaml: certificates.ca_days",
        "federation.yaml: certificates.server_days",
        "federation.yaml: client_certificates",
        "federation.yaml: sites[0].name",
        "federation.yaml: sites[1].key",
        "federation.yaml: sites[2].name",
    }
    assert all(remedy for _, remedy in found.values())
    assert "health_port" in found["federation.yaml: server.healthport"][1]


def test_sites_need_names_of_their_own(tmp_path: Path) -> None:
    text = SMALLEST.replace("[{name: site-1}]", "[{name: b}, {name: a}, {name: b}, {name: a}]")
    what, remedy = problems(tmp_path, text)["federation.yaml: sites"]
    assert what.endswith("b, a stands more than once") and remedy == "Give each site its own name"
    what, _ = problems(tmp_path, SMALLEST.replace("[{name: site-1}]", "[]"))["federation.yaml: sites"]
    assert "names no site" in what


def test_two_services_need_two_ports(tmp_path: Path) -> None:
    found = problems(tmp_path, SMALLEST.replace("8443'", "8443', port: 8444"))
    assert found["federation.yaml: server"][0].endswith("port and health_port are both 8444")
