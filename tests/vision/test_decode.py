import contextlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegate.errors import UnusableInputError
from facegate.vision.decode import decode
from facegate.vision.header import read_header
from tests.vision import pictures

FORMATS = (".jpg", ".png", ".webp")
WHOLE = {extension: pictures.encoded(extension) for extension in FORMATS}


@pytest.mark.parametrize("extension", FORMATS)
def test_each_format_gives_its_pixels(extension):
    pixels = decode(WHOLE[extension])
    assert pixels.shape == (40, 60, 3)
    assert pixels.dtype == np.uint8
    far = np.abs(pixels.astype(int) - pictures.corner_marked().astype(int))
    assert far[4:16, 4:26].max() <= 12


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_applied(extension, orientation):
    pixels = decode(pictures.turned(extension, orientation))
    expected = pictures.upright(decode(WHOLE[extension]), orientation)
    assert pixels.shape == expected.shape
    assert np.array_equal(pixels, expected)


@pytest.mark.parametrize("extension", FORMATS)
def test_no_picture_that_is_cut_off_is_decoded(extension):
    whole = WHOLE[extension]
    for length in range(len(whole)):
        with pytest.raises(UnusableInputError):
            decode(whole[:length])


def test_a_large_jpeg_that_is_cut_off_says_so():
    noise = np.random.default_rng(1).integers(0, 255, (400, 400, 3), np.uint8)
    whole = pictures.encoded(".jpg", noise)
    with pytest.raises(UnusableInputError, match="cut off"):
        decode(whole[: len(whole) // 2])


def test_a_jpeg_whose_end_was_glued_on_after_the_cut_is_refused():
    noise = np.random.default_rng(1).integers(0, 255, (400, 400, 3), np.uint8)
    whole = pictures.encoded(".jpg", cv2.GaussianBlur(noise, (0, 0), 3))
    with pytest.raises(UnusableInputError, match="lower part is missing"):
        decode(whole[: len(whole) // 2] + b"\xff\xd9")


def test_bytes_after_the_end_of_a_jpeg_do_no_harm():
    assert np.array_equal(decode(WHOLE[".jpg"] + b"trailer of a phone"), decode(WHOLE[".jpg"]))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "empty"),
        (b"\x00", "no picture"),
        (b"This is text, called a photo.", "text"),
        ("Ein Bild, das Text ist: äöü".encode(), "text"),
        (b'{"event": 1}', "text"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "HEIC"),
        (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic", "HEIC"),
        (b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00avifmif1", "AVIF"),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00isom", "a video"),
        (b"GIF89a" + bytes(20), "GIF"),
        (b"BM" + bytes(60), "BMP"),
        (b"II*\x00" + bytes(20), "TIFF"),
        (bytes(1000), "no picture"),
        (np.random.default_rng(3).bytes(2000), "no picture"),
    ],
)
def test_what_is_no_picture_of_ours_is_named(data, name):
    with pytest.raises(UnusableInputError, match=name) as caught:
        decode(data)
    assert "\n" not in str(caught.value)


def test_a_picture_from_a_phone_is_told_how_to_be_saved():
    with pytest.raises(UnusableInputError, match="Save it as JPEG"):
        decode(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic")


def test_a_png_of_200_megapixels_is_refused_before_memory_is_taken():
    bomb = pictures.png_bomb(20_000, 10_000)
    assert len(bomb) < 5_000
    with pytest.raises(UnusableInputError, match="200 megapixels"):
        decode(bomb)


@pytest.mark.parametrize("extension", FORMATS)
def test_a_picture_of_one_pixel_too_many_is_refused_and_one_of_just_enough_is_not(extension):
    assert decode(WHOLE[extension], max_pixels=2400).shape == (40, 60, 3)
    with pytest.raises(UnusableInputError, match="megapixels"):
        decode(WHOLE[extension], max_pixels=2399)


@pytest.mark.parametrize("kind", ["VP8X", "VP8L", "VP8 "])
def test_every_kind_of_webp_tells_its_size(kind):
    quality = {"VP8X": 80, "VP8 ": 80, "VP8L": 101}[kind]
    data = cv2.imencode(".webp", pictures.corner_marked(), [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()
    data = pictures.turned(".webp", 1) if kind == "VP8X" else data
    assert data[12:16] == kind.encode()
    header = read_header(data)
    assert (header.width, header.height) == (60, 40)


def test_too_many_bytes_are_refused():
    with pytest.raises(UnusableInputError, match="MB"):
        decode(WHOLE[".png"], max_bytes=100)


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((30, 30), 77, np.uint8),
        np.full((30, 30, 4), 77, np.uint8),
        np.full((30, 30, 3), 77 * 257, np.uint16),
        np.full((30, 30), 77 * 257, np.uint16),
        np.full((30, 30, 4), 77 * 257, np.uint16),
    ],
    ids=["grey", "alpha", "16 bits", "16 bits grey", "16 bits alpha"],
)
def test_every_kind_of_png_becomes_eight_bits_of_three_colours(pixels):
    decoded = decode(pictures.encoded(".png", pixels))
    assert decoded.shape == (30, 30, 3)
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - 77).max() <= 1


def test_a_grey_jpeg_has_three_equal_colours():
    pixels = decode(pictures.encoded(".jpg", np.full((30, 30), 77, np.uint8)))
    assert pixels.shape == (30, 30, 3)
    assert np.ptp(pixels) <= 2


def test_a_jpeg_in_cmyk_is_decoded():
    pixels = decode(pictures.cmyk_jpeg())
    assert pixels.shape == (8, 8, 3)
    assert np.ptp(pixels) <= 2


@settings(max_examples=300, deadline=None)
@given(
    extension=st.sampled_from(FORMATS),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=12),
    cut=st.floats(0.5, 1),
)
def test_no_damage_raises_anything_but_a_clear_error(extension, changes, cut):
    data = bytearray(WHOLE[extension])
    for where, value in changes:
        data[int(where * len(data))] = value
    with contextlib.suppress(UnusableInputError):
        pixels = decode(bytes(data[: int(cut * len(data))]), max_pixels=1_000_000)
        assert pixels.ndim == 3
        assert pixels.dtype == np.uint8


@settings(max_examples=200, deadline=None)
@given(
    start=st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x10\x00\x00\x00WEBP", b""]), rest=st.binary()
)
def test_no_bytes_raise_anything_but_a_clear_error(start, rest):
    with contextlib.suppress(UnusableInputError):
        decode(start + rest, max_pixels=1_000_000)


def test_damaged_pictures_leave_standard_error_clean(tmp_path):
    whole = pictures.encoded(".jpg", np.random.default_rng(1).integers(0, 255, (200, 200, 3), np.uint8))
    damaged = bytearray(whole)
    damaged[len(whole) // 2 : len(whole) // 2 + 60] = bytes(range(60))
    png = bytearray(WHOLE[".png"])
    png[60] ^= 255
    for name, data in (("a.jpg", damaged), ("b.png", png), ("c.jpg", whole[:-300] + b"\xff\xd9")):
        (tmp_path / name).write_bytes(bytes(data))
    code = """
import sys
from pathlib import Path
from facegate.errors import UnusableInputError
from facegate.vision.decode import decode
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        decode(path.read_bytes())
    except UnusableInputError:
        pass
print("heard", file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stderr == "heard\n"


def test_threads_decode_side_by_side():
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda n: decode(WHOLE[FORMATS[n % 3]]), range(60)))
    for number, pixels in enumerate(results):
        assert np.array_equal(pixels, results[number % 3])


def test_a_jpeg_of_a_thousand_empty_scans_is_refused_before_it_is_decoded():
    progressive = cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert decode(progressive).shape == (64, 64, 3)
    last = progressive[progressive.rfind(b"\xff\xda") : -2]
    with pytest.raises(UnusableInputError, match="scans"):
        decode(progressive[:-2] + last * 1000 + progressive[-2:])
