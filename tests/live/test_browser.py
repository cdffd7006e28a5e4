"""The live page in a real browser: it changes without a reload, its button stops the study, other sites get nothing."""

import http.server
import threading
from contextlib import contextmanager

import pytest

from tests import chromium
from tests.live.browser import browsing
from tests.live.studies import N, running, watched

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TRIALS = "Number(document.getElementById('trials').textContent)"
STATE = "document.body.dataset.state"


@pytest.fixture
def browser(tmp_path):
    with browsing(chromium.path_for("the live page"), tmp_path / "profile") as made:
        yield made


@contextmanager
def site():
    """The address of another site, with an empty page."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<title>evil</title>")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_figures_change_without_a_reload_and_the_button_stops_the_study(tmp_path, browser):
    with running(tmp_path) as driver, watched(tmp_path / "mine") as address:
        browser.open(address)
        n = browser.wait_for(f"{STATE} === 'running' && {TRIALS} >= 2 && {TRIALS}")
        browser.run("window.sameDocument = true")
        assert browser.run("document.querySelectorAll('#chart path').length") == 1
        before = browser.run("document.querySelector('#chart path').getAttribute('d')")
        assert browser.run("document.getElementById('sure').hidden")
        browser.run("document.getElementById('ask').click()")
        assert browser.run("!document.getElementById('sure').hidden && document.getElementById('ask').hidden")
        browser.run("document.getElementById('yes').click()")
        assert "All results are kept" in browser.wait_for(
            "!document.getElementById('said').hidden && document.getElementById('said').textContent"
        )
        (tmp_path / "go").touch()
        assert driver.wait(60) == 130
        browser.wait_for(f"{STATE} === 'stopped' && !document.getElementById('resume').hidden")
        assert n <= browser.run(TRIALS) < N
        with running(tmp_path):  # the driver is restarted
            browser.wait_for(f"{STATE} === 'done' && {TRIALS} === {N}")
        assert browser.run("window.sameDocument") is True
        assert browser.run("document.querySelector('#chart path').getAttribute('d')") != before
        assert browser.run("document.getElementById('config').textContent") == "x 33"
        assert browser.run("document.title") == "mine"
        assert browser.run("fetch('report').then((answer) => answer.text())").count("<title>mine</title>") == 1
        assert browser.console == []
    browser.wait_for(f"{STATE} === 'lost'")  # the server has ended, and the page says so


def test_a_page_of_another_site_gets_nothing(tmp_path, browser):
    with running(tmp_path) as driver, watched(tmp_path / "mine") as address, site() as other:
        browser.open(other)
        for name in ("", "events", "report"):
            assert browser.run(f"fetch('{address}{name}').then(() => 'read', () => 'nothing')") == "nothing"
            assert (
                browser.run(f"fetch('{address}{name}', {{mode: 'no-cors'}}).then(() => 'read', () => 'nothing')")
                == "nothing"
            )
        stop = f"fetch('{address}stop', {{method: 'POST', mode: 'no-cors'}}).then(() => 'sent', () => 'nothing')"
        assert browser.run(stop) in ("sent", "nothing")
        script = (
            "new Promise((done) => { const made = document.createElement('script'); made.onload = () => done('ran'); "
        )
        script += f"made.onerror = () => done('nothing'); made.src = '{address}live.js'; document.head.append(made) }})"
        assert browser.run(script) == "nothing"
        events = f"new Promise((done) => {{ const made = new EventSource('{address}events'); "
        events += "made.onmessage = () => done('read'); made.onerror = () => done('nothing') })"
        assert browser.run(events) == "nothing"
        assert driver.poll() is None
        browser.open(address)
        browser.wait_for(f"{STATE} === 'running' && document.getElementById('said').hidden")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_everything_fits_in_the_window(tmp_path, browser, width, dark):
    browser.resize(width, 900, dark=dark)
    with running(tmp_path), watched(tmp_path / "mine") as address:
        browser.open(address)
        browser.wait_for(f"{TRIALS} >= 2")
        assert browser.run("document.documentElement.scrollWidth") <= width
        colours = browser.run(
            "(({color, backgroundColor}) => [color, backgroundColor])(getComputedStyle(document.body))"
        )
        brightness = [sum(int(part) for part in one[4:-1].split(",")) for one in colours]
        assert (brightness[0] > brightness[1]) == dark
        assert abs(brightness[0] - brightness[1]) > 500
