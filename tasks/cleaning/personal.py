"""Text in; the same with personal data replaced by a word that says what stood there, such as `[EMAIL]`, out. English and Chinese alike.

Numbers are told apart by their check digits, their shapes and what stands around them; a wide or an ideographic digit is a digit.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from ipaddress import AddressValueError, IPv6Address
from typing import Literal

from model.params import STRICT

Kind = Literal["email", "phone", "id_number", "bank_card", "ip_address", "access_key"]
Span = tuple[int, int]
Zones = Sequence[Span]  # where digits stand close together


@dataclass(frozen=True, kw_only=True)
class Personal:
    """Section `prepare.personal` of params.yaml: what is masked."""

    __pydantic_config__ = STRICT

    enabled: bool
    kinds: tuple[Kind, ...]


def mask(text: str, kinds: Collection[Kind]) -> tuple[str, Counter[str]]:
    """`text` with a placeholder for each item of personal data, and how many there were of each kind."""
    plain = text if text.isascii() or not WIDE.search(text) else text.translate(NARROW)  # of the same length
    zones = [_widened(plain, zone.span()) for zone in ZONE.finditer(plain)]
    taken: list[tuple[Span, Kind]] = []
    covered = bytearray(len(text))
    for kind, find in FINDERS.items():
        for first, last in find(plain, zones) if kind in kinds else ():
            if not any(covered[first:last]):
                covered[first:last] = bytes([1]) * (last - first)
                taken.append(((first, last), kind))
    if not taken:
        return text, Counter()
    pieces, done = [], 0
    for (first, last), kind in sorted(taken):
        pieces += [text[done:first], placeholder(kind)]
        done = last
    return "".join([*pieces, text[done:]]), Counter(kind for _, kind in taken)


def placeholder(kind: str) -> str:
    """The word that stands for an item of this kind."""
    return f"[{kind.upper()}]"


# --- what is written with an @ or a prefix ------------------------------------------------------------------------------------------------

EMAIL = re.compile(
    r"""(?<![A-Za-z0-9._%+-]) ([A-Za-z0-9][A-Za-z0-9._%+-]{0,63}) (?: @ | \ ?[\[(](?:at|AT|@)[\])]\ ? )
        (?: [A-Za-z0-9][A-Za-z0-9-]{0,62} (?: \. | \ ?[\[(](?:dot|DOT)[\])]\ ? ) ){1,8} ([A-Za-z]{2,24}) (?![A-Za-z0-9_])""",
    re.VERBOSE,
)
# image@2x.png is no address
FILES = frozenset(
    ["css", "gif", "htm", "html", "jpeg", "jpg", "js", "json", "md", "pdf", "png", "py", "svg", "ts", "txt", "webp", "xml", "zip"]
)

KEY = re.compile(
    r"""(?<![A-Za-z0-9_-]) (?:
          (?:AKIA|ASIA)[A-Z0-9]{16} | gh[pousr]_[A-Za-z0-9]{36,255} | github_pat_[A-Za-z0-9_]{22,255} | glpat-[A-Za-z0-9_-]{20,}
        | xox[abprs]-[A-Za-z0-9-]{10,} | AIza[A-Za-z0-9_-]{35} | sk-[A-Za-z0-9_-]{20,} | [srp]k_(?:live|test)_[A-Za-z0-9]{16,}
        | hf_[A-Za-z0-9]{30,} | npm_[A-Za-z0-9]{36} | pypi-[A-Za-z0-9_-]{50,} | LTAI[A-Za-z0-9]{12,20} | AKID[A-Za-z0-9]{32}
        | eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,} ) (?![A-Za-z0-9_-])
      | -----BEGIN\ [A-Z\ ]{0,20}PRIVATE\ KEY-----.*?(?:-----END\ [A-Z\ ]{0,20}PRIVATE\ KEY-----|\Z)""",
    re.VERBOSE | re.DOTALL,
)
KEY_SIGNS = (
    *("AKI", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "AIza", "sk-", "k_live_", "k_test_"),
    *("hf_", "npm_", "pypi-", "LTAI", "eyJ", "PRIVATE KEY"),
)
SECRET_SIGNS = ("key", "token", "secret", "password", "passwd", "密码", "口令", "密钥", "令牌")
SECRET = re.compile(r"""["']?(?:\s?[=:：]\s?| is |是|为)["'“]?([A-Za-z0-9_\-+/.!@#$%^&*]{7,}[A-Za-z0-9_!@#$%^&*])""")  # after a sign
BEFORE_KEY = re.compile(r"(?:api|access|secret|private|auth)[_ -]?$", re.IGNORECASE)


def _emails(text: str, zones: Zones) -> Iterator[Span]:
    if "@" in text or "at)" in text or "at]" in text or "AT" in text:
        for found in EMAIL.finditer(text):
            if found[2].lower() not in FILES and found[1] != "git":
                yield found.span()


def _access_keys(text: str, zones: Zones) -> Iterator[Span]:
    if any(sign in text for sign in KEY_SIGNS):
        for found in KEY.finditer(text):
            if any(map(str.isdigit, found[0])):
                yield found.span()
    lower = text.lower() if text.isascii() else text
    for sign in SECRET_SIGNS:
        place = lower.find(sign)
        while place >= 0:
            value = SECRET.match(text, place + len(sign))
            if value and (sign != "key" or BEFORE_KEY.search(text, max(0, place - 8), place)) and _is_secret(value[1]):
                yield value.span(1)
            place = lower.find(sign, place + 1)


def _is_secret(value: str) -> bool:
    return any(map(str.isdigit, value)) and any(map(str.isalpha, value))


# --- what is written with digits ----------------------------------------------------------------------------------------------------------

WIDE = re.compile("[０-９＋－（）＠]")
NARROW = {ord(wide): narrow for wide, narrow in zip("０１２３４５６７８９＋－（）＠", "0123456789+-()@", strict=True)}

ZONE = re.compile(r"\d[\d +().–-]{3,}[\dXx]")
ALONE, ENDS = r"(?<![A-Za-z0-9_])(?<!\d[.·．-])", r"(?![A-Za-z0-9_])(?![.·．]\d)"

PROVINCE = r"(?:1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3])"
ID_NUMBER = re.compile(rf"{ALONE}{PROVINCE}\d{{4}}[ -]?\d{{8}}[ -]?\d{{3}}[\dXx]{ENDS}")
WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)  # GB 11643-1999: ISO 7064, MOD 11-2

