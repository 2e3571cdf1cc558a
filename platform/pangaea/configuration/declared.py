"""Every environment variable that Pangaea reads: its type, its default, its form, and why.

`docs/settings.md` and `.env.example` are generated from this file. A secret may be given as a file:
`SECRET_KEY_FILE=/run/secrets/key`. A process with one module reads `ORDERS_RELAY_BATCH` before `RELAY_BATCH`. Besides
these, `<MODULE>_DATABASE_URL` gives one module a database of its own.

It is long because it is one list: what there is to set is read here, and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from pangaea.configuration import validators
from pangaea.configuration.reading import examine, refuse
from pangaea.configuration.validators import Form
from pangaea.credentials.mutual_tls import Files


def setting(
    default: Any,
    why: str,
    *,
    env: str | None = None,
    secret: bool = False,
    form: Form | None = None,
    general: bool = False,
) -> Any:
    """A field of Declared: read from `env` (the field's name in capitals by default), else `default`.

    What is not empty has to be of this `form`, each item of a list by itself. A `general` one has no variable for a
    module alone.
    """
    metadata = {"why": why, "env": env, "secret": secret, "form": form, "general": general}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Declared:
    """The configuration of one process, read once and passed around whole: `settings.PANGAEA`. Durations: seconds."""

    modules: tuple[str, ...] = setting(
        (),
        "Modules of this process, by label, separated by commas. Empty (not in a service): every package in modules/.",
        env="PANGAEA_MODULES",
        general=True,
    )
    modules_package: str = setting(
        "modules",
        "The Python package whose sub-packages are the modules.",
        env="PANGAEA_MODULES_PACKAGE",
        general=True,
    )
    secret_key: str = setting(
        "", "Django's signing key for sessions of the admin: 50 random characters or more.", secret=True
    )
    secret_key_fallbacks: tuple[str, ...] = setting(
        (),
        "Other signing keys, separated by commas: what they signed is accepted, and nothing new is signed by them. For "
        "a rotation: the next SECRET_KEY before it signs, the former one after.",
        secret=True,
        form=validators.word,
    )
    unverified_hosts: tuple[str, ...] = setting(
        (),
        "Hosts of databases, brokers and the like that may be reached without verified TLS, separated by commas: where "
        "something else protects the network between. All others need sslmode=verify-full, amqps, rediss or https.",
        form=validators.exact_host,
    )
    allowed_hosts: tuple[str, ...] = setting(
        (), "Host names this deployment answers to, separated by commas.", form=validators.host
    )
    csrf_trusted_origins: tuple[str, ...] = setting(
        (),
        "Origins (https://host) from which the admin's forms may be sent, when a proxy changes the host.",
        form=validators.origin,
    )
    admin_idle_timeout: timedelta = setting(
        timedelta(minutes=30), "An operator's log-in at the admin ends after this time without a request."
    )
    secure_cookies: bool = setting(
        default=True,
        why="Send the admin's cookies over TLS only. Turn off only where the admin is reached without TLS.",
    )
    trust_forwarded_proto: bool = setting(
        default=False, why="Believe X-Forwarded-Proto: only behind a proxy that always sets it itself."
    )
    api_documents_public: bool = setting(
        default=False,
        why="Serve the documents of the API to everybody: /api/docs/, /api/schema/, and / which leads there. "
        "Otherwise these answer 404, and operators find them below the admin. The gateway's routes are rendered to "
        "fit. The local profile turns it on.",
    )
    trusted_proxies: int = setting(
        0,
        "How many proxies a request passes on its way here, each of which adds its client's address to "
        "X-Forwarded-For: 1 behind the gateway alone. The client's address is read there, for LOG_IN_FAILURES; unset, "
        "it is the connection's, which behind a proxy is one and the same for all.",
    )

    log_in_failures: int = setting(
        5,
        "Failed log-ins of one account from one network (IPv4 address, or /64) after which the next has to wait: one "
        "second, then ever twice as long up to LOG_IN_PAUSE. More than people mistype in a row.",
    )
    log_in_failures_of_account: int = setting(
        20,
        "The same of one account from all networks together, except for those where its password was given within "
        "30 days: their owner is not kept out by what others guess.",
    )
    log_in_failures_of_network: int = setting(
        50,
        "The same of one network, of all accounts together, with pauses up to LOG_IN_PAUSE_OF_NETWORK: an office "
        "behind one address mistypes more than one person does.",
    )
    log_in_pause: timedelta = setting(
        timedelta(minutes=15),
        "The longest pause between two log-ins of an account that fails again and again, and the time in which one "
        "failure is forgotten: leaves about 100 guesses a day, and lets the owner in again soon.",
    )
    log_in_pause_of_network: timedelta = setting(
        timedelta(minutes=1), "The same for all log-ins of one network: it is shared by people who did nothing wrong."
    )

    password_hashes_at_once: int = setting(
        2,
        "Passwords that a web process hashes at once, each on a core of its own; as many wait for two seconds, further "
        "ones are answered with 503. Together less than the process's threads (8 by default): the others serve "
        "everything else.",
    )

    database_url: str = setting(
        "",
        "postgres://user:password@host/name: gives every module a schema and a role in one database. Its roles guard "
        "against mistakes alone, as the login may be each; <MODULE>_DATABASE_URL with a login of its own is a wall.",
        secret=True,
        form=validators.database,
        general=True,  # <MODULE>_DATABASE_URL is not this one for a module, but a database where it logs in as itself
    )
    direct_database_url: str = setting(
        "",
        "The same database past a pooler, where DATABASE_URL leads through one that lends a session for a transaction "
        "(PgBouncer's pool_mode=transaction): for the relay's lead, LISTEN and NOTIFY, and the locks of rebuilds and "
        "snapshots. With <MODULE>_DATABASE_URL: <MODULE>_DIRECT_DATABASE_URL.",
        secret=True,
        form=validators.database,
        general=True,  # as above
    )
    database_connection_age: timedelta = setting(
        timedelta(seconds=60), "How long a connection is kept between requests; opening one costs several milliseconds."
    )
    database_answer_timeout: timedelta = setting(
        timedelta(seconds=20),
        "A database's host that does not answer on TCP's level is given up after this time, by both ends: its power "
        "failed, or a firewall has forgotten the connection. Less gives up where packets are lost for a moment.",
    )
    database_statement_timeout: timedelta = setting(
        timedelta(seconds=30),
        "A statement of web, relay or worker ends after this time: longer than any that serves a request or a batch, "
        "and a tenth of what a job may take, as a message is tried three times. Commands of manage.py have no limit.",
    )
    database_lock_timeout: timedelta = setting(
        timedelta(seconds=10),
        "A statement of web, relay or worker waits this long for a lock, then is tried again (worker, relay) or "
        "answered with 503 (web). A third of TRANSIENT_RETRY, so that a batch tries more than once.",
    )
    database_login_connections: int = setting(
        60,
        "PostgreSQL's CONNECTION LIMIT of each login, per alias that it serves, as `manage.py permissions` sets it: "
        "three web processes with eight threads (27), two relays (6) and two workers (8), and commands. More is "
        "answered with 503, so that one module cannot take the connections of all others.",
    )
    broker_url: str = setting(
        "",
        "amqps://… or rediss://… (amqp, redis: without TLS): the bus. It may lose, repeat and reorder; nothing is kept "
        "only there.",
        secret=True,
        form=validators.broker,
    )
    broker_ca: str = setting(
        "",
        "File with the authorities (PEM) that certificates of the broker (amqps, rediss) and of its management API "
        "must come from. Unset: those that the system trusts.",
        form=validators.file_to_read,
    )
    broker_prefix: str = setting(
        "",
        "Put before every queue and exchange name, so that several installations can share one broker.",
        form=validators.queue_prefix,
    )
    broker_logins: tuple[str, ...] = setting(
        (),
        "RabbitMQ users that speak for modules other than the one they are called after, as the one user of a monolith "
        "from which another module has been taken out: shop=users,shop=orders. This process's own needs no mention.",
        form=validators.broker_login,
    )

    broker_without_logins: bool = setting(
        default=False,
        why="Accept Redis although TLS_CERTIFICATE is set: Redis has no user of each module that a message could be "
        "traced to, so who can write to it can send in the name of any.",
    )

    issuer: str = setting(
        "https://pangaea.example",
        "`iss` of the access tokens: a URL that names this installation.",
        form=validators.http_url,
    )
    audience: str = setting("pangaea", "`aud` of the access tokens: who they are meant for.", form=validators.word)
    signing_key: str = setting(
        "",
        "EC P-256 private key (PEM, or a JWK or JWK set; the first one signs) for access tokens. "
        "Needed where the users module runs; elsewhere set JWKS_URL.",
        secret=True,
        form=validators.signing_key,
    )
    signing_key_file: str = setting(
        "",
        "File with SIGNING_KEY, read again whenever it changes: `manage.py signing_keys` rotates its keys without a "
        "restart.",
    )
    jwks_url: str = setting(
        "",
        "Where to fetch the keys that verify access tokens: the users service's /.well-known/jwks.json.",
        form=validators.http_url,
    )
    jwks_identity: str = setting(
        "users",
        "Who must answer at JWKS_URL when TLS_CERTIFICATE is set: a SPIFFE id, or a name in the trust domain.",
        form=validators.service_name,
    )
    access_token_lifetime: timedelta = setting(
        timedelta(minutes=10),
        "Access tokens are not looked up, so this is how long a deactivated account keeps access.",
    )
    refresh_token_lifetime: timedelta = setting(timedelta(days=30), "How long a log-in lasts without being used.")
    refresh_grace: timedelta = setting(
        timedelta(seconds=10),
        "For how long a spent refresh token gives the same successor again: to a second tab, and after a lost answer. "
        "Later it ends the log-in, for it may have been stolen (RFC 9700, 4.14.2).",
    )
    login_lifetime: timedelta = setting(
        timedelta(days=90), "After how long a log-in ends, however often it is refreshed: then the password is needed."
    )

    trust_domain: str = setting(
        "pangaea.local",
        "The domain of the SPIFFE ids by which services know each other: spiffe://pangaea.local/orders.",
        form=validators.trust_domain,
    )
    tls_certificate: str = setting(
        "",
        "File with this service's certificate chain (PEM). With it the web process speaks TLS alone, and only with "
        "callers that bring a certificate; read again whenever it changes. TLS_KEY and TLS_CA go with it.",
        form=validators.file_to_read,
    )
    tls_key: str = setting(
        "", "File with the key of TLS_CERTIFICATE (PEM, without a passphrase).", form=validators.file_to_read
    )
    tls_ca: str = setting(
        "", "File with the authorities (PEM) that callers' certificates must come from.", form=validators.file_to_read
    )
    accepted_callers: tuple[str, ...] = setting(
        ("gateway",),
        "Who may call this service when TLS_CERTIFICATE is set: SPIFFE ids, or names in the trust domain.",
        form=validators.service_name,
    )

    log_level: str = setting(
        "INFO",
        "Threshold of the log: DEBUG, INFO, WARNING or ERROR.",
        form=validators.choice("DEBUG", "INFO", "WARNING", "ERROR"),
    )
    log_format: str = setting(
        "json",
        "How log lines are written: json for machines, text for people. The local profile writes text.",
        form=validators.choice("json", "text"),
    )
    local_state_dir: str = setting(
        ".local", "Where the local profile keeps its SQLite files and its generated keys.", general=True
    )

    relay_batch: int = setting(
        250,
        "Messages in one broker message. What each costs by itself (confirm, transaction, cursor) is shared by these; "
        "a failing batch is applied again in ever smaller parts.",
    )
    relay_pass: int = setting(
        2000,
        "Rows that the relay sequences in one transaction: eight streams' batches. More only holds the locks longer.",
    )
    relay_poll: timedelta = setting(
        timedelta(seconds=1),
        "How long an idle relay waits at most before it looks for captured changes and rows written by hand, for which "
        "no commit wakes it. Also how fast a standby takes over.",
    )
    relay_takeover: timedelta = setting(
        timedelta(seconds=5),
        "A standby works as well when messages wait and none was sent for this long, whichever leads: the leader may "
        "be frozen, or its lock may have outlived it.",
    )
    announce_first: timedelta = setting(
        timedelta(seconds=1), "An idle stream repeats its last position after this time, then ever more rarely."
    )
    announce_at_most: timedelta = setting(
        timedelta(seconds=60), "The longest time between two announcements: bounds how long a lost tail goes unnoticed."
    )
    catch_up_renewal: timedelta = setting(
        timedelta(seconds=5), "A request for missed messages without progress is repeated after this time."
    )
    discarded_letter_retention: timedelta = setting(
        timedelta(days=365),
        "How long a discarded message is kept, with the reason for it.",
    )
    health_host: str = setting(
        "127.0.0.1",
        "The address on which relay and worker answer probes at HEALTH_PORT. 0.0.0.0 for an orchestrator that asks "
        "from outside the container; the answers name modules and databases, and say why a relay or worker is "
        "interrupted.",
        form=validators.listening_address,
    )
    health_port: int = setting(
        0,
        "Port on which a relay or a worker answers /livez, /readyz and /startupz; the web process has them beside its "
        "API. Each process needs its own. Unset: none.",
        form=validators.at_most(65_535, "TCP has no higher port"),
    )
    disk_free_at_least: int = setting(
        100, "MiB that must be free where a process writes (temporary files, SQLite), or it is not ready."
    )
    shutdown_delay: timedelta = setting(
        timedelta(seconds=2.5),
        "How long a web process that was told to stop goes on serving while /readyz says 503: longer than whoever "
        "sends it requests takes to notice.",
    )
    shutdown_grace: timedelta = setting(
        timedelta(seconds=25),
        "How long a process that was told to stop may take for what it is at, the delay included; then it is cut off, "
        "and what was not finished is done again by another. Less than the orchestrator waits before it kills.",
    )
    queues_per_module: int = setting(
        1,
        "A module's partitions are spread over so many queues; "
        "each has one active consumer, so this is its parallelism (1 to 8).",
        form=validators.at_most(8, "a stream has eight partitions"),
    )
    queue_length: int = setting(
        10_000,
        "Batches a queue holds before it drops the oldest, "
        "so that a dead subscriber cannot fill the broker; dropping is a gap.",
    )
    queue_bytes: int = setting(
        256 << 20,
        "Bytes a queue holds before it drops the oldest batches: 64 of the largest, some 2,500 of 250 messages of 400 "
        "bytes. A longer backlog comes from the producer's outbox; more costs the broker's disk, or Redis's memory.",
        form=validators.at_least(
            64 << 20, "each of a stream's eight partitions needs room for two of the largest batches"
        ),
    )
    queue_expiry: timedelta = setting(
        timedelta(minutes=5),
        "A queue that no worker consumes for this time is deleted, and what was in it is asked for again: so the "
        "queues of former settings go. Longer than a worker is away while it is deployed.",
    )
    queue_check: timedelta = setting(
        timedelta(seconds=5),
        "How often relays and workers look whether their queues and bindings are there, and workers whether they get "
        "what is in them.",
    )
    transient_retry: timedelta = setting(
        timedelta(seconds=30),
        "How long a batch is tried again in place, all its parts together, while its module's own database is away or "
        "in conflict; what fails alone after that is parked.",
    )

    job_time_limit: timedelta = setting(
        timedelta(minutes=5),
        "A worker's process is ended, which counts as a crash, when it begins no other message for this long; and the "
        "worker is not ready while one batch takes longer. More than any handler needs: other messages wait meanwhile.",
    )
    dead_letter_attempts: int = setting(
        12,
        "A parked message is dead after so many attempts: with the pauses below, after about three hours. "
        "Long enough for an outage of what its handler needs, short enough to be noticed on the same day.",
    )
    dead_letter_pause: timedelta = setting(
        timedelta(seconds=10),
        "The pause after the first failure of a parked message; it doubles with each, less up to a half at random.",
    )
    dead_letter_pause_at_most: timedelta = setting(
        timedelta(hours=1), "The longest pause between two attempts at a parked message."
    )
    dead_letter_poll: timedelta = setting(
        timedelta(seconds=1), "How often a worker looks for parked messages that are due. One indexed query a module."
    )
    deaths_at_most: int = setting(
        3,
        "A batch that ended its worker this many times is applied one message at a time. The message at which the "
        "worker ends then is parked and retried, and is dead after this many more crashes. Fewer would suspect "
        "messages that were only there when something else struck.",
    )

    check_lag_at_most: int = setting(
        10_000, "Messages that a subscription may be behind before `manage.py streams --check` and the admin name it."
    )
    check_unsent_at_most: timedelta = setting(
        timedelta(seconds=60), "How long a message may wait to be sent before the check names its module."
    )
    check_still_at_most: timedelta = setting(
        timedelta(seconds=60),
        "How long a subscription may take nothing from a stream, while messages wait there, before the check names it.",
    )
    check_retried_at_most: timedelta = setting(
        timedelta(minutes=10),
        "How long a parked message may be retried before the check names it: longer than the outages that retries are "
        "for, short enough to look before it is dead.",
    )
    check_transaction_at_most: timedelta = setting(
        timedelta(minutes=5),
        "How old a transaction of any session in a module's database may be before the check names it: while it is "
        "open, every pass of relay and worker steps over what it could still see.",
    )

    @property
    def tls_files(self) -> Files | None:
        """This process's certificate, its key and the authorities; None where TLS is off."""
        if not self.tls_certificate:
            return None
        return Files(Path(self.tls_certificate), Path(self.tls_key), Path(self.tls_ca))

    @classmethod
    def read(cls, environ: Mapping[str, str], *, required: tuple[str, ...] = (), **defaults: Any) -> "Declared":
        """The configuration in `environ`; `defaults` go before the fields' own.

        Raises ImproperlyConfigured naming every missing or malformed variable at once.
        """
        reading = examine(cls, environ, required=required, defaults=defaults)
        refuse([*reading.problems, *contradictions(reading.values)])
        return cls(**reading.values)


def contradictions(values: Mapping[str, Any]) -> list[str]:
    """What is wrong between settings that are well-formed each; `values` lacks those that are not."""
    wrong = [
        f"{first.upper()} is longer than {limit.upper()}: set it to less."
        for first, limit in (
            ("announce_first", "announce_at_most"),
            ("queue_check", "queue_expiry"),
            ("dead_letter_pause", "dead_letter_pause_at_most"),
            ("shutdown_delay", "shutdown_grace"),
            ("database_lock_timeout", "database_statement_timeout"),
            ("database_statement_timeout", "job_time_limit"),
            ("transient_retry", "job_time_limit"),
        )
        if first in values and limit in values and values[first] > values[limit]
    ]
    return [*wrong, *_ambiguous_keys(values), *_unsafe_identities(values)]


def _ambiguous_keys(values: Mapping[str, Any]) -> list[str]:
    """Where a module's own SIGNING_KEY goes before the general SIGNING_KEY_FILE, it is not what that file holds."""
    file, material = values.get("signing_key_file"), values.get("signing_key")
    if file and material and Path(file).read_text(encoding="utf-8").strip() != material.strip():
        return ["SIGNING_KEY_FILE and a module's own SIGNING_KEY are both set: keep one of them."]
    return []


def _unsafe_identities(values: Mapping[str, Any]) -> list[str]:
    files = {name: values.get(name.lower(), "malformed") for name in ("TLS_CERTIFICATE", "TLS_KEY", "TLS_CA")}
    if missing := [name for name, path in files.items() if not path]:
        if len(missing) < len(files):
            return [f"{' and '.join(missing)} must be set too: TLS_CERTIFICATE, TLS_KEY and TLS_CA go together."]
        return []
    wrong = []
    if values.get("jwks_url", "").startswith("http://"):
        wrong.append("JWKS_URL must be https:// where TLS_CERTIFICATE is set: keys read in clear can be exchanged.")
    if values.get("broker_url", "").startswith("redis") and not values.get("broker_without_logins"):
        wrong.append(
            "BROKER_URL is Redis's, where a message cannot be traced to its sender, and TLS_CERTIFICATE is set: use "
            "RabbitMQ, or set BROKER_WITHOUT_LOGINS=true where every service may send in the name of every other."
        )
    return wrong
