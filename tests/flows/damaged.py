"""`python damaged.py SEED COUNT`: COUNT damaged inputs, each through unpacking, detection, a reader and the judge of its target.

Each must give rows, refused rows with a reason, or one line. How many gave what, and the peak of memory, is written to stdout; the first
that does anything else is written to stderr with its number, and ends the process.
"""

import bz2
import gzip
import io
import json
import lzma
import os
import random
import re
import resource
import sys
import tarfile
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[2]))

from flows.data import building, origins, unpacking
from model.errors import UserError
from tasks.intake import detection
from tasks.intake import rows as intake
from tasks.intake.sources import Source
from tasks.readers.auto import taken as taken_options

SECONDS = 20  # no input may take longer
LIMITS = unpacking.Limits(max_unpacked_bytes=200_000_000, max_unpacked_ratio=100, max_files=200, max_nesting=3)


def lines(*rows):
    return "".join(f"{row}\n" for row in rows).encode()


def table(rows):
    return pa.Table.from_pylist(rows)


def parquet(rows):
    held = io.BytesIO()
    pq.write_table(table(rows), held, compression="zstd")
    return held.getvalue()


def arrow(rows, opener):
    held = io.BytesIO()
    with opener(held, table(rows).schema) as writer:
        writer.write_table(table(rows))
    return held.getvalue()


REVIEWS = [{"text": f"Review {number}, 好看 é", "label": "good"} for number in range(20)]
FRAMES = """<!DOCTYPE frameset SYSTEM "x.dtd"><frameset><predicate><roleset><example name="a"><text>She gave him up .</text><propbank>
<rel relloc="1 3">gave up</rel><arg type="ARG0" start="0" end="0">She</arg></propbank></example></roleset></predicate></frameset>"""
TMX = """<?xml version="1.0"?><tmx version="1.4"><header/><body><tu><tuv xml:lang="en"><seg>Hello <bpt i="1">b</bpt>you</seg></tuv>
<tuv xml:lang="zh"><seg>你好</seg></tuv></tu><tu><tuv xml:lang="en"><seg>Only</seg></tuv></tu></body></tmx>"""
CONLL = lines(
    *(
        f"d 0 {n} {word} X * {verb} {verb} - - * {role} -"
        for n, (word, verb, role) in enumerate([("She", "-", "(ARG0*)"), ("ate", "01", "(V*)")])
    ),
    "",
)
QUESTION = {"question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}]}
SQUAD = {"data": [{"paragraphs": [{"context": "Ada wrote.", "qas": [QUESTION]}]}]}
DIALOGUE = {"passage": "In May she married.", "question": "question1: what?", "answer": "possible answers for question1:\nIn May she"}
PASSAGE = {"passage": "He met Art.", "question": "Whom?", "answer": ["art"]}
PAGE = "# Title\n\nSome *prose* here, [a link](x).\n\n* item\n\n```\ncode\n```\n" * 3

SEEDS = {  # reader: (target, files, options)
    "arrow": ("sentiment", {"r.arrow": arrow(REVIEWS, pa.ipc.new_stream)}, {}),
    "conll": ("srl", {"r.conll": CONLL * 5}, {}),
    "csv": ("sentiment", {"r.csv": lines("text,label", *(f'"{row["text"]}",{row["label"]}' for row in REVIEWS))}, {}),
    "html": ("corpus", {"r.html": b"<html><body><h1>T</h1><p>Some <b>text</b> &amp; more.</p><script>x</script></body></html>" * 3}, {}),
    "json": ("sentiment", {"r.json": json.dumps({"version": 1, "rows": REVIEWS}, indent=1).encode()}, {}),
    "jsonl": ("sentiment", {"r.jsonl": lines(*map(json.dumps, REVIEWS))}, {}),
    "lines": ("sentiment", {"pos.txt": lines("good", "fine"), "neg.txt": lines("bad")}, {"labels": {"pos": "p", "neg": "n"}}),
    "markdown": ("corpus", {"r.md": PAGE.encode()}, {}),
    "moses": ("translation", {"r.en": lines("Hello.", "Bye."), "r.zh": lines("你好。", "再见。")}, {}),
    "parquet": ("sentiment", {"r.parquet": parquet(REVIEWS)}, {}),
    "passages": ("qa", {"r.jsonl": lines(*map(json.dumps, [PASSAGE] * 5))}, {}),
    "propbank": ("srl", {"r.xml": FRAMES.encode()}, {}),
    "quac": ("qa", {"r.jsonl": lines(*map(json.dumps, [DIALOGUE] * 5))}, {}),
    "squad": ("qa", {"r.json": json.dumps(SQUAD).encode()}, {}),
    "tagged": ("corpus", {"r.txt": "迈向/v  充满/v\n１/m\n".encode() * 5}, {}),
    "text": ("corpus", {"r.txt": b"One.\n\nTwo is\nlonger.\r\n\r\nThree.\n"}, {}),
    "tmx": ("translation", {"r.tmx": TMX.encode()}, {}),
    "vader": ("sentiment", {"r.txt": lines("1\t0.9\tNice", "2\t-2\tBad")}, {"threshold": 0.5}),
}
SEEDS["arrow file"] = ("sentiment", {"r.arrow": arrow(REVIEWS, pa.ipc.new_file)}, {})


def zipped(files):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return held.getvalue()


def tarred(files, mode="w"):
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode=mode) as packed:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
    return held.getvalue()


