"""Small encoded pictures, made by hand where OpenCV cannot write them."""

import struct
import zlib

import cv2
import numpy as np


def corner_marked(height=40, width=60):
    """A picture whose four corners differ, so that every orientation can be told."""
    picture = np.full((height, width, 3), 60, np.uint8)
    picture[: height // 2, : width // 2] = (0, 0, 250)
    picture[: height // 2, width // 2 :] = (0, 250, 0)
    picture[height // 2 :, : width // 2] = (250, 0, 0)
    return picture


def encoded(extension, picture=None):
    done, data = cv2.imencode(extension, corner_marked() if picture is None else picture)
    assert done
    return data.tobytes()


def exif(orientation):
    """A TIFF block with nothing but an orientation."""
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"II*\x00" + struct.pack("<I", 8) + struct.pack("<H", 1) + entry + struct.pack("<I", 0)


def turned(extension, orientation):
    """A picture with an EXIF orientation in whichever way its format has."""
    data = encoded(extension)
    block = exif(orientation)
    if extension == ".jpg":
        body = b"Exif\x00\x00" + block
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]
    if extension == ".png":
        return data[:33] + chunk(b"eXIf", block) + data[33:]
    vp8 = data[12:]
    head = struct.pack("<4sIB3x", b"VP8X", 10, 0x08) + (59).to_bytes(3, "little") + (39).to_bytes(3, "little")
    tail = struct.pack("<4sI", b"EXIF", len(block)) + block + b"\x00" * (len(block) % 2)
    body = b"WEBP" + head + vp8 + tail
    return b"RIFF" + struct.pack("<I", len(body)) + body


def upright(picture, orientation):
    """What an EXIF orientation (1 to 8) asks for."""
    if orientation >= 5:
        picture = picture.transpose(1, 0, 2)
    flips = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}.get(orientation, ())
    return np.flip(picture, flips)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_bomb(width, height):
    """A PNG that claims a size and is whole as far as its chunks go."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def cmyk_jpeg():
    """An 8 x 8 JPEG of four even components, as print shops and some phones' editors write them."""

    def segment(marker, body):
        return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body

    quantisation = segment(0xDB, b"\x00" + b"\x01" * 64)
    frame = segment(0xC0, struct.pack(">BHHB", 8, 8, 8, 4) + b"".join(bytes((n, 0x11, 0)) for n in range(1, 5)))
    one_code = b"\x01" + bytes(15) + b"\x00"  # a single code of one bit, for "difference 0" and for "end of block"
    tables = segment(0xC4, b"\x00" + one_code) + segment(0xC4, b"\x10" + one_code)
    scan = segment(0xDA, b"\x04" + b"".join(bytes((n, 0)) for n in range(1, 5)) + b"\x00\x3f\x00")
    adobe = segment(0xEE, b"Adobe\x00\x64\x00\x00\x00\x00\x00")
    return b"\xff\xd8" + adobe + quantisation + frame + tables + scan + b"\x00" + b"\xff\xd9"
