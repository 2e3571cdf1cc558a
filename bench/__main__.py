"""`python -m bench [--volatile] [drain latency growth …]`: run these scenarios, or all, and print a table of each.

The PostgreSQL is durable; with `--volatile` it may lose what it committed, and a commit costs next to nothing.
"""

import argparse
import logging
import os

from bench import drain, gateway, growth, latency, publish, servers, writers


def main() -> None:
    """Run the scenarios that the arguments name."""
    scenarios = {
        "drain": print_drain,
        "latency": print_latency,
        "growth": print_growth,
        "publish": print_publish,
        "writers": print_writers,
        "gateway": print_gateway,
    }
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenario", nargs="*", choices=[[], *scenarios], help="default: all")
    parser.add_argument("--volatile", action="store_true", help="fsync and synchronous_commit off")
    asked = parser.parse_args()
    if asked.volatile and os.environ.get("TEST_POSTGRES_URL"):
        parser.error("--volatile is for a server that this run starts: unset TEST_POSTGRES_URL")
    servers.volatile = asked.volatile
    for name in asked.scenario or scenarios:
        scenarios[name]()


def title(text: str) -> None:
    """The first lines of a table: what was measured, and on which server."""
    print(f"{text}\n  on {servers.measured}", flush=True)


def print_drain() -> None:
    """Rates, and their ratio to the limit."""
    rates = drain.run()
    title(f"drain of {drain.COUNT:,} messages, messages/s, median of {drain.ROUNDS}")
    for name, rate in rates.items():
        print(f"  {name:<20}{rate:>10,.0f}{rate / rates['limit']:>8.2f} of the limit", flush=True)


def print_latency() -> None:
    """Percentiles of each rate."""
    found = latency.run()
    title("from before COMMIT to applied, ms")
    for name, rates in found.items():
        for rate, (median, worst) in rates.items():
            print(f"  {name:<10}at {rate:>3}/s   p50 {median:>6.1f}  p99 {worst:>6.1f}", flush=True)


def print_growth() -> None:
    """Rates and memory."""
    found = growth.run()
    title("a long history, messages/s and MiB")
    for name, figure in found.items():
        print(f"  {name:<20}{figure:>12,.1f}", flush=True)


def print_publish() -> None:
    """A transaction with and without a message."""
    took = publish.run()
    title("a transaction, ms, best of 5 rounds of 400")
    for name, figure in took.items():
        print(f"  {name:<20}{figure:>8.3f}{figure / took['insert']:>8.2f} of the insert", flush=True)


def print_writers() -> None:
    """Transactions per second of many concurrent writers, without an outbox row and with one."""
    rates = writers.run()
    title(f"{writers.PROCESSES * writers.THREADS} writers at once, transactions/s, median of {writers.ROUNDS}")
    for name, rate in rates.items():
        print(f"  {name:<20}{rate:>10,.0f}{rate / rates['insert']:>8.2f} of the insert", flush=True)
    print(f"  published and woken  {rates['published'] / rates['wake-up off']:.2f} of the same with the wake-up off")


def print_gateway() -> None:
    """The same request, sent directly and through the gateway."""
    figures = gateway.run()
    title(f"GET {gateway.PATH} over TLS with {gateway.CLIENTS} clients, median of {gateway.ROUNDS} rounds")
    for name, each in figures.items():
        print(f"  {name:<10}{each.rate:>8,.0f}/s   p50 {each.median:>6.1f} ms  p99 {each.worst:>6.1f} ms", flush=True)


if __name__ == "__main__":
    # `deploy` has set Django up.
    logging.getLogger().setLevel(os.environ.get("LOG_LEVEL", "WARNING"))
    main()
