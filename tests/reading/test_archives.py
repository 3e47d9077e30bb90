"""Archives whose headers lie: nothing is taken into memory on their word. What is unpacked is in tests/tasks."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
import zipfile

import pytest

from mar.errors import DataError
from mar.reading.archives import unpack


def refused(folder, name, content, *, cap_bytes=1000):
    (folder / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        unpack(folder / name, folder / "out", cap_bytes=cap_bytes)
    assert len(str(caught.value).splitlines()) == 1
    assert [p.name for p in folder.iterdir()] == [name]
    return str(caught.value)


def header(kind, size, name="a"):
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [b"x", b"g", b"X", b"L", b"K"])
def test_a_tar_header_that_claims_a_gigabyte_of_its_own_text_is_not_believed(tmp_path, kind):
    tar = header(kind, 1_200_000_000) + b"\0" * 64_000_000
    tracemalloc.start()
    try:
        assert "states 1,200,000,000 bytes of text" in refused(tmp_path, "x.tar.gz", gzip.compress(tar, 1))
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_a_sparse_member_that_claims_a_terabyte_of_nothing_is_refused(tmp_path):
    assert "link or device" in refused(tmp_path, "x.tar.gz", gzip.compress(header(b"S", 0)))


def test_bytes_of_members_that_are_not_kept_are_counted_too(tmp_path):
    member = header(tarfile.REGTYPE, 50_000_000, name="b")
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(member + b"\0" * 50_000_000))  # a thousand times as long unpacked
    with pytest.raises(DataError, match="unpacks to more than"):
        unpack(tmp_path / "x.tar.gz", tmp_path / "out", keep="a", cap_bytes=1000)


def test_a_zip_member_without_a_name_is_refused(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("x", b"1")
    content = packed.getvalue().replace(b"x1", b"1")  # the name of the first header
    at = content.index(b"PK\x01\x02")
    nameless = bytearray(content[:at] + content[at:].replace(b"x", b"", 1))
    nameless[26:28] = nameless[at + 28 : at + 30] = b"\0\0"
    end = nameless.index(b"PK\x05\x06")
    nameless[end + 12 : end + 20] = (end - at).to_bytes(4, "little") + at.to_bytes(4, "little")
    assert "without a name" in refused(tmp_path, "x.zip", bytes(nameless))
