#!/usr/bin/env python3
"""Writes a data set for a ControlNet: discs in one of eight colours on a background of another, their outlines, and prompts
that name the colours but not the places.

  make_data.py FOLDER [--count 600] [--size 64] [--seed 1]
"""

import argparse
import json
import pathlib
import random
import struct
import zlib

COLOURS = {"red": (214, 40, 40), "green": (44, 160, 60), "blue": (40, 80, 210), "yellow": (240, 210, 50),
           "white": (240, 240, 240), "black": (24, 24, 24), "orange": (245, 140, 30), "purple": (140, 60, 180)}


def write_png(path, size, pixel):
    """pixel(x, y) -> (r, g, b)."""
    rows = b"".join(b"\0" + bytes(c for x in range(size) for c in pixel(x, y)) for y in range(size))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) +
                     chunk(b"IEND", b""))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    o = parser.parse_args()
    rng = random.Random(o.seed)
    (o.folder / "outlines").mkdir(parents=True, exist_ok=True)
    lines = []
    for i in range(o.count):
        disc, ground = rng.sample(sorted(COLOURS), 2)
        radius = rng.uniform(0.16, 0.34) * o.size
        x0, y0 = (rng.uniform(radius + 2, o.size - radius - 2) for _ in range(2))

        def share(x, y):  # of the pixel that the disc covers, about
            return min(1.0, max(0.0, radius + 0.5 - ((x - x0) ** 2 + (y - y0) ** 2) ** 0.5))

        def picture(x, y):
            s = share(x, y)
            return tuple(round(s * a + (1 - s) * b) for a, b in zip(COLOURS[disc], COLOURS[ground]))

        def outline(x, y):
            return (255,) * 3 if abs(((x - x0) ** 2 + (y - y0) ** 2) ** 0.5 - radius) < 0.75 else (0,) * 3

        write_png(o.folder / f"{i:04}.png", o.size, picture)
        write_png(o.folder / "outlines" / f"{i:04}.png", o.size, outline)
        lines.append(json.dumps({"image": f"{i:04}.png", "conditioning_image": f"outlines/{i:04}.png",
                                 "prompt": f"a {disc} circle on a {ground} background"}))
    (o.folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
