#!/usr/bin/env python3
"""Draws the held-out prompts with and without the trained net, from the same seeds, and says how much of the pictures'
edges lies on the condition's outline.

  measure.py FOLDER [--sumi sumi] [--size 24]     FOLDER as examples/circles/run makes it
"""

import argparse
import json
import pathlib
import struct
import subprocess
import zlib


def read_png(path):
    """Rows of (r, g, b), from an 8-bit picture in grey or RGB."""
    data = path.read_bytes()
    at, packed = 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
        if kind == b"IDAT":
            packed += body
        at += length + 12
    assert depth == 8 and colour in (0, 2), path
    n = 3 if colour == 2 else 1
    raw, rows, above = zlib.decompress(packed), [], bytearray(width * n)
    for y in range(height):
        kind, row = raw[y * (width * n + 1)], bytearray(raw[y * (width * n + 1) + 1:(y + 1) * (width * n + 1)])
        for i in range(width * n):  # PNG specification, section 9
            a, b, c = row[i - n] if i >= n else 0, above[i], above[i - n] if i >= n else 0
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            row[i] = (row[i] + (0, a, b, (a + b) // 2, paeth)[kind]) & 255
        above = row
        rows.append([tuple(row[i:i + n]) * (3 // n) for i in range(0, width * n, n)])
    return rows


def edge_agreement(picture, outline):
    """The share of the colour differences between neighbours that lies within a pixel of the outline."""
    size = len(picture)
    near = [[any(outline[j][i][0] > 127 for j in range(max(0, y - 1), min(size, y + 2))
                 for i in range(max(0, x - 1), min(size, x + 2))) for x in range(size)] for y in range(size)]
    inside = total = 0
    for y in range(size - 1):
        for x in range(size - 1):
            here = picture[y][x]
            change = sum((a - b) ** 2 + (a - c) ** 2 for a, b, c in zip(here, picture[y][x + 1], picture[y + 1][x]))
            total += change
            inside += change * near[y][x]
    return inside / max(total, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--sumi", default="sumi")
    parser.add_argument("--size", type=int, default=24)
    o = parser.parse_args()
    held_out = o.folder / "held_out"
    results = {"with": [], "without": []}
    (o.folder / "pictures").mkdir(exist_ok=True)
    for i, line in enumerate((held_out / "metadata.jsonl").read_text().splitlines()):
        row = json.loads(line)
        outline = held_out / row["conditioning_image"]
        for kind in results:
            out = o.folder / "pictures" / f"{i:02}_{kind}.png"
            net = ["--controlnet", o.folder / "net", "--condition", outline] if kind == "with" else []
            subprocess.run([o.sumi, "image", o.folder / "model", "--prompt", row["prompt"], "--seed", str(i), "--width",
                            str(o.size), "--height", str(o.size), "--guidance-scale", "1.5", "-o", out, *net], check=True,
                           capture_output=True)
            results[kind].append(edge_agreement(read_png(out), read_png(outline)))
    mean = {kind: sum(values) / len(values) for kind, values in results.items()}
    print(f"edge agreement over {len(results['with'])} held-out conditions: {mean['with']:.3f} with the net, "
          f"{mean['without']:.3f} without it ({mean['with'] / mean['without']:.1f} times)")


if __name__ == "__main__":
    main()
