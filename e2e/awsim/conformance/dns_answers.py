"""The zones over DNS: answers, wildcards, empty non-terminals, aliases."""

import time

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
from harness import Failed, alias, cases, check, equal, record, true

NOERROR, NXDOMAIN = dns.rcode.NOERROR, dns.rcode.NXDOMAIN


def ask(w, name, kind="A", tcp=False):
    server, _, port = w.server.nameserver.rpartition(":")
    question = dns.message.make_query(name.replace("\\052", "*"), kind)
    send = dns.query.tcp if tcp else dns.query.udp
    return send(question, server.strip("[]"), port=int(port), timeout=5)


def texts(answer, kind="A"):
    wanted = dns.rdatatype.from_text(kind)
    return sorted(item.to_text() for rrset in answer.answer if rrset.rdtype == wanted for item in rrset)


def filled(w, *changes):
    """A zone with these (label, type, value) records, in sync."""
    zone = w.zone()
    w.change(
        zone["Id"], *[("CREATE", record(f"{label}.{zone['Name']}", kind, value)) for label, kind, value in changes]
    )
    w.settle()
    return zone


def expect(w, name, values, kind="A"):
    """The answer may follow the clock by a moment of real time."""
    for _ in range(20):
        got = ask(w, name, kind)
        if texts(got, kind) == sorted(values):
            return got
        time.sleep(0.05)
    raise Failed(f"{kind} of {name}: {sorted(values)}", f"{dns.rcode.to_text(got.rcode())} {texts(got, kind)}")


@check("dns.a")
def a(w):
    """aws.md 2 propagation: a record in sync is answered."""
    zone = filled(w, ("a", "A", "192.0.2.7"))
    expect(w, "a." + zone["Name"], ["192.0.2.7"])


@check("dns.tcp")
def tcp(w):
    """aws.md 2 propagation: the zone is answered over TCP too."""
    zone = filled(w, ("a", "A", "192.0.2.7"))
    expect(w, "a." + zone["Name"], ["192.0.2.7"])
    equal(texts(ask(w, "a." + zone["Name"], tcp=True)), ["192.0.2.7"])


@check("dns.authoritative")
def authoritative(w):
    """aws.md 2 zones: the answer is authoritative."""
    zone = filled(w, ("a", "A", "192.0.2.7"))
    got = expect(w, "a." + zone["Name"], ["192.0.2.7"])
    true(got.flags & dns.flags.AA, "the AA flag", dns.flags.to_text(got.flags))


@check("dns.ttl")
def ttl(w):
    """aws.md 2 DELETE: the TTL is the record's."""
    zone = filled(w, ("a", "A", "192.0.2.7"))
    equal(expect(w, "a." + zone["Name"], ["192.0.2.7"]).answer[0].ttl, 60)


@check("dns.txt")
def txt(w):
    """aws.md 2.1 TXT value: the ownership text is answered as written."""
    text = '"heritage=external-dns,external-dns/owner=me"'
    zone = filled(w, ("a", "TXT", text))
    expect(w, "a." + zone["Name"], [text], "TXT")


@check("dns.upper-case")
def upper(w):
    """aws.md 2 names: a question in upper case finds the lower-case name."""
    zone = filled(w, ("a", "A", "192.0.2.7"))
    expect(w, ("a." + zone["Name"]).upper(), ["192.0.2.7"])


@check("dns.absent-name")
def absent(w):
    """aws.md 5 names below a wildcard record: a name that does not exist is NXDOMAIN."""
    equal(ask(w, "nothing." + filled(w, ("a", "A", "192.0.2.7"))["Name"]).rcode(), NXDOMAIN)


@check("dns.absent-type")
def absent_type(w):
    """aws.md 5 names below a wildcard record: a name that exists with another type is an empty answer."""
    zone = filled(w, ("a", "TXT", '"x"'))
    expect(w, "a." + zone["Name"], ['"x"'], "TXT")
    got = ask(w, "a." + zone["Name"])
    equal((got.rcode(), texts(got)), (NOERROR, []))


@check("dns.wildcard")
def wildcard(w):
    """aws.md 5 names below a wildcard record: RFC 4592 synthesis."""
    zone = filled(w, ("*", "A", "192.0.2.8"))
    expect(w, "any." + zone["Name"], ["192.0.2.8"])


@check("dns.wildcard.deeper")
def wildcard_deeper(w):
    """aws.md 5 names below a wildcard record: several labels below are covered too."""
    zone = filled(w, ("*", "A", "192.0.2.8"))
    expect(w, "a.b.c." + zone["Name"], ["192.0.2.8"])


@cases(
    "dns.wildcard.ended-by",
    ("a-record", "app", ("app", "TXT", '"x"')),
    ("a-record-below", "app", ("_acme.app", "TXT", '"x"')),
    ("empty-non-terminal-above", "other.app", ("x.app", "TXT", '"x"')),
)
def wildcard_ended(w, label, item):
    """aws.md 5 names below a wildcard record: any record at or below a name ends the synthesis."""
    zone = filled(w, ("*", "A", "192.0.2.8"), item)
    expect(w, "free." + zone["Name"], ["192.0.2.8"])
    equal(texts(ask(w, f"{label}.{zone['Name']}")), [])


@check("dns.empty-non-terminal")
def non_terminal(w):
    """aws.md 5 names below a wildcard record: an empty non-terminal exists: NOERROR, no answer."""
    zone = filled(w, ("x.app", "A", "192.0.2.7"))
    expect(w, "x.app." + zone["Name"], ["192.0.2.7"])
    got = ask(w, "app." + zone["Name"])
    equal((got.rcode(), texts(got)), (NOERROR, []))


@check("dns.alias")
def answers_alias(w):
    """aws.md 2 alias to ALB: an alias answers A records, one per zone of the load balancer."""
    zone, lb = w.zone(), w.lb()
    w.change(zone["Id"], ("CREATE", alias("app." + zone["Name"], lb)))
    w.settle()
    direct = texts(ask(w, lb["DNSName"]))
    equal(len(direct), 2, "addresses of the load balancer:")
    expect(w, "app." + zone["Name"], direct)


@check("dns.alias.aaaa-empty")
def alias_aaaa(w):
    """aws.md 2 alias to ALB: AAAA needs dualstack, else an empty answer."""
    zone, lb = w.zone(), w.lb()
    w.change(
        zone["Id"], ("CREATE", alias("app." + zone["Name"], lb)), ("CREATE", alias("app." + zone["Name"], lb, "AAAA"))
    )
    w.settle()
    got = ask(w, "app." + zone["Name"], "AAAA")
    equal((got.rcode(), texts(got, "AAAA")), (NOERROR, []))


@check("dns.deleted")
def deleted(w):
    """aws.md 2 propagation: a deleted record is no longer answered."""
    zone = filled(w, ("a", "A", "192.0.2.7"))
    expect(w, "a." + zone["Name"], ["192.0.2.7"])
    w.change(zone["Id"], ("DELETE", record("a." + zone["Name"], "A", "192.0.2.7")))
    w.settle()
    expect(w, "a." + zone["Name"], [])
