"""A headless Chromium that a test drives through its debugging pipe, without a port."""

import json
import os
import subprocess
import time
from contextlib import contextmanager


class Browser:
    """One page of a browser. `console` has what its scripts logged, and errors of the page."""

    def __init__(self, to, of):
        self._to, self._of = to, of
        self._n = 0
        self.console = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = None
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        """Calls a method of the browser, or of its page once there is one, and returns the result."""
        self._n += 1
        message = {"id": self._n, "method": method, "params": params}
        if getattr(self, "_session", None):
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        self._to.flush()
        while True:
            found = self._read()
            if found.get("id") == self._n:
                assert "error" not in found, found
                return found["result"]
            if found.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
                self.console.append(found["params"])

    def _read(self):
        content = bytearray()
        while (byte := self._of.read(1)) != b"\0":
            assert byte, "the browser ended"
            content += byte
        return json.loads(content)

    def run(self, script):
        """Returns the value of an expression in the page; of a promise, once it has one."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def open(self, address):
        """Goes to an address."""
        self.call("Page.navigate", url=address)
        self.wait_for(f"document.readyState === 'complete' && location.href === {json.dumps(address)}")

    def wait_for(self, script, seconds=60):
        """Waits until an expression is true, and returns its value."""
        deadline = time.monotonic() + seconds
        while not (found := self.run(script)):
            assert time.monotonic() < deadline, f"never: {script}; the page: {self.run('document.body.innerText')}"
        return found

    def resize(self, width, height, *, dark=False):
        """Sets the window's size in pixels and the user's colour scheme."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])


@contextmanager
def browsing(chromium, profile):
    """Starts a browser with a profile folder of its own, and ends it."""
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
        f"--user-data-dir={profile}",
        "--remote-debugging-pipe",
    ]
    read_by_browser, to = os.pipe()
    of, written_by_browser = os.pipe()
    high = [os.dup(one) for one in (read_by_browser, written_by_browser)]

    def take_descriptors():
        os.dup2(high[0], 3)
        os.dup2(high[1], 4)

    process = subprocess.Popen(
        command,
        preexec_fn=take_descriptors,
        pass_fds=(3, 4, *high),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    for one in (read_by_browser, written_by_browser, *high):
        os.close(one)
    try:
        with os.fdopen(to, "wb") as writing, os.fdopen(of, "rb", 0) as reading:
            yield Browser(writing, reading)
    finally:
        process.terminate()
        process.wait(30)
