"""Makes the office files beside it, with programs that are not ours. Run once; the files are kept.

    pip install python-docx==1.2.0 openpyxl==3.1.5 python-pptx==1.0.2 odfpy==1.4.1 xlwt==1.3.0 msoffcrypto-tool==6.1.0
    python make.py
"""

import datetime
import email.message
import io
import pathlib
import struct
import zlib

import docx
import docx.enum.text
import msoffcrypto.format.ooxml
import odf.draw
import odf.office
import odf.opendocument
import odf.style
import odf.table
import odf.text
import openpyxl
import openpyxl.comments
import pptx
import pptx.util
import xlwt

HERE = pathlib.Path(__file__).parent


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png():
    header = struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0)
    return io.BytesIO(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\0\xff" * 2)) + chunk(b"IEND", b"")
    )


def document():
    made = docx.Document()
    made.add_heading("Rollback plan", 0)
    made.add_paragraph("Größe & Straße 服务器")
    made.add_heading("Steps", 1)
    made.add_paragraph("Stop the queue", style="List Bullet")
    made.add_paragraph("Start it again", style="List Number")
    table = made.add_table(rows=2, cols=2)
    for cell, text in zip([c for row in table.rows for c in row.cells], ["Host", "State", "db1", "down"]):
        cell.text = text
    hidden = made.add_paragraph("seen ").add_run("unseen")
    hidden.font.hidden = True
    made.add_paragraph().add_run().add_break(docx.enum.text.WD_BREAK.PAGE)
    made.add_heading("Costs", 1)
    made.add_paragraph("Four hours")
    made.add_picture(png())
    said = made.add_paragraph("Needs a word")
    made.add_comment(said.runs, text="Ask Jane first", author="Bob", initials="B")
    made.sections[0].header.paragraphs[0].text = "Confidential"
    made.save(HERE / "plan.docx")


def workbook():
    made = openpyxl.Workbook()
    sheet = made.active
    sheet.title = "Budget 2026"
    sheet.append(["Item", "Cost", "Due"])
    sheet.append(["Servers", 1234.5, datetime.date(2026, 11, 30)])
    sheet.append(["Größe", 0.1 + 0.2, datetime.datetime(2026, 12, 1, 9, 30)])
    sheet["B4"] = "=SUM(B2:B3)"
    sheet["K9"] = "far"
    sheet["A2"].comment = openpyxl.comments.Comment("a remark", "Bob")
    hidden = made.create_sheet("Notes")
    hidden["B2"] = "below the table"
    hidden.sheet_state = "hidden"
    made.save(HERE / "budget.xlsx")
    old = xlwt.Workbook()
    sheet = old.add_sheet("Alt")
    sheet.write(0, 0, "Größe")
    sheet.write(1, 1, 42)
    old.save(str(HERE / "old.xls"))
    with open(HERE / "budget.xlsx", "rb") as plain, open(HERE / "locked.xlsx", "wb") as locked:
        msoffcrypto.format.ooxml.OOXMLFile(plain).encrypt("secret", locked)


def slides():
    made = pptx.Presentation()
    # The layouts are most of the file.
    first = made.slides.add_slide(made.slide_layouts[1])
    first.shapes.title.text = "Outage"
    first.placeholders[1].text = "db1 was down\nfor 7 minutes"
    first.notes_slide.notes_text_frame.text = "Say sorry"
    second = made.slides.add_slide(made.slide_layouts[5])
    second.shapes.title.text = "Next"
    frame = second.shapes.add_table(1, 2, 0, 0, pptx.util.Inches(2), pptx.util.Inches(1))
    frame.table.cell(0, 0).text, frame.table.cell(0, 1).text = "who", "Jane"
    second.shapes.add_picture(png(), 0, 0)
    made.save(HERE / "outage.pptx")


def open_documents():
    made = odf.opendocument.OpenDocumentText()
    made.text.addElement(odf.text.H(outlinelevel=1, text="Protokoll"))
    made.text.addElement(odf.text.P(text="Größe 服务器"))
    points = odf.text.List()
    item = odf.text.ListItem()
    item.addElement(odf.text.P(text="Punkt"))
    points.addElement(item)
    made.text.addElement(points)
    said = odf.text.P(text="see ")
    said.addElement(odf.text.A(href="https://example.org/a", text="there"))
    note = odf.text.Note(noteclass="footnote")
    note.addElement(odf.text.NoteCitation(text="1"))
    body = odf.text.NoteBody()
    body.addElement(odf.text.P(text="a note"))
    note.addElement(body)
    said.addElement(note)
    made.text.addElement(said)
    made.save(str(HERE / "protocol.odt"))

    made = odf.opendocument.OpenDocumentSpreadsheet()
    table = odf.table.Table(name="Kosten")
    for cells, times in [([("Name", 1), ("Summe", 1)], 1), ([("a", 1), ("7", 3)], 1), ([("", 16384)], 1048000), ([("x", 12)], 40)]:
        row = odf.table.TableRow(numberrowsrepeated=times)
        for text, wide in cells:
            cell = odf.table.TableCell(numbercolumnsrepeated=wide)
            if text:
                cell.addElement(odf.text.P(text=text))
            row.addElement(cell)
        table.addElement(row)
    made.spreadsheet.addElement(table)
    made.save(str(HERE / "kosten.ods"))

    made = odf.opendocument.OpenDocumentPresentation()
    layout = odf.style.PageLayout(name="l")
    made.automaticstyles.addElement(layout)
    made.masterstyles.addElement(odf.style.MasterPage(name="m", pagelayoutname=layout))
    for name in ["Anfang", "Ende"]:
        page = odf.draw.Page(name=name, masterpagename="m")
        frame = odf.draw.Frame(width="5cm", height="2cm", x="1cm", y="1cm")
        box = odf.draw.TextBox()
        box.addElement(odf.text.P(text=f"Das {name}"))
        frame.addElement(box)
        page.addElement(frame)
        made.presentation.addElement(page)
    made.save(str(HERE / "vortrag.odp"))


def mail():
    inner = email.message.EmailMessage()
    inner["From"], inner["To"], inner["Subject"] = "jane@example.org", "bob@example.org", "Grüße"
    inner.set_content("the inner text\n")
    made = email.message.EmailMessage()
    made["From"], made["To"] = "Bob Müller <bob@example.org>", "ops@example.org"
    made["Date"], made["Subject"] = "Mon, 30 Nov 2026 09:00:00 +0100", "Fwd: Grüße"
    made["Message-ID"] = "<1@example.org>"
    made.set_content("See below.\n")
    made.add_attachment("a;b\n1;2\n", subtype="csv", filename="t.csv")
    made.add_attachment(b"%PDF-1.4", maintype="application", subtype="pdf", filename="p.pdf")
    made.add_attachment(inner)
    (HERE / "forwarded.eml").write_bytes(made.as_bytes())


for make in [document, workbook, slides, open_documents, mail]:
    make()
