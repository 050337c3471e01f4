"""A labelled set of personal data and of what only looks like it, in English and Chinese; recall and precision of each kind out.

`python -m benchmarks.personal_data [--items 200] [--seed 1]` draws so many items and so many look-alikes of each kind, each in a sentence,
prints a table and lists what was missed or taken wrongly.
"""

import argparse
import random
import string
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from ipaddress import IPv6Address

from tasks.cleaning import personal

SENTENCES = {
    "en": (
        "{} is what she wrote down.",
        "Please use {} until Friday.",
        "He gave us {}, but nobody answered.",
        "({})",
        "See {}",
        "New: {}.",
    ),
    "zh": ("请使用{}，谢谢。", "他留下了{}，没有人回答。", "资料：{}。", "我们收到{}以后再说。", "（{}）", "见{}"),
}

Drawn = tuple[str, str]  # what is said before, and the item
Maker = Callable[[random.Random, str], Drawn]


@dataclass(frozen=True)
class Item:
    """A sentence with something in it; what it must become, which is itself for a look-alike."""

    kind: personal.Kind
    lang: str
    planted: bool
    sentence: str
    masked: str


@dataclass(frozen=True)
class Score:
    """Of one kind: how many items were planted, how many of them were masked as it, and how much else was."""

    planted: int
    found: int
    wrong: int

    @property
    def recall(self) -> float:
        return self.found / self.planted

    @property
    def precision(self) -> float:
        return self.found / max(self.found + self.wrong, 1)


