"""Builds the documentation as a site: ``docs_site.py [FOLDER]`` leaves it in FOLDER/site (build/site), or says why not.

The pages are gathered in FOLDER/pages just as they lie in the repository, the ones made from the code beside them. Then
zensical turns them into HTML and looks at every link and anchor; what it does not look at is looked at here.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reference import api_page, commands_page, metrics_page, setting_names, settings_table

ROOT = Path(__file__).parent.parent
ALONE = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
SETTINGS = Path("docs/settings.md")
_LINK = re.compile(r"\[([^]\[]*)\]\(([^)\s#:]+)\)")
_ITEM = re.compile(r"([-*]|\d+\.) ")
_LOADED = re.compile(
    r"""<(?:script|img|iframe|source|link(?=[^>]*rel="?(?:stylesheet|preload|modulepreload|preconnect|dns-prefetch|icon)))\b[^>]*?"""
    r"""(?:src|href)="?((?:https?:)?//[^"\s>]+)"""
)


def main() -> None:
    """Gather, check, build, check again; say on the error stream what is wrong."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build"
    pages = folder / "pages"
    gather(pages)
    nav = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]["nav"]
    wrong = [*unlisted(pages, set(_listed(nav))), *undescribed((ROOT / SETTINGS).read_text("utf-8"))]
    _end_if(wrong)
    shutil.copy(ROOT / "zensical.toml", folder)
    command: list[str | Path] = [
        Path(sys.executable).with_name("zensical"),
        "build",
        "--strict",
        "--clean",
        "-f",
        folder / "zensical.toml",
    ]
    built = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 -- our own tool
    _end_if([] if built.returncode == 0 else [_plain(built.stdout + built.stderr)])
    _end_if(list(loaded_from_elsewhere(folder / "site")))
    print(f"The site: {folder / 'site' / 'index.html'}")


def gather(pages: Path) -> None:
    """All pages below `pages`, as they lie in the repository; the README is the first one."""
    shutil.rmtree(pages, ignore_errors=True)
    shutil.copytree(ROOT / "docs", pages / "docs")
    for name in ALONE:
        shutil.copy(ROOT / name, pages / name)
    for path in pages.rglob("*.md"):
        path.write_text(_for_the_site(path.read_text("utf-8"), path.parent, pages), "utf-8")
    (pages / "README.md").rename(pages / "index.md")
    with (pages / SETTINGS).open("a", encoding="utf-8") as page:
        page.write(f"\n## As the code reads them\n\n{settings_table()}\n")
    made = pages / "docs" / "reference"
    made.mkdir()
    (made / "commands.md").write_text(commands_page(), "utf-8")
    (made / "http-api.md").write_text(api_page(), "utf-8")
    (made / "metrics.md").write_text(metrics_page(), "utf-8")


def unlisted(pages: Path, listed: set[str]) -> Iterator[str]:
    """Pages that nobody would find, and names in the navigation that are no pages."""
    there = {str(path.relative_to(pages)) for path in pages.rglob("*.md")}
    yield from (f"{name}: not in the navigation (nav in zensical.toml)" for name in sorted(there - listed))
    yield from (f"{name}: in the navigation, and not there" for name in sorted(listed - there))


def undescribed(page: str) -> Iterator[str]:
    """Settings that the code reads and that their page does not tell of."""
    known = set(re.findall(r"`([A-Z][A-Z0-9_]+)", page))
    yield from (f"{SETTINGS}: {name} is missing" for name in setting_names() if name not in known)


def loaded_from_elsewhere(site: Path) -> Iterator[str]:
    """What a page would fetch from the internet while it is looked at."""
    for path in sorted(site.rglob("*.html")):
        for address in _LOADED.findall(path.read_text("utf-8")):
            yield f"{path.relative_to(site)}: loads {address}"


def _listed(nav: list[Any] | dict[str, Any] | str) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from _listed(part)


def _for_the_site(text: str, folder: Path, pages: Path) -> str:
    """`text` as zensical's Markdown wants it: lists begin after a blank line; files that are no pages are no links."""

    def link(found: re.Match[str]) -> str:
        target = (folder / found[2]).resolve()
        source = ROOT / target.relative_to(pages.resolve()) if target.is_relative_to(pages.resolve()) else target
        if target == (pages / "README.md").resolve():
            return found[0].replace("README.md", "index.md")
        return f"`{found[1].strip('`')}`" if not target.exists() and source.exists() else found[0]

    lines = list[str]()
    fenced = False
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith("```")
        if not fenced:
            line = _LINK.sub(link, line)  # noqa: PLW2901 -- the line, mended
            if _ITEM.match(line) and lines and lines[-1] and not _ITEM.match(lines[-1]) and lines[-1][0] != " ":
                lines.append("")
        lines.append(line)
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Without colours, and without the traceback that zensical ends with."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text).partition("Traceback")[0].strip()


def _end_if(wrong: list[str]) -> None:
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
