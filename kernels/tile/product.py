"""A product of matrices: rows of register tiles along one packed panel."""

from kernels import jit
from kernels.tile.operands import Asked, Panel, Rows, Sums, TileShape
from kernels.tile.packing import mode_of, panel_width, vector_width
from kernels.tile.register_tile import TILE_ROWS, tiles


@jit.serial
def multiply_block(a, a0, steps, rows, inner, b, b0, b_step, panel_of, start, y):
    """One panel of y's columns, for some of its rows: start + a times the panel.

    y[m, o + k] = start[o + k] + sum over i < inner of
                  a[a0 + m * steps[0] + i * steps[1]] * b[b0 + i * b_step + k]

    rows : (first, last); panel_of : (first column o, columns of y)
    """
    first, last = rows
    row, step = steps
    column, columns = panel_of
    mode = mode_of(b, columns)
    width = panel_width(b, columns)
    lane_count = vector_width(b, columns)
    vectors = (min(width, columns - column) + lane_count - 1) // lane_count
    tail = columns - column - (vectors - 1) * lane_count
    count = (last - first + TILE_ROWS - 1) // TILE_ROWS
    height = (last - first) // max(1, count)
    taller = (last - first) - height * count
    # Even shares: 32 rows are 11 + 11 + 10.
    for k in range(2):
        tile_rows, repeats = (height + 1, taller) if k == 0 else (height, count - taller)
        if repeats and tile_rows:
            tiles(
                TileShape(mode, tile_rows, vectors, tail, inner, outer=1, repeats=repeats),
                Rows(a, a0 + first * row, m=row, i=step, o=0, r=tile_rows * row),
                Panel(b, b0, i=b_step),
                Sums(start, column),
                Sums(y, first * columns + column, m=columns, r=tile_rows * columns),
                Asked(b, b0),
            )
        first += tile_rows * repeats
