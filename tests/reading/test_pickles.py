"""Pickles that ask for nothing but arrays and still mean harm: each is one error line, and this process lives on."""

from __future__ import annotations

import datetime
import pickle

import numpy as np
import pytest
from numpy._core.multiarray import _reconstruct, scalar
from numpy._core.numeric import _frombuffer

from mar.errors import DataError
from mar.reading.pickles import read_pickle

POINTER = b"\x41" * 8  # where an object would be looked for


class Raw:
    """Pickled as the call and the state that it is given."""

    def __init__(self, call, args, state=None):
        self.parts = (call, args) if state is None else (call, args, state)

    def __reduce__(self):
        return self.parts


def dtype(text, *state):
    return Raw(np.dtype, (text, False, True), state or None)


def plain(text="f8"):
    return dtype(text, 3, "<", None, None, None, -1, -1, 0)


def array(kind, data, shape=(1,), *, fortran=False, version=1):
    return Raw(_reconstruct, (np.ndarray, (0,), b"b"), (version, shape, kind, fortran, data))


NO_FLAGS = dtype("O8", 3, "|", None, None, None, -1, -1, 0)
KINDS = {
    "an object dtype with its flags cleared": NO_FLAGS,
    "an object dtype": dtype("O8", 3, "|", None, None, None, -1, -1, 63),
    "a structured dtype with an object field": dtype("V8", 3, "|", None, ("a",), {"a": (NO_FLAGS, 0)}, 8, 8, 0),
    "a sub-array of objects": dtype("V8", 3, "|", (NO_FLAGS, (1,)), None, None, 8, 8, 0),
    "a field beyond the item": dtype("V8", 3, "|", None, ("a",), {"a": (plain(), 4096)}, 8, 8, 0),
    "a field with a title": dtype("V8", 3, "|", None, ("a",), {"a": (plain(), 0, "t")}, 8, 8, 0),
    "raw bytes": dtype("V8", 3, "|", None, None, None, 8, 1, 0),
    "dates with metadata": dtype("M8", 4, "<", None, None, None, -1, -1, 0, (b"ns", 1, 1, 1)),
    "flags that only objects have": dtype("f8", 3, "<", None, None, None, -1, -1, 63),
    "metadata": dtype("f8", 4, "<", None, None, None, -1, -1, 0, {"a": 1}),
    "a byte order of its own": dtype("f8", 3, "?", None, None, None, -1, -1, 0),
    "an old version": dtype("f8", 1, "<", None, None, None, -1, -1, 0),
    "complex numbers": plain("c16"),
    "a shape within the type string": plain("(2,2)f8"),
    "several fields in the type string": plain("f8,O"),
    "a type string that is none": plain("no such type"),
    "a number for a type string": Raw(np.dtype, (8, False, True)),
    "text of a size that nobody has": plain("U99999999999"),
}
SHAPES = {
    "a negative shape": (-1,),
    "a huge shape": (10**12, 10**12),
    "a shape that is larger than the bytes": (2,),
    "a shape that is smaller than the bytes": (0,),
    "no shape": "x",
    "a shape of truth values": (True,),
    "a shape of text": ("1",),
    "a shape of a hundred axes": (1,) * 100,
}
WHOLES = {
    **{f"{name}, array": array(kind, POINTER) for name, kind in KINDS.items()},
    **{f"{name}, scalar": Raw(scalar, (kind, POINTER)) for name, kind in KINDS.items()},
    **{f"{name}, protocol 5": Raw(_frombuffer, (POINTER, kind, (1,), "C")) for name, kind in KINDS.items()},
    **{f"{name}, model names": {"model": array(kind, POINTER), "data": {}} for name, kind in list(KINDS.items())[:5]},
    **{name: array(plain(), POINTER, shape) for name, shape in SHAPES.items()},
    "objects as a list": array(NO_FLAGS, [None]),
    "numbers as a list": array(plain(), [1.0]),
    "numbers as text": array(plain(), "x" * 8),
    "no dtype": array("f8", POINTER),
    "an array within a state": Raw(_reconstruct, (np.ndarray, (0,), b"b"), (1, (1,), plain(), False)),
    "an array of a class of its own": Raw(_reconstruct, (np.dtype, (0,), b"b"), (1, (1,), plain(), False, POINTER)),
    "an order of its own": Raw(_frombuffer, (POINTER, plain(), (1,), "K")),
    "an array made directly": Raw(np.ndarray, ((1,), "O", POINTER)),
    "an array with strides": Raw(np.ndarray, ((4,), "f8", POINTER, 0, (4096,))),
    "code points that are no text": array(plain("U1"), b"\xff\xff\xff\x7f"),
    "halves of surrogate pairs": array(plain("U1"), b"\x00\xd8\x00\x00"),
    "truth values of 2": array(plain("b1"), b"\x02"),
    "a date": datetime.date(2020, 1, 1),
    "a name as a value": {"model": np.ndarray},
    "no text": "\ud800",
}


def shared(levels):
    """Lists that each hold the one before twice."""
    whole = [0.0]
    for _ in range(levels):
        whole = [whole, whole]
    return whole


def circle():
    whole = []
    whole.append(whole)
    return whole


