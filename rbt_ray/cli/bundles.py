"""The commands about bundles."""

from __future__ import annotations

import sys
from pathlib import Path

from rbt_ray.cli.tables import print_json
from rbt_ray.data import registry


def ingest(name: str, source: Path, *, fix: tuple[str, ...], periods_per_year: float | None) -> int:
    """Registers prices and says what came of it."""
    bundle = registry.ingest(name, source, fix=fix, periods_per_year=periods_per_year)
    print(repr(bundle))
    return 0


def list_all(*, as_json: bool) -> int:
    """A line a bundle."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    found = registry.list_bundles()
    if as_json:
        print_json([vars_of(info) for info in found])
        return 0
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    for name in vars_of(found[0]):
        table.add_column(name)
    for info in found:
        table.add_row(*(Text(str(value)) for value in vars_of(info).values()))
    Console(file=sys.stdout).print(table)
    return 0


def show(name: str, *, as_json: bool) -> int:
    """What is in a bundle."""
    bundle = registry.load_bundle(name)
    facts = {
        "name": bundle.name,
        "version": bundle.version,
        "n_bars": bundle.n_bars,
        "first": str(bundle.index[0]),
        "last": str(bundle.index[-1]),
        "symbols": list(bundle.symbols),
        "fields": list(bundle.fields),
        "periods_per_year": bundle.periods_per_year,
        **bundle.metadata,
    }
    if as_json:
        print_json(facts)
        return 0
    width = max(len(key) for key in facts)
    for key, value in facts.items():
        print(f"{key:<{width}}  {', '.join(value) if isinstance(value, list) else value}")
    return 0


def remove(name: str) -> int:
    """Removes a bundle."""
    registry.remove_bundle(name)
    print(f"removed {name}")
    return 0


def vars_of(info: object) -> dict[str, object]:
    """A listed bundle as plain values."""
    import dataclasses

    return dataclasses.asdict(info)  # type: ignore[call-overload,no-any-return]
