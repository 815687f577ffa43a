"""The contact sheet, in a real browser: before and after, sortable, and nothing of a row runs."""

import pytest
from instruct_pix2pix.headless.ledger import Ledger
from instruct_pix2pix.headless.manifest import Row
from instruct_pix2pix.headless.results import write_contact
from instruct_pix2pix.tests.browser.editor import chromium
from PIL import Image

HOSTILE = "<script>document.title = 'taken'</script>\"' onmouseover=alert(1)"


@pytest.fixture
def page(tmp_path, picture):
    """A sheet of three rows done in 10, 9 and 100 seconds, the last with a hostile instruction."""
    folder = tmp_path / "edited"
    with Ledger(folder / "ledger.sqlite") as ledger:
        words = ("b", "a", HOSTILE)
        ledger.begin_plan(Row(n, str(picture), text, f"{n}.png") for n, text in enumerate(words))
        for entry, seconds in zip(list(ledger.entries()), (10.0, 9.0, 100.0), strict=True):
            Image.open(picture).save(folder / entry.output)
            ledger.complete(entry.n, {}, seconds=seconds)
        write_contact(ledger, folder)
    with chromium() as browser:
        page = browser.new_page()
        page.goto((folder / "contact.html").as_uri())
        yield page


def test_a_click_on_a_heading_sorts(page):
    def column(n):
        return page.locator(f"tbody td:nth-child({n})").all_inner_texts()

    assert column(6) == ["10.0", "9.0", "100.0"]
    page.get_by_text("seconds").click()
    assert column(6) == ["9.0", "10.0", "100.0"]
    page.get_by_text("seconds").click()
    assert column(6) == ["100.0", "10.0", "9.0"]
    assert column(4)[0] == HOSTILE and page.title() == "Edits in edited"
    shown = "imgs => imgs.map(img => { img.loading = 'eager'; return img.decode() }).length"
    assert page.locator("img").evaluate_all(shown) == 6
