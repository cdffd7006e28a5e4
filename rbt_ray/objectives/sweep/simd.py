"""Vectors of eight float64 for compiled kernels; comparisons of them give eight bits.

LLVM vectorises a loop over plain arrays only if it can prove that the arrays do not overlap, which fails for kernels with
many arrays. Operations on these vectors always compile to vector instructions: one AVX-512 instruction each, or two AVX2
or four NEON ones. Elementwise arithmetic is IEEE double precision without contraction, so a result depends neither on
its position in the vector nor on the processor.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

from rbt_ray.objectives.sweep.layout import WIDTH

_VECTOR = ir.VectorType(ir.DoubleType(), WIDTH)
_BITS = ir.VectorType(ir.IntType(1), WIDTH)
_INDEX = ir.IntType(32)
_PICKS = ir.VectorType(_INDEX, WIDTH)
ARRAY: Final = "array"


class Float64x8Type(types.Type):  # type: ignore[misc]
    """The Numba type of a vector of eight float64."""

    def __init__(self) -> None:
        super().__init__(name="float64x8")


float64x8 = Float64x8Type()
_EIGHT = types.UniTuple(float64x8, WIDTH)


@register_model(Float64x8Type)
class _Float64x8Model(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


def _instruction(emit: Callable[..., Any], result: Any, *kinds: Any) -> Any:
    """Returns a function for kernels that compiles to the instructions that `emit(builder, *values)` writes.

    Args:
        emit: writes the instructions, and returns the value they compute.
        result: the type of that value.
        kinds: the types of the arguments; `ARRAY` for any array, for which `emit` gets the address.
    """

    def typed(_: Any, *given: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            handed = [
                context.make_array(own)(context, builder, value).data if kind is ARRAY else value
                for own, kind, value in zip(signature.args, kinds, values, strict=True)
            ]
            answer = emit(builder, *handed)
            return context.get_dummy_value() if result is types.void else answer

        return result(*(own if kind is ARRAY else kind for own, kind in zip(given, kinds, strict=True))), generate

    # Without a signature, Numba passes `*given` as one tuple.
    names = ["_", *(f"argument_{k}" for k in range(len(kinds)))]
    typed.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    )
    return intrinsic(typed)


def _address(builder: Any, data: Any, index: Any) -> Any:
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


def _load(builder: Any, data: Any, index: Any) -> Any:
    value = builder.load(_address(builder, data, index), typ=_VECTOR)
    value.align = 8
    return value


def _store(builder: Any, data: Any, index: Any, value: Any) -> None:
    builder.store(value, _address(builder, data, index)).align = 8


def _splat(builder: Any, value: Any) -> Any:
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, value, _INDEX(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_PICKS, [0] * WIDTH))


def _load_splat(builder: Any, data: Any, index: Any) -> Any:
    return _splat(builder, builder.load(builder.gep(data, [index])))


def _above(builder: Any, left: Any, right: Any) -> Any:
    return builder.bitcast(builder.fcmp_ordered(">", left, right), ir.IntType(8))


def _least(builder: Any, left: Any, right: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", left, right), left, right)


def _where_equal(builder: Any, left: Any, right: Any, value: Any, other: Any) -> Any:
    return builder.select(builder.fcmp_ordered("==", left, right), value, other)


def _where(builder: Any, bits: Any, value: Any, other: Any) -> Any:
    return builder.select(builder.bitcast(bits, _BITS), value, other)


def _absolute(builder: Any, value: Any) -> Any:
    bits = ir.VectorType(ir.IntType(64), WIDTH)
    magnitude = builder.and_(builder.bitcast(value, bits), ir.Constant(bits, [2**63 - 1] * WIDTH))
    return builder.bitcast(magnitude, _VECTOR)


def _sum(builder: Any, value: Any) -> Any:
    """Adds halves, so that the order of additions is always the same."""
    for half in (4, 2, 1):
        picks = [(k + half) % WIDTH for k in range(WIDTH)]
        value = builder.fadd(value, builder.shuffle_vector(value, value, ir.Constant(_PICKS, picks)))
    return builder.extract_element(value, _INDEX(0))


def _subtract_where(builder: Any, bits: Any, total: Any, value: Any) -> Any:
    return builder.select(builder.bitcast(bits, _BITS), builder.fsub(total, value), total)


def _add_where(builder: Any, bits: Any, total: Any, value: Any) -> Any:
    return builder.select(builder.bitcast(bits, _BITS), builder.fadd(total, value), total)


def _add_product(builder: Any, total: Any, left: Any, right: Any) -> Any:
    signature = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    fma = cgutils.get_or_insert_function(builder.module, signature, f"llvm.fma.v{WIDTH}f64")
    return builder.call(fma, [left, right, total])


def _transpose(builder: Any, rows: Any) -> Any:
    """Exchanges blocks of 1, 2 and 4 elements."""
    block = [builder.extract_value(rows, k) for k in range(WIDTH)]
    for step in (1, 2, 4):
        upper = [k if not k & step else WIDTH + k - step for k in range(WIDTH)]
        lower = [k + step if not k & step else WIDTH + k for k in range(WIDTH)]
        exchanged = list(block)
        for k in (k for k in range(WIDTH) if not k & step):
            for row, picks in ((k, upper), (k + step, lower)):
                exchanged[row] = builder.shuffle_vector(block[k], block[k + step], ir.Constant(_PICKS, picks))
        block = exchanged
    for k, column in enumerate(block):
        rows = builder.insert_value(rows, column, k)
    return rows


load = _instruction(_load, float64x8, ARRAY, types.intp)
"""`load(array, index)`: `array[index : index + 8]`, unchecked."""
store = _instruction(_store, types.void, ARRAY, types.intp, float64x8)
"""`store(array, index, value)`: `array[index : index + 8] = value`, unchecked."""
splat = _instruction(_splat, float64x8, types.float64)
"""`splat(number)`: the number in every element."""
load_splat = _instruction(_load_splat, float64x8, ARRAY, types.intp)
"""`load_splat(array, index)`: `splat(array[index])`, unchecked."""
above = _instruction(_above, types.uint8, float64x8, float64x8)
"""`above(left, right)`: bit k is set if `left[k] > right[k]`; never if either is NaN."""
least = _instruction(_least, float64x8, float64x8, float64x8)
"""`least(left, right)`: the smaller of each pair; `right` if either is NaN."""
where_equal = _instruction(_where_equal, float64x8, float64x8, float64x8, float64x8, float64x8)
"""`where_equal(left, right, value, other)`: `value` where `left == right`, else `other`."""
add_where = _instruction(_add_where, float64x8, types.uint8, float64x8, float64x8)
"""`add_where(bits, total, value)`: `total + value` where the bit is set, else `total`."""
subtract_where = _instruction(_subtract_where, float64x8, types.uint8, float64x8, float64x8)
"""`subtract_where(bits, total, value)`: `total - value` where the bit is set, else `total`."""
where = _instruction(_where, float64x8, types.uint8, float64x8, float64x8)
"""`where(bits, value, other)`: `value` where the bit is set, else `other`."""
absolute = _instruction(_absolute, float64x8, float64x8)
"""`absolute(value)`: the value without its sign."""
total_of = _instruction(_sum, types.float64, float64x8)
"""`total_of(value)`: the sum of the eight elements."""
add_product = _instruction(_add_product, float64x8, float64x8, float64x8, float64x8)
"""`add_product(total, left, right)`: `total + left * right`, rounded once on every processor."""
transpose = _instruction(_transpose, _EIGHT, _EIGHT)
"""`transpose((row, ...))`: eight vectors, with rows and columns exchanged."""
popcount = _instruction(lambda builder, word: builder.ctpop(word), types.uint64, types.uint64)
"""`popcount(word)`: number of bits that are set."""
byte = _instruction(
    lambda builder, data, index: builder.load(builder.gep(data, [index])), types.uint8, ARRAY, types.intp
)
"""`byte(octets, index)`: `octets[index]`; plain indexing would first test whether the index is negative."""
set_byte = _instruction(
    lambda builder, data, index, value: builder.store(value, builder.gep(data, [index])),
    types.void, ARRAY, types.intp, types.uint8,
)  # fmt: skip
"""`set_byte(octets, index, value)`: `octets[index] = value`, likewise."""


def _overload(symbol: Callable[..., Any], emit: Callable[..., Any]) -> None:
    """Defines the operator `symbol` for vectors, element by element."""
    elementwise = _instruction(emit, float64x8, float64x8, float64x8)

    def choose(left: Any, right: Any) -> Any:
        def apply(left: Any, right: Any) -> Any:
            return elementwise(left, right)

        return apply if left is float64x8 and right is float64x8 else None

    overload(symbol)(choose)


_overload(operator.add, lambda builder, left, right: builder.fadd(left, right))
_overload(operator.sub, lambda builder, left, right: builder.fsub(left, right))
_overload(operator.mul, lambda builder, left, right: builder.fmul(left, right))
_overload(operator.truediv, lambda builder, left, right: builder.fdiv(left, right))
