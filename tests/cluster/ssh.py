"""Ssh between hosts, with one key for all."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.cluster.hosts import HOME, Host

_CONFIG = """
ListenAddress {address}
HostKey {keys}/host
AuthorizedKeysFile {keys}/user.pub
PidFile none
StrictModes no
UsePAM no
UseDNS no
PasswordAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
MaxSessions 100
Subsystem sftp internal-sftp
"""


class Ssh:
    """An ssh key, and servers that accept it.

    Args:
        folder: where the keys go; seen by all hosts.
        client: the host that gets the user's private key.
    """

    def __init__(self, folder: Path, client: Host) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700)
        for name in ("host", "user"):
            client.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name])
        client.run(["install", "-D", "-m", "600", folder / "user", HOME / ".ssh/id_ed25519"])

    def serve(self, host: Host) -> None:
        """Starts a server on the host."""
        config = host.folder / "sshd.conf"
        config.write_text(_CONFIG.format(address=host.address, keys=self._folder))
        server = shutil.which("sshd", path=host.env["PATH"])
        assert server is not None
        host.run([server, "-f", config, "-E", host.folder / "sshd.log"])
