"""Tables and numbers of generated pages."""

import platform

import rbt_ray as rbt


def row(*cells):
    return "| " + " | ".join(cells) + " |"


def table(head, rows):
    return [row(*head), "|" + "---|" * len(head), *(row(*cells) for cells in rows)]


def length(seconds):
    """Such as 10 µs."""
    for unit, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= unit * 0.999:
            return f"{seconds / unit:g} {name}"
    raise ValueError(seconds)


def replace_part(page, script, lines):
    """Replaces what a script wrote to a page, between the lines `<!-- SCRIPT -->` and `<!-- end of SCRIPT -->`."""
    before, start, rest = page.read_text().partition(f"<!-- {script} -->\n")
    end = f"<!-- end of {script} -->"
    _, found, after = rest.partition(end)
    if not (start and found):
        raise SystemExit(f"{page} has no part for {script}: add `<!-- {script} -->` and `{end}`.")
    measured = (
        f"Measured by `benchmarks/{script}` with rbt_ray {rbt.__version__} and Python {platform.python_version()} on "
        f"{platform.machine()}."
    )
    page.write_text("\n".join([f"{before}<!-- {script} -->", measured, "", *lines, f"{end}{after}"]))
