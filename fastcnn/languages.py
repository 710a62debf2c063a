"""Sentences in both languages of those who learn here, written side by side."""

from typing import Literal, NamedTuple

Language = Literal["en", "zh"]


class Said(NamedTuple):
    """A sentence in both languages.

    Examples
    --------
    >>> Said("right", "正确").of("zh")
    '正确'
    """

    en: str
    zh: str

    def of(self, language: Language) -> str:
        """It in one of them."""
        return self.zh if language == "zh" else self.en


class Refusal(ValueError):
    """A refusal that is said in both languages; its text is the English one.

    Examples
    --------
    >>> str(Refusal("there is no such layer", "没有这个层"))
    'there is no such layer'
    """

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(en)
        self.said = Said(en, zh)