def zstd(content):
    return pa.compress(content, codec="zstd", asbytes=True)


def first(files):
    return next(iter(files.values()))


PACKERS = {
    "p.zip": zipped,
    "p.tar": tarred,
    "p.tgz": lambda files: tarred(files, "w:gz"),
    "p.gz": lambda files: gzip.compress(first(files)),
    "p.zst": lambda files: zstd(first(files)),
    "p.bz2": lambda files: bz2.compress(first(files)),
    "p.xz": lambda files: lzma.compress(first(files)),
    "nested.zip": lambda files: zipped({"inner.tar.gz": tarred(files, "w:gz"), **files}),
}

# What is put into a file somewhere: bytes that upset one reader or another.
INTRUDERS = [
    *(
        b"\0",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"\r",
        b"\n\n",
        b'"',
        b"'",
        b"\\",
        b"\\ud83d",
        b"<",
        b"</",
        b"<!--",
        b"]]>",
        b"&x;",
    ),
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\t",
        b"(",
        b")",
        b"*",
        b"NaN",
        b"1e999",
        b"9" * 5000,
        b"-",
        b"null",
        b"true",
        b"&#0;",
        b"../" * 5,
    ),
    *(b"[" * 100_000, b'{"a":' * 50_000, b"<b>" * 20_000, b"a" * 300_000, b'"' + b"x" * 200_000, b"*" * 5000, b"[](" * 3000, b"#", b"```"),
    *(
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]>',
        b"\x1f\x8b",
        b"PK\x03\x04",
        "\u2028\0\ud7ff\ufeff".encode(),
        "好".encode("gb18030"),
        b"caf\xe9",
    ),
]


def damaged(content, rng):
    """The bytes with one to four kinds of damage."""
    for _ in range(rng.randint(1, 4)):
        place, other = sorted(rng.randrange(len(content) + 1) for _ in range(2))
        kind = rng.randrange(8)
        if kind == 0:
            content = content[:place]
        elif kind == 1:
            content = content[:place] + content[other:]
        elif kind == 2:
            content = content[:other] + content[place:]
        elif kind == 3 and content:
            flipped = bytearray(content)
            for _ in range(rng.randint(1, 8)):
                flipped[rng.randrange(len(flipped))] = rng.randrange(256)
            content = bytes(flipped)
        elif kind == 4:
            content = content[:place] + rng.randbytes(rng.randint(1, 40)) + content[place:]
        elif kind == 5:
            encoding = rng.choice(["utf-16", "utf-16-le", "utf-32", "gb18030", "latin-1", "utf-7"])
            content = content.decode("utf-8", "replace").encode(encoding, "replace")
        elif kind == 6:
            content = content * rng.randint(0, 3)
        else:
            content = content[:place] + rng.choice(INTRUDERS) + content[place:]
    return content