BANK_CARD = re.compile(
    rf"{ALONE}(?:\d{{13,19}}|\d{{6}}[ -]\d{{13}}"
    rf"|\d{{4}}([ -])\d{{4}}\1\d{{4}}\1\d{{4}}(?:\1\d{{3}})?|\d{{4}}([ -])\d{{6}}\2\d{{5}}){ENDS}"
)
ISSUERS = ("4", "5", "62", "60", "63", "64", "65", "67", "34", "35", "36", "37", "38", "22", "23", "24", "25", "26", "27")

IPV4 = re.compile(rf"(?:{ALONE}|(?<=IP))(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){{3}}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d){ENDS}")
NOBODY = ("0.", "127.", "255.")  # any host, this host, a mask
IPV6_SIGN = re.compile(r":[0-9A-Fa-f]{0,4}:")
IPV6 = re.compile(r"(?<![A-Za-z0-9_:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|(?:\d{1,3}\.){3}\d{1,3})?(?![A-Za-z0-9_:])")
VERSION = re.compile(r"(?:\bv|version|ver\.?|release|build|section|§|clause|chapter|版本号?|版|第|章|节|条)[\s:：]*$", re.IGNORECASE)

CHINA = r"(?:(?:\((?:\+|00)?86\)|(?:\+|00)?86)[ -]?)?"
SHAPES = (
    r"\+\d{1,3}(?:[ .-]?(?:\(\d{1,5}\)|\d{1,5})){2,6}",  # international
    rf"{CHINA}1[3-9]\d[ -]?\d{{4}}[ -]?\d{{4}}",  # Chinese, mobile
    rf"{CHINA}(?:\(0\d{{2,3}}\) ?|0(?:10|2\d|[3-9]\d\d)[ -])\d{{3,4}}[ -]?\d{{4}}(?:-\d{{1,5}})?",  # Chinese, in a town
    r"[48]00-\d{3}-\d{4}|[48]00-\d{4}-\d{3}",  # Chinese, of a company
    r"(?:\+?1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[.-])[2-9]\d\d[.-]\d{4}",  # North American
    r"0(?:20 \d{4}|1\d\d \d{3}|1\d{3} \d{3}|7\d{3} \d{3}|[38]\d\d \d{3}) ?\d{3,4}",  # British
)
PHONE = re.compile(rf"{ALONE}(?<!\d\d\d\d[ -])(?:{'|'.join(SHAPES)}){ENDS}")
AFTER_WORD = re.compile(rf"{ALONE}[+(]{{0,2}}\d(?:[ .()-]{{0,2}}\d){{6,14}}{ENDS}")
PHONE_WORD = re.compile(
    r"(?:\b(?:tel|telephone|phone|mobile|cell|fax|call|dial|whatsapp)\b|电话|手机号?|手机|传真|热线|致电|拨打|联系方式)[^\w\n]{0,3}(?:(?:number|no|号码|号|at|on|us|is|是|为|me)[^\w\n]{0,3}){0,2}$",
    re.IGNORECASE,
)
ALSO = re.compile(r"\s?(?:[,，、;；/或和]|or|and)\s?")
COUNTED = re.compile(r"\s?(?:元|美元|%|％|万|亿|人|个|吨|公里|dollars|euros|people|tons|units|bytes)")


