"""Which requests the guard of the live page lets through, for any header and path."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from rbt_ray.live.guard import Guard

TOKEN, PORT = "t0ken_of-page", 8123
HOST = f"127.0.0.1:{PORT}".encode()
NAMES = (b"host", b"origin", b"sec-fetch-site")
texts = st.binary(max_size=12)
values = {
    b"host": st.one_of(texts, st.sampled_from([HOST, b"localhost:8123", b"127.0.0.1", b"evil.example:8123"])),
    b"origin": st.one_of(
        texts, st.sampled_from([b"http://" + HOST, b"null", b"http://evil.example", b"https://" + HOST])
    ),
    b"sec-fetch-site": st.one_of(texts, st.sampled_from([b"none", b"same-origin", b"same-site", b"cross-site"])),
}
headers = st.lists(st.sampled_from(NAMES).flatmap(lambda name: st.tuples(st.just(name), values[name])), max_size=5)
paths = st.one_of(st.text(max_size=20), st.just(f"/{TOKEN}/events"), st.just(f"/{TOKEN}"), st.just(f"//{TOKEN}/events"))


def answer(method, path, given_headers):
    """Returns the status, and the path that the application behind the guard got: None if it got nothing."""
    got, sent = [], []

    async def app(scope, _receive, send):
        got.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": given_headers}
    with suppress(StopIteration):  # it waits for nothing, so it needs no event loop
        Guard(app, TOKEN, PORT)(scope, None, send).send(None)
    assert dict(sent[0]["headers"])[b"cache-control"] == b"no-store"
    return sent[0]["status"], got[0] if got else None


def test_the_own_page_gets_its_path_without_the_token():
    own = [(b"host", HOST), (b"origin", b"http://" + HOST), (b"sec-fetch-site", b"same-origin")]
    assert answer("POST", f"/{TOKEN}/stop", own) == (200, "/stop")
    assert answer("GET", f"/{TOKEN}/", own[:1]) == (200, "/")
    assert answer("GET", f"/{TOKEN}x/", own[:1]) == (404, None)


@given(st.sampled_from(["GET", "POST", "OPTIONS"]), paths, headers)
def test_only_the_own_page_gets_an_answer(method, path, given_headers):
    found = {name: [value for key, value in given_headers if key == name] for name in NAMES}
    hosts = found[b"host"]
    allowed = (
        len(hosts) == 1
        and hosts[0] in (HOST, b"localhost:8123")
        and all(one == b"http://" + hosts[0] for one in found[b"origin"])
        and (method != "POST" or len(found[b"origin"]) > 0)
        and all(one in (b"none", b"same-origin") for one in found[b"sec-fetch-site"])
        and path.lstrip("/").startswith(TOKEN)
        and path[1 : len(TOKEN) + 1] == TOKEN
        and path[len(TOKEN) + 1 :][:1] in ("", "/")
    )
    assert (answer(method, path, given_headers)[1] is not None) == allowed
