"""The `bundle` commands."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from rbt_ray.cli.streams import visible
from rbt_ray.cli.tables import print_json
from rbt_ray.data import registry, times
from rbt_ray.data.holes import coverage, describe
from rbt_ray.errors import BundleError


def ingest(
    name: str,
    source: Path,
    *,
    fix: tuple[str, ...],
    periods_per_year: float | None,
    symbol: str | None,
    listed_until: tuple[str, ...],
) -> int:
    """Registers prices as a bundle and prints a summary."""
    bundle = registry.ingest(
        name,
        source,
        fix=fix,
        periods_per_year=periods_per_year,
        symbol=symbol,
        listed_until=_ends(listed_until) if listed_until else None,
    )
    print(visible(repr(bundle)))
    if holes := describe(coverage(bundle)):
        print(visible(holes))
    return 0


def _ends(declared: tuple[str, ...]) -> dict[str, str]:
    """Parses texts such as ENRN=2001-11-29 to a time for each symbol."""
    ends = dict(text.rpartition("=")[::2] for text in declared)
    if "" in ends or len(ends) < len(declared):
        raise BundleError(
            "`--listed-until` takes SYMBOL=TIME, such as ENRN=2001-11-29, once per symbol; got "
            f"{', '.join(map(repr, declared))}."
        )
    return ends


def list_all(*, as_json: bool) -> int:
    """Prints one line per bundle."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    found = registry.list_bundles()
    if as_json:
        print_json([dataclasses.asdict(info) for info in found])
        return 0
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    for name in ("name", "bars", "symbols", "fields", "from", "to", "MB"):
        table.add_column(name, justify="right" if name in ("bars", "symbols", "MB") else "left")
    for info in found:
        if info.error is not None:
            table.add_row(Text(info.name), Text(visible(info.error), style="red"))
            continue
        facts = (
            info.name,
            f"{info.n_bars:,}",
            str(len(info.symbols)),
            ", ".join(info.fields),
            str(info.start)[:10],
            str(info.end)[:10],
            f"{info.nbytes / 1e6:.1f}",
        )
        table.add_row(*(Text(visible(fact)) for fact in facts))
    Console(file=sys.stdout).print(table)
    return 0


def show(name: str, *, as_json: bool) -> int:
    """Prints a bundle's contents."""
    bundle = registry.load_bundle(name)
    covered = coverage(bundle)
    ends = {symbol: times.text(end, bundle.tz) for symbol, end in bundle.listed_until.items()}
    facts = {
        "name": bundle.name,
        "version": bundle.version,
        "n_bars": bundle.n_bars,
        "from": times.text(bundle.index[0], bundle.tz),
        "to": times.text(bundle.index[-1], bundle.tz),
        "symbols": list(bundle.symbols),
        "fields": list(bundle.fields),
        "periods_per_year": bundle.periods_per_year,
        **bundle.metadata,
    }
    if as_json:
        bars = {
            symbol: {**dataclasses.asdict(found), "share_missing": found.share} for symbol, found in covered.items()
        }
        print_json({**facts, "listed_until": ends, "coverage": bars})
        return 0
    if ends:
        facts["listed until"] = [f"{symbol} {end}" for symbol, end in ends.items()]
    facts["missing bars"] = describe(covered).removeprefix("bars without a close: ") or "none"
    width = max(len(key) for key in facts)
    for key, value in facts.items():
        print(visible(f"{key:<{width}}  {', '.join(value) if isinstance(value, list) else value}"))
    return 0


def remove(name: str) -> int:
    """Removes a bundle."""
    registry.remove_bundle(name)
    print(f"removed {name}")
    return 0
