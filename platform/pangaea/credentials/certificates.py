"""A certificate authority for development: short-lived certificates with SPIFFE ids, renewed in place.

    <folder>/ca.crt                 the trusted authorities: the present one, and after a renewal also the former one
    <folder>/ca.key                 the present authority's key; only the file's owner may read it
    <folder>/<module>.crt, .key     a service: server and client
    <folder>/gateway.crt, .key      the gateway as a client of the services
    <folder>/edge.crt, .key         the gateway as a server for browsers; never a client

In production this is the work of cert-manager or SPIRE: deploy/certificates.md. Keys are EC P-256.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pangaea.credentials import spiffe
from pangaea.errors import Misconfigured
from pangaea.reloading import locked, write_atomically

LIFETIME = timedelta(days=1)
AUTHORITY_LIFETIME = timedelta(days=30)
CLOCKS_DIFFER_BY = timedelta(minutes=5)
"""A certificate is valid from this long before its creation, because another machine's clock may be behind."""
EDGE = "edge"

_SERVER, _CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The holder of a certificate. `identity` is its SPIFFE id; None for a holder that no service connects to."""

    name: str
    identity: str | None
    hosts: tuple[str, ...]
    usages: tuple[x509.ObjectIdentifier, ...]

    @property
    def alternative_names(self) -> x509.SubjectAlternativeName:
        addresses = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))] if self.hosts else []
        uris = [x509.UniformResourceIdentifier(self.identity)] if self.identity else []
        return x509.SubjectAlternativeName([*uris, *map(x509.DNSName, self.hosts), *addresses])


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate that signs others, with its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def subjects(labels: Sequence[str], *, trust_domain: str) -> list[Subject]:
    """The holders of certificates in a deployment of these modules. Raises Misconfigured for a reserved name."""
    if clash := {spiffe.GATEWAY, EDGE, "ca"} & set(labels):
        raise Misconfigured(f"A module cannot be called {', '.join(sorted(clash))}: certificates have that name.")

    def of(name: str) -> str:
        return spiffe.identity(trust_domain, name)

    modules = [
        Subject(
            name=label,
            identity=of(label),
            hosts=tuple(dict.fromkeys(["localhost", label.replace("_", "-")])),
            usages=(_SERVER, _CLIENT),
        )
        for label in labels
    ]
    gateway = Subject(name=spiffe.GATEWAY, identity=of(spiffe.GATEWAY), hosts=(), usages=(_CLIENT,))
    edge = Subject(name=EDGE, identity=None, hosts=("localhost",), usages=(_SERVER,))
    return [*modules, gateway, edge]


def issue(
    folder: Path,
    wanted: Sequence[Subject],
    *,
    trust_domain: str,
    lifetime: timedelta = LIFETIME,
    rotate: bool = False,
    now: datetime | None = None,
) -> list[str]:
    """Write the certificates that are missing, wrong or past half of their life, and return their names.

    `rotate` renews every certificate but the authority's. Each file is replaced atomically; a reader between the writes
    of a new key and its certificate finds a pair that does not match, and reads again. Raises Misconfigured when the
    folder's authority cannot be read.
    """
    moment = now or datetime.now(UTC)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Without the lock, two concurrent calls could leave the key of one beside the certificate of the other.
    with locked(folder):
        authority = _read_authority(folder)
        written = []
        if authority is None or _ages(authority.certificate, moment):
            former = _trusted(folder, moment)
            authority = _make_authority(trust_domain, moment)
            # The certificate first: a reader of a leaf that the new key signed must find the new authority trusted.
            write_atomically(folder / "ca.crt", b"".join(map(_pem, [authority.certificate, *former])), mode=0o644)
            write_atomically(folder / "ca.key", _private_pem(authority.key), mode=0o600)
            written.append("ca")
        for subject in wanted:
            if rotate or not _is_valid(folder, subject, authority, moment):
                key = ec.generate_private_key(ec.SECP256R1())
                certificate = _sign(subject, key, authority, moment, lifetime)
                write_atomically(folder / f"{subject.name}.key", _private_pem(key), mode=0o600)
                write_atomically(folder / f"{subject.name}.crt", _pem(certificate), mode=0o644)
                written.append(subject.name)
    return written


def _make_authority(trust_domain: str, now: datetime) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{trust_domain} development authority")])
    builder = _begin(name, name, key, now, now + AUTHORITY_LIFETIME)
    identity = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"{spiffe.SCHEME}{trust_domain}")])
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(identity, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    return Authority(builder.sign(key, SHA256()), key)


def _sign(
    subject: Subject, key: ec.EllipticCurvePrivateKey, by: Authority, now: datetime, lifetime: timedelta
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject.name)])
    end = min(now + lifetime, by.certificate.not_valid_after_utc)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key())
    return (
        _begin(name, by.certificate.subject, key, now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(subject.usages), critical=False)
        .add_extension(subject.alternative_names, critical=False)
        .add_extension(issuer, critical=False)
        .sign(by.key, SHA256())
    )


def _begin(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - CLOCKS_DIFFER_BY)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _ages(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether half of the certificate's life is over."""
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now >= start + (end - start) / 2


def _is_valid(folder: Path, subject: Subject, authority: Authority, now: datetime) -> bool:
    """Whether the folder has a certificate of this subject, signed by this authority, with its private key.

    False once half of its life is over.
    """
    try:
        certificate = x509.load_pem_x509_certificate((folder / f"{subject.name}.crt").read_bytes())
        key = load_pem_private_key((folder / f"{subject.name}.key").read_bytes(), password=None)
        certificate.verify_directly_issued_by(authority.certificate)
        extensions = certificate.extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return (
        not _ages(certificate, now)
        and key.public_key() == certificate.public_key()
        and names == subject.alternative_names
        and usages == x509.ExtendedKeyUsage(subject.usages)
    )


def _read_authority(folder: Path) -> Authority | None:
    """The folder's authority; None where it has none. Raises Misconfigured for a damaged one."""
    path, key_path = folder / "ca.crt", folder / "ca.key"
    if not (path.exists() or key_path.exists()):
        return None
    remedy = (
        f"Remove {path} and {key_path} to begin with a new authority; "
        "every service that trusts the old one must read the new one"
    )
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        key = load_pem_private_key(key_path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise Misconfigured(f"The authority in {folder} cannot be read ({error}). {remedy}.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise Misconfigured(f"The key in {key_path} is not the one of {path}. {remedy}.")
    return Authority(certificate, key)


def _trusted(folder: Path, now: datetime) -> list[x509.Certificate]:
    """The trusted authorities that have not expired: what they signed stays valid until its own expiry."""
    path = folder / "ca.crt"
    known = x509.load_pem_x509_certificates(path.read_bytes()) if path.exists() else []
    return [each for each in known if now < each.not_valid_after_utc]


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
