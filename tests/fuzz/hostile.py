"""Input that breaks programs (text, numbers, bytes), and the check that errors are proper messages."""

import math

from hypothesis import strategies as st

from rbt_ray.errors import RbtError

TEXTS = st.one_of(
    st.sampled_from(
        [
            "",
            " ",
            ".",
            "..",
            "../x",
            "/etc/passwd",
            "a/b",
            "a\\b",
            "-x",
            "--help",
            "~root",
            "$HOME",
            "%s%n",
            "{0}",
            "{x!r}",
            "nan",
            "\x00",
            "a\x00b",
            "\x1b[31mred\x1b[0m",
            "a\nb",
            "\r",
            "\u202eabc",
            "\ufeff",
            "é" * 60,
            "x" * 5_000,
            "<script>alert(1)</script>",
            "s3://key:secret@nowhere/x",
            "file:///proc/self/mem",
            "CON",
            "日本",
        ]
    ),
    st.text(max_size=12),
)
NUMBERS = st.one_of(
    st.sampled_from(
        [0, -1, 1, 2, 3, 7, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**18, 10**30, 10**400, -(10**400)]
    ),
    st.sampled_from(
        [0.0, -0.0, 0.1, 0.5, 1.0, 1.5, 5e-324, 1e-300, 1e300, 1.7e308, -1.7e308, math.nan, math.inf, -math.inf]
    ),
    st.integers(-300, 300),
    st.floats(),
)
SCALARS = st.one_of(NUMBERS, TEXTS, st.booleans())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def damaged(draw, sound):
    """Damages valid bytes: cuts, overwrites, removes, inserts or duplicates pieces."""
    content = bytearray(draw(sound))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        width = draw(st.sampled_from([1, 1, 1, 2, 4, 8, 64]))
        match draw(st.sampled_from(["flip", "overwrite", "cut", "remove", "insert", "double"])):
            case "flip" if content:
                content[at] ^= 1 << draw(st.integers(0, 7))
            case "overwrite":
                content[at : at + width] = (
                    draw(st.sampled_from([b"\x00", b"\xff", b"\x7f", b"\x80"])) * width
                    if draw(st.booleans())
                    else draw(st.binary(min_size=width, max_size=width))
                )
            case "cut":
                del content[at:]
            case "remove":
                del content[at : at + width]
            case "insert":
                content[at:at] = draw(st.binary(min_size=1, max_size=width))
            case "double":
                content[at:at] = content[at : at + width]
    return bytes(content)


def refused(call):
    """Returns whether the call refused its input with an error of rbt_ray. Other errors are raised."""
    try:
        call()
    except RbtError as error:
        check_sentence(str(error))
        return True
    return False


def check_sentence(text):
    assert text.strip(), "an error without a word"
    assert "Traceback" not in text
    assert text.rstrip()[-1] in ".?)", f"no sentence: {text[-200:]!r}"
