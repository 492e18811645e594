"""How much of the outlines the drawn pictures follow: the share of outline pixels that have an edge (of `sumi condition
canny`) in their place or beside it. Prints the mean over all pairs.

Usage: python3 examples/circles/agreement.py OUTLINES EDGES    (folders with files of the same names)
"""
import sys
from pathlib import Path

from png import read_png


def bright(path):
    return {(x, y) for y, row in enumerate(read_png(path)) for x, pixel in enumerate(row) if max(pixel) > 127}


def agreement(outline, edges):
    near = {(x + dx, y + dy) for x, y in edges for dx in (-1, 0, 1) for dy in (-1, 0, 1)}
    return len(outline & near) / len(outline)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    outlines, edges = Path(sys.argv[1]), Path(sys.argv[2])
    values = [agreement(bright(outlines / path.name), bright(path)) for path in sorted(edges.glob("*.png"))]
    print(f"{sum(values) / len(values):.3f} of {len(values)} outlines")


if __name__ == "__main__":
    main()
