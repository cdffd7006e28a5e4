"""The machine and versions of a measurement."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def machine(packages):
    """Returns cores, processor, memory, system, Python and versions of these packages; None for a missing one."""

    def known(name):
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    return {
        "cores": os.cpu_count(),
        "processor": processor(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "packages": {name: known(name) for name in packages},
    }


def processor():
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return model[0] if model else platform.processor() or platform.machine()


def machine_line(found):
    """Returns a sentence on the machine and the installed packages."""
    packages = ", ".join(f"{name} {number}" for name, number in found["packages"].items() if number)
    return (
        f"{found['cores']} cores of {found['processor']}, {found['memory_gib']} GiB, {found['system']}, "
        f"Python {found['python']}; {packages}."
    )
