"""Every environment variable that Pangaea reads: its type, its default, its validator, and why.

`docs/settings.md` and `.env.example` are rendered from this file. A value may be given as a file:
`SECRET_KEY_FILE=/run/secrets/key`. A process with one module reads `ORDERS_RELAY_BATCH` before `RELAY_BATCH`. Besides
these, `<MODULE>_DATABASE_URL` gives a module its own database.

It is long because it is one list: what can be set is declared here, and nowhere else.
"""

from dataclasses import Field, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from pangaea.configuration import validators
from pangaea.configuration.validators import Validator
from pangaea.credentials.mutual_tls import Files


def setting(
    default: Any,
    why: str,
    *,
    env: str | None = None,
    secret: bool = False,
    validator: Validator | None = None,
    deployed: Validator | None = None,
    per_module: bool = True,
    owned: bool = False,
    within: str = "",
    lines: bool = False,
) -> Any:
    """A field of Declared: read from `env` (the field's name in capitals by default), else `default`.

    The `validator` checks the text, of a list each item; an empty text only if the default is not empty. In a deployed
    profile `deployed` checks it as well. With `per_module`, `<MODULE>_…` overrides the variable in a process that runs
    only that module. With `owned`, `<MODULE>_…` is instead a separate setting of the same type, which only a deployed
    profile reads. `within` names the setting that this one may not exceed. `lines`: the text may have several lines.
    """
    metadata = {"why": why, "env": env, "secret": secret, "validator": validator, "deployed": deployed}
    metadata |= {"per_module": per_module and not owned, "owned": owned, "within": within, "lines": lines}
    return field(default=default, metadata=metadata)


_MILLISECONDS = "PostgreSQL counts whole milliseconds in 31 bits, and 0 would be no limit"


