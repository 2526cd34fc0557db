from __future__ import annotations

import io
import logging
import os
from pathlib import Path

import pytest

from ragdemo.folder import folder_passages
from ragdemo.passages import CorpusError, Passage


def pdf(*pages: str) -> bytes:
    """A PDF with one line of text per page, written by hand after the PDF reference."""
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for i, page in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 700 Td ({page}) Tj ET" if page else ""
        objects += [
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * i} 0 R >>",
            f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        ]
    out, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{content}\nendobj\n".encode()
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    tail = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\n"
    return out + f"{tail}startxref\n{len(out)}\n%%EOF\n".encode()


def encrypted(data: bytes, password: str) -> bytes:
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(data)))
    writer.encrypt(password, "owner", algorithm="RC4-128")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def load(folder: Path, **files: str | bytes) -> list[Passage]:
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name.replace("_", ".")).write_bytes(data)
    return folder_passages(folder)


def rows(passages: list[Passage]) -> list[tuple[str, str, str]]:
    return [(p.id, p.title, p.text.removeprefix(f"{p.title}\n\n")) for p in passages]


MARKDOWN = """\
---
title: settings, not prose
---
Before any heading.

# Install

Run it.

## Linux

```sh
# no heading
make install
```

Options
-------

There are *none*.
"""


def test_markdown_has_its_headings(tmp_path: Path) -> None:
    assert rows(load(tmp_path, guide_md=MARKDOWN)) == [
        ("guide.md#1", "guide.md", "Before any heading."),
        ("guide.md#2", "guide.md > Install", "Run it."),
        (
            "guide.md#3",
            "guide.md > Install > Linux",
            "```sh\n# no heading\nmake install\n```",
        ),
        ("guide.md#4", "guide.md > Install > Options", "There are *none*."),
    ]


def test_html_has_its_headings_and_no_scripts(tmp_path: Path) -> None:
    html = (
        "<html><head><title>T</title><style>p {}</style></head><body><nav>Home</nav>"
        "<h1>Main</h1><p>Intro with <b>bold</b> and <a href='x'>linked</a> words.</p>"
        "<script>alert(1)</script><h2>Sub</h2><p>One &amp; two.</p><ul><li>first</li></ul>"
        "</body></html>"
    )
    assert rows(load(tmp_path, a_html=html)) == [
        ("a.html#1", "a.html > Main", "Intro with **bold** and linked words."),
        ("a.html#2", "a.html > Main > Sub", "One & two.\n\n* first"),
    ]


def test_html_says_its_own_encoding(tmp_path: Path) -> None:
    html = '<html><head><meta charset="iso-8859-7"></head><body><p>καλημέρα</p></body></html>'
    assert rows(load(tmp_path, a_htm=html.encode("iso-8859-7")))[0][2] == "καλημέρα"


RST = """\
Guide
=====

See :class:`Path` and ``code``.

Details
-------

.. note:: Mind the gap.

.. autothing:: module

   Its own words.

.. include:: /etc/hostname
"""


def test_rst_has_its_headings_and_reads_no_other_file(tmp_path: Path) -> None:
    first, second = rows(load(tmp_path, a_rst=RST))
    assert first == ("a.rst#1", "a.rst > Guide", "See Path and code.")
    assert second[1] == "a.rst > Guide > Details"
    assert "Mind the gap." in second[2]
    assert "Its own words." in second[2]
    host = Path("/etc/hostname")
    assert not host.exists() or host.read_text().strip() not in second[2]


def test_pdf_has_its_pages(tmp_path: Path) -> None:
    assert rows(load(tmp_path, a_pdf=pdf("Pandas eat bamboo.", "Bees make honey."))) == [
        ("a.pdf#1", "a.pdf > page 1", "Pandas eat bamboo."),
        ("a.pdf#2", "a.pdf > page 2", "Bees make honey."),
    ]


