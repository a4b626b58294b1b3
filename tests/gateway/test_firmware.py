"""Images in a directory: whole, damaged, missing."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from gateway import firmware
from gateway.firmware import Images, Shelf
from metering.errors import UnavailableError

IMAGE = os.urandom(5000)
DIGEST = hashlib.sha256(IMAGE).digest()


def put(directory: Path, content: bytes = IMAGE) -> Path:
    file = directory / DIGEST.hex()
    file.write_bytes(content)
    return file


def test_parts_are_read(tmp_path: Path) -> None:
    put(tmp_path)
    shelf = Shelf(tmp_path)
    assert b"".join(shelf.read(DIGEST, 5000, offset, 512) for offset in range(0, 5000, 512)) == IMAGE
    assert shelf.read(DIGEST, 5000, 5000, 512) == b""


def test_what_is_not_the_image_is_not_read(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    with pytest.raises(UnavailableError, match="No such file"):
        shelf.read(DIGEST, 5000, 0, 512)
    file = put(tmp_path, IMAGE[:4000])  # half a copy
    with pytest.raises(UnavailableError, match="4000 bytes"):
        shelf.read(DIGEST, 5000, 0, 512)
    put(tmp_path)
    assert shelf.read(DIGEST, 5000, 0, 4) == IMAGE[:4]
    put(tmp_path, bytes(5000))
    os.utime(file, (1, 1))
    with pytest.raises(UnavailableError, match="damaged"):
        shelf.read(DIGEST, 5000, 0, 512)


def test_it_forgets_what_was_checked_long_ago(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firmware, "MAX_CHECKED", 1)
    shelf = Shelf(tmp_path)
    for content in (b"one", b"two", b"one"):
        digest = hashlib.sha256(content).digest()
        (tmp_path / digest.hex()).write_bytes(content)
        assert shelf.read(digest, 3, 0, 3) == content


async def test_reads_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path)
    images = Images(tmp_path)
    monkeypatch.setattr(firmware, "MAX_READS", 2)
    reads = [images.read(DIGEST, 5000, 0, 16) for _ in range(3)]
    done = await asyncio.gather(*reads, return_exceptions=True)
    assert done[:2] == [IMAGE[:16]] * 2
    assert isinstance(done[2], UnavailableError)
    assert images.reading == 0
    images.close()
