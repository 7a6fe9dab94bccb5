"""Machine instructions that Python has no word for."""

from __future__ import annotations

import struct
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, overload

ONE_AS_BITS = 1023 << 52
# Rows are copied in blocks of this many entries: few branches for the processor to guess wrong.
BLOCK = 8


def prefetch(values: Any, place: Any) -> None:
    """Ask for the cache line of ``values[place]``; changes nothing, and any place is allowed."""


def lowest_bit(word: Any) -> Any:
    """Return the position of the lowest bit set in a 64-bit word that is not 0."""
    value = int(word)
    return (value & -value).bit_length() - 1


def power_of_two(shifted: Any) -> Any:
    """Return 2^k for a whole number k from 0 to 1023, given as the double k + 1.5 * 2^52.

    The last bits of that double are k, and k added to the exponent of 1 is 2^k.
    """
    (bits,) = struct.unpack("<q", struct.pack("<d", shifted))
    return struct.unpack("<d", struct.pack("<Q", ((bits << 52) + ONE_AS_BITS) % 2**64))[0]


def copy_block(source: Any, start: Any, target: Any, place: Any) -> None:
    """Copy BLOCK integers from ``source[start]`` on to ``target[place]`` and what follows it."""
    target[place : place + BLOCK] = source[start : start + BLOCK]


def fill_block(target: Any, place: Any, value: Any) -> None:
    """Set ``target[place]`` and what follows it, BLOCK entries in all, to ``value``."""
    target[place : place + BLOCK] = value


def at(context: Any, builder: Any, kind: Any, array: Any, place: Any, vector: Any) -> Any:
    """Return the address of ``array[place]``, as that of a vector."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), vector.as_pointer())


def repeated(builder: Any, value: Any, vector: Any) -> Any:
    """Return a vector whose entries are all ``value``."""
    index = ir.IntType(32)
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(index, 0))
    zeros = ir.Constant(ir.VectorType(index, vector.count), None)
    return builder.shuffle_vector(first, undefined, zeros)


@intrinsic
def _prefetch(_typing: Any, values: Any, place: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.gep(array.data, [arguments[1]])
        flag = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, flag, flag, flag])
        name = "llvm.prefetch.p0"
        insert: Any = cgutils.get_or_insert_function
        function = insert(builder.module, kind, name)
        # To be read, to be kept in every cache, data.
        builder.call(function, [address, *(ir.Constant(flag, k) for k in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(values, place), generate


@intrinsic
def _lowest_bit(_typing: Any, word: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


@intrinsic
def _power_of_two(_typing: Any, shifted: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        bits = builder.shl(builder.bitcast(arguments[0], word), ir.Constant(word, 52))
        return builder.bitcast(builder.add(bits, ir.Constant(word, ONE_AS_BITS)), ir.DoubleType())

    return types.float64(types.float64), generate


@intrinsic
def _copy_block(_typing: Any, source: Any, start: Any, target: Any, place: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kinds = (ir.IntType(array.dtype.bitwidth) for array in (source, target))
        read, written = (ir.VectorType(kind, BLOCK) for kind in kinds)
        origin = at(context, builder, source, arguments[0], arguments[1], read)
        block = builder.load(origin, align=source.dtype.bitwidth // 8)
        if source.dtype.bitwidth > target.dtype.bitwidth:
            block = builder.trunc(block, written)
        elif source.dtype.bitwidth < target.dtype.bitwidth:
            block = builder.zext(block, written)
        destination = at(context, builder, target, arguments[2], arguments[3], written)
        builder.store(block, destination, align=target.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(source, start, target, place), generate


@intrinsic
def _fill_block(_typing: Any, target: Any, place: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(context.get_data_type(target.dtype), BLOCK)
        destination = at(context, builder, target, arguments[0], arguments[1], vector)
        block = repeated(builder, arguments[2], vector)
        builder.store(block, destination, align=target.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(target, place, target.dtype), generate


@overload(prefetch)
def _compiled_prefetch(values: Any, place: Any) -> Any:
    def compiled(values: Any, place: Any) -> None:
        _prefetch(values, place)  # type: ignore[call-arg]

    return compiled


@overload(copy_block)
def _compiled_copy_block(source: Any, start: Any, target: Any, place: Any) -> Any:
    def compiled(source: Any, start: Any, target: Any, place: Any) -> None:
        _copy_block(source, start, target, place)  # type: ignore[call-arg]

    return compiled


@overload(fill_block)
def _compiled_fill_block(target: Any, place: Any, value: Any) -> Any:
    def compiled(target: Any, place: Any, value: Any) -> None:
        _fill_block(target, place, value)  # type: ignore[call-arg]

    return compiled


@overload(lowest_bit)
def _compiled_lowest_bit(word: Any) -> Any:
    def compiled(word: Any) -> Any:
        return _lowest_bit(word)  # type: ignore[call-arg]

    return compiled


@overload(power_of_two)
def _compiled_power_of_two(shifted: Any) -> Any:
    def compiled(shifted: Any) -> Any:
        return _power_of_two(shifted)  # type: ignore[call-arg]

    return compiled
