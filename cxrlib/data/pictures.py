"""The bytes of a PNG or JPEG file as a grey image.

Size and completeness are read from the file's own structure: what OpenCV makes of half a file depends on its version.
"""

import struct
import zlib

import cv2
import numpy as np

from cxrlib.data.greys import PixelError, require_size, to_uint8

FRAME_MARKERS = {0xF7, *range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""Markers that begin a JPEG frame, or (F7) one of JPEG-LS; height and width follow them."""


SCAN_MARKER, END_MARKER = 0xDA, b"\xff\xd9"


def grey_of_picture(content: bytes, max_pixels: int) -> np.ndarray:
    """A PNG or JPEG file's bytes as uint8 (height, width). Colours become grey; 16 bits are stretched.

    Raises:
        PixelError: they are another format, too many pixels, damaged, or not whole.
    """
    size_of = next((read for signature, read in SIZES.items() if content.startswith(signature)), None)
    if size_of is None:
        begins = f"begins with {content[:16]!r}, as neither of the two does" if content else "is empty"
        raise PixelError(f"it {begins}; convert or copy it again")
    require_size(*size_of(content), max_pixels)
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    if picture is None:
        raise PixelError("its pixels are damaged")
    return picture if picture.dtype == np.uint8 else to_uint8(picture)


def png_size(content: bytes) -> tuple[int, int]:
    """Width and height of a PNG, all of whose critical chunks are there and agree with their checksums.

    Raises:
        PixelError: a chunk is missing or damaged.
    """
    view, position, kind, size = memoryview(content), 8, b"", None
    while kind != b"IEND":
        if position + 12 > len(content):
            raise PixelError("the file ends too early")
        length, kind = struct.unpack_from(">I4s", content, position)
        chunk = view[position + 8 : position + 8 + length]
        checksum = content[position + 8 + length : position + 12 + length]
        position += 12 + length
        if not kind[:1].isupper():  # the decoder can do without it
            continue
        if int.from_bytes(checksum, "big") != zlib.crc32(chunk, zlib.crc32(kind)) or len(checksum) < 4:
            raise PixelError("the file ends too early" if position > len(content) else f"its part {kind!r} is damaged")
        if kind == b"IHDR":
            size = struct.unpack_from(">II", chunk)
    if size is None:
        raise PixelError("it has no header")
    return size


def jpeg_size(content: bytes) -> tuple[int, int]:
    """Width and height of a JPEG or JPEG-LS stream that has its end marker.

    Raises:
        PixelError: it has no header, or ends before its end marker.
    """
    size, position = None, content.find(b"\xff", 2)
    while 0 <= position <= len(content) - 9:
        marker = content[position + 1]
        if marker == SCAN_MARKER and size is not None:
            if content.find(END_MARKER, position) < 0:
                raise PixelError("the file ends too early")
            return size
        if marker in FRAME_MARKERS:
            height, width = struct.unpack_from(">HH", content, position + 5)
            size = width, height
        has_length = marker not in (0x00, 0x01, 0xFF)
        position += 2 + struct.unpack_from(">H", content, position + 2)[0] if has_length else 1
        position = content.find(b"\xff", position)
    raise PixelError("it has no whole header")


SIZES = {b"\x89PNG\r\n\x1a\n": png_size, b"\xff\xd8": jpeg_size}
"""How the two formats begin, and where their size is."""
