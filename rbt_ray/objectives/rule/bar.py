"""The arguments of a rule: named tuples of numbers that compiled code builds from the addresses of arrays.

A named tuple of numbers costs nothing in compiled code: LLVM removes the numbers that the rule does not read, with their
loads. Arrays are passed by address, so that any number of indicators, each of its own length of window, needs no copy.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

ACCOUNT = ("position", "target", "entry_price", "bars_held", "equity", "symbol", "n_symbols", "number")
"""What a bar has of the account and of itself, after the fields of the bundle and the indicators."""
_ACCOUNT_TYPES = (types.float64,) * 3 + (types.int64, types.float64) + (types.int64,) * 3
_PRICE = ir.DoubleType()


@dataclass(frozen=True, slots=True)
class Names:
    """The names of what a rule gets.

    Args:
        fields: fields of the bundle.
        indicators: indicators.
        params: parameters.
        n_state: size of the rule's own array for each symbol; 0 if it takes none.
    """

    fields: tuple[str, ...]
    indicators: tuple[str, ...]
    params: tuple[str, ...]
    n_state: int

    @property
    def of_bar(self) -> tuple[str, ...]:
        """All names of a bar."""
        return (*self.fields, *self.indicators, *ACCOUNT)

    def bar_type(self) -> Any:
        """Returns the Numba type of a bar."""
        values = (types.float64,) * (len(self.fields) + len(self.indicators))
        return types.NamedTuple((*values, *_ACCOUNT_TYPES), collections.namedtuple("Bar", self.of_bar))

    def params_type(self) -> Any:
        """Returns the Numba type of the parameters."""
        kind = collections.namedtuple("Params", self.params)  # type: ignore[misc]
        return types.NamedUniTuple(types.float64, len(self.params), kind)

    def step_types(self) -> tuple[Any, ...]:
        """Returns the types of the arguments of a rule."""
        state = (types.Array(types.float64, 1, "C"),) if self.n_state else ()
        return (self.bar_type(), self.params_type(), *state)


def bar_of(names: Names, bar_type: Any) -> Callable[..., Any]:
    """Returns the function for kernels that builds a bar.

    It is called as `bar(fields, indicators, lane, n_rows, at, account)`: the addresses of the fields ``(n_fields,)`` and of each
    config's indicators ``(n_indicators, n_rows)`` flat, the config's row, the index of bar and symbol in these arrays, and a
    tuple of the numbers of `ACCOUNT`.
    """

    # Numba reads the names of the arguments, so `*arguments` would not do.
    def typed(_: Any, fields: Any, indicators: Any, lane: Any, n_rows: Any, at: Any, account: Any) -> Any:  # noqa: ARG001
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            tables = [
                context.make_array(kind)(context, builder, value).data
                for kind, value in zip(signature.args[:2], values[:2], strict=True)
            ]
            row, step, place = values[2:5]
            found = [_at(builder, tables[0], place.type(k), place) for k in range(len(names.fields))]
            rows = [builder.add(builder.mul(step, step.type(k)), row) for k in range(len(names.indicators))]
            found += [_at(builder, tables[1], one, place) for one in rows]
            found += [builder.extract_value(values[5], k) for k in range(len(ACCOUNT))]
            return context.make_tuple(builder, bar_type, found)

        index = types.intp
        return bar_type(fields, indicators, index, index, index, types.Tuple(_ACCOUNT_TYPES)), generate

    return intrinsic(typed)  # type: ignore[no-any-return]


def params_of(params_type: Any, n_params: int) -> Callable[..., Any]:
    """Returns the function for kernels that builds a config's parameters.

    It is called as `params(table, lane, n_rows)`: values ``(n_params, n_rows)`` flat, and the config's row.
    """

    def typed(_: Any, table: Any, lane: Any, n_rows: Any) -> Any:  # noqa: ARG001
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, values[0]).data
            _, row, step = values
            places = [builder.add(builder.mul(step, step.type(k)), row) for k in range(n_params)]
            return context.make_tuple(builder, params_type, [builder.load(builder.gep(data, [at])) for at in places])

        return params_type(table, types.intp, types.intp), generate

    return intrinsic(typed)  # type: ignore[no-any-return]


def _at(builder: Any, addresses: Any, number: Any, place: Any) -> Any:
    """Returns the value at a place of the array with an address."""
    address = builder.load(builder.gep(addresses, [number]))
    return builder.load(builder.gep(builder.inttoptr(address, _PRICE.as_pointer()), [place]))
