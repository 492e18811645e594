"""Tiny pictures of each kind and what Pillow makes of them -> tests/data/images/.

expected.safetensors: NAME -> convert("RGB") after exif_transpose, uint8 [height, width, 3];
resize.FILTER.WIDTHxHEIGHT -> photo.png resized; grey -> convert("L"); array.npy -> its values.
"""

import io
import pathlib
import struct
import zlib

import numpy
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo
from safetensors.numpy import save_file

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data" / "images"


def photo(width, height):
    """Smooth colours, an edge and some noise."""
    y, x = numpy.mgrid[0:height, 0:width].astype(float)
    red = 127 + 120 * numpy.sin(x / 4) * numpy.cos(y / 7)
    green = 255 * x / width
    blue = numpy.where((x - width / 2) ** 2 + (y - height / 2) ** 2 < 60, 240, 30)
    noise = numpy.random.default_rng(5).normal(0, 12, (height, width, 3))
    return Image.fromarray(numpy.clip(numpy.stack([red, green, blue], -1) + noise, 0, 255).astype(numpy.uint8))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def raw_png(width, height, depth, color, rows):
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    data = b"".join(b"\0" + row for row in rows)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data))
            + chunk(b"IEND", b""))


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    small = photo(13, 9)
    alpha = Image.fromarray((numpy.arange(117).reshape(9, 13) * 2).astype(numpy.uint8))
    files = {}

    def save(name, image, **options):
        image.save(OUT / name, **options)
        files[name] = None

    text = PngInfo()
    text.add_text("parameters", "a cat\nSteps: 20, Seed: 42")
    text.add_text("Latin", "caf\u00e9")
    text.add_itxt("Title", "\u58a8 ink")
    text.add_text("Zipped", "again and again " * 20, zip=True)
    save("rgb.png", small, pnginfo=text)
    save("grey.png", small.convert("L"))
    save("bilevel.png", small.convert("L").point(lambda v: 255 * (v > 120)).convert("1"))
    save("palette.png", small.quantize(7), transparency=2)
    save("grey_alpha.png", Image.merge("LA", (small.convert("L"), alpha)))
    save("rgba.png", Image.merge("RGBA", (*small.split(), alpha)))
    rng = numpy.random.default_rng(1)
    deep = rng.integers(0, 65536, (4, 5, 3)).astype(">u2")
    (OUT / "rgb16.png").write_bytes(raw_png(5, 4, 16, 2, [row.tobytes() for row in deep]))
    files["rgb16.png"] = None
    save("grey.jpg", small.convert("L"))
    save("cmyk.jpg", small.convert("CMYK"), quality=95)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[274] = orientation
        save(f"turned{orientation}.jpg", small, exif=exif, quality=90, progressive=orientation % 2 == 0,
             subsampling=orientation % 3)
    save("lossy.webp", small, quality=80)
    save("alpha.webp", Image.merge("RGBA", (*small.split(), alpha)), lossless=True, exact=True)

    expected = {}
    for name in files:
        image = ImageOps.exif_transpose(Image.open(OUT / name)).convert("RGB")
        expected[name] = numpy.asarray(image)
    picture = photo(37, 29)
    picture.save(OUT / "photo.png")
    expected["grey"] = numpy.asarray(picture.convert("L"))
    filters = {"nearest": Image.NEAREST, "box": Image.BOX, "bilinear": Image.BILINEAR,
               "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}
    for name, which in filters.items():
        for size in [(16, 16), (64, 48), (37, 11), (9, 29), (5, 50)]:
            resized = picture.resize(size, which)
            expected[f"resize.{name}.{size[0]}x{size[1]}"] = numpy.asarray(resized)
    save_file({k: numpy.ascontiguousarray(v) for k, v in expected.items()}, OUT / "expected.safetensors")

    for kind in ("f4", "f2", "f8", "i8"):
        numpy.save(OUT / f"array_{kind}.npy", numpy.arange(-3, 9).reshape(3, 4).astype("<" + kind))
    numpy.save(OUT / "scalar.npy", numpy.float32(2.5))
    numpy.save(OUT / "fortran.npy", numpy.asfortranarray(numpy.arange(6.0).reshape(2, 3)))
    numpy.save(OUT / "big_endian.npy", numpy.arange(4.0).astype(">f4"))
    with open(OUT / "version2.npy", "wb") as file:
        numpy.lib.format.write_array(file, numpy.arange(5, dtype=numpy.float32), version=(2, 0))


if __name__ == "__main__":
    main()
