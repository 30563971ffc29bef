"""Texts of users, as a server takes them: none of its texts holds a NUL.

NUL is written as two characters, and the one that these begin with likewise. Escaped texts are in the same order as
they were, and those with the same beginning are together, so that searches and pages are what they were, too.
"""

__all__ = ["escaped", "unescaped"]


def escaped(text: str) -> str:
    r"""Return a text without NUL.

    >>> [escaped(text) for text in ("plain", "\0", "\1")]
    ['plain', '\x01\x01', '\x01\x02']
    """
    return text.translate(_ESCAPES) if _NUL in text or _ESCAPE in text else text


def unescaped(text: str) -> str:
    r"""Return a text as it was.

    >>> unescaped(escaped("a\0b\1\2")) == "a\0b\1\2"
    True
    """
    if _ESCAPE not in text:
        return text
    first, *others = text.split(_ESCAPE + _FIRST)
    return _NUL.join(part.replace(_ESCAPE + _SECOND, _ESCAPE) for part in (first, *others))


_NUL, _ESCAPE = "\0", "\1"
_FIRST, _SECOND = "\1", "\2"
_ESCAPES = {ord(_NUL): _ESCAPE + _FIRST, ord(_ESCAPE): _ESCAPE + _SECOND}
