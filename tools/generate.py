"""Write what is generated: ``python tools/generate.py [--check]``.

A document marks a part with ``<!-- generated: name -->`` and ``<!-- end -->``; what stands between
is replaced. Whole files are the pages of docs/api and the type stubs. With ``--check`` nothing is
written and the exit code says whether something is stale.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

import api_pages  # noqa: E402
import stubs  # noqa: E402
from stage_dumps import dumps  # noqa: E402

from flambeau.base import flags  # noqa: E402
from flambeau.ir.api import API  # noqa: E402
from flambeau.ir.node import PRIMS  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
DOCS, PACKAGE = ROOT / "docs", ROOT / "flambeau"


def flag_table() -> str:
    """Every environment flag."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for f in flags.FLAGS:
        default = f"`{f.default}`" if f.default != "" else "empty"
        rows.append(f"| `FLAMBEAU_{f.name.upper()}` | {default} | {f.doc} |")
    return "\n".join(rows)


def _summary(function) -> str:
    return api_pages.summary(function).replace("|", "\\|")


def op_table() -> str:
    """Every function of the registry with its forms, by the file that declares it."""
    by_file = defaultdict(list)
    for label, entry in API.items():
        module = entry.function.__module__.removeprefix("flambeau.")
        by_file[module.replace(".", "/") + ".py"].append((label, entry))
    lines = [f"{len(API)} functions.", ""]
    for file in sorted(by_file):
        lines += [f"### flambeau/{file}", "", "| function | forms | |", "|---|---|---|"]
        for label, e in sorted(by_file[file], key=lambda x: x[0]):
            forms = [name for name, has in (("method", e.method), ("in place", e.inplace),
                                            ("`out=`", e.out), ("`nn.functional`", e.functional))
                     if has]
            forms += [f"`{space}`" for space in e.namespaces] + [f"`{a}`" for a in e.aliases]
            lines.append(f"| `{label}` | {', '.join(forms)} | {_summary(e.function)} |")
        lines.append("")
    return "\n".join(lines).rstrip()


def prim_table() -> str:
    """The primitives of the graph IR by class."""
    by_class = defaultdict(list)
    for p in PRIMS.values():
        by_class[p.cls.value].append(p.name)
    rows = ["| class | primitives |", "|---|---|"]
    rows += [f"| {cls} | {' '.join(f'`{n}`' for n in sorted(names))} |"
             for cls, names in sorted(by_class.items())]
    return "\n".join(rows)


def parts() -> dict[str, str]:
    """The text of every generated part."""
    found = {"flags": flag_table(), "ops": op_table(), "prims": prim_table()}
    for name, text in dumps().items():
        found[f"stage {name}"] = f"```text\n{text}\n```"
    return found


def filled(text: str, known: dict[str, str]) -> str:
    """A document with its generated parts renewed."""
    pieces = text.split("<!-- generated: ")
    out = [pieces[0]]
    for piece in pieces[1:]:
        name, rest = piece.split(" -->", 1)
        _, after = rest.split("<!-- end -->", 1)
        out.append(f"{name} -->\n{known[name]}\n<!-- end -->{after}")
    return "<!-- generated: ".join(out)


def main() -> int:
    """0 when everything is (now) fresh."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, only compare")
    options = parser.parse_args()
    known = parts()
    wanted = {DOCS / name: text for name, text in api_pages.files().items()}
    wanted |= {PACKAGE / name: text for name, text in stubs.files().items()}
    wanted |= {path: filled(path.read_text(), known) for path in sorted(DOCS.rglob("*.md"))
               if path not in wanted and path.parent.name != "api"}
    gone = [p for p in [*DOCS.glob("api/*"), *PACKAGE.rglob("*.pyi")] if p not in wanted]
    stale = [p for p, text in wanted.items() if not p.exists() or p.read_text() != text]
    if not options.check:
        for path in gone:
            path.unlink()
        for path in stale:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted[path])
    stale = [path.relative_to(ROOT) for path in stale + gone]
    for path in stale:
        print(f"{'stale' if options.check else 'written'}: {path}")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
