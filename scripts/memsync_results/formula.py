"""Arithmetic over the columns of runs.csv: numbers, columns, + - * / ( ) min max, nothing else.

The harness writes formulas in SI units into registry.json, so here is no unit to be read.
"""

import ast
from collections.abc import Callable
from functools import reduce

import numpy as np

_LENGTH_MAX = 1000
_OPERATORS: dict[type, Callable] = {
    ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.divide,
}
_FUNCTIONS = {"min": np.minimum, "max": np.maximum}


def evaluate(text: str, column: Callable[[str], np.ndarray]) -> np.ndarray | float:
    """The formula's value in each row, or one number where it names no column.

    column: gives the values of a column, (n,), NaN where nothing was measured; raises KeyError.
    Raises ValueError for what is no such formula or names a column that is not there.
    """
    if len(text) > _LENGTH_MAX:
        raise ValueError("longer than any formula")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        with np.errstate(divide="ignore", invalid="ignore"):
            return _value(tree, column)
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError(f"'{text}' is no formula") from None


def _value(node: ast.expr, column: Callable[[str], np.ndarray]) -> np.ndarray | float:
    match node:
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            try:
                return column(name)
            except KeyError:
                raise ValueError(f"there is no column {name}") from None
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return np.negative(_value(operand, column))
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
            return _OPERATORS[type(operator)](_value(left, column), _value(right, column))
        case ast.Call(func=ast.Name(id="min" | "max" as name), args=[_, *_] as arguments,
                      keywords=[]):
            return reduce(_FUNCTIONS[name], (_value(each, column) for each in arguments))
    raise ValueError(f"'{ast.unparse(node)}' has no place in a formula")
