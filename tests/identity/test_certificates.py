"""What `manage.py certs` writes, verified by another implementation: the one in cryptography."""

import io
import ipaddress
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store
from django.core.management import call_command
from django.core.management.base import CommandError

from pangaea import modules
from pangaea.credentials import certificates, spiffe
from pangaea.errors import Misconfigured

DOMAIN = "pangaea.local"
NOON = datetime(2030, 5, 1, 12, tzinfo=UTC)


def issue(folder: Path, *, now: datetime = NOON, rotate: bool = False, domain: str = DOMAIN) -> list[str]:
    wanted = certificates.subjects(["orders", "web_bff"], trust_domain=domain)
    return certificates.issue(folder, wanted, trust_domain=domain, now=now, rotate=rotate)


def read(folder: Path, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.*") if not path.name.startswith(".")}


def verify_client(folder: Path, name: str, *, now: datetime = NOON) -> list[x509.GeneralName]:
    """The alternative names of a client's certificate. Raises VerificationError if it is not valid as one."""
    trusted = x509.load_pem_x509_certificates((folder / "ca.crt").read_bytes())
    verifier = PolicyBuilder().store(Store(trusted)).time(now).build_client_verifier()
    return list(verifier.verify(read(folder, name), []).subjects or [])


class TestACertificateOfAModule:
    def test_carries_its_spiffe_id_and_its_hosts(self, tmp_path: Path) -> None:
        issue(tmp_path)
        names = read(tmp_path, "web_bff").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://pangaea.local/web_bff"]
        assert names.get_values_for_type(x509.DNSName) == ["localhost", "web-bff"]
        assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.1")]

    def test_is_valid_for_a_client_and_for_a_server(self, tmp_path: Path) -> None:
        issue(tmp_path)
        assert x509.UniformResourceIdentifier("spiffe://pangaea.local/orders") in verify_client(tmp_path, "orders")
        trusted = Store(x509.load_pem_x509_certificates((tmp_path / "ca.crt").read_bytes()))
        server = PolicyBuilder().store(trusted).time(NOON).build_server_verifier(x509.DNSName("web-bff"))
        server.verify(read(tmp_path, "web_bff"), [])

    def test_matches_its_key_which_only_its_owner_may_read(self, tmp_path: Path) -> None:
        issue(tmp_path)
        for path in tmp_path.glob("*.key"):
            key = load_pem_private_key(path.read_bytes(), password=None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            assert key.curve.name == "secp256r1"
            assert key.public_key() == read(tmp_path, path.stem).public_key()
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "orders.crt").stat().st_mode) == 0o644

    def test_lasts_a_day_and_its_authority_thirty(self, tmp_path: Path) -> None:
        issue(tmp_path)
        assert read(tmp_path, "orders").not_valid_after_utc == NOON + timedelta(days=1)
        assert read(tmp_path, "ca").not_valid_after_utc == NOON + timedelta(days=30)


class TestTheGatewaysCertificates:
    def test_are_a_clients_for_the_services_and_a_servers_for_browsers(self, tmp_path: Path) -> None:
        issue(tmp_path)

        def usages(name: str) -> list[x509.ObjectIdentifier]:
            return list(read(tmp_path, name).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)

        assert usages("gateway") == [ExtendedKeyUsageOID.CLIENT_AUTH]
        assert usages("edge") == [ExtendedKeyUsageOID.SERVER_AUTH]
        assert verify_client(tmp_path, "gateway") == [
            x509.UniformResourceIdentifier("spiffe://pangaea.local/gateway"),
        ]


