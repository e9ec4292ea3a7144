"""How the tensors that were found differ from those that were wanted, in a line."""

from collections.abc import Mapping

Shapes = Mapping[str, tuple[int, ...]]

_MAX_TOLD = 8
_MAX_NAME = 120


def mismatches(wanted: Shapes, found: Shapes) -> str:
    """Lists all that is missing, unexpected or misshapen.

    Args:
      wanted: Shapes by name.
      found: Shapes by name.

    Returns:
      `missing: a, b; unexpected: c; misshapen: d (1, 2) instead of (2, 1)`, at most
      eight names of each kind; empty if all match.
    """
    problems = {
        "missing": [shown(name) for name in sorted(wanted.keys() - found.keys())],
        "unexpected": [shown(name) for name in sorted(found.keys() - wanted.keys())],
        "misshapen": [
            f"{shown(name)} {found[name]} instead of {wanted[name]}"
            for name in sorted(wanted.keys() & found.keys())
            if tuple(found[name]) != tuple(wanted[name])
        ],
    }
    return "; ".join(
        f"{kind}: {', '.join(names[:_MAX_TOLD])}"
        + (f" and {len(names) - _MAX_TOLD} more" if len(names) > _MAX_TOLD else "")
        for kind, names in problems.items()
        if names
    )


def shown(name: str) -> str:
    """A name that a stranger may have chosen, short and without control characters."""
    name = name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}..."
    return name if name.isprintable() else ascii(name)