def test_a_pdf_without_a_password_to_open_it_is_read(tmp_path: Path) -> None:
    data = encrypted(pdf("Readable by all."), "")
    assert rows(load(tmp_path, a_pdf=data))[0][2] == "Readable by all."


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8-sig", "Grüße aus Zürich"),
        ("utf-16", "Grüße aus Zürich"),
        ("cp1252", "Die Straße führt über die Brücke, und dann heißt es: schöne Grüße. " * 3),
        ("shift_jis", "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。" * 3),
    ],
)
def test_other_encodings_are_recognised(tmp_path: Path, encoding: str, text: str) -> None:
    assert rows(load(tmp_path, a_txt=text.encode(encoding)))[0][2] == text.strip()


def test_line_ends_do_not_matter(tmp_path: Path) -> None:
    assert rows(load(tmp_path, a_txt=b"one\r\n\r\ntwo\rthree"))[0][2] == "one\n\ntwo\nthree"


def test_folders_are_walked_in_order_and_hidden_ones_are_not(tmp_path: Path) -> None:
    for name in ["b/two.txt", "a/deep/one.TXT", ".git/no.txt", "b/.hidden.txt", "c.py"]:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"words of {name}")
    passages = folder_passages(str(tmp_path))
    assert [passage.id for passage in passages] == ["a/deep/one.TXT#1", "b/two.txt#1"]
    assert passages[1].source == str(tmp_path / "b" / "two.txt")


def test_long_documents_are_split_with_running_numbers(tmp_path: Path) -> None:
    text = "\n\n".join(f"Paragraph {i} " + "of many words " * 30 for i in range(9))
    passages = load(tmp_path, long_md=f"# Top\n\n{text}")
    assert [passage.id for passage in passages] == [
        f"long.md#{i + 1}" for i in range(len(passages))
    ]
    assert len(passages) >= 4
    assert {passage.title for passage in passages} == {"long.md > Top"}


def test_a_short_note_on_a_version_is_kept(tmp_path: Path) -> None:
    assert (
        rows(load(tmp_path, a_md="# 1.2\n\nNew in version 1.2.\n"))[0][2] == "New in version 1.2."
    )


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no symbolic links here")
def test_links_that_go_round_in_circles_are_not_followed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "loop.txt").symlink_to(tmp_path / "loop.txt")
    assert [p.id for p in load(tmp_path, a_txt="words")] == ["a.txt#1"]
    assert "loop.txt: not a regular file" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("bad_pdf", b"%PDF-1.4 nothing else", "damaged"),
        ("bad_pdf", encrypted(pdf("secret"), "password"), "encrypted; it needs a password"),
        ("bad_pdf", pdf(""), "no text in it"),
        ("bad_txt", b"", "empty"),
        ("bad_md", b"  \n\n", "empty"),
        ("bad_txt", bytes(range(256)) * 4, "not text in any known encoding"),
    ],
)
def test_an_unreadable_file_is_skipped_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, content: bytes, reason: str
) -> None:
    with caplog.at_level(logging.WARNING, logger="ragdemo.folder"):
        passages = load(tmp_path, good_txt="words", **{name: content})
    assert [passage.id for passage in passages] == ["good.txt#1"]
    (record,) = [record for record in caplog.records if record.name == "ragdemo.folder"]
    assert str(tmp_path / name.replace("_", ".")) in record.getMessage()
    assert reason in record.getMessage()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_does_not_block(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    assert len(load(tmp_path, a_txt="words")) == 1
    assert "pipe.txt: not a regular file" in caplog.text


def test_lone_surrogates_cannot_reach_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        folder_passages.__globals__["_LOADERS"], ".txt", lambda _: [((), "a \ud800 b")]
    )
    assert rows(load(tmp_path, a_txt="x"))[0][2] == "a ? b"


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="nowhere' does not exist"):
        folder_passages(tmp_path / "nowhere")


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    with pytest.raises(CorpusError, match="is a file; give the folder"):
        folder_passages(tmp_path / "a.txt")


def test_a_folder_without_documents_names_the_suffixes(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_text("words")
    with pytest.raises(CorpusError, match=r"\.htm, \.html, \.md, \.pdf, \.rst, \.txt"):
        folder_passages(tmp_path)


def test_a_folder_without_readable_documents_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="none of the 1 documents"):
        load(tmp_path, a_txt="")
