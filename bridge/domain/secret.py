"""A value that must never be printed."""

import hmac


class Secret:
    """Holds a credential; `reveal()` is the only way to see it.

    `str`, `repr`, `format` and pickling show or keep nothing, so a secret cannot slip into a log line.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The credential itself, for the one line that puts it on the wire."""
        return self._value

    def matches(self, candidate: str) -> bool:
        """Whether `candidate` is this secret, compared in constant time."""
        return hmac.compare_digest(self._value.encode(), candidate.encode("utf-8", "surrogateescape"))

    def __repr__(self) -> str:
        return "'***'"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.matches(other._value)

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __reduce__(self) -> str:
        raise TypeError("a secret is not copied out of the process")
