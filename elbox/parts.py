"""Parts remember their constructor arguments, so that a model is saved as JSON and never as a pickle.

`@part` records the arguments with which an object was made and enters its class in the list of classes that a file may
name. `to_tree` turns an object into plain JSON values, `from_tree` rebuilds it. A class outside the list is refused:
loading never runs code that a file names, unless the caller allows that class by handing it in.
"""

from __future__ import annotations

__all__ = ["part", "to_tree", "from_tree"]

import functools
import inspect
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from torch import nn

from elbox.errors import RunError

T = TypeVar("T", bound=type)

PARTS: dict[str, type] = {}
ACTIVATIONS = {
    c.__name__: c for c in (nn.ReLU, nn.Tanh, nn.SiLU, nn.GELU, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Softplus)
}
FAMILIES: dict[str, type] = {}  # of distributions, that a part may take: filled by elbox.distributions


def name_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def part(cls: T) -> T:
    """Class decorator: the object keeps its constructor's arguments in `.arguments` and can be saved.

    Arguments:
        cls: A class whose constructor takes plain values, sequences, activations or other parts, none of them through
            *args.

    Example:
        >>> import elbox
        >>> @elbox.part
        ... class Shift:
        ...     def __init__(self, by: float = 1.0):
        ...         self.by = by
        >>> Shift(2.0).arguments
        {'by': 2.0}
    """
    init = cls.__init__  # type: ignore[misc]
    signature = inspect.signature(init)

    @functools.wraps(init)
    def remember(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        if type(self) is cls:
            object.__setattr__(self, "arguments", _arguments(signature, self, *args, **kwargs))

    cls.__init__ = remember  # type: ignore[misc]
    if cls.__module__.split(".")[0] == "elbox":
        PARTS[name_of(cls)] = cls
    return cls


def _arguments(signature: inspect.Signature, /, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """The arguments of a constructor by name, defaults included, those caught by **kwargs among them."""
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    found: dict[str, Any] = {}
    for name, parameter in list(signature.parameters.items())[1:]:
        value = bound.arguments[name]
        if parameter.kind is parameter.VAR_KEYWORD:
            found |= value
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            found[name] = value
        elif value:
            raise RunError(
                f"got {len(value)} arguments in *{name} of a part; expected each by its name, so that it can be saved"
            )
    return found


def to_tree(value: Any, seen: dict[int, int] | None = None) -> Any:
    """Plain JSON values that `from_tree` turns back into an equal object (its weights are saved apart).

    Arguments:
        value: A part, or a plain value, sequence or dictionary of such.

    Raises:
        RunError: if something in it is not a part.

    Example:
        >>> from elbox.priors import StandardNormal
        >>> to_tree(StandardNormal(2))
        {'part': 'elbox.priors.standard_normal.StandardNormal', 'id': 0, 'arguments': {'latent': 2}}
    """
    seen = {} if seen is None else seen
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [to_tree(v, seen) for v in value]
    if isinstance(value, dict):
        return {"dict": {k: to_tree(v, seen) for k, v in value.items()}}
    if isinstance(value, type):
        return _class(value)
    if id(value) in seen:  # one object in two places (a VampPrior holds the posterior) stays one object
        return {"same": seen[id(value)]}
    if not hasattr(value, "arguments"):
        raise RunError(
            f"got a {name_of(type(value))} inside a model to save; expected a part: decorate its class with @elbox.part"
        )
    number = seen.setdefault(id(value), len(seen))
    arguments = {k: to_tree(v, seen) for k, v in value.arguments.items()}
    return {"part": name_of(type(value)), "id": number, "arguments": arguments}


def from_tree(tree: Any, allow: Iterable[type] = ()) -> Any:
    """The object that `to_tree` described.

    Arguments:
        tree: What `to_tree` returned, perhaps through a JSON file.
        allow: Classes outside elbox that the tree may name.

    Raises:
        RunError: if the tree names a class that is neither elbox's nor in `allow`.

    Example:
        >>> from elbox.priors import StandardNormal
        >>> from_tree(to_tree(StandardNormal(2))).arguments
        {'latent': 2}
    """
    return _build(tree, PARTS | {name_of(c): c for c in allow}, {})


def _build(tree: Any, known: dict[str, type], made: dict[int, Any]) -> Any:
    if isinstance(tree, list):
        return tuple(_build(t, known, made) for t in tree)
    if not isinstance(tree, dict):
        return tree
    if "dict" in tree:
        return {k: _build(v, known, made) for k, v in tree["dict"].items()}
    if "activation" in tree:
        return _known(tree["activation"], ACTIVATIONS)
    if "family" in tree:
        return _known(tree["family"], FAMILIES)
    if "class" in tree:
        return _known(tree["class"], known)
    if "same" in tree:
        return made[tree["same"]]
    cls = _known(tree.get("part"), known)
    made[tree["id"]] = obj = cls(**{k: _build(v, known, made) for k, v in tree["arguments"].items()})
    return obj


def _class(cls: type) -> dict[str, str]:
    if cls in ACTIVATIONS.values():
        return {"activation": cls.__name__}
    if FAMILIES.get(cls.__name__) is cls:
        return {"family": cls.__name__}
    if name_of(cls) in PARTS:
        return {"class": name_of(cls)}
    raise RunError(
        f"got the class {name_of(cls)} as a setting to save; expected an activation, a family of distributions or a "
        "part of elbox"
    )


def _known(name: Any, known: Mapping[str, type]) -> type:
    if name not in known:
        raise RunError(
            f"got the class {name!r} in a saved model; expected a part of elbox: if you trust it, use allow=[...]"
        )
    return known[name]
