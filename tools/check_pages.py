"""Checks the built pages as a reader would see them: python tools/check_pages.py docs/_build/html.

All links are followed; then headless Chromium opens every page at two widths, a phone's and a
screen's. Nothing may come from the network. One line for each failure; exit status 1 if there are.

    python tools/check_pages.py docs/_build/html --only 'guide/*' --pictures /tmp/pages

also saves a picture of each page and width, in the light and the dark theme.
"""

from __future__ import annotations

import argparse
import fnmatch
import functools
import http.server
import importlib.util
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

WIDTHS = (400, 1300)
# What a reader may search for, and a page that has to be among the results.
SEARCHES = {
    "jpeg": "guide/images.html",
    "onnx": "guide/saving.html",
    "dask": "guide/many_machines.html",
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HEIGHT = 900

# What a page loads by itself, and what it lets a reader follow.
_LOADED = {"img": "src", "script": "src", "iframe": "src", "source": "src", "video": "src"}
_LOADED_RELATIONS = {"stylesheet", "icon", "shortcut icon", "preload", "manifest", "search"}
# Files a browser offers as pages although they are not: copies of sources, and the theme's own.
_NO_PAGES = ("_static/", "_sources/", "_downloads/")


class Failure(NamedTuple):
    page: str
    width: int | None  # None: at any
    what: str

    def __str__(self) -> str:
        return f"{self.page}{f' at {self.width} px' if self.width else ''}: {self.what}"


class Page(HTMLParser):
    """The links, the anchors, what is loaded, and the headings of one page."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.title, self.n_h1, self.has_language = "", 0, False
        self._in_title = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors.update(values[name] for name in ("id", "name") if values.get(name))
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and values.get("rel") in _LOADED_RELATIONS:
            self.loaded.append(values.get("href", ""))
        elif values.get(_LOADED.get(tag, "")):
            self.loaded.append(values[_LOADED[tag]])
        self.n_h1 += tag == "h1"
        self.has_language |= tag == "html" and bool(values.get("lang"))
        if tag == "title" and not self.title:
            self._in_title = True

    def handle_endtag(self, tag: str) -> None:
        self._in_title &= tag != "title"

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data


def find_pages(root: Path) -> list[str]:
    """The pages below a folder, as paths with slashes, in the order of the alphabet."""
    paths = (path.relative_to(root).as_posix() for path in root.rglob("*.html"))
    return sorted(path for path in paths if not path.startswith(_NO_PAGES))


def read_pages(root: Path) -> dict[str, Page]:
    return {name: Page((root / name).read_text(encoding="utf-8")) for name in find_pages(root)}


def check_links(root: Path, pages: dict[str, Page]) -> list[Failure]:
    """Titles, headings, links, anchors, and files that are loaded: what needs no browser."""
    failures = []
    for name, page in pages.items():
        problems = list(_heading_problems(page))
        for link in dict.fromkeys(page.links):
            problems += _link_problems(root, pages, name, link)
        for address in dict.fromkeys(page.loaded):
            if urlsplit(address).netloc:
                problems.append(f"loads {address} from the network")
            elif urlsplit(address).scheme != "data":
                problems += _link_problems(root, pages, name, address)
        failures += [Failure(name, None, problem) for problem in problems]
    return failures


def _heading_problems(page: Page) -> Iterator[str]:
    if not page.title.strip():
        yield "has no title"
    if page.n_h1 != 1:
        yield f"has {page.n_h1} headings of the first level, not 1"
    if not page.has_language:
        yield "does not say in which language it is"


def _link_problems(root: Path, pages: dict[str, Page], name: str, link: str) -> Iterator[str]:
    try:
        parts = urlsplit(link)
    except ValueError:
        yield f"link {link!r} is not well formed"
        return
    if parts.scheme in ("mailto", "data", "javascript"):
        return
    if parts.scheme or parts.netloc:
        if parts.scheme not in ("http", "https", "") or not parts.netloc or " " in link:
            yield f"link {link!r} is not well formed"
        return
    target = unquote(urlsplit(urljoin(f"/{name}", parts.path)).path if parts.path else f"/{name}")
    target = target.removeprefix("/")
    if not target or target.endswith("/"):
        target += "index.html"
    if not (root / target).is_file():
        yield f"link {link!r} leads to no file"
    elif parts.fragment and target in pages:
        anchor = unquote(parts.fragment)
        if anchor not in pages[target].anchors | {"top"} and not anchor.startswith(":~:"):
            yield f"link {link!r} leads to no such place in {target}"


def check_thumbnails(root: Path) -> list[Failure]:
    """Pictures of examples that sphinx-gallery puts where an example draws nothing, or fails."""
    thumbnails = sorted((root / "_images").glob("sphx_glr_*_thumb.png"))
    if not thumbnails:
        return []
    from PIL import Image
    from sphinx_gallery.utils import scale_image

    failures = []
    stock_folder = Path(importlib.util.find_spec("sphinx_gallery").origin).parent / "_static"
    with tempfile.TemporaryDirectory() as folder:
        for thumbnail in thumbnails:
            picture = Image.open(thumbnail).convert("RGB")
            for name in ("no_image.png", "broken_example.png"):
                scaled = Path(folder) / name
                scale_image(str(stock_folder / name), str(scaled), *picture.size)
                if Image.open(scaled).convert("RGB").tobytes() == picture.tobytes():
                    what = f"{thumbnail.name} is {name} of sphinx-gallery, not of the example"
                    failures.append(Failure("auto_examples/index.html", None, what))
    return failures


# What sticks out of the window, or out of the column of text where it would cover its neighbours.
# What lies inside something that scrolls can be reached.
_STICKS_OUT = """() => {
  const root = document.scrollingElement;
  let found = [];
  const wide = root.scrollWidth > window.innerWidth;
  const column = document.querySelector('article, [role=main], main');
  const edge = column ? column.getBoundingClientRect().right : window.innerWidth;
  const held = element => {
    for (let e = element.parentElement; e && e !== document.body; e = e.parentElement) {
      if (e === column) return false;  // a column that scrolls sideways as a whole is no help
      if (getComputedStyle(e).overflowX !== 'visible') return true;
      if (getComputedStyle(e).position === 'fixed') return true;
    }
    return false;
  };
  for (const element of document.body.querySelectorAll('*')) {
    const box = element.getBoundingClientRect(), style = getComputedStyle(element);
    const scrolls = style.overflowX !== 'visible';
    // Text may be longer than the box that it is in.
    const inner = box.left + element.clientLeft + element.scrollWidth;
    const right = scrolls ? box.right : Math.max(box.right, inner);
    const inside = column && column.contains(element);
    if (!box.width || !box.height || right <= 0 || (!wide && !inside)) continue;
    const limit = inside ? Math.min(edge, window.innerWidth) : window.innerWidth;
    if (right <= limit + 1 || style.visibility === 'hidden') continue;
    if (style.position === 'fixed' || held(element)) continue;
    found.push({element, over: Math.round(right - limit)});
  }
  found = found.filter(({element}) =>
    !found.some(other => other.element !== element && element.contains(other.element)));
  // Cut off: text that lies outside of what hides its overflow. A few pixels are rims of glyphs.
  for (const element of document.body.querySelectorAll('*')) {
    const style = getComputedStyle(element);
    if (!/hidden|clip/.test(style.overflowX) || style.textOverflow === 'ellipsis') continue;
    const over = element.scrollWidth - element.clientWidth;
    const seen = element.clientWidth > 20 && element.clientHeight > 10;
    if (seen && over > 4 && element.getBoundingClientRect().right > 0) found.push({element, over});
  }
  const named = found.slice(0, 4).map(({element, over}) => {
    const kind = element.tagName.toLowerCase();
    const id = element.id ? '#' + element.id : '';
    const classes = [...element.classList].slice(0, 2).map(name => '.' + name).join('');
    const text = element.textContent.trim().replace(/\\s+/g, ' ').slice(0, 50);
    return `<${kind}${id}${classes}> by ${over} px: "${text}"`;
  });
  return {wide: wide ? root.scrollWidth : 0, named, more: found.length - named.length};
}"""

_IMAGES_MISSING = """async () => {
  const images = [...document.images];
  images.forEach(image => { image.loading = 'eager'; });
  await Promise.race([
    Promise.allSettled(images.map(image => image.decode())),
    new Promise(done => setTimeout(done, 10000)),
  ]);
  return images.filter(image => !image.naturalWidth).map(image => image.currentSrc || image.src);
}"""

# Two frames: after the first the new width is laid out, after the second it is drawn.
_DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"

_SEARCH_DONE = """() => {
  const summary = document.querySelector('#search-results .search-summary');
  const found = document.querySelectorAll('#search-results ul.search li a');
  return found.length > 0 || (summary && /did not match/.test(summary.textContent));
}"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def serve(root: Path) -> http.server.ThreadingHTTPServer:
    """A server of the folder at a free port of this machine; call `shutdown` at the end."""
    handler = functools.partial(_Quiet, directory=str(root))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def find_browser() -> str | None:
    """The path of a Chromium of this system, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


class Browser:
    """Pages in headless Chromium, and all that goes wrong while one loads."""

    def __init__(self, playwright: Any, path: str, base: str):
        # Other hosts are not found at all, as on a machine without a network.
        arguments = ["--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            arguments.append("--no-sandbox")  # Chromium refuses to have one for root
        self.base = base
        self.browser = playwright.chromium.launch(executable_path=path, args=arguments)
        self.tab = self.browser.new_page(viewport={"width": WIDTHS[-1], "height": HEIGHT})
        self.problems: list[str] = []
        self.tab.on("request", self._on_request)
        self.tab.on("response", self._on_response)
        self.tab.on("requestfailed", self._on_request_failed)
        self.tab.on("console", self._on_console)
        self.tab.on("pageerror", lambda error: self.problems.append(f"script error: {error}"))

    def close(self) -> None:
        self.browser.close()

    def open(self, name: str) -> None:
        self.problems.clear()
        self.tab.goto(f"{self.base}/{name}", wait_until="load")

    def resize(self, width: int) -> None:
        self.tab.set_viewport_size({"width": width, "height": HEIGHT})
        self.tab.evaluate(_DRAWN)

    def check(self, name: str) -> Iterator[Failure]:
        """Open one page and look at it at all widths."""
        self.resize(WIDTHS[0])
        self.open(name)
        for missing in self.tab.evaluate(_IMAGES_MISSING):
            yield Failure(name, None, f"image {missing.removeprefix(self.base)} is not there")
        for width in WIDTHS:
            self.resize(width)
            result = self.tab.evaluate(_STICKS_OUT)
            if result["wide"]:
                yield Failure(name, width, f"the page is {result['wide']} px wide")
            for element in result["named"]:
                yield Failure(name, width, f"sticks out: {element}")
            if result["more"]:
                yield Failure(name, width, f"{result['more']} more elements stick out")
        for problem in dict.fromkeys(self.problems):
            yield Failure(name, None, problem)

    def save_pictures(self, name: str, folder: Path) -> None:
        """Pictures of the page that is open, of its whole length."""
        for theme in ("light", "dark"):
            self.tab.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
            for width in WIDTHS:
                self.resize(width)
                file = f"{name.removesuffix('.html').replace('/', '__')}-{width}-{theme}.png"
                self.tab.screenshot(path=str(folder / file), full_page=True)

    def search(self, words: str) -> list[str]:
        """The pages that the search of the site finds, as paths from its root."""
        self.open(f"search.html?q={words}")
        self.tab.wait_for_function(_SEARCH_DONE, timeout=15_000)
        links = self.tab.eval_on_selector_all(
            "#search-results ul.search li a", "links => links.map(link => link.href)"
        )
        return [unquote(urlsplit(link).path).removeprefix("/") for link in links]

    def _is_local(self, address: str) -> bool:
        return address.startswith((self.base, "data:", "blob:", "about:"))

    def _on_request(self, request: Any) -> None:
        if not self._is_local(request.url):
            self.problems.append(f"asks the network for {request.url}")

    def _on_response(self, response: Any) -> None:
        if response.status >= 400:
            path = response.url.removeprefix(self.base)
            self.problems.append(f"request for {path} fails: {response.status}")

    def _on_request_failed(self, request: Any) -> None:
        aborted = "ERR_ABORTED" in (request.failure or "")  # the next page came before its end
        if self._is_local(request.url) and not aborted:
            path = request.url.removeprefix(self.base)
            self.problems.append(f"request for {path} fails: {request.failure}")

    def _on_console(self, message: Any) -> None:
        # A request that fails is already in the list.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.problems.append(f"console: {message.text}")


def check_search(browser: Browser, root: Path) -> Iterator[Failure]:
    for words, expected in SEARCHES.items():
        try:
            found = browser.search(words)
        except Exception as error:  # of the browser: no answer in time
            yield Failure("search.html", None, f"search for {words!r} does not end: {error}")
            continue
        if not found:
            yield Failure("search.html", None, f"search for {words!r} finds nothing")
        elif expected not in found:
            yield Failure("search.html", None, f"search for {words!r} does not find {expected}")
        for page in dict.fromkeys(found):
            if not (root / page).is_file():
                yield Failure("search.html", None, f"search for {words!r} finds {page}: no file")


def check_in_browser(
    root: Path,
    names: list[str],
    browser_path: str,
    pictures: Path | None = None,
    progress: Callable[[int, int, str], None] = lambda done, of, name: None,
) -> list[Failure]:
    """What only a browser can tell of the pages, and of the search if there is one."""
    from playwright.sync_api import sync_playwright

    failures: list[Failure] = []
    server = serve(root)
    try:
        with sync_playwright() as playwright:
            browser = Browser(playwright, browser_path, f"http://127.0.0.1:{server.server_port}")
            for i, name in enumerate(names):
                progress(i, len(names), name)
                failures += browser.check(name)
                if pictures is not None:
                    browser.save_pictures(name, pictures)
            if "search.html" in names:
                failures += check_search(browser, root)
            browser.close()
    finally:
        server.shutdown()
        server.server_close()
    return failures


def _show_progress(done: int, of: int, name: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K[{done + 1}/{of}] {name[:60]}", end="", file=sys.stderr, flush=True)
    elif done % 25 == 0:
        print(f"page {done + 1} of {of} ...", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the built pages")
    parser.add_argument("--only", metavar="PATTERN", help="only such pages in the browser")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="save a picture of each")
    options = parser.parse_args(arguments)
    root, start = options.folder.resolve(), time.monotonic()
    if not (root / "index.html").is_file():
        parser.error(f"{options.folder} holds no index.html: build the pages first (make docs)")
    browser_path = find_browser()
    if browser_path is None:
        parser.error(
            f"no Chromium: none of {', '.join(BROWSERS)} is there. Install it, for instance with "
            "`apt install chromium`, or Google Chrome."
        )
    if importlib.util.find_spec("playwright") is None:
        parser.error('Playwright drives the browser: pip install "sklearn-kmfeat[docs]"')
    if options.pictures is not None:
        options.pictures.mkdir(parents=True, exist_ok=True)

    pages = read_pages(root)
    names = fnmatch.filter(pages, options.only or "*")
    if not names:
        parser.error(f"no page is like {options.only!r}: they are paths such as {min(pages)!r}")
    failures = check_links(root, pages) + check_thumbnails(root)
    if options.only is None and "search.html" not in names:
        failures.append(Failure("search.html", None, "is not there"))
    failures += check_in_browser(root, names, browser_path, options.pictures, _show_progress)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    for failure in failures:
        print(failure)
    n_links = sum(len(set(page.links)) for page in pages.values())
    print(
        f"{len(names)} pages at {' and '.join(map(str, WIDTHS))} px, {n_links} links: "
        f"{len(failures) or 'no'} failures, {time.monotonic() - start:.0f} s"
    )
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
