"""`python -m bench [drain latency growth publish gateway]`: run these, or all, and print a table of each."""

import argparse
import os

import django

from bench import drain, gateway, growth, latency, publish


def main() -> None:
    """Run what is asked for."""
    scenarios = {
        "drain": print_drain,
        "latency": print_latency,
        "growth": print_growth,
        "publish": print_publish,
        "gateway": print_gateway,
    }
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("scenario", nargs="*", choices=[[], *scenarios], help="default: all")
    for name in parser.parse_args().scenario or scenarios:
        scenarios[name]()


def print_drain() -> None:
    """Rates, and their part of the limit."""
    rates = drain.run()
    print(f"drain of {drain.COUNT:,} messages, messages/s, median of {drain.ROUNDS}")
    for name, rate in rates.items():
        print(f"  {name:<20}{rate:>10,.0f}{rate / rates['limit']:>8.2f} of the limit", flush=True)


def print_latency() -> None:
    """Percentiles of each rate."""
    print("from before COMMIT to applied, ms")
    for name, rates in latency.run().items():
        for rate, (median, worst) in rates.items():
            print(f"  {name:<10}at {rate:>3}/s   p50 {median:>6.1f}  p99 {worst:>6.1f}", flush=True)


def print_growth() -> None:
    """Rates and memory."""
    print("a long history, messages/s and MiB")
    for name, figure in growth.run().items():
        print(f"  {name:<20}{figure:>12,.1f}", flush=True)


def print_publish() -> None:
    """A transaction with and without a message."""
    took = publish.run()
    print("a transaction, ms, best of 5 rounds of 400")
    for name, figure in took.items():
        print(f"  {name:<20}{figure:>8.3f}{figure / took['insert']:>8.2f} of the insert", flush=True)


def print_gateway() -> None:
    """The same request beside the gateway and through it."""
    figures = gateway.run()
    print(f"GET {gateway.PATH} over TLS with {gateway.CLIENTS} clients, median of {gateway.ROUNDS} rounds")
    for name, each in figures.items():
        print(f"  {name:<10}{each.rate:>8,.0f}/s   p50 {each.median:>6.1f} ms  p99 {each.worst:>6.1f} ms", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pangaea.settings.local")
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    django.setup()
    main()
