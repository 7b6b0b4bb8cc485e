"""Compressed pictures that say more than they hold: refused before memory for it is allocated."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from nn_perception.errors import MessageError
from nn_perception.image_codecs import compressed_size, decode_compressed

DRAWS = np.random.default_rng(0)
PICTURE = DRAWS.integers(0, 256, (32, 40, 3), np.uint8)
FLAT = np.zeros((3000, 4000), np.uint8)


def encoded(picture, extension, *options):
    return cv2.imencode(extension, picture, list(options))[1].tobytes()


def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def refused(data):
    with pytest.raises(MessageError) as caught:
        decode_compressed(data, "", 1)
    return caught.value


@pytest.mark.parametrize("length", [0xFEEBC2A0, 0x7FFFFFFF, 0xFFFFFFFF, 4000])
@pytest.mark.parametrize("kind", [b"IDAT", b"IEND"])
def test_a_chunk_beyond_the_file(kind, length, monkeypatch):
    """Found by fuzzing: for its length OpenCV allocated four gigabytes, and took four seconds."""
    data = bytearray(encoded(PICTURE, ".png"))
    at = data.index(kind) - 4
    data[at : at + 4] = struct.pack(">I", length)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("OpenCV was given it"))
    assert "truncated or damaged" in str(refused(bytes(data)))


def test_chunks_of_other_kinds_are_stepped_over():
    data = encoded(PICTURE, ".png")
    more = data[:33] + chunk(b"tEXt", b"Comment\0IEND") + data[33:]
    assert compressed_size(more) == (32, 40)
    np.testing.assert_array_equal(decode_compressed(more, "", 3), decode_compressed(data, "", 3))


def test_a_second_header_or_none():
    data = encoded(PICTURE, ".png")
    header, rest = data[8:33], data[33:]
    for damaged in (
        data[:33] + header + rest,
        data[:8] + rest,
        data[:8] + chunk(b"IHDR", b"") + rest,
    ):
        assert "truncated or damaged" in str(refused(damaged))


@pytest.mark.parametrize("size", [(10_000, 10_000), (1, 100_000_000)])
def test_a_size_that_the_data_cannot_hold(size, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("OpenCV was given it"))
    png = bytearray(encoded(PICTURE, ".png"))
    png[16:24] = struct.pack(">II", *size[::-1])
    assert "cannot hold a picture" in str(refused(bytes(png)))
    if max(size) > 0xFFFF:
        return
    jpeg = bytearray(encoded(PICTURE, ".jpg"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", *size)
    assert "cannot hold a picture" in str(refused(bytes(jpeg)))


@pytest.mark.parametrize(
    ("extension", "options"),
    [
        (".png", (cv2.IMWRITE_PNG_COMPRESSION, 9)),
        (".png", (cv2.IMWRITE_PNG_BILEVEL, 1, cv2.IMWRITE_PNG_COMPRESSION, 9)),
        (".jpg", (cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_QUALITY, 1)),
        (".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_OPTIMIZE, 1)),
    ],
)
def test_the_emptiest_pictures_are_read(extension, options):
    """Nothing compresses better than a picture of one value."""
    data = encoded(FLAT, extension, *options)
    assert decode_compressed(data, "", 1).shape == FLAT.shape
