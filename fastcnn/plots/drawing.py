"""A figure as the bytes of a file."""

import io
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Where Matplotlib's own font has no letter, as of Chinese names, one of these has, if it is
# installed: those of Linux, Windows and macOS.
_OTHER_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC",
    "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback",
    "Microsoft YaHei", "SimHei", "PingFang SC", "PingFang HK", "Hiragino Sans GB", "Heiti TC",
    "Arial Unicode MS",
)  # fmt: skip


def drawn(figure: "Figure", form: str = "png", **options: Any) -> bytes:
    """What a file of the figure holds; form : "png", "svg" or "pdf"."""
    stream = io.BytesIO()  # Matplotlib's writers do not take a full disk well
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a box stands there, as anybody sees
        figure.draw_without_rendering()  # the layout of images needs a second pass to be right
        _read_everywhere(figure)
        figure.savefig(stream, format=form, **options)
    return stream.getvalue()


def _read_everywhere(figure: "Figure") -> None:
    """All texts of a figure, whose labels are made as it is drawn, take letters of other fonts."""
    from matplotlib import font_manager, text

    installed = font_manager.fontManager.get_font_names()
    others = [name for name in _OTHER_FONTS if name in installed]
    for each in figure.findobj(text.Text):
        families = each.get_fontfamily()
        each.set_fontfamily([*families, *(name for name in others if name not in families)])
