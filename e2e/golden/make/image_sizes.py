"""The grid, the size and the tokens of pictures in LFM2-VL, after transformers' image_processing_lfm2_vl.py: in plain
Python, whose round() and whose order of a set of pairs are part of the rule.

usage: image_sizes.py OUT COUNT SEED
Writes one row a size: [width, height, rows, columns, height and width of the image or thumbnail, tokens].
"""
import json, math, random, sys

UNIT, TILE, LEAST, MOST, MIN_TILES, MAX_TILES, TOLERANCE = 32, 512, 64, 256, 2, 10, 2.0


def near(side):
    return round(side / UNIT) * UNIT


def whole(width, height):
    h, w = max(UNIT, near(height)), max(UNIT, near(width))
    most, least = MOST * UNIT ** 2, LEAST * UNIT ** 2
    if h * w > most:
        beta = math.sqrt((height * width) / most)
        h, w = (max(UNIT, math.floor(side / beta / UNIT) * UNIT) for side in (height, width))
    elif h * w < least:
        beta = math.sqrt(least / (height * width))
        h, w = (math.ceil(side * beta / UNIT) * UNIT for side in (height, width))
    return h, w


GRIDS = sorted({(w, h) for n in range(MIN_TILES, MAX_TILES + 1) for w in range(1, n + 1) for h in range(1, n + 1)
                if MIN_TILES <= w * h <= MAX_TILES}, key=lambda grid: grid[0] * grid[1])


def grid(width, height):
    best, ratio, area = float("inf"), (1, 1), width * height
    for one in GRIDS:
        off = abs(width / height - one[0] / one[1])
        if off < best:
            best, ratio = off, one
        elif off == best and area > 0.5 * TILE * TILE * one[0] * one[1]:
            ratio = one
    return ratio


def row(width, height):
    h, w = whole(width, height)
    tokens = h * w // UNIT ** 2
    large = max(16, near(height)) * max(16, near(width)) > MOST * UNIT ** 2 * TOLERANCE
    cols, rows = grid(width, height) if large else (1, 1)
    if rows * cols > 1:
        tokens += rows * cols * (TILE // UNIT) ** 2
    return [width, height, rows, cols, h, w, tokens]


out, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
draw = random.Random(seed)
side = lambda: int(math.exp(draw.uniform(math.log(1), math.log(6000))))
# halves of a unit, ties between ratios, and sides below a unit
sizes = [(w * 16, h * 16) for w in range(1, 41) for h in range(1, 41, 3)]
sizes += [(a * k, b * k) for a in range(1, 11) for b in range(1, 11) for k in (97, 250, 400)]
sizes += [(side(), side()) for _ in range(count)]
json.dump([row(*size) for size in sizes], open(out, "w"), separators=(",", ":"))
print(len(sizes), "sizes,", sum(r[2] * r[3] > 1 for r in map(lambda s: row(*s), sizes)), "in tiles")
