"""Results with named fields, such as ``torch.return_types.max``: tuples whose items have names."""

from __future__ import annotations

from operator import itemgetter


class ReturnType(tuple):
    """A tuple of tensors whose items are attributes too; printed as PyTorch prints them."""

    __slots__ = ()
    __module__ = "torch.return_types"
    fields: tuple[str, ...] = ()

    def __new__(cls, items):
        """From an iterable of as many items as there are fields."""
        self = tuple.__new__(cls, items)
        if len(self) != len(cls.fields):
            raise TypeError(f"{cls.__name__}() takes a sequence of {len(cls.fields)} items, got "
                            f"{len(self)}")
        return self

    def __repr__(self) -> str:
        inner = ",\n".join(f"{name}={item!r}" for name, item in
                           zip(self.fields, self, strict=True))
        return f"torch.return_types.{type(self).__name__}(\n{inner})"

    def __reduce__(self):
        return type(self), (tuple(self),)


#: every class, by name: what ``torch.return_types`` holds
RETURN_TYPES: dict[str, type[ReturnType]] = {}


def return_type(name: str, *fields: str) -> type[ReturnType]:
    """The class of that name, made on first use."""
    found = RETURN_TYPES.get(name)
    if found is None:
        members = {"__slots__": (), "fields": fields, "__module__": "torch.return_types",
                   "n_fields": len(fields), "n_sequence_fields": len(fields),
                   **{f: property(itemgetter(i)) for i, f in enumerate(fields)}}
        found = RETURN_TYPES[name] = type(name, (ReturnType,), members)
    return found
