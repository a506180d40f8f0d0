"""The head of GGUF files: what it holds, and that no damage or malice gets further than a one-line error."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outrider.errors import CheckpointError
from outrider.io.gguf_file import GgufCheckpoint
from outrider.io.gguf_header import read_header
from tiny_checkpoints import write_family_gguf


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def start(num_tensors: int = 0, num_entries: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, num_tensors, num_entries)


def one_line(error: BaseException) -> str:
    message = str(error)
    assert message and "\n" not in message
    return message


def fails(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(CheckpointError) as caught:
        read_header(path)
    return one_line(caught.value)


def test_every_scalar_and_array_type_reads_as_written(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_uint8("u8", 200)
    writer.add_int8("i8", -3)
    writer.add_uint64("u64", 2**63)
    writer.add_float32("f32", 0.1)
    writer.add_float64("f64", 0.1)
    writer.add_bool("yes", True)
    writer.add_string("word", "héllo")
    writer.add_array("numbers", [1, -2, 3])
    writer.add_array("words", ["a", "", "日本", "b"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header = read_header(tmp_path / "a.gguf")
    expected = {"u8": 200, "i8": -3, "u64": 2**63, "f32": 0.1, "f64": 0.1, "yes": True, "word": "héllo"}
    assert {key: header.fields.values[key] for key in expected} == expected
    assert header.arrays["numbers"].numbers().tolist() == [1, -2, 3]
    assert header.arrays["words"].texts() == ["a", "", "日本", "b"]
    assert [header.arrays["words"].index(word) for word in ("b", "日本", "", "c")] == [3, 2, 1, None]


def test_a_string_inside_another_is_not_found(tmp_path: Path) -> None:
    inner = text("x").decode()
    entry = text("words") + struct.pack("<IIQ", 9, 8, 2) + text(inner) + text("y")
    (tmp_path / "a.gguf").write_bytes(start(0, 1) + entry)
    words = read_header(tmp_path / "a.gguf").arrays["words"]
    assert words.index("x") is None and words.index("y") == 1


def test_tensors_lie_where_the_formats_own_reader_finds_them(tmp_path: Path) -> None:
    path = write_family_gguf(tmp_path / "a.gguf", "qwen2", "Q4_1")
    header = read_header(path)
    reader = gguf.GGUFReader(path)
    assert list(header.tensors) == [tensor.name for tensor in reader.tensors]
    for tensor in reader.tensors:
        ours = header.tensors[tensor.name]
        assert ours.type.name == tensor.tensor_type.name
        assert ours.shape == tuple(int(size) for size in reversed(tensor.shape))
        assert np.array_equal(header.bytes_of(ours).reshape(-1), tensor.data.view(np.uint8).reshape(-1))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty"),
        (b"GG", "not a GGUF file"),
        (b"PK\x03\x04 a zip archive", "not a GGUF file"),
        (b"GGUF", "truncated"),
        (start(version=1), "version 1 is not supported; supported: 2, 3"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (start(num_tensors=2**60), "tensors cannot fit"),
        (start(num_entries=2**60), "metadata entries cannot fit"),
        (start(0, 1) + struct.pack("<Q", 2**63) + b"key" * 9, "asks for 9223372036854775808 bytes"),
        (start(0, 1) + text("a key") + struct.pack("<IIQ", 9, 8, 2**61), "strings in 'a key' cannot fit"),
        (start(0, 1) + text("a key") + struct.pack("<IIQ", 9, 4, 2**61), "items in 'a key' cannot fit"),
        (start(0, 1) + text("a key") + struct.pack("<IIQQ", 9, 8, 1, 2**62), "truncated"),
        (start(0, 1) + text("a key") + struct.pack("<IIQ", 9, 8, 2) + text("a string") + b"cut", "truncated"),
        (start(0, 1) + text("a key") + struct.pack("<IIQ", 9, 9, 1) + b"." * 16, "unknown value type 9"),
        (start(0, 1) + text("a key") + struct.pack("<IQ", 77, 0), "unknown value type 77"),
        (start(0, 1) + struct.pack("<Q", 2) + b"\xff\xfe" + struct.pack("<IQ", 4, 0), "not UTF-8"),
        (start(1) + text("t") + struct.pack("<IQ", 9, 1) + b"." * 32, "has 9 axes"),
        (start(1) + text("t") + struct.pack("<IQIQ", 1, 0, 0, 0), "has the shape [0]"),
        (start(1) + text("t") + struct.pack("<IQQIQ", 2, 2**40, 2**40, 0, 0), "has the shape"),
        (start(1) + text("t") + struct.pack("<IQQIQ", 2, 2**30, 2**30, 0, 0), "truncated: the tensor 't' ends"),
        (start(1) + text("t") + struct.pack("<IQIQ", 1, 4, 0, 2**63), "truncated: the tensor 't' ends"),
        (start(1) + text("t") + struct.pack("<IQIQ", 1, 4, 0, 5), "not aligned"),
        (start(1) + text("t") + struct.pack("<IQIQ", 1, 33, 2, 0), "Q4_0 needs a multiple of 32"),
        (start(1) + text("t") + struct.pack("<IQIQ", 1, 256, 23, 0), "the tensor 't' has the type IQ4_XS"),
        (start(1) + text("t") + struct.pack("<IQIQ", 1, 256, 999, 0), "has the type number 999, which is not supp"),
    ],
)
def test_damaged_and_hostile_heads_are_one_line_errors(tmp_path: Path, data: bytes, expected: str) -> None:
    tracemalloc.start()
    message = fails(tmp_path / "a.gguf", data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert expected in message
    assert peak < 4 << 20


def test_a_tensor_listed_twice_is_refused(tmp_path: Path) -> None:
    info = text("t") + struct.pack("<IQIQ", 1, 4, 0, 0)
    assert "listed twice" in fails(tmp_path / "a.gguf", start(2) + info + info + bytes(64))


def test_a_part_of_a_split_file_is_refused(tmp_path: Path) -> None:
    entry = text("split.count") + struct.pack("<IH", 2, 3)
    assert "one part of a split file" in fails(tmp_path / "a.gguf", start(0, 1) + entry)


def test_truncated_anywhere_is_a_one_line_error(tmp_path: Path) -> None:
    whole = write_family_gguf(tmp_path / "a.gguf", "llama", "Q8_0").read_bytes()
    for size in [*range(0, 2000, 13), *range(2000, len(whole) - 32, 2503)]:
        fails(tmp_path / "cut.gguf", whole[:size])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 3500), byte=st.integers(0, 255))
def test_a_flipped_byte_never_escapes_as_another_error(tmp_path: Path, at: int, byte: int) -> None:
    source = tmp_path / "a.gguf"
    if not source.exists():
        write_family_gguf(source, "llama", "Q8_0")
    data = bytearray(source.read_bytes())
    data[at] = byte
    (tmp_path / "b.gguf").write_bytes(data)
    try:
        GgufCheckpoint(tmp_path / "b.gguf")
    except CheckpointError as error:
        one_line(error)
