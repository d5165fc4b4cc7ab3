"""Sums of rows of a float32 matrix: what most of a fastText prediction is.

    add_rows(sums, to, rows, found, count, dim)   sums[to : to + dim] += rows[f * dim : f * dim + dim] for f in found[:count]

Each element is added up by itself from left to right, so the bits are those of a plain loop. Written twice, as the masks
of kernels/simd.py are: as vector code that keeps 16 sums in registers, and as that loop.
"""

from __future__ import annotations

from typing import Any

import llvmlite.ir as ir
from numba import types
from numba.core import cgutils

from kernels.compile import part
from kernels.memory import get, intrinsic, put
from kernels.simd import SIMD

_BLOCK = 16
_VECTOR = ir.VectorType(ir.FloatType(), _BLOCK)


def _block(builder: Any, numbers: Any, at: Any) -> Any:
    """A pointer to numbers[at : at + 16] as a vector."""
    return builder.bitcast(builder.gep(numbers, [at]), _VECTOR.as_pointer())


def _load(builder: Any, numbers: Any, at: Any) -> Any:
    loaded = builder.load(_block(builder, numbers, at))
    loaded.align = 4
    return loaded


@intrinsic
def _add_blocks(typing: Any, sums: Any, to: Any, rows: Any, found: Any, count: Any, dim: Any, first: Any) -> Any:
    """The 16 columns from `first` on of `add_rows`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        to, count, dim, first = (
            context.cast(builder, args[at], signature.args[at], types.int64) for at in (1, 4, 5, 6)
        )
        sums, rows, found = args[0], args[2], args[3]
        place = builder.add(to, first)
        total = cgutils.alloca_once_value(builder, _load(builder, sums, place))
        with cgutils.for_range(builder, count) as loop:
            row = builder.load(builder.gep(found, [loop.index]))
            added = _load(builder, rows, builder.add(builder.mul(row, dim), first))
            builder.store(builder.fadd(builder.load(total), added), total)
        stored = builder.store(builder.load(total), _block(builder, sums, place))
        stored.align = 4
        return context.get_dummy_value()

    return types.void(sums, to, rows, found, count, dim, first), generate


@part(forceinline=True)
def _add_columns(sums: Any, to: int, rows: Any, found: Any, count: int, dim: int, first: int, last: int) -> None:
    """The columns first .. last - 1 of `add_rows`."""
    for at in range(count):
        row = get(found, at) * dim
        for column in range(first, last):
            put(sums, to + column, get(sums, to + column) + get(rows, row + column))


@part(forceinline=True)
def _add_by_blocks(sums: Any, to: int, rows: Any, found: Any, count: int, dim: int) -> None:
    for first in range(0, dim - _BLOCK + 1, _BLOCK):
        _add_blocks(sums, to, rows, found, count, dim, first)
    if dim % _BLOCK:
        _add_columns(sums, to, rows, found, count, dim, dim - dim % _BLOCK, dim)


@part(forceinline=True)
def _add_plain(sums: Any, to: int, rows: Any, found: Any, count: int, dim: int) -> None:
    _add_columns(sums, to, rows, found, count, dim, 0, dim)


@intrinsic
def _add_block(typing: Any, sums: Any, to: Any, rows: Any, row: Any) -> Any:
    """sums[to : to + 16] += rows[row : row + 16]"""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        to, row = (context.cast(builder, args[at], signature.args[at], types.int64) for at in (1, 3))
        total = builder.fadd(_load(builder, args[0], to), _load(builder, args[2], row))
        stored = builder.store(total, _block(builder, args[0], to))
        stored.align = 4
        return context.get_dummy_value()

    return types.void(sums, to, rows, row), generate


@part(forceinline=True)
def _add_row_by_blocks(sums: Any, to: int, rows: Any, row: int, dim: int) -> None:
    for first in range(0, dim - _BLOCK + 1, _BLOCK):
        _add_block(sums, to + first, rows, row + first)
    for at in range(dim - dim % _BLOCK, dim):
        put(sums, to + at, get(sums, to + at) + get(rows, row + at))


@part(forceinline=True)
def _add_row_plain(sums: Any, to: int, rows: Any, row: int, dim: int) -> None:
    for at in range(dim):
        put(sums, to + at, get(sums, to + at) + get(rows, row + at))


# found: int64, row numbers; the others float32
add_rows = _add_by_blocks if SIMD else _add_plain
# sums[to : to + dim] += rows[row : row + dim]
add_row = _add_row_by_blocks if SIMD else _add_row_plain
