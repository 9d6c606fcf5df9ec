"""Files of images: formats and modes that Pillow writes, and false claims."""

from collections.abc import Sequence
import contextlib
import functools
import io
import struct
from typing import Any
import zlib

from hypothesis import strategies as st
import numpy as np
from PIL import Image

from experiments.faults.hostile import array_files, edits

SIDES = st.one_of(st.integers(0, 20), st.sampled_from([2**14, 2**16 - 1, 2**31 - 1]))


# Modes that a JPEG in a TIFF file has not. Pillow 12.0 corrupts its memory over them.
NO_JPEG = ("1", "P", "PA", "I;16", "I", "F")


@functools.cache
def pictures() -> list[bytes]:
    """Small images of every format and mode that Pillow writes."""
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (9, 8, 3), np.uint8))
    modes = ["1", "L", "LA", "P", "PA", "I;16", "I", "F", "RGB", "RGBA", "RGBX"]
    modes += ["CMYK", "YCbCr", "LAB", "HSV", "La", "RGBa"]
    formats: list[tuple[str, dict[str, Any]]] = [
        *((kind, {}) for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")),
        *((kind, {}) for kind in ("PPM", "JPEG2000", "AVIF")),
        ("JPEG", {"progressive": True}),
        ("WEBP", {"lossless": True}),
        *(("TIFF", {"compression": x}) for x in ("tiff_lzw", "jpeg", "tiff_deflate")),
        *(
            (kind, {"save_all": True, "append_images": [photo.rotate(90)]})
            for kind in ("GIF", "PNG", "TIFF", "WEBP", "AVIF")
        ),
        (
            "JPEG",
            {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06"},
        ),
    ]
    found = []
    for mode in modes:
        for kind, options in formats:
            if options.get("compression") == "jpeg" and mode in NO_JPEG:
                continue
            file = io.BytesIO()
            # Pillow converts between few modes, and no format has every mode.
            with contextlib.suppress(Exception):
                image = photo.convert("RGBA").convert(mode)
                image.save(file, format=kind, **options)
                found.append(file.getvalue())
    return found


def png(width: int, height: int, kind: Sequence[int], pixels: bytes) -> bytes:
    """A PNG file with these claims, and right checksums."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    header = struct.pack(">II5B", width, height, *kind)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


def folders() -> st.SearchStrategy[edits.Files]:
    """Folders with one image each, whose bytes or claims may be false, or its name."""
    claims = st.builds(
        png,
        SIDES,
        SIDES,
        st.tuples(
            *(st.sampled_from(x) for x in ((1, 2, 8, 16), (0, 2, 3, 4, 6), (0,), (0,))),
            st.sampled_from((0, 1)),
        ),
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(
                [zlib.compress(bytes(2**20)), b"\x78\x9c" + array_files.zeros(2**27)]
            ),
        ),
    )
    text = st.builds(
        lambda kind, width, height, most, rest: (
            b"%s\n%d %d\n%d\n" % (kind, width, height, most) + rest
        ),
        st.sampled_from([b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"Pf", b"PF"]),
        *(SIDES, SIDES, st.sampled_from([0, 1, 255, 300, 65_535, 2**32])),
        st.binary(max_size=300),
    )
    content = st.one_of(
        st.sampled_from(pictures()),
        st.sampled_from(pictures()).flatmap(edits.edited),
        claims,
        claims.flatmap(edits.edited),
        text,
        st.binary(max_size=60),
    )
    names = st.sampled_from(["a.png", "a.jpg", "a.gif", "a.tiff", "a.webp", "a.txt"])
    return st.builds(lambda name, x: {f"images/{name}": x}, names, content)