@dataclass(frozen=True, kw_only=True)
class Declared:
    """The configuration of one process, read once and passed around as a whole: `settings.PANGAEA`."""

    modules: tuple[str, ...] = setting(
        (),
        "The modules of this process, by label, separated by commas. Unset: every package in modules/. A service must "
        "set it.",
        env="PANGAEA_MODULES",
        per_module=False,
    )
    modules_package: str = setting(
        "modules",
        "The Python package whose sub-packages are the modules.",
        env="PANGAEA_MODULES_PACKAGE",
        per_module=False,
    )
    secret_key: str = setting(
        "",
        "Django's signing key for sessions of the admin: 50 random characters or more.",
        secret=True,
        deployed=validators.random,
    )
    secret_key_fallbacks: tuple[str, ...] = setting(
        (),
        "Further keys, separated by commas, whose signatures are accepted; nothing is signed with them. For a "
        "rotation: first the next SECRET_KEY, before it signs; then the former one.",
        secret=True,
        validator=validators.word,
        deployed=validators.random,
    )
    unverified_hosts: tuple[str, ...] = setting(
        (),
        "Hosts of databases, brokers and key servers that may be reached without verified TLS, separated by commas: "
        "for networks that are protected in another way. All other hosts need sslmode=verify-full, amqps, rediss or "
        "https.",
        validator=validators.exact_host,
    )
    allowed_hosts: tuple[str, ...] = setting(
        (),
        "The host names that this deployment answers to, separated by commas.",
        validator=validators.host,
        deployed=validators.no_wildcard,
    )
    csrf_trusted_origins: tuple[str, ...] = setting(
        (),
        "Origins (https://host) from which the admin's forms may be sent, when a proxy changes the host.",
        validator=validators.origin,
    )
    cors_origins: tuple[str, ...] = setting(
        (),
        "Origins of web pages (https://shop.example) that may call the API from a browser, separated by commas. Render "
        "the gateway's configuration with the same value.",
        validator=validators.page_origin,
        per_module=False,
    )
    admin_idle_timeout: timedelta = setting(
        timedelta(minutes=30), "After this time without a request an operator has to log in to the admin again."
    )
    secure_cookies: bool = setting(
        default=True,
        why="Send the admin's cookies over TLS only. Turn it off only where the admin is reached without TLS.",
    )
    trust_forwarded_proto: bool = setting(
        default=False, why="Trust the header X-Forwarded-Proto. Only behind a proxy that always sets it."
    )
    api_documents_public: bool = setting(
        default=False,
        why="Publish the API documents: /api/docs/ and /api/schema/. Otherwise these answer "
        "404, and operators find the documents below the admin. Render the gateway's configuration with the same "
        "value. The local profile turns it on.",
    )
    trusted_proxies: int = setting(
        0,
        "How many proxies a request passes, each of which appends its client's address to X-Forwarded-For: 1 behind "
        "the gateway alone. The client's address, which LOG_IN_FAILURES needs, is read from there. With 0 it is the "
        "connection's address, which behind a proxy is the same for all clients.",
    )

    log_in_failures: int = setting(
        5,
        "After this many failed log-ins to one account from one network (an IPv4 address or an IPv6 /64) the next "
        "attempt has to wait: one second, then twice as long after each failure, up to LOG_IN_PAUSE. More than people "
        "mistype in a row.",
    )
    log_in_failures_of_account: int = setting(
        20,
        "The same limit for one account from all networks together. Networks from which its password was given within "
        "the last 30 days are exempt, so that guesses from elsewhere do not lock the owner out.",
    )
    log_in_failures_of_network: int = setting(
        50,
        "The same limit for one network, all accounts together, with pauses up to LOG_IN_PAUSE_OF_NETWORK. Higher, "
        "because an office behind one address mistypes more often than one person.",
    )
    log_in_pause: timedelta = setting(
        timedelta(minutes=15),
        "The longest pause between two attempts to log in to an account, and the time after which one failure is "
        "forgotten. It leaves about 100 guesses per day, and the owner can log in again soon.",
    )
    log_in_pause_of_network: timedelta = setting(
        timedelta(minutes=1),
        "The same for one network. Shorter, because most of the people who share it did nothing wrong.",
    )

    password_hashes_at_once: int = setting(
        2,
        "How many passwords a web process hashes at once, each on its own core. As many again wait for up to two "
        "seconds; further ones are answered with 503. Keep twice this number below the process's threads (8 by "
        "default), which serve everything else.",
    )

    database_url: str = setting(
        "",
        "postgres://user:password@host/name: one database, in which every module has a schema and a role. The login "
        "may take each of the roles, so they only guard against mistakes; a <MODULE>_DATABASE_URL with its own login "
        "is a wall. Several hosts (h1:5432,h2:5432, with ?target_session_attrs=read-write), libpq's parameters and "
        "the server's settings (options=-c%20work_mem%3D8MB) may be given; what is not understood is refused.",
        secret=True,
        validator=validators.database,
        owned=True,  # a database in which the module logs in as itself
    )
    direct_database_url: str = setting(
        "",
        "The same database without a pooler, where DATABASE_URL goes through one that pools transactions (PgBouncer's "
        "pool_mode=transaction). Used for the relay's leader election, LISTEN and NOTIFY, and the locks of rebuilds "
        "and snapshots. Beside <MODULE>_DATABASE_URL, set <MODULE>_DIRECT_DATABASE_URL.",
        secret=True,
        validator=validators.database,
        owned=True,
    )
    database_connection_age: timedelta = setting(
        timedelta(seconds=60),
        "How long an idle connection is kept for the next request; opening one costs several milliseconds.",
    )
    database_answer_timeout: timedelta = setting(
        timedelta(seconds=20),
        "After this time without a TCP acknowledgement both ends close a connection to a database: the host lost its "
        "power, or a firewall dropped the connection. A shorter time closes connections on brief packet loss.",
        validator=validators.lasts("1s", "12h", "TCP counts whole seconds, and takes no longer ones"),
    )
    database_statement_timeout: timedelta = setting(
        timedelta(seconds=30),
        "The longest time that one statement of web, relay or worker may run. Longer than any statement of a request "
        "or a batch, and a tenth of JOB_TIME_LIMIT, since a message is tried three times. Commands of manage.py have "
        "no limit.",
        validator=validators.lasts("1ms", "24d", _MILLISECONDS),
        within="job_time_limit",
    )
    database_lock_timeout: timedelta = setting(
        timedelta(seconds=10),
        "The longest time that a statement of web, relay or worker waits for a lock. Then worker and relay retry it, "
        "and web answers 503. A third of TRANSIENT_RETRY, so that a batch is tried more than once.",
        validator=validators.lasts("1ms", "24d", _MILLISECONDS),
        within="database_statement_timeout",
    )
    database_login_connections: int = setting(
        60,
        "The CONNECTION LIMIT that `manage.py permissions` gives a PostgreSQL login for each alias that it serves: "
        "enough for three web processes with eight threads (27), two relays (6), two workers (8), and commands. "
        "Requests beyond it are answered with 503, so one module cannot use up all connections of the server.",
        validator=validators.at_most(10_000, "more processes than a server has room for"),
    )
    broker_url: str = setting(
        "",
        "The broker: amqps://… or rediss://…, or amqp and redis without TLS; of a cluster one URL per server, "
        "separated by semicolons. It may lose, repeat and reorder messages; no message is stored there alone.",
        secret=True,
        validator=validators.broker,
        deployed=validators.shared_broker,
    )
    broker_ca: str = setting(
        "",
        "File with the certificate authorities (PEM) that the broker (amqps, rediss) and its management API are "
        "verified against. Unset: those that the system trusts.",
        validator=validators.file_to_read,
    )
    broker_prefix: str = setting(
        "",
        "Prefix of every queue and exchange name, so that several installations can share one broker.",
        validator=validators.queue_prefix,
    )
    broker_logins: tuple[str, ...] = setting(
        (),
        "RabbitMQ users that send for modules of another name, as USER=MODULE, separated by commas: "
        "shop=users,shop=orders for the one user of a monolith, in a service that was extracted from it. The user in "
        "this process's own BROKER_URL is implied.",
        validator=validators.broker_login,
    )

    broker_without_logins: bool = setting(
        default=False,
        why="Allow Redis although TLS_CERTIFICATE is set. On Redis a message cannot be traced to its sender: every "
        "client that can write there can send in the name of any module.",
    )

    cache_url: str = setting(
        "",
        "The shared cache: rediss://user:password@host:6379/0, or redis without TLS. It counts the requests of quotas, "
        "and no data is stored there alone. Unset: a cache inside each process, so that each web process counts on its "
        "own, and N of them together allow N times a quota.",
        secret=True,
        validator=validators.cache,
    )
    cache_ca: str = setting(
        "",
        "File with the certificate authorities (PEM) that the cache (rediss) is verified against. Unset: those that "
        "the system trusts.",
        validator=validators.file_to_read,
    )
    cache_prefix: str = setting(
        "",
        "Prefix of every key in the cache, so that several installations can share one Redis database.",
        validator=validators.queue_prefix,
    )
    quota_factor: int = setting(
        1,
        "Multiplies every quota (Route.quotas), for an import or a load test. The gateway's limits have a factor of "
        "their own, `--limits`, where its configuration is written.",
        validator=validators.at_most(1_000_000, "RateLimit fields would have numbers that clients cannot read"),
    )

    issuer: str = setting(
        "https://pangaea.example",
        "The `iss` of access tokens: a URL that names this installation.",
        validator=validators.http_url,
    )
    audience: str = setting(
        "pangaea", "The `aud` of access tokens: for which system they are issued.", validator=validators.word
    )
    signing_key: str = setting(
        "",
        "The EC P-256 private key that signs access tokens, as PEM, JWK or JWK set; of several, the first one signs. "
        "Needed where the users module runs; elsewhere set JWKS_URL.",
        secret=True,
        validator=validators.signing_key,
        lines=True,
    )
    signing_key_file: str = setting(
        "",
        "File with SIGNING_KEY. It is reloaded when it changes, so `manage.py signing_keys` rotates keys without a "
        "restart.",
    )
    jwks_url: str = setting(
        "",
        "The URL of the keys that verify access tokens: /.well-known/jwks.json of the users service.",
        validator=validators.http_url,
    )
    jwks_identity: str = setting(
        "users",
        "The service that must answer at JWKS_URL when TLS_CERTIFICATE is set: a SPIFFE id, or a name in TRUST_DOMAIN.",
        validator=validators.service_name,
    )
    access_token_lifetime: timedelta = setting(
        timedelta(minutes=10),
        "How long an access token is valid. Tokens are not looked up, so a deactivated account keeps access this long.",
    )
    refresh_token_lifetime: timedelta = setting(timedelta(days=30), "How long a log-in lasts without a refresh.")
    refresh_grace: timedelta = setting(
        timedelta(seconds=10),
        "How long a used refresh token still returns its successor, for a second tab or after a lost response. Used "
        "later, it ends the log-in, because it may be stolen (RFC 9700, 4.14.2).",
    )
    login_lifetime: timedelta = setting(
        timedelta(days=90),
        "How long a log-in lasts at most, however often it is refreshed; then the password is needed.",
    )

    trust_domain: str = setting(
        "pangaea.local",
        "The trust domain of the SPIFFE ids that identify services: spiffe://pangaea.local/orders.",
        validator=validators.trust_domain,
    )
    tls_certificate: str = setting(
        "",
        "File with this service's certificate chain (PEM). With it the web process speaks only TLS, and only to "
        "callers with a certificate. It is reloaded when it changes. TLS_KEY and TLS_CA must be set too.",
        validator=validators.file_to_read,
    )
    tls_key: str = setting(
        "",
        "File with the private key of TLS_CERTIFICATE (PEM, without a passphrase).",
        validator=validators.file_to_read,
    )
    tls_ca: str = setting(
        "",
        "File with the certificate authorities (PEM) that callers' certificates are verified against.",
        validator=validators.file_to_read,
    )
    accepted_callers: tuple[str, ...] = setting(
        ("gateway",),
        "The callers that are accepted when TLS_CERTIFICATE is set: SPIFFE ids or names in TRUST_DOMAIN, separated by "
        "commas.",
        validator=validators.service_name,
    )

    log_level: str = setting(
        "INFO",
        "The lowest level that is logged: DEBUG, INFO, WARNING or ERROR.",
        validator=validators.choice("DEBUG", "INFO", "WARNING", "ERROR"),
    )
    log_format: str = setting(
        "json",
        "The format of log lines: json for machines, text for people. The local profile uses text.",
        validator=validators.choice("json", "text"),
    )
    local_state_dir: str = setting(
        ".local", "Folder in which the local profile keeps its SQLite files and its generated keys.", per_module=False
    )

    relay_batch: int = setting(
        250,
        "The most messages in one batch. They share the cost of a broker message: confirm, transaction, cursor. A "
        "batch that fails is applied in halves.",
    )
    relay_pass: int = setting(
        2000,
        "The most rows that the relay sequences in one transaction: a batch for each of eight streams. More only holds "
        "the locks longer.",
    )
    relay_poll: timedelta = setting(
        timedelta(seconds=1),
        "How often an idle relay polls for captured changes and rows inserted by hand, for which no commit wakes it. "
        "Also how fast a standby becomes leader.",
    )
    relay_takeover: timedelta = setting(
        timedelta(seconds=5),
        "When messages wait and none was sent for this long, a standby sends them too, although another relay leads: "
        "the leader may be frozen, or its lock may have outlived it.",
    )
    announce_first: timedelta = setting(
        timedelta(seconds=1),
        "An idle stream announces its last position after this time, then at growing intervals.",
        within="announce_at_most",
    )
    announce_at_most: timedelta = setting(
        timedelta(seconds=60),
        "The longest interval between two announcements: how long the loss of the last messages can go unnoticed.",
    )
    catch_up_renewal: timedelta = setting(
        timedelta(seconds=5), "After this time without progress a request for missed messages is repeated."
    )
    discarded_letter_retention: timedelta = setting(
        timedelta(days=365),
        "How long a discarded dead letter is kept, with the reason.",
    )
    idempotency_retention: timedelta = setting(
        timedelta(hours=24),
        "How long the answer to a request with an Idempotency-Key is kept, so that a repeat gets it again. A later "
        "repeat gets the resource in its present state instead, until 30 days after the request.",
        validator=validators.lasts("1s", "30d", "the key is forgotten after 30 days"),
    )
    api_calls_retention: timedelta = setting(
        timedelta(days=180),
        "How long the daily numbers of calls of the API are kept, per version, route and caller. They name callers by "
        "the ids of their accounts.",
    )
    health_host: str = setting(
        "127.0.0.1",
        "The address on which relay and worker answer probes at HEALTH_PORT. Use 0.0.0.0 for an orchestrator that "
        "probes from outside the container; the responses name modules and databases, and why a relay or a worker is "
        "interrupted.",
        validator=validators.listening_address,
    )
    health_port: int = setting(
        0,
        "The port on which a relay or a worker answers /livez, /readyz and /startupz; the web process serves them "
        "beside its API. Each process needs its own. 0: none.",
        validator=validators.at_most(65_535, "TCP has no higher port"),
    )
    disk_free_at_least: int = setting(
        100, "A process is not ready with less than this many MiB free where it writes (temporary files, SQLite)."
    )
    shutdown_delay: timedelta = setting(
        timedelta(seconds=2.5),
        "How long a web process goes on serving after SIGTERM, while /readyz answers 503. Longer than the load "
        "balancer takes to notice.",
        within="shutdown_grace",
    )
    shutdown_grace: timedelta = setting(
        timedelta(seconds=25),
        "How long a process may take after SIGTERM to finish its in-flight work, SHUTDOWN_DELAY included. Then it "
        "ends, and another process repeats the unfinished work. Less than the orchestrator's grace period before "
        "SIGKILL.",
    )
    queues_per_module: int = setting(
        1,
        "The number of queues that a module's partitions are spread over, 1 to 8. Each queue has one active consumer, "
        "so this is the module's parallelism.",
        validator=validators.at_most(8, "a stream has eight partitions"),
    )
    queue_length: int = setting(
        10_000,
        "The most batches in a queue; then the oldest is dropped, so that a stopped subscriber cannot fill the broker. "
        "The subscriber finds the gap and asks for the messages again.",
    )
    queue_bytes: int = setting(
        256 << 20,
        "The most bytes in a queue; then the oldest batches are dropped. The default holds 64 of the largest batches, "
        "or about 2,500 of 250 messages of 400 bytes. A longer backlog comes from the producer's outbox; a higher "
        "limit costs the broker's disk, or Redis's memory.",
        validator=validators.at_least(
            64 << 20, "each of a stream's eight partitions needs room for two of the largest batches"
        ),
    )
    queue_expiry: timedelta = setting(
        timedelta(minutes=5),
        "A queue without a consumer is deleted after this time, so that queues of former settings disappear; its "
        "messages are asked for again. Longer than a deployment leaves a module without a worker.",
    )
    queue_check: timedelta = setting(
        timedelta(seconds=5),
        "How often relays and workers verify that their queues and bindings exist, and workers that they are "
        "consuming.",
        within="queue_expiry",
    )
    transient_retry: timedelta = setting(
        timedelta(seconds=30),
        "How long a batch, all its parts together, is retried in place while the module's database is unavailable or "
        "in conflict. A message that fails alone after that is parked.",
        within="job_time_limit",
    )

    job_time_limit: timedelta = setting(
        timedelta(minutes=5),
        "A worker process that begins no further message for this long is killed, which counts as a crash; and a "
        "worker is not ready while one batch takes longer. More than any handler needs: other messages wait meanwhile.",
    )
    dead_letter_attempts: int = setting(
        12,
        "A parked message is dead after this many attempts: with the default pauses, after about three hours. Long "
        "enough to outlast an outage, short enough to be noticed on the same day.",
    )
    dead_letter_pause: timedelta = setting(
        timedelta(seconds=10),
        "The pause after the first failure of a parked message. It doubles with each failure; up to half of it is "
        "subtracted at random.",
        within="dead_letter_pause_at_most",
    )
    dead_letter_pause_at_most: timedelta = setting(
        timedelta(hours=1), "The longest pause between two attempts at a parked message."
    )
    dead_letter_poll: timedelta = setting(
        timedelta(seconds=1), "How often a worker looks for parked messages that are due: one indexed query per module."
    )
    crashes_at_most: int = setting(
        3,
        "A batch that crashed its worker this many times is suspected: it is applied one message at a time. The "
        "message at which the worker crashes then is parked and retried, and is dead after this many more crashes. "
        "With a lower number, unrelated crashes would count against the messages that were in flight.",
    )

    check_lag_at_most: int = setting(
        10_000,
        "How many messages a subscription may be behind before `manage.py streams --check` and the admin report it.",
    )
    check_unsent_at_most: timedelta = setting(
        timedelta(seconds=60), "How long a message may wait to be sent before the check reports its module."
    )
    check_still_at_most: timedelta = setting(
        timedelta(seconds=60),
        "How long a cursor may stand still while messages wait in its stream, before the check reports the "
        "subscription.",
    )
    check_retried_at_most: timedelta = setting(
        timedelta(minutes=10),
        "How long a parked message may be retried before the check reports it. Longer than a brief outage, and short "
        "enough that an operator sees it before it is dead.",
    )
    check_transaction_at_most: timedelta = setting(
        timedelta(minutes=5),
        "How old a transaction in a module's database may be before the check reports it. While it is open, dead rows "
        "are not vacuumed, and relay and worker scan them on every pass.",
    )

    @property
    def tls_files(self) -> Files | None:
        """This process's certificate, its key and the authorities; None where TLS is off."""
        if not self.tls_certificate:
            return None
        return Files(Path(self.tls_certificate), Path(self.tls_key), Path(self.tls_ca))


def variable(each: "Field[Any]") -> str:
    """The environment variable of a field."""
    return each.metadata["env"] or each.name.upper()