PROGRAMS = {
    "nothing": b"",
    "a state for a name": b"\x80\x02cnumpy\ndtype\n}b.",
    "attributes for a name": b"\x80\x02cnumpy\nndarray\n(N}X\x01\x00\x00\x00aK\x01stb.",
    "a memo of four billion places": b"\x80\x02]r\xf0\xff\xff\xff.",
    "an exabyte of bytes": b"\x80\x04\x8e" + (2**60).to_bytes(8, "little") + b"x.",
    "an exabyte of array": b"\x80\x05\x96" + (2**60).to_bytes(8, "little") + b"x.",
    "a frame of an exabyte": b"\x80\x04\x95" + (2**60).to_bytes(8, "little") + b"N.",
    "an integer of more digits than Python reads": b"I" + b"9" * 5000 + b"\n.",
    "a long of two gigabytes": b"\x80\x02\x8b\xff\xff\xff\x7fx.",
    "a buffer that lies elsewhere": b"\x80\x05\x97.",
    "a read-only buffer that lies elsewhere": b"\x80\x05\x97\x98.",
    "a registered extension": b"\x80\x02\x82\x01.",
    "a persistent reference": b"Px\n.",
    "an instance made the oldest way": b"(inumpy\nndarray\n.",
    "an instance made the old way": b"(cnumpy\nndarray\no.",
    "an instance made the newer way": b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00O8\x85\x81.",
    "an instance made the newest way": b"\x80\x04cnumpy\ndtype\nX\x02\x00\x00\x00O8\x85}\x92.",
    "a chain of calls": b"\x80\x02" + b"cnumpy\ndtype\n" * 1000 + b"X\x02\x00\x00\x00O8" + b"\x85R" * 1000 + b".",
    "a name of numbers": b"\x80\x04K\x01K\x02\x93.",
    "a name within a name": b"\x80\x04X\x05\x00\x00\x00numpyX\x0d\x00\x00\x00ndarray.dumps\x93.",
    "a million tuples within each other": b"(" * 1_000_000 + b"t" * 1_000_000 + b".",
    "a million tuples of one": b"\x80\x02N" + b"\x85" * 1_000_000 + b".",
    "a key that cannot be one": b"\x80\x02}]N s.",
    "protocol 200": b"\x80\xc8N.",
    "lists that double forty times": pickle.dumps(shared(40)),
    "lists that double twenty-five times": pickle.dumps(shared(25)),
    "a list that holds itself": pickle.dumps(circle()),
    "a megabyte ten thousand times": pickle.dumps(["x" * 1_000_000] * 10_000),
}


def refused(path, content):
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_pickle(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize("name", WHOLES)
def test_a_crafted_state_never_reaches_numpy(tmp_path, name):
    refused(tmp_path / "t.pkl", pickle.dumps(WHOLES[name], protocol=4))


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 5])
def test_a_crafted_state_is_refused_in_every_protocol(tmp_path, protocol):
    message = refused(tmp_path / "t.pkl", pickle.dumps({"model": array(NO_FLAGS, POINTER)}, protocol=protocol))
    assert "asks for an array of '|O8'; only NumPy arrays and plain containers are read" in message


def test_what_is_refused_is_named(tmp_path):
    path = tmp_path / "t.pkl"
    for name, said in {
        "a structured dtype with an object field, array": "an array of 'V8' with fields or sub-arrays",
        "flags that only objects have, scalar": "an array of 'f8' with flags or metadata",
        "a huge shape": "8 bytes for an array of shape (1000000000000, 1000000000000) of float64",
        "objects as a list": "an array of '|O8' that is not given as bytes",
        "a date": "datetime.date",
    }.items():
        assert f"asks for {said}; only NumPy" in refused(path, pickle.dumps(WHOLES[name], protocol=4))


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_wants_memory_time_or_other_names_is_one_error(tmp_path, name):
    refused(tmp_path / "t.pkl", PROGRAMS[name])


@pytest.mark.parametrize("protocol", range(6))
def test_plain_arrays_of_every_kind_order_and_shape_come_back_the_same(tmp_path, protocol):
    whole = [
        np.arange(6, dtype=kind).reshape(2, 3, order=order)
        for kind in ("<f4", ">f4", "<f8", ">i2", "u1", "<i8", "f2")
        for order in "CF"
    ]
    whole += [np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.zeros((0, 4)), np.array(3.5), np.array([True, False])]
    whole += [np.array([["aé", "b"], ["", "😀"]]), np.array([b"ab", b"c"]), np.arange(10.0)[::3]]
    path = tmp_path / "t.pkl"
    path.write_bytes(pickle.dumps(whole, protocol=protocol))
    for before, after in zip(whole, read_pickle(path), strict=True):
        assert before.shape == after.shape
        assert before.dtype.kind == after.dtype.kind
        assert np.array_equal(before, after)
        assert after.flags.writeable


def test_containers_keys_and_shared_arrays_come_back_the_same(tmp_path):
    one = np.ones(3)
    whole = {3: [one, one], ("a", 1): {"x"}, "f": frozenset({1}), "b": b"\x00", "n": float("nan"), "s": np.float32(2.5)}
    path = tmp_path / "t.pkl"
    path.write_bytes(pickle.dumps(whole))
    found = read_pickle(path)
    assert found[3][0] is found[3][1]
    assert (found[("a", 1)], found["f"], found["b"], found["s"]) == ({"x"}, frozenset({1}), b"\x00", 2.5)
    assert found["n"] != found["n"]
