"""Pointers, for the inner loops: no bounds, no "negative index counts from the end", no reference counts.

    numbers = pointer(array)   where a C-contiguous array begins
    shifted(numbers, at)       where its item `at` is, as a pointer
    get(numbers, at)           array[at]
    put(numbers, at, x)        array[at] = x, converted to the array's type
    load64(data, 3)            the eight bytes data[3:11] as one little-endian uint64, at any alignment

Who calls these vouches for the index, and that the array outlives the pointer: take pointers of arguments only, for
numba frees an array of its own after the last line that names it. To hand on eight arrays costs a call some 60 words,
eight pointers cost eight. `load64`, `store64` and the masks of kernels/simd.py touch bytes behind the one
asked for, so the data of a text column is followed by at least `PAD` readable bytes (filters/texts.py sees to that).
"""

from __future__ import annotations

from typing import Any

import llvmlite.ir as ir
import numba.extending
import numpy as np
from numba import types

PAD = 128
# for mypy, which would tell numbers that numba does not tell apart
int64: Any = np.int64
uint8: Any = np.uint8
intrinsic: Any = numba.extending.intrinsic  # its own types know nothing of how an intrinsic is called


def _place(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """The address of args[0][args[1]]."""
    return builder.gep(args[0], [context.cast(builder, args[1], signature.args[1], types.int64)])


@intrinsic
def pointer(typing: Any, array: Any) -> Any:
    """Where the array begins."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.make_array(signature.args[0])(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), generate


@intrinsic
def shifted(typing: Any, array: Any, index: Any) -> Any:
    """Where array[index] is."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _place(context, builder, signature, args)

    return array(array, index), generate


@intrinsic
def get(typing: Any, array: Any, index: Any) -> Any:
    """array[index]"""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_place(context, builder, signature, args))

    return array.dtype(array, index), generate


@intrinsic
def put(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """array[index] = value"""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        converted = context.cast(builder, args[2], signature.args[2], signature.args[0].dtype)
        builder.store(converted, _place(context, builder, signature, args))
        return context.get_dummy_value()

    return types.void(array, index, value), generate


@intrinsic
def load64(typing: Any, data: Any, index: Any) -> Any:
    """The eight bytes data[index:index + 8] of a uint8 array as uint64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = _place(context, builder, signature, args)
        loaded = builder.load(builder.bitcast(place, ir.IntType(64).as_pointer()))
        loaded.align = 1
        return loaded

    return types.uint64(data, index), generate


@intrinsic
def store64(typing: Any, data: Any, index: Any, value: Any) -> Any:
    """data[index:index + 8] of a uint8 array = the eight bytes of a uint64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = _place(context, builder, signature, args)
        stored = builder.store(args[2], builder.bitcast(place, ir.IntType(64).as_pointer()))
        stored.align = 1
        return context.get_dummy_value()

    return types.void(data, index, types.uint64), generate


@intrinsic
def prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Asks for the cache line of array[index], which will be read soon."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.bitcast(_place(context, builder, signature, args), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [place.type], kind)
        builder.call(function, [place, number(0), number(3), number(1)])  # to read, to keep, data
        return context.get_dummy_value()

    return types.void(array, index), generate
