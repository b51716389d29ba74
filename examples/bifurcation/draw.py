"""Draw the bifurcation diagram from the bands that the tasks left: draw.py RESULTS PICTURE.png

Above, how often the logistic map visits each x, from dark (never) to bright (often), for r from left
to right. Below, its Lyapunov exponent: warm where it is above zero and the map is chaotic. Needs
nothing but Python itself.
"""

import math
import pathlib
import struct
import sys
import zlib

ROWS, STRIP, GAP = 600, 120, 8
BACKGROUND, LINE = (10, 12, 24), (70, 78, 104)


def columns(results):
    """The columns of all bands by the index of their task, each (exponent, {bin: count})."""
    found = []
    for band in sorted(results.glob("*/band"), key=lambda path: int(path.parent.name)):
        for line in band.read_text().splitlines():
            _, exponent, *pairs = line.split()
            counts = dict(tuple(map(int, pair.split(":"))) for pair in pairs)
            found.append((float(exponent), counts))
    return found


def glow(share):
    """From night over blue and orange to white."""
    stops = [BACKGROUND, (32, 58, 130), (196, 84, 76), (255, 196, 92), (255, 252, 240)]
    place = min(max(share, 0.0), 1.0) * (len(stops) - 1)
    at = min(int(place), len(stops) - 2)
    return tuple(round(a + (b - a) * (place - at)) for a, b in zip(stops[at], stops[at + 1]))


def drawn(found):
    """The picture as rows of colours."""
    picture = [[BACKGROUND] * len(found) for _ in range(ROWS + GAP + STRIP)]
    low, high = -2.0, 0.75
    zero = ROWS + GAP + round(STRIP * high / (high - low))
    for x, (exponent, counts) in enumerate(found):
        mean = sum(counts.values()) / ROWS
        for bin_, count in counts.items():
            brightness = 0.2 + 0.8 * (1 - math.exp(-count / mean / 3))
            picture[ROWS - 1 - min(bin_, ROWS - 1)][x] = glow(brightness)
        picture[zero][x] = LINE
        here = min(max(exponent, low), high)
        y = ROWS + GAP + min(round(STRIP * (high - here) / (high - low)), STRIP - 1)
        colour = (255, 150, 80) if exponent > 0 else (84, 130, 220)
        for row in range(min(y, zero), max(y, zero) + 1):
            picture[row][x] = colour
    return picture


def png(picture):
    """The bytes of a PNG file (RFC 2083), eight bits a channel."""

    def chunk(kind, content):
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    size = struct.pack(">IIBBBBB", len(picture[0]), len(picture), 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + b"".join(map(bytes, row)) for row in picture)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", size), chunk(b"IDAT", zlib.compress(rows, 9)), chunk(b"IEND", b"")]
    )


def main():
    results, target = map(pathlib.Path, sys.argv[1:])
    found = columns(results)
    if not found:
        sys.exit(f"no band lies in {results}")
    target.write_bytes(png(drawn(found)))
    chaotic = sum(exponent > 0 for exponent, _ in found)
    print(f"{target}: {len(found)} values of r, chaotic at {chaotic}")


if __name__ == "__main__":
    main()
