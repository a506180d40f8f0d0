"""What counts as arrived is what matches its checksum, wherever the writing stopped."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fake_sources import make_entry, sha256
from outrider.io.partial import PartialFile


@given(
    contents=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=5),
    cut=st.integers(0, 200),
    tail=st.binary(max_size=10),
)
def test_resume_keeps_exactly_the_whole_parts_and_finishes(contents: list[bytes], cut: int, tail: bytes) -> None:
    entry, whole = make_entry(contents), b"".join(contents)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.write_bytes(whole[:cut] + tail)
        file = PartialFile(data, entry.parts)
        file.resume(lambda _: None)
        kept = file.num_verified
        assert data.read_bytes() == b"".join(contents[:kept])
        ends = [len(b"".join(contents[: number + 1])) for number in range(len(contents))]
        assert kept >= sum(end <= min(cut, len(whole)) for end in ends)
        for part, content in list(zip(entry.parts, contents, strict=True))[kept:]:
            file.append(part, io.BytesIO(content), lambda _: None)
        file.finish(Path(folder) / "final", sha256(whole))
        assert (Path(folder) / "final").read_bytes() == whole
        assert not data.exists()
