"""Server-sent events as servers really write them, and as hostile ones might."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mar.pool.sse import EventReader, TooLong


def read(*pieces, **kwargs):
    reader = EventReader(**kwargs)
    return [data for piece in pieces for data in reader.feed(piece)] + reader.close()


@pytest.mark.parametrize(
    ("sent", "data"),
    [
        (b"data: a\n\ndata: b\n\n", ["a", "b"]),
        (b"data:a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]),
        (b"data: a\r\rdata: b\r\r", ["a", "b"]),
        (b"data: a\ndata: b\n\n", ["a\nb"]),  # one event of two lines
        (b": comment\n\nevent: x\nid: 1\nretry: 5\ndata: a\n\n", ["a"]),
        (b"\xef\xbb\xbfdata: a\n\n", ["a"]),  # a byte-order mark
        (b"data:  a\n\n", [" a"]),  # one blank belongs to the colon
        (b"data\n\n", [""]),
        (b"\n\n\n", []),
        (b"data: a\n", ["a"]),  # nothing follows, not even a blank line
        (b"data: a", ["a"]),
        (b"data: \xff\xfe\n\n", ["\ufffd\ufffd"]),
        ("data: ü😀\u2028x\n\n".encode(), ["ü😀\u2028x"]),  # a line separator of Unicode is none here
        (b"", []),
    ],
)
def test_every_spelling_is_read_alike_however_it_is_cut(sent, data):
    assert read(sent) == data
    assert read(*(sent[i : i + 1] for i in range(len(sent)))) == data


@given(
    st.lists(st.sampled_from([b"data: x", b"\n", b"\r", b"\r\n", b": c", b"data", b":", b"\xc3\xa9"])),
    st.lists(st.integers(0, 60)),
)
def test_where_pieces_end_changes_nothing(parts, cuts):
    sent = b"".join(parts)
    ends = sorted(min(cut, len(sent)) for cut in cuts)
    pieces = [sent[a:b] for a, b in zip([0, *ends], [*ends, len(sent)], strict=True)]
    assert read(*pieces) == read(sent)


@pytest.mark.parametrize("sent", [b"data: " + b"x" * 95, b"x" * 101, b"data: xxxx\n" * 11, b": " + b"x" * 200])
def test_an_event_that_never_ends_is_given_up(sent):
    with pytest.raises(TooLong, match="longer than 100 bytes"):
        read(*(sent[i : i + 7] for i in range(0, len(sent), 7)), most_bytes=100)


def test_a_long_line_in_small_pieces_takes_time_in_proportion():
    reader = EventReader()
    for _ in range(1_000_000):  # were the line copied with each piece: hours
        reader.feed(b"xxxx")
    assert reader.feed(b"\ndata: a\n\n") == ["a"]
