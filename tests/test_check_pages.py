"""The check of the built pages: links and anchors, and, with a browser, how they look."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def check_pages():
    spec = importlib.util.spec_from_file_location("check_pages", ROOT / "tools/check_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page(body, title="A title", head="", heading="<h1>A heading</h1>"):
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"{head}</head><body><main>{heading}{body}</main></body></html>"
    )


def write(folder, **pages):
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def link_failures(check_pages, tmp_path):
    def failures(**pages):
        write(tmp_path, **pages)
        found = check_pages.check_links(tmp_path, check_pages.read_pages(tmp_path))
        return [str(failure) for failure in found]

    return failures


def test_good_pages_have_no_failures(link_failures, tmp_path):
    (tmp_path / "guide").mkdir()
    (tmp_path / "guide" / "a b.html").write_text(page('<p id="här"><a href="../index.html">up</a>'))
    (tmp_path / "x.png").write_bytes(b"")
    body = (
        '<h2 id="here">Two</h2><a href="#here">1</a><a href="#">2</a>'
        '<a href="other.html#there">3</a>'
        '<a href="guide/a%20b.html#h%C3%A4r">4</a><a href="https://example.org/x#y">5</a>'
        '<a href="mailto:me@example.org">6</a><a href="?q=1">7</a><img src="x.png" alt="">'
        '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=" alt="">'
    )
    assert link_failures(index=page(body), other=page('<a name="there"></a>')) == []


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ('<a href="gone.html">x</a>', "link 'gone.html' leads to no file"),
        ('<a href="gone/">x</a>', "link 'gone/' leads to no file"),
        ('<a href="../index.html#x">x</a>', "leads to no such place in index.html"),
        ('<a href="#nowhere">x</a>', "link '#nowhere' leads to no such place in index.html"),
        ('<a href="other.html#nowhere">x</a>', "leads to no such place in other.html"),
        ('<a href="http:///x">x</a>', "link 'http:///x' is not well formed"),
        ('<a href="https://a b.org/">x</a>', "is not well formed"),
        ('<a href="http://[x/">x</a>', "is not well formed"),
        ('<img src="gone.png" alt="">', "link 'gone.png' leads to no file"),
        ('<img src="https://example.org/x.png">', "from the network"),
        ('<script src="//example.org/x.js"></script>', "loads //example.org/x.js from the network"),
        ('<link rel="stylesheet" href="https://example.org/x.css">', "from the network"),
        ("<h1>Another</h1>", "has 2 headings of the first level, not 1"),
    ],
)
def test_one_failure_is_found(link_failures, body, what):
    (failure,) = link_failures(index=page(body), other=page(""))
    assert failure.startswith("index.html: ")
    assert what in failure


def test_title_heading_and_language(link_failures):
    failures = link_failures(index="<html><head></head><body>x</body></html>")
    assert failures == [
        "index.html: has no title",
        "index.html: has 0 headings of the first level, not 1",
        "index.html: does not say in which language it is",
    ]


def test_title_of_a_picture_is_no_title_of_the_page(check_pages):
    text = page("<svg><title>drawing</title></svg>", title="page")
    assert check_pages.Page(text).title == "page"


def test_copies_of_sources_are_no_pages(check_pages, tmp_path):
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "x.html").write_text("")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "y.html").write_text("")
    write(tmp_path, index="")
    assert check_pages.find_pages(tmp_path) == ["a/y.html", "index.html"]


def test_no_pages_is_an_error(check_pages, tmp_path, capsys):
    with pytest.raises(SystemExit):
        check_pages.main([str(tmp_path)])
    assert "build the pages first" in capsys.readouterr().err


def test_no_such_page_is_an_error(check_pages, tmp_path, capsys, monkeypatch):
    pytest.importorskip("playwright")
    monkeypatch.setattr(check_pages, "find_browser", lambda: "chromium")
    write(tmp_path, index=page(""))
    with pytest.raises(SystemExit):
        check_pages.main([str(tmp_path), "--only", "gone/*"])
    assert "no page is like 'gone/*'" in capsys.readouterr().err


def test_a_thumbnail_has_to_show_the_example(check_pages, tmp_path):
    """sphinx-gallery has two pictures of its own for examples without one."""
    utils = pytest.importorskip("sphinx_gallery.utils")
    assert check_pages.check_thumbnails(tmp_path) == []
    images, stock = tmp_path / "_images", Path(utils.__file__).parent / "_static"
    images.mkdir()
    paths = [stock / "no_image.png", stock / "broken_example.png", ROOT / "docs/images/filters.png"]
    for path in paths:
        utils.scale_image(str(path), str(images / f"sphx_glr_{path.stem}_thumb.png"), 400, 280)
    failures = [str(failure) for failure in check_pages.check_thumbnails(tmp_path)]
    assert [text.split(" ")[1] for text in failures] == [
        "sphx_glr_broken_example_thumb.png",
        "sphx_glr_no_image_thumb.png",
    ]


def test_no_browser_is_an_error_that_tells_what_to_install(
    check_pages, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(check_pages, "BROWSERS", ("no-such-browser",))
    write(tmp_path, index=page(""))
    with pytest.raises(SystemExit):
        check_pages.main([str(tmp_path)])
    assert "apt install chromium" in capsys.readouterr().err


# In a real browser


@pytest.fixture
def run(check_pages, tmp_path, capsys):
    pytest.importorskip("playwright")
    if check_pages.find_browser() is None:
        pytest.skip("no Chromium")

    def run(*options, **pages):
        write(tmp_path, **pages)
        status = check_pages.main([str(tmp_path), *options])
        return status, capsys.readouterr().out.splitlines()

    return run


def test_a_good_page_passes(run):
    wide = '<div style="overflow-x: auto"><div style="width: 3000px">scrolls in itself</div></div>'
    status, lines = run("--only", "index*", index=page(wide))
    assert status == 0
    assert len(lines) == 1
    assert lines[0].startswith("1 pages at 400 and 1300 px, 0 links: no failures")


def test_what_only_a_browser_sees(run, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    body = (
        '<p id="long">' + "x" * 90 + '</p><img src="broken.png" alt="">'
        '<div style="overflow: hidden; width: 90px">'
        "<pre>this line is longer than its box</pre></div>"
        "<script>console.error('something is wrong'); nothing.at.all;</script>"
        "<script>fetch('gone.json'); fetch('http://example.invalid/x').catch(() => 0)</script>"
    )
    status, lines = run(index=page(body))
    assert status == 1
    text = "\n".join(lines)
    assert "index.html: image /broken.png is not there" in text
    assert "index.html at 400 px: the page is" in text
    assert "index.html at 400 px: sticks out: <p#long> by" in text
    assert "index.html at 1300 px: the page" not in text
    assert "this line is longer" in text
    assert "index.html: console: something is wrong" in text
    assert "index.html: script error: nothing is not defined" in text
    assert "index.html: request for /gone.json fails: 404" in text
    assert "index.html: asks the network for http://example.invalid/x" in text
    assert lines[-1].startswith("1 pages at 400 and 1300 px")


def test_pages_without_a_search_are_a_failure(run):
    status, lines = run(index=page(""))
    assert status == 1
    assert lines[0] == "search.html: is not there"


def test_search_that_finds_nothing(run):
    results = (
        "<div id='search-results'><p class='search-summary'></p><ul class='search'></ul></div>"
        "<script>const words = new URLSearchParams(location.search).get('q');"
        "const found = document.querySelector('ul');"
        "if (words === 'jpeg') found.innerHTML = '<li><a href=\"index.html\">x</a></li>';"
        "if (words === 'onnx') found.innerHTML = '<li><a href=\"gone.html\">x</a></li>';"
        "if (words === 'dask') document.querySelector('p').textContent ="
        "'Your search did not match any documents.'</script>"
    )
    status, lines = run(index=page(""), search=page(results))
    assert status == 1
    assert lines[:-1] == [
        "search.html: search for 'jpeg' does not find guide/images.html",
        "search.html: search for 'onnx' does not find guide/saving.html",
        "search.html: search for 'onnx' finds gone.html: no file",
        "search.html: search for 'dask' finds nothing",
    ]
