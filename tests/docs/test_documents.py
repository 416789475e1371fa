"""The documents are true: generated parts are fresh, links lead somewhere, commands exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def test_generated_parts_are_fresh():
    done = subprocess.run([sys.executable, str(ROOT / "tools/generate.py"), "--check"],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr + "\nrun python tools/generate.py"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_links(path):
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target


def test_readme_commands_name_what_exists():
    text = (ROOT / "README.md").read_text()
    for name in re.findall(r"(?:examples|benchmarks|tools)/\w+\.py", text):
        assert (ROOT / name).exists(), name
    done = subprocess.run([sys.executable, str(ROOT / "examples/digits.py"), "--help"],
                          capture_output=True, text=True, timeout=300)
    if "No module named 'sklearn'" not in done.stderr:
        assert done.returncode == 0 and "--framework" in done.stdout
