"""The rules for certificates: what they match, what they give, and what a change of them ends."""

import pytest

from conexiones.domain.access import certificates as module
from conexiones.domain.access.certificates import Certificates, Rules, name_of, read, written
from conexiones.principals import SCOPES, Allowance, Certificate
from tests.support.paths import ROOT


def rules(*texts: str) -> Rules:
    return Rules.parse("\n".join(f"[[rule]]\n{text}" for text in texts))


def matches(rule: str, **names: object) -> bool:
    certificate = Certificate(**names)  # type: ignore[arg-type]
    return bool(rules(f'{rule}\nscopes = ["read"]').principal(certificate).scopes)


@pytest.mark.parametrize(
    ("pattern", "subject", "right"),
    [
        ("CN=a", "CN=a", True),
        ("CN=a", "CN=A", False),
        ("CN=a", "CN=ab", False),
        ("CN=a", "O=x,CN=a", False),
        ("CN=camera-*,O=Acme", "CN=camera-1,O=Acme", True),
        ("CN=camera-*,O=Acme", "CN=camera-,O=Acme", True),
        ("CN=camera-*,O=Acme", "CN=camera-1,O=Other", False),
        ("CN=*,O=Acme", "CN=a\\,b,O=Acme", True),
        # No other attribute, and no comma in a value, passes for what the rule says.
        ("CN=*,O=Acme", "CN=a,OU=b,O=Acme", False),
        ("CN=*,O=Acme", "CN=a,OU=b\\,O=Acme", False),
        ("CN=*,O=Acme", "CN=a+UID=b,O=Acme", False),
        ("CN=a.c", "CN=abc", False),
        ("*", "CN=a,O=b", True),
        ("*", "", False),
        ("*", f"CN={'a' * 2000}", False),
    ],
)
def test_subjects(pattern: str, subject: str, right: bool) -> None:
    assert matches(f"subject = '{pattern}'", subject=subject) == right


@pytest.mark.parametrize(
    ("pattern", "uri", "right"),
    [
        ("spiffe://a/b", "spiffe://a/b", True),
        ("spiffe://a/b", "spiffe://a/b/c", False),
        ("spiffe://a/*", "spiffe://a/b/c", True),
        ("spiffe://a/*/c", "spiffe://a/b/c", True),
        ("spiffe://a/*/c", "spiffe://a/b/x/c", False),
        ("spiffe://*/c", "spiffe://a/c", True),
        ("spiffe://*/c", "spiffe://evil/x/c", False),
        ("spiffe://a/*", "spiffe://b/a/", False),
        ("spiffe://a/b/*", "spiffe://a/b/../c", False),
        ("spiffe://a/b/*", "spiffe://a/b/..", False),
        ("spiffe://a/b/*", "spiffe://a/b/./c", False),
        ("spiffe://a/b/*", "spiffe://a/b/..?c", False),
        ("spiffe://a/b/*", "spiffe://a/b/.c/..d/e..", True),
        ("*", "urn:x", True),
        ("*", "no scheme", False),
    ],
)
def test_uris(pattern: str, uri: str, right: bool) -> None:
    assert matches(f"uri = '{pattern}'", uris=(uri,)) == right


@pytest.mark.parametrize(
    ("pattern", "name", "right"),
    [
        ("a.example", "A.Example", True),
        ("*.Example", "a.example", True),
        ("*.example", "a.b.example", False),
        ("*.example", "example", False),
        ("*", "a.b", True),
    ],
)
def test_names_of_hosts(pattern: str, name: str, right: bool) -> None:
    assert matches(f"dns = '{pattern}'", names=(name,)) == right


def test_all_that_a_rule_names_has_to_match() -> None:
    both = 'subject = "CN=a"\nuri = "spiffe://a/*"'
    assert matches(both, subject="CN=a", uris=("spiffe://b/", "spiffe://a/c"))
    assert not matches(both, subject="CN=a")
    assert not matches(both, uris=("spiffe://a/c",))


def test_the_example_of_the_documentation() -> None:
    text = (ROOT / "docs" / "access.md").read_text("utf-8")
    found = Rules.parse(text.split("```toml\n")[1].split("```")[0])
    assert found.principal(Certificate(subject="CN=camera-7,O=Acme")).allowance.stored_bytes == 10 << 30
    backend = found.principal(Certificate(uris=("spiffe://acme.example/backend/a",)))
    assert (backend.owner, backend.own) == ("token:backend", False)


def test_the_first_rule_that_matches_counts() -> None:
    found = rules(
        'subject = "CN=a"\nscopes = ["read"]\nowner = "token:shop"\nstored_bytes = "2KiB"\n'
        "calls_per_second = 0.5",
        'uri = "*"\nscopes = ["write", "admin"]\nown = true',
        'subject = "*"\nscopes = ["delete"]',
    )
    first = found.principal(Certificate(subject="CN=a", uris=("urn:a",)))
    assert (first.subject, sorted(first.scopes), first.own, first.owner) == (
        "certificate:CN=a",
        ["read"],
        False,
        "token:shop",
    )
    assert first.allowance == Allowance(stored_bytes=2048, calls_per_second=0.5)
    second = found.principal(Certificate(subject="CN=b", uris=("urn:a",)))
    assert (second.subject, sorted(second.scopes), second.own, second.owner) == (
        "certificate:urn:a",
        ["admin", "write"],
        True,
        "certificate:urn:a",
    )
    assert found.principal(Certificate(subject="CN=b")).scopes == {"delete"}