def trial(number, folder):
    """One input: what became of it, and its rows."""
    rng = random.Random(number)
    name = rng.choice(sorted(SEEDS))
    target, files, options = SEEDS[name]
    reader = name.split()[0]
    if rng.random() < 0.6:
        files = {file: damaged(content, rng) for file, content in files.items()}
    else:  # the archive is damaged, or what is in it, or both
        if rng.random() < 0.5:
            files = {file: damaged(content, rng) for file, content in files.items()}
        packed = rng.choice(sorted(PACKERS))
        content = PACKERS[packed](files)
        files = {packed: damaged(content, rng) if rng.random() < 0.7 else content}
    opened = []
    for file, content in files.items():
        kept = folder / f"kept-{file}"
        kept.write_bytes(content)
        opened += building.opened(origins.Kept(kept, "0" * 64, file), folder / "files", LIMITS, lambda line: None)
    fields = ["text", "label"] if target == "sentiment" else ["text"]
    if rng.random() < 0.5:
        format = detection.of_files(opened, fields, ("en", "zh") if target == "translation" else ())
        reader, options = format.reader, dict(format.options)
    columns = {name: name for name in fields} if rng.random() < 0.5 else None
    offered = {"columns": columns, "max_characters": 200, "source_lang": "en", "target_lang": "zh", "threshold": 0.5}
    if target == "corpus":
        del offered["source_lang"]
    if reader == "lines" and not options:
        options = {"labels": {file.stem: "x" for file in opened}}
    source = Source(license="x", target=target, reader=reader, options=taken_options(reader, offered) | options)
    found = []
    read = intake._read
    intake._read = lambda *given: (found.append(row) or row for row in read(*given))  # counts what the reader gives
    try:
        limits = intake.Limits(max_refused_share=1.0, max_row_bytes=100_000)
        put = (intake.Corpus("x", folder / "spill") if target == "corpus" else intake.Splits(target, folder / "spill", 0.1, 0.1)).put
        taken = intake.take("x", source, opened, folder / "quarantine", limits, put)
    except UserError as error:
        if "no rows in its" not in str(error):
            raise
        taken = None
    finally:
        intake._read = read
    logged = folder / "quarantine" / "x.jsonl"
    in_quarantine = len(logged.read_text().splitlines()) if logged.exists() else 0
    assert len(found) == (taken.rows if taken else 0) + in_quarantine, (len(found), in_quarantine, taken)
    assert not taken or in_quarantine == taken.refused + taken.left_out, (in_quarantine, taken)
    if reader == "jsonl":
        expected = [num_records(file.read_bytes()) for file in opened]
        assert None in expected or len(found) == sum(expected) + sum(not file.stat().st_size for file in opened), (len(found), expected)
    return ("no rows" if not taken else "refused some" if in_quarantine else "all rows"), taken


def num_records(content):
    """Lines that are not blank, counted in another way than the reader does."""
    wide = next((name for mark, name in ((b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32")) if content.startswith(mark)), None)
    wide = wide or ("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else None)
    try:
        text = content.decode(wide or "utf-8-sig", "strict" if wide else "replace")
    except UnicodeDecodeError:
        return None
    return sum(bool(line.strip()) for line in re.split("\r\n|\r|\n", text))


def main():
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    outcomes, rows = Counter(), Counter()
    slowest = 0.0
    for number in range(seed * 1_000_000, seed * 1_000_000 + count):
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            try:
                outcome, taken = trial(number, Path(folder))
                if taken:
                    rows.update(rows=taken.rows, refused=taken.refused, left_out=taken.left_out)
            except UserError as error:
                outcome = "one line" if "\n" not in str(error) else sys.exit(f"input {number}: {error}")
            except BaseException:
                sys.stderr.write(f"input {number}\n{traceback.format_exc()}")
                sys.stderr.flush()
                os._exit(1)
            outcomes[outcome] += 1
            seconds = time.perf_counter() - began
            slowest = max(slowest, seconds)
            if seconds > SECONDS:
                sys.exit(f"input {number}: {seconds:.0f} s")
    [peak] = (int(line.split()[1]) // 1024 for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    sys.stdout.write(json.dumps({"outcomes": outcomes, **rows, "peak_mebibytes": peak, "slowest_seconds": round(slowest, 1)}) + "\n")


if __name__ == "__main__":
    main()