def items(num_of_each: int, seed: int) -> Iterator[Item]:
    """So many planted items and so many look-alikes of each kind, half of them in each language."""
    draw = random.Random(seed)
    for kind in personal.FINDERS:
        for number in range(2 * num_of_each):
            lang, planted = ("en", "zh")[number // 2 % 2], number % 2 == 0
            label, text = draw.choice((PLANTED if planted else LOOK_ALIKES)[kind])(draw, lang)
            sentence = draw.choice(SENTENCES[lang]).replace("{}", label + "{}")
            shown = sentence.replace("{}", text)
            yield Item(kind, lang, planted, shown, sentence.replace("{}", personal.placeholder(kind)) if planted else shown)


def measure(labelled: Sequence[Item]) -> tuple[dict[personal.Kind, Score], list[tuple[Item, str]]]:
    """The score of each kind, and each item that did not become what it must with what it did become."""
    planted: Counter[str] = Counter()
    found: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    missed = []
    for item in labelled:
        masked, kinds = personal.mask(item.sentence, tuple(personal.FINDERS))
        planted[item.kind] += item.planted
        if masked == item.masked:
            found[item.kind] += item.planted
        else:
            missed.append((item, masked))
            wrong.update(kinds)
    return {kind: Score(planted[kind], found[kind], wrong[kind]) for kind in personal.FINDERS}, missed


# --- what is personal ---------------------------------------------------------------------------------------------------------------------


def _digits(draw: random.Random, number: int) -> str:
    return "".join(draw.choices(string.digits, k=number))


def _letters(draw: random.Random, number: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(draw.choices(alphabet, k=number - 1)) + draw.choice(string.digits)


def _name(draw: random.Random, lang: str) -> str:
    given = {
        "en": ("ada", "tom", "ruth.hill", "j_miller", "o-brien", "k.smith"),
        "zh": ("zhangwei", "li.na", "wang_fang", "chen2008", "liuy"),
    }
    return draw.choice(given[lang]) + draw.choice(("", _digits(draw, 2)))


def _host(draw: random.Random, lang: str) -> str:
    hosts = {
        "en": ("example.com", "mail.example.org", "uni-town.ac.uk", "big-shop.de"),
        "zh": ("163.com", "qq.com", "mail.lab.edu.cn", "sina.com.cn"),
    }
    return draw.choice(hosts[lang])


def _email(draw: random.Random, lang: str) -> Drawn:
    name = draw.choice((_name(draw, lang), _name(draw, lang).upper(), f"{_name(draw, lang)}+news", _digits(draw, 9)))
    return draw.choice(("", {"en": "write to ", "zh": "邮箱"}[lang])), f"{name}@{_host(draw, lang)}"


def _hidden_email(draw: random.Random, lang: str) -> Drawn:
    at, dot = draw.choice(((" [at] ", " [dot] "), ("(at)", "."), (" (at) ", ".")))
    return "", f"{_name(draw, lang)}{at}{_host(draw, lang).replace('.', dot)}"


def _mobile(draw: random.Random, lang: str) -> Drawn:
    first, middle, last = f"1{draw.choice('3456789')}{_digits(draw, 1)}", _digits(draw, 4), _digits(draw, 4)
    between = draw.choice(("", "", "-", " "))
    return draw.choice(("", "手机", "Tel: ")), draw.choice(("", "", "+86", "+86 ", "86-")) + between.join((first, middle, last))


def _landline(draw: random.Random, lang: str) -> Drawn:
    area, number = draw.choice(("010", "021", "0755", "0571", "028")), draw.choice("2345678") + _digits(draw, 7)
    shapes = (
        f"{area}-{number}",
        f"({area}){number}",
        f"（{area}）{number}",
        f"+86-{area[1:]}-{number}",
        f"{area}-{number}-{_digits(draw, 3)}",
    )
    return draw.choice(("", "电话：")), draw.choice(shapes)


def _service(draw: random.Random, lang: str) -> Drawn:
    return draw.choice(("", "客服热线")), f"{draw.choice(('400', '800'))}-{_digits(draw, 3)}-{_digits(draw, 4)}"


def _local(draw: random.Random, lang: str) -> Drawn:
    label = {"en": ("Tel. ", "phone: ", "call ", "Fax: "), "zh": ("电话：", "电话", "传真：", "联系电话为")}[lang]
    return draw.choice(label), draw.choice("2345678") + draw.choice((_digits(draw, 7), f"{_digits(draw, 3)}-{_digits(draw, 4)}"))


def _american(draw: random.Random, lang: str) -> Drawn:
    area, office, last = f"{draw.choice('23456789')}{_digits(draw, 2)}", f"{draw.choice('23456789')}{_digits(draw, 2)}", _digits(draw, 4)
    shapes = (
        f"({area}) {office}-{last}",
        f"{area}-{office}-{last}",
        f"{area}.{office}.{last}",
        f"1-{area}-{office}-{last}",
        f"+1 {area} {office} {last}",
    )
    return draw.choice(("", {"en": "call ", "zh": "拨打"}[lang])), draw.choice(shapes)


def _european(draw: random.Random, lang: str) -> Drawn:
    shapes = (
        f"+44 20 7{_digits(draw, 3)} {_digits(draw, 4)}",
        f"+44 (0)7{_digits(draw, 3)} {_digits(draw, 6)}",
        f"020 7{_digits(draw, 3)} {_digits(draw, 4)}",
        f"07{_digits(draw, 3)} {_digits(draw, 6)}",
        f"+49 30 {_digits(draw, 8)}",
        f"+33 1 {' '.join(_digits(draw, 2) for _ in range(4))}",
        f"+353{_digits(draw, 8)}",
    )
    return "", draw.choice(shapes)


def _id_number(draw: random.Random, lang: str) -> Drawn:
    return draw.choice(("", {"en": "ID ", "zh": "身份证号"}[lang])), _with_check(draw, *_place_and_day(draw))


def _spaced_id_number(draw: random.Random, lang: str) -> Drawn:
    number = _with_check(draw, *_place_and_day(draw))
    return draw.choice(("", "身份证")), draw.choice((f"{number[:6]} {number[6:14]} {number[14:]}", number.replace("X", "x")))


def _place_and_day(draw: random.Random) -> tuple[str, str]:
    place = draw.choice(("11", "31", "44", "51", "65", "37")) + f"{draw.randrange(1, 20):02}{draw.randrange(1, 30):02}"
    return place, (date(1935, 1, 1) + timedelta(days=draw.randrange(27000))).strftime("%Y%m%d")


def _with_check(draw: random.Random, place: str, day: str) -> str:
    """The check digit is worked out as the standard says: the sum of digits times powers of two is 1 modulo 11."""
    number = f"{place}{day}{_digits(draw, 3)}"
    total = sum(int(digit) * pow(2, 17 - at, 11) for at, digit in enumerate(number))
    return number + "0123456789X"[(1 - total) % 11]


def _card_number(draw: random.Random) -> str:
    first, length = draw.choice(
        (("4", 16), ("51", 16), ("55", 16), ("37", 15), ("6011", 16), ("622202", 19), ("621700", 19), ("625", 16), ("3530", 16))
    )
    number = first + _digits(draw, length - len(first) - 1)
    return next(number + last for last in string.digits if _luhn(number + last))


def _luhn(number: str) -> bool:
    total = 0
    for place, digit in enumerate(map(int, reversed(number))):
        total += sum(divmod(2 * digit, 10)) if place % 2 else digit
    return total % 10 == 0


def _grouped(draw: random.Random, number: str) -> str:
    between = draw.choice(("", " ", "-"))
    sizes = (4, 6, 5) if len(number) == 15 else (4, 4, 4, 4, 3)
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    return between.join(filter(None, (number[start : start + size] for start, size in zip(starts, sizes, strict=True))))


def _bank_card(draw: random.Random, lang: str) -> Drawn:
    return draw.choice(("", {"en": "card ", "zh": "卡号"}[lang])), _grouped(draw, _card_number(draw))


def _ipv4(draw: random.Random, lang: str) -> Drawn:
    address = ".".join(str(draw.randrange(1, 255)) for _ in range(4)).replace("127.", "128.", 1)
    return draw.choice(("", "IP", "IP: ", {"en": "host ", "zh": "地址"}[lang])), address


def _ipv6(draw: random.Random, lang: str) -> Drawn:
    address = IPv6Address((0x2001 << 112) | draw.getrandbits(96) if draw.random() < 0.5 else (0xFE80 << 112) | draw.getrandbits(64))
    return draw.choice(("", "IPv6 ")), draw.choice((address.compressed, address.exploded, address.compressed.upper()))


def _token(draw: random.Random, lang: str) -> Drawn:
    shapes = (
        "AKIA" + _letters(draw, 16, string.ascii_uppercase + string.digits),
        "ghp_" + _letters(draw, 36),
        "github_pat_" + _letters(draw, 40),
        "sk-" + _letters(draw, 48),
        "sk-proj-" + _letters(draw, 40),
        f"xoxb-{_digits(draw, 11)}-{_letters(draw, 24)}",
        "AIza" + _letters(draw, 35),
        "sk_live_" + _letters(draw, 24),
        "hf_" + _letters(draw, 34),
        "glpat-" + _letters(draw, 20),
        "LTAI" + _letters(draw, 20),
        f"eyJ{_letters(draw, 20)}.eyJ{_letters(draw, 40)}.{_letters(draw, 43)}",
        f"-----BEGIN RSA PRIVATE KEY-----\n{_letters(draw, 64)}\n-----END RSA PRIVATE KEY-----",
    )
    return "", draw.choice(shapes)


def _secret(draw: random.Random, lang: str) -> Drawn:
    labels = {
        "en": ("password: ", "api_key=", "API key: ", "secret = ", "access_token: ", "the password is "),
        "zh": ("密码：", "密码是", "口令为", "密钥：", "api_key="),
    }
    return draw.choice(labels[lang]), _letters(draw, draw.randrange(9, 24))


# --- what only looks like it --------------------------------------------------------------------------------------------------------------


def _no_email(draw: random.Random, lang: str) -> Drawn:
    name = _name(draw, lang)
    shapes = (
        *(f"@{name}", f"{name}@localhost", f"{name} @ work", f"{name}@", f"{name}＠home", f"https://example.com/@{name}"),
        *("@app.get", "git@github.com:team/code", f"icon@{draw.choice('23')}x.png", f"5@ $3.{_digits(draw, 2)}"),
        f"numpy@{draw.randrange(9)}.{draw.randrange(30)}.0",
    )
    return "", draw.choice(shapes)


def _no_phone(draw: random.Random, lang: str) -> Drawn:
    day = date(1990, 1, 1) + timedelta(days=draw.randrange(12000))
    shapes = (
        day.isoformat(),
        f"{day.isoformat()} {draw.randrange(10, 24)}:{draw.randrange(10, 60)}",
        f"{draw.randrange(1900, 1990)}-{draw.randrange(1990, 2030)}",
        f"978-7-{_digits(draw, 3)}-{_digits(draw, 5)}-{_digits(draw, 1)}",
        f"1{_digits(draw, 9)}",  # seconds since 1970
        f"{draw.randrange(1, 9)},{_digits(draw, 3)},{_digits(draw, 3)}",
        f"AB{_digits(draw, 11)}",
        f"{_digits(draw, 1)}.{_digits(draw, 11)}",
        f"{day:%Y%m%d}{_digits(draw, 6)}",
        f"{_digits(draw, 3)} {_digits(draw, 3)} {_digits(draw, 3)}",
        f"13{_digits(draw, 9)}{draw.choice(('元', ' dollars', '人'))}",
        f"{_digits(draw, 2)}:{_digits(draw, 2)}:{_digits(draw, 2)}.{_digits(draw, 6)}",
        f"{day:%d.%m.%Y}",
        f"{draw.randrange(100, 200)}-{draw.randrange(100, 200)}-{draw.randrange(100, 200)}",
    )
    return draw.choice(("", {"en": "order ", "zh": "订单"}[lang])), draw.choice(shapes)


def _no_id_number(draw: random.Random, lang: str) -> Drawn:
    place, day = _place_and_day(draw)
    right = _with_check(draw, place, day)
    shapes = (
        right[:17] + draw.choice([digit for digit in "0123456789X" if digit != right[17]]),
        _with_check(draw, place, day[:4] + draw.choice(("1340", "0231", "0001"))),
        _with_check(draw, "99" + place[2:], day),
        f"{right}{_digits(draw, 2)}",
        f"{right[:-1]}",
        f"N{right}",
    )
    return draw.choice(("", {"en": "order ", "zh": "订单号"}[lang])), draw.choice(shapes)


def _no_bank_card(draw: random.Random, lang: str) -> Drawn:
    right = _card_number(draw)
    wrong = right[:-1] + str((int(right[-1]) + draw.randrange(1, 10)) % 10)
    shapes = (
        _grouped(draw, wrong),
        f"0{right[1:]}",
        f"1{_digits(draw, 15)}",
        f"0.{right}",
        f"TX{right}",
        f"{right}{right}",
        _digits(draw, 12),
    )
    return draw.choice(("", {"en": "invoice ", "zh": "发票"}[lang])), draw.choice(shapes)


def _no_ip_address(draw: random.Random, lang: str) -> Drawn:
    four = [str(draw.randrange(1, 20)) for _ in range(4)]
    shapes: tuple[Drawn, ...] = (
        ({"en": "version ", "zh": "版本"}[lang], ".".join(four)),
        ("v", ".".join(four)),
        ({"en": "section ", "zh": "第"}[lang], ".".join(four)),
        ("", f"{draw.randrange(256, 999)}.{'.'.join(four[:3])}"),
        ("", ".".join([*four, "1"])),
        ("", ".".join(four[:3])),
        ("", f"{draw.randrange(10, 24)}:{draw.randrange(10, 60)}:{draw.randrange(10, 60)}"),
        ("", ":".join(f"{draw.randrange(256):02X}" for _ in range(6))),
        ("", draw.choice(("std::vector", "Face::add", "a::b", "http://127.0.0.1:8000", "0.0.0.0"))),
        ("", f"{four[0]}:{four[1]}:{four[2]}:{four[3]}"),
    )
    return draw.choice(shapes)


def _no_key(draw: random.Random, lang: str) -> Drawn:
    hexadecimal = "0123456789abcdef"
    shapes: tuple[Drawn, ...] = (
        ("commit ", "".join(draw.choices(hexadecimal, k=40))),
        ("", "-".join("".join(draw.choices(hexadecimal, k=size)) for size in (8, 4, 4, 4, 12))),
        (
            "",
            draw.choice(
                ("sk-circle", "risk-management-and-control", "task-oriented-dialogue-system", "hf_transformers", "xoxo", "AKIAS", "eyJust")
            ),
        ),
        ("token: ", draw.choice(("required", "string", "optional"))),
        ({"en": "password: ", "zh": "密码："}[lang], draw.choice(("********", "required", "forgotten"))),
        ("sha256:", "".join(draw.choices(hexadecimal, k=64))),
        ("num_tokens = ", _digits(draw, 9)),
        ({"en": "the key is ", "zh": "关键是"}[lang], draw.choice(("patience2024", "a-good-plan"))),
        ("", f"https://example.com/watch?v={_letters(draw, 11)}"),
        ("ghp_", _letters(draw, 6)),
    )
    return draw.choice(shapes)


PLANTED: dict[personal.Kind, tuple[Maker, ...]] = {
    "email": (_email, _email, _email, _hidden_email),
    "phone": (_mobile, _mobile, _landline, _service, _local, _american, _american, _european),
    "id_number": (_id_number, _id_number, _spaced_id_number),
    "bank_card": (_bank_card,),
    "ip_address": (_ipv4, _ipv4, _ipv6),
    "access_key": (_token, _token, _secret),
}
LOOK_ALIKES: dict[personal.Kind, tuple[Maker, ...]] = {
    "email": (_no_email,),
    "phone": (_no_phone,),
    "id_number": (_no_id_number,),
    "bank_card": (_no_bank_card,),
    "ip_address": (_no_ip_address,),
    "access_key": (_no_key,),
}


def main() -> None:
    """See the first lines of this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    scores, missed = measure(list(items(given.items, given.seed)))
    print("| kind | planted | look-alikes | recall | precision |\n|---|---|---|---|---|")  # noqa: T201
    for kind, score in scores.items():
        print(f"| {kind} | {score.planted} | {given.items} | {score.recall:.3f} | {score.precision:.3f} |")  # noqa: T201
    for item, masked in missed:
        print(f"{item.kind}: {item.sentence!r} became {masked!r}")  # noqa: T201


if __name__ == "__main__":
    main()