def test_whom_no_rule_knows() -> None:
    """It is known, so that the log can name it, and may do nothing."""
    nobody = rules('subject = "CN=a"\nscopes = ["read"]').principal(Certificate(subject="CN=b"))
    assert (nobody.subject, nobody.scopes, nobody.own) == ("certificate:CN=b", frozenset(), True)
    assert name_of(Certificate(uris=("urn:a",), names=("b",))) == "urn:a"
    assert name_of(Certificate(names=("B.example",))) == "b.example"
    assert name_of(Certificate()) == "(without a name)"


def test_one_kind_of_name_never_passes_for_another() -> None:
    """A URI has a scheme, which no subject and no host has."""
    assert name_of(Certificate(uris=("CN=admin",))) == "(without a name)"
    assert name_of(Certificate(names=("urn:admin", "CN=admin"))) == "(without a name)"


def test_defaults() -> None:
    found = Rules.parse(
        '[[rule]]\nsubject="*"\nscopes=[]\nstored_images=1',
        allowance=Allowance(stored_images=5, open_uploads=3),
    )
    principal = found.principal(Certificate(subject="CN=a"))
    assert principal.allowance == Allowance(stored_images=1, open_uploads=3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "1 to 10000 rules"),
        ("[[rule]", "it is no TOML"),
        ("[rule]\nsubject='a'", r"each rule begins with \[\[rule\]\]"),
        ("rule = 1", r"each rule begins with \[\[rule\]\]"),
        ("[[rules]]\nsubject='a'", "no rules"),
        ("[[rule]]\nscopes=['read']", "rule 1: it has to have a subject, a uri or a dns"),
        ("[[rule]]\nsubject='a'", "rule 1: scopes takes a list of any of read, write, delete, admin"),
        ("[[rule]]\nsubject='a'\nscopes='read'", "rule 1: scopes takes"),
        ("[[rule]]\nsubject='a'\nscopes=['reed']", "rule 1: scopes takes"),
        ("[[rule]]\nsubject='a'\nscopes=[['read']]", "rule 1: scopes takes"),
        ("[[rule]]\nsubject='a'\nscopes=[]\n[[rule]]\nuri=1\nscopes=[]", "rule 2: uri takes a text"),
        ("[[rule]]\nsubject=''\nscopes=[]", "rule 1: subject takes a text"),
        ("[[rule]]\nsubject='*a*b*c*d*'\nscopes=[]", r"subject takes at most 4 \*"),
        ("[[rule]]\nsubject='a'\nscopes=[]\nown='yes'", "own takes true or false"),
        ("[[rule]]\nsubject='a'\nscopes=[]\nowner=''", "owner takes a text"),
        ("[[rule]]\nsubject='a'\nscopes=[]\nowns=true", "it has no owns"),
        ("[[rule]]\nsubject='a'\nscopes=[]\nstored_bytes='much'", "stored_bytes takes 0 or more, such as"),
        ("[[rule]]\nsubject='a'\nscopes=[]\nstored_images='1KiB'", "stored_images takes 0 or more$"),
        ("[[rule]]\nsubject='a'\nscopes=[]\nstored_images=1.5", "stored_images takes 0 or more"),
        ("[[rule]]\nsubject='a'\nscopes=[]\ncalls_per_second=nan", "calls_per_second takes 0 or more"),
        ("[[rule]]\nsubject='a'\nscopes=[]\nopen_uploads=-1", "open_uploads takes 0 or more"),
        ("[[rule]]\nsubject='a'\nscopes=[]\nopen_uploads=true", "open_uploads takes 0 or more"),
    ],
)
def test_what_is_wrong_is_said(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Rules.parse(text)


def test_a_change_ends_the_calls_of_those_who_lose() -> None:
    ended: list[str] = []
    held = Certificates(rules('subject = "CN=*"\nscopes = ["read", "write"]'), on_end=ended.extend)
    found = {name: held.principal(Certificate(subject=f"CN={name}")) for name in "abcde"}
    assert len({one.credential for one in found.values()}) == 5
    held.replace(
        rules(
            'subject = "CN=a"\nscopes = ["read"]',
            'subject = "CN=b"\nscopes = ["read", "write"]\nown = true',
            'subject = "CN=c"\nscopes = ["read", "write"]\nowner = "else"',
            'subject = "CN=d"\nscopes = ["read", "write", "delete"]',
        )
    )
    assert set(ended) == {found[name].credential for name in "abce"}
    assert held.principal(Certificate(subject="CN=d")).scopes == {"read", "write", "delete"}
    assert held.principal(Certificate(subject="CN=a")).credential == found["a"].credential


def test_without_rules_the_holder_of_any_certificate_may_do_everything() -> None:
    held = Certificates()
    found = held.principal(Certificate(subject="CN=a", expires=5.0))
    assert (found.subject, found.scopes, found.owner, found.own) == (
        "certificate:CN=a",
        frozenset(SCOPES),
        "",
        False,
    )
    assert found.credential
    assert found.expires == 5.0


def test_a_certificate_is_read_as_it_was_written() -> None:
    one = Certificate(subject="CN=\u00e1\ud800", uris=("urn:a",), names=("b", "c"), expires=1.5)
    assert read(written(one)) == one
    assert written(one).isascii()


def test_certificates_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is forgotten would miss a change of the rules: so its calls end."""
    monkeypatch.setattr(module, "MAX_CERTIFICATES", 2)
    ended: list[str] = []
    held = Certificates(rules('subject = "*"\nscopes = ["read"]'), on_end=ended.extend)
    found = [held.principal(Certificate(subject=f"CN={number}")) for number in range(4)]
    assert ended == [one.credential for one in found[:2]]