def _widened(text: str, zone: Span) -> Span:
    """A zone with the signs before it, and one character after it to look at."""
    first, last = zone
    while first and text[first - 1] in "+(":
        first -= 1
    return first, last + 1


def _id_numbers(text: str, zones: Zones) -> Iterator[Span]:
    for zone in zones:
        for found in ID_NUMBER.finditer(text, *zone):
            if _is_id_number(found[0].replace(" ", "").replace("-", "")):
                yield found.span()


def _is_id_number(number: str) -> bool:
    """Whether birthday and check digit are right."""
    try:
        born = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    check = sum(weight * int(digit) for weight, digit in zip(WEIGHTS, number[:17], strict=True)) % 11
    return 1880 <= born.year <= 2100 and number[17].upper() == "10X98765432"[check]


def _bank_cards(text: str, zones: Zones) -> Iterator[Span]:
    for zone in zones:
        for found in BANK_CARD.finditer(text, *zone):
            digits = found[0].replace(" ", "").replace("-", "")
            if digits.startswith("6" if len(digits) in (17, 18) else ISSUERS) and _passes_luhn(digits) and len(set(digits)) > 1:
                yield found.span()


def _passes_luhn(digits: str) -> bool:
    """The check digit of ISO/IEC 7812."""
    doubled = "0246813579"
    return sum(int(doubled[int(digit)] if place % 2 else digit) for place, digit in enumerate(reversed(digits))) % 10 == 0


def _ip_addresses(text: str, zones: Zones) -> Iterator[Span]:
    for zone in zones:
        for found in IPV4.finditer(text, *zone):
            if not found[0].startswith(NOBODY) and not VERSION.search(text, max(0, found.start() - 16), found.start()):
                yield found.span()
    if IPV6_SIGN.search(text):
        for found in IPV6.finditer(text):
            if _is_ipv6(found[0]):
                yield found.span()


def _is_ipv6(address: str) -> bool:
    """Whether it is one, and not a time, a scope of C++ or the empty address."""
    try:
        IPv6Address(address)
    except AddressValueError:
        return False
    return len(address) > 6 and any(map(str.isdigit, address))


def _phones(text: str, zones: Zones) -> Iterator[Span]:
    told = 0  # where the last number ends that a word says to be one
    for first, last in zones:
        named = PHONE_WORD.search(text, max(0, first - 24), first) or (told and ALSO.fullmatch(text, told, first))
        for found in (AFTER_WORD if named else PHONE).finditer(text, first, last):
            if 7 <= sum(map(str.isdigit, found[0])) <= 15 and not COUNTED.match(text, found.end()):
                told = found.end() if named else told
                yield found.span()


FINDERS: dict[Kind, Callable[[str, Zones], Iterator[Span]]] = {
    "access_key": _access_keys,
    "email": _emails,
    "id_number": _id_numbers,
    "bank_card": _bank_cards,
    "ip_address": _ip_addresses,
    "phone": _phones,
}
