"""Decodes one image file of nearly any kind, or says why the file is refused."""

import pathlib

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# Pillow opens more formats, but EPS, for example, starts another program.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
MAX_PIXELS = 89_478_485  # Pillow's own limit, 256 MiB as RGB.


class RefusedError(Exception):
    """An image file is not used. The text is the kind of reason, with (details)."""


def decode(path: pathlib.Path, channels: int) -> np.ndarray:
    """The image in a file, as it is meant to be seen.

    EXIF orientation is applied, transparent pixels are laid on white, 16-bit grey is
    scaled to 8 bits, palettes and CMYK become RGB.

    Returns:
      (H, W, channels) uint8 in [0, 255].

    Raises:
      RefusedError: the file is unreadable, empty, not an image, truncated, animated or
        too large, or its pixels have no known range.
    """
    try:
        if not path.is_file():
            raise RefusedError("no regular file (a broken link or a device)")
        if not path.stat().st_size:
            raise RefusedError("empty (0 bytes)")
        with Image.open(path, formats=_FORMATS) as image:
            return _to_array(image, channels)
    except RefusedError:
        raise
    except PermissionError as error:
        raise RefusedError("no permission to read") from error
    except UnidentifiedImageError as error:
        raise RefusedError("not an image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RefusedError(f"too large ({error})") from error
    except Exception as error:  # The decoders raise nearly every type.
        raise RefusedError(f"truncated or damaged ({error})") from error


def _to_array(image: Image.Image, channels: int) -> np.ndarray:
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise RefusedError(f"too large ({pixels:,} pixels, at most {MAX_PIXELS:,})")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # MPO: a phone's photo with a preview.
        raise RefusedError(f"animated or of several pages ({frames} frames)")
    if image.mode == "F" or (image.mode == "I" and image.format != "PPM"):
        raise RefusedError(f"pixels without a known range (mode {image.mode})")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.int32)  # 16 bits, [0, 65535]
        wide += 128  # rounds to the nearest, in place: the image may be large
        wide //= 257
        image = Image.fromarray(wide.astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    elif image.mode != "L":  # Pillow cannot turn LAB, for example, into grey.
        image = image.convert("RGB")
    array = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return array.reshape(*array.shape[:2], channels)
