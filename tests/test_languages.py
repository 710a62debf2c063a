"""No sentence lacks its twin, and the twin is Chinese."""

import ast
import re

from fastcnn.languages import Refusal, Said
from tests.test_house import ROOT, modules

FILES = [*modules().values(), ROOT / "notebooks" / "answers.py", ROOT / "notebooks" / "exercise.py"]
PAIRS = {"Said", "Refusal", "wrong", "_not_yet"}


def literal(node: ast.expr) -> str | None:
    """What a sentence says besides its values; None if it is made elsewhere."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
    return None


def test_every_sentence_is_said_in_both_languages():
    count, faults = 0, []
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) not in PAIRS:
                continue
            said = [literal(each) for each in node.args[:2]]
            if None in said:
                continue
            count += 1
            english, chinese = map(str, said)
            is_chinese = re.search("[\u3000-\u9fff\uff00-\uffef]", chinese) or not chinese
            if re.search("[\u4e00-\u9fff]", english) or not is_chinese:
                faults.append((file.name, node.lineno, said))
    assert count > 70 and faults == []


def test_the_page_refuses_in_both_languages():
    """What is asked there has no refusal in English alone; of the server only the command hears."""
    for name in ("guard", "live", "shown"):
        assert "raise ValueError" not in modules()[f"fastcnn.showing.{name}"].read_text("utf-8")
    error = Refusal("no", "不")
    assert (str(error), error.said, error.said.of("zh")) == ("no", Said("no", "不"), "不")
