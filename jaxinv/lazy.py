"""Fields of dataclasses that are found when they are first read."""

from typing import Any


class WhenAsked:
    """A field that may be given as a function, which is called when the field is first read.

    Example:
      >>> import dataclasses
      >>> @dataclasses.dataclass(frozen=True)
      ... class Answer:
      ...     value: int = WhenAsked()
      >>> Answer(lambda: 42).value, Answer(43).value
      (42, 43)
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            raise AttributeError(self._name)  # it has no default
        value = instance.__dict__[self._name]
        if callable(value):
            value = instance.__dict__[self._name] = value()
        return value

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self._name] = value
