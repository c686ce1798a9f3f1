"""Who the holders of client certificates are, by the operator's rules.

The rules are TOML. The first one that a certificate matches counts:

    [[rule]]
    subject = "CN=camera-*,O=Acme"
    scopes = ["write"]
    own = true

    [[rule]]
    uri = "spiffe://acme.example/backend/*"
    scopes = ["read", "write", "delete"]
    owner = "token:backend"
    stored_bytes = "10GiB"
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

from conexiones.principals import SCOPES, Allowance, Certificate, Principal

MAX_RULES = 10_000

MAX_STARS, MAX_NAME = 4, 1024
"""The most `*` in a pattern, and characters in a name: the time to look for a match grows with both."""

MAX_CERTIFICATES = 100_000
"""Certificates whose principals are remembered. To remember one more, the calls of the oldest are ended."""

_Kind = Literal["uri", "subject", "dns"]
_KINDS: tuple[_Kind, ...] = get_args(_Kind)
_ALLOWANCE = tuple(row.name for row in fields(Allowance))
_KEYS = frozenset({*_KINDS, *_ALLOWANCE, "scopes", "own", "owner"})
_UNITS = {"": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "kb": 10**3, "mb": 10**6, "gb": 10**9}

# What "*" stands for, so that nobody's part of a name passes for another part of it. In a subject that is
# the rest of one value, in which a comma is escaped.
_ANY = {"uri": r"[^/]*", "subject": r"(?:[^,+\\]|\\.)*", "dns": r"[^.]*"}

# A URI has a scheme, and DNS names have only these characters: so one kind of name never passes for another.
# "." and ".." would lead a URI out of what a rule names (RFC 3986, section 5.2.4).
_URI = re.compile(r"(?!.*/\.\.?(?:[/?#]|$))[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")
_DNS = re.compile(r"[A-Za-z0-9*_.-]+")


@dataclass(frozen=True, slots=True)
class _Rule:
    """`patterns` are those of the rule by the kind of name, all of which have to match. `principal` has what
    the rule gives; who it is comes from the certificate."""

    patterns: dict[_Kind, re.Pattern[str]]
    principal: Principal

    def name(self, certificate: Certificate) -> str | None:
        """The name that the rule knows the certificate by; None if it does not match."""
        found = None
        for kind in _KINDS:
            if pattern := self.patterns.get(kind):
                names = (name for name in _names(certificate, kind) if len(name) <= MAX_NAME)
                match = next(filter(pattern.fullmatch, names), None)
                if match is None:
                    return None
                found = found or match
        return found


@dataclass(frozen=True, slots=True)
class Rules:
    """`id` tells rules from others: it is the beginning of the SHA-256 of their text."""

    rules: tuple[_Rule, ...]
    id: str = ""

    @classmethod
    def parse(cls, text: str, *, allowance: Allowance | None = None) -> "Rules":
        """Reads rules; `allowance` is what those have that say nothing of their own. Raises ValueError with a
        sentence for the operator."""
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"it is no TOML: {error}") from None
        if unknown := table.keys() - {"rule"}:
            raise ValueError(f"it has rules only, each as [[rule]], and no {min(unknown)}")
        rules = table.get("rule", [])
        if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
            raise ValueError("each rule begins with [[rule]]")
        if not 1 <= len(rules) <= MAX_RULES:
            raise ValueError(f"it has to have 1 to {MAX_RULES} rules, each as [[rule]]")
        found = []
        for number, rule in enumerate(rules, 1):
            try:
                found.append(_rule(rule, allowance or Allowance()))
            except ValueError as error:
                raise ValueError(f"rule {number}: {error}") from None
        return cls(tuple(found), hashlib.sha256(text.encode()).hexdigest()[:16])

    def principal(self, certificate: Certificate) -> Principal:
        """Who has a certificate. One that matches no rule is known, and may do nothing."""
        for rule in self.rules:
            if name := rule.name(certificate):
                subject = f"certificate:{name}"
                return replace(rule.principal, subject=subject, owner=rule.principal.owner or subject)
        subject = f"certificate:{name_of(certificate)}"
        return Principal(subject=subject, own=True, owner=subject)


@dataclass(slots=True)
class Certificates:
    """The rules in force, and the certificates that came. Without rules the holder of each may do everything,
    and what it stores belongs to nobody in particular. `on_end` is told the `credential` of the principals
    whose rights are no longer what they were: their calls are to end."""

    rules: Rules | None = None
    on_end: Callable[[Collection[str]], None] = lambda _: None
    _known: dict[Certificate, Principal] = field(default_factory=dict)

    def principal(self, certificate: Certificate) -> Principal:
        known = self._known.get(certificate)
        if known is None:
            known = self._known[certificate] = self._judged(certificate)
            if len(self._known) > MAX_CERTIFICATES:
                self.on_end({self._known.pop(next(iter(self._known))).credential})
        return known

    def _judged(self, certificate: Certificate) -> Principal:
        if self.rules is None:
            found = Principal(subject=f"certificate:{name_of(certificate)}", scopes=frozenset(SCOPES))
        else:
            found = self.rules.principal(certificate)
        number = hashlib.sha256(written(certificate).encode()).hexdigest()[:32]
        return replace(
            found,
            credential=f"certificate-{number}",
            expires=certificate.expires,
            certificate=certificate,
        )

    def replace(self, rules: Rules) -> None:
        """Puts other rules in force, and ends the calls of those who lose by them."""
        self.rules = rules
        ended = set()
        for certificate, before in list(self._known.items()):
            after = self._known[certificate] = self._judged(certificate)
            if not _keeps(before, after):
                ended.add(before.credential)
        self.on_end(ended)

    def keeps(self, before: Principal) -> bool:
        """Whether the holder of a certificate, who was that before, may still do what it might then."""
        return before.certificate is not None and _keeps(before, self._judged(before.certificate))


def written(certificate: Certificate) -> str:
    """A certificate as text, which `read` reads."""
    return json.dumps(asdict(certificate))


def read(text: str) -> Certificate:
    values = json.loads(text)
    return Certificate(**{**values, "uris": tuple(values["uris"]), "names": tuple(values["names"])})


def name_of(certificate: Certificate) -> str:
    """The name of a certificate of which no rule says more: its subject, or the first of its other names."""
    names = (name for kind in ("subject", "uri", "dns") for name in _names(certificate, kind))
    return next(names, "(without a name)")


def _names(certificate: Certificate, kind: str) -> list[str]:
    if kind == "subject":
        return [certificate.subject] if certificate.subject else []
    if kind == "uri":
        return [uri for uri in certificate.uris if _URI.fullmatch(uri)]
    return [name.lower() for name in certificate.names if _DNS.fullmatch(name)]


def _keeps(before: Principal, after: Principal) -> bool:
    """Whether a principal may still do what it might before, to the same things."""
    return before.scopes <= after.scopes and before.owner == after.owner and before.own >= after.own


def _rule(rule: dict[str, Any], default: Allowance) -> _Rule:
    if unknown := rule.keys() - _KEYS:
        raise ValueError(f"it has no {min(unknown)}: a rule has {', '.join(sorted(_KEYS))}")
    patterns = {kind: _pattern(kind, rule[kind]) for kind in _KINDS if kind in rule}
    if not patterns:
        raise ValueError("it has to have a subject, a uri or a dns")
    scopes = rule.get("scopes")
    if not isinstance(scopes, list) or not all(scope in SCOPES for scope in scopes):
        raise ValueError(f"scopes takes a list of any of {', '.join(SCOPES)}")
    own, owner = rule.get("own", False), rule.get("owner", "")
    if not isinstance(own, bool):
        raise ValueError("own takes true or false")
    if not isinstance(owner, str) or ("owner" in rule and not 1 <= len(owner) <= 256):
        raise ValueError("owner takes a text of 1 to 256 characters")
    given: dict[str, Any] = {name: _limit(name, rule[name]) for name in _ALLOWANCE if name in rule}
    principal = Principal(scopes=frozenset(scopes), own=own, owner=owner, allowance=replace(default, **given))
    return _Rule(patterns, principal)


def _pattern(kind: str, text: object) -> re.Pattern[str]:
    if not isinstance(text, str) or not text:
        raise ValueError(f"{kind} takes a text, in which * stands for any characters")
    if text.count("*") > MAX_STARS:
        raise ValueError(f"{kind} takes at most {MAX_STARS} *")
    if text == "*":
        return re.compile(".+", re.DOTALL)
    if kind == "dns":
        text = text.lower()
    parts = [re.escape(part) for part in text.split("*")]
    if kind == "uri" and not parts[-1]:
        # At its end a URI may go on with more segments, which are below what the rule names.
        return re.compile(_ANY[kind].join(parts[:-1]) + ".*", re.DOTALL)
    return re.compile(_ANY[kind].join(parts), re.DOTALL)


def _limit(name: str, value: object) -> float:
    if isinstance(value, str) and name.endswith(("bytes", "bytes_per_second")):
        match = re.fullmatch(r"([0-9]{1,15})\s*([a-z]*)", value.strip().lower())
        if match and match[2] in _UNITS:
            return int(match[1]) * _UNITS[match[2]]
    whole = not name.endswith("per_second")
    if (
        isinstance(value, int if whole else (int, float))
        and not isinstance(value, bool)
        and 0 <= value < 2**63
    ):
        return value
    raise ValueError(f"{name} takes 0 or more" + (', such as 1000000 or "10GiB"' if "bytes" in name else ""))