class TestIssuingAgain:
    def test_keeps_what_is_valid(self, tmp_path: Path) -> None:
        assert issue(tmp_path) == ["ca", "orders", "web_bff", "gateway", "edge"]
        before = contents(tmp_path)
        assert issue(tmp_path, now=NOON + timedelta(hours=11)) == []
        assert contents(tmp_path) == before

    def test_renews_what_is_past_half_of_its_life(self, tmp_path: Path) -> None:
        issue(tmp_path)
        authority, before = read(tmp_path, "ca"), read(tmp_path, "orders")
        assert issue(tmp_path, now=NOON + timedelta(hours=12)) == ["orders", "web_bff", "gateway", "edge"]
        assert read(tmp_path, "ca") == authority
        assert read(tmp_path, "orders").serial_number != before.serial_number
        assert read(tmp_path, "orders").public_key() != before.public_key()

    @pytest.mark.parametrize("damage", ["missing certificate", "missing key", "garbage", "another's key"])
    def test_replaces_damaged_files(self, tmp_path: Path, damage: str) -> None:
        issue(tmp_path)
        if damage == "missing certificate":
            (tmp_path / "orders.crt").unlink()
        elif damage == "missing key":
            (tmp_path / "orders.key").unlink()
        elif damage == "garbage":
            (tmp_path / "orders.crt").write_text("no certificate")
        else:
            (tmp_path / "orders.key").write_bytes((tmp_path / "web_bff.key").read_bytes())
        assert issue(tmp_path) == ["orders"]
        verify_client(tmp_path, "orders")

    def test_renews_every_leaf_on_request(self, tmp_path: Path) -> None:
        issue(tmp_path)
        authority = read(tmp_path, "ca")
        assert issue(tmp_path, rotate=True) == ["orders", "web_bff", "gateway", "edge"]
        assert read(tmp_path, "ca") == authority

    def test_gives_other_ids_in_another_trust_domain(self, tmp_path: Path) -> None:
        issue(tmp_path)
        assert issue(tmp_path, domain="shop.example") == ["orders", "web_bff", "gateway"]

    def test_trusts_the_former_authority_beside_the_next_one(self, tmp_path: Path) -> None:
        issue(tmp_path)
        late = NOON + timedelta(days=16)
        issue(tmp_path, now=late - timedelta(days=2), rotate=True)
        former = read(tmp_path, "orders")
        assert issue(tmp_path, now=late)[0] == "ca"
        trusted = x509.load_pem_x509_certificates((tmp_path / "ca.crt").read_bytes())
        assert len(trusted) == 2
        former.verify_directly_issued_by(trusted[1])
        read(tmp_path, "orders").verify_directly_issued_by(trusted[0])
        verify_client(tmp_path, "orders", now=late)

    def test_forgets_an_authority_that_has_expired(self, tmp_path: Path) -> None:
        issue(tmp_path)
        issue(tmp_path, now=NOON + timedelta(days=31))
        assert len(x509.load_pem_x509_certificates((tmp_path / "ca.crt").read_bytes())) == 1

    def test_refuses_an_authority_without_its_key(self, tmp_path: Path) -> None:
        issue(tmp_path)
        (tmp_path / "ca.key").unlink()
        with pytest.raises(Misconfigured, match=r"Remove .*ca\.crt"):
            issue(tmp_path)

    def test_leaves_no_other_files(self, tmp_path: Path) -> None:
        issue(tmp_path)
        issue(tmp_path, rotate=True)
        names = ["ca", "edge", "gateway", "orders", "web_bff"]
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            ".lock",
            *(f"{name}.{ending}" for name in names for ending in ("crt", "key")),
        ]


class TestTheCommand:
    def test_serves_every_installed_module(self, tmp_path: Path) -> None:
        output = io.StringIO()
        call_command("certs", directory=tmp_path / "made" / "here", stdout=output)
        for label in [*modules.labels(), "gateway", "edge"]:
            assert label in output.getvalue()
            assert (tmp_path / "made" / "here" / f"{label}.crt").is_file()
        assert stat.S_IMODE((tmp_path / "made" / "here").stat().st_mode) == 0o700

    def test_reports_that_there_is_nothing_to_do(self, tmp_path: Path) -> None:
        output = io.StringIO()
        call_command("certs", directory=tmp_path, stdout=io.StringIO())
        call_command("certs", directory=tmp_path, stdout=output)
        assert "nothing to renew" in output.getvalue()

    @pytest.mark.parametrize("days", [0, -1, 31])
    def test_refuses_a_lifetime_that_no_certificate_can_have(self, tmp_path: Path, days: int) -> None:
        with pytest.raises(CommandError, match="--days"):
            call_command("certs", directory=tmp_path, days=days)


class TestASpiffeId:
    def test_is_made_from_a_name_or_accepted_as_an_id(self) -> None:
        assert spiffe.identity(DOMAIN, "orders") == "spiffe://pangaea.local/orders"
        assert spiffe.identity(DOMAIN, "spiffe://other.example/ns/shop/sa/x") == "spiffe://other.example/ns/shop/sa/x"

    @pytest.mark.parametrize(
        "name", ["", "a b", "../users", "spiffe://", "spiffe://Upper/x", "spiffe://x", "a//b", "."]
    )
    def test_is_refused_when_no_service_could_have_it(self, name: str) -> None:
        with pytest.raises(Misconfigured, match="SPIFFE"):
            spiffe.identity(DOMAIN, name)

    def test_is_read_only_where_a_certificate_has_just_one(self) -> None:
        one = {"subjectAltName": (("DNS", "localhost"), ("URI", "spiffe://a/b"))}
        two = {"subjectAltName": (("URI", "spiffe://a/b"), ("URI", "spiffe://a/c"))}
        web = {"subjectAltName": (("URI", "https://a/b"),)}
        assert spiffe.of_certificate(one) == "spiffe://a/b"
        assert [spiffe.of_certificate(each) for each in (two, web, {}, None)] == [None] * 4
