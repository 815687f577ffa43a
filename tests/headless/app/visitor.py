"""What somebody does with the page in a browser."""

import zlib

from PIL import Image


def give(page, *files):
    page.set_input_files("#file", files)
    page.locator("#stage").wait_for()
    page.wait_for_function(
        "(name) => document.getElementById('stage-title').textContent === name",
        arg=getattr(files[-1], "name", None) or files[-1]["name"],
    )


def set_steps(page, steps):
    page.evaluate("() => { document.getElementById('more').open = true }")
    page.fill("#steps", str(steps))


def ask_for(page, instruction):
    page.fill("#instruction", instruction)
    page.press("#instruction", "Enter")


def wait_for(page, results):
    """Until there are so many results in the history and nothing is being made."""
    page.wait_for_function(
        """(results) => document.querySelectorAll("#history img").length === results
            && !document.querySelector(".job")""",
        arg=results,
    )


def saved(page, kind="png"):
    with page.expect_download() as download:
        page.click(f"#{kind}")
    return download.value.suggested_filename, Image.open(download.value.path())


def mask_of(page):
    """How much of the picture is painted."""
    return page.evaluate("""() => {
        const canvas = document.getElementById("mask")
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
        return data.filter((_, at) => at % 4 === 3 && data[at]).length / data.length * 4
    }""")


def wait_for_mask(page, condition):
    page.wait_for_function(f"""() => {{
        const canvas = document.getElementById("mask")
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
        const share = data.filter((_, at) => at % 4 === 3 && data[at]).length / data.length * 4
        return share {condition}
    }}""")


def bomb():
    """A PNG of a few kilobytes that says it is 60,000 pixels wide and high."""

    def chunk(kind, data):
        body = kind + data
        return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    head = (60000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data
