"""Alias records to a load balancer."""

from harness import alias, batch, cases, check, equal, refused, true

BAD = ("InvalidChangeBatch", "InvalidInput")


def own(w):
    zone = w.zone()
    return zone["Id"], zone["Name"], w.lb()


def stored(w, zone, name, kind="A"):
    return next((r for r in w.records(zone) if (r["Name"], r["Type"]) == (name, kind)), None)


def refuse(w, zone, item, codes=BAD, **named):
    return refused(codes, w.raw.dns.change_resource_record_sets, **batch(zone, ("CREATE", item)), **named)


@cases("route53.alias.create", ("a", "A"), ("aaaa", "AAAA"))
def create(w, kind):
    """aws.md 2 alias to ALB: A and AAAA."""
    zone, apex, lb = own(w)
    w.change(zone, ("CREATE", alias("app." + apex, lb, kind)))
    got = stored(w, zone, "app." + apex, kind)
    equal(got["AliasTarget"]["HostedZoneId"], lb["CanonicalHostedZoneId"])


@check("route53.alias.no-ttl")
def no_ttl(w):
    """aws.md 2 alias to ALB: no TTL and no values in the answer."""
    zone, apex, lb = own(w)
    w.change(zone, ("CREATE", alias("app." + apex, lb)))
    got = stored(w, zone, "app." + apex)
    equal((got.get("TTL"), got.get("ResourceRecords") or []), (None, []))


@check("route53.alias.name-normalised")
def normalised(w):
    """aws.md 2 alias to ALB: DNSName comes back lower case with a dot."""
    zone, apex, lb = own(w)
    w.change(zone, ("CREATE", alias("app." + apex, lb, DNSName=lb["DNSName"].upper())))
    equal(stored(w, zone, "app." + apex)["AliasTarget"]["DNSName"], lb["DNSName"].lower().rstrip(".") + ".")


@check("route53.alias.apex")
def apex_alias(w):
    """aws.md 2 alias to ALB: allowed at the apex."""
    zone, apex, lb = own(w)
    w.change(zone, ("CREATE", alias(apex, lb)))
    true(stored(w, zone, apex), "an alias at the apex", w.record_names(zone))


@check("route53.alias.wildcard")
def wildcard(w):
    """aws.md 2 names: * is a wildcard as the whole leftmost label; it comes back as \\052."""
    zone, apex, lb = own(w)
    w.change(zone, ("CREATE", alias("*." + apex, lb)))
    true(stored(w, zone, "\\052." + apex), "a wildcard alias", w.record_names(zone))


@check("route53.alias.health-flag")
def health_flag(w):
    """aws.md 0.3 EvaluateTargetHealth: the flag comes back as it was given."""
    zone, apex, lb = own(w)
    w.change(zone, ("CREATE", alias("a." + apex, lb, health=True)), ("CREATE", alias("b." + apex, lb)))
    flags = [stored(w, zone, f"{x}.{apex}")["AliasTarget"]["EvaluateTargetHealth"] for x in "ab"]
    equal(flags, [True, False])


@check("route53.alias.with-ttl")
def with_ttl(w):
    """aws.md 2 alias to ALB: an alias with a TTL is refused."""
    zone, apex, lb = own(w)
    refuse(w, zone, {**alias("app." + apex, lb), "TTL": 60}, BAD + ("MalformedInput",))


@check("route53.alias.with-values")
def with_values(w):
    """aws.md 2 alias to ALB: alias and values exclude each other."""
    zone, apex, lb = own(w)
    both = {**alias("app." + apex, lb), "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.1"}]}
    refuse(w, zone, both, BAD + ("MalformedInput",))


@check("route53.alias.wrong-zone-id")
def wrong_zone(w):
    """aws.md 2 alias to ALB: the zone id is the load balancer's own, another is refused."""
    zone, apex, lb = own(w)
    refuse(w, zone, alias("app." + apex, lb, HostedZoneId="Z35SXDOTRQ7X7K"))


@check("route53.alias.unknown-target")
def unknown_target(w):
    """aws.md 2 alias to ALB: the target must be a name in the target zone."""
    zone, apex, lb = own(w)
    refuse(w, zone, alias("app." + apex, lb, DNSName="nothing.example.net"))


@check("route53.alias.cname-type")
def cname_type(w):
    """aws.md 2 alias to ALB: A and AAAA, not CNAME."""
    zone, apex, lb = own(w)
    refuse(w, zone, alias("app." + apex, lb, "CNAME"))


@cases(
    "route53.alias.delete-differs",
    ("health-flag", {"EvaluateTargetHealth": True}),
    ("zone", {"HostedZoneId": "Z35SXDOTRQ7X7K"}),
    ("target", {"DNSName": "other.eu-central-1.elb.amazonaws.com"}),
)
def delete_differs(w, over):
    """aws.md 2 DELETE: alias zone, target and EvaluateTargetHealth must equal the stored ones."""
    zone, apex, lb = own(w)
    w.change(zone, ("CREATE", alias("app." + apex, lb)))
    refused(
        "InvalidChangeBatch",
        w.dns.change_resource_record_sets,
        **batch(zone, ("DELETE", alias("app." + apex, lb, **over))),
        message="do not match the current values",
    )


@check("route53.alias.delete-by-any-case")
def delete_case(w):
    """aws.md 2 names: stored lower case with a dot, so case and dot are no difference."""
    zone, apex, lb = own(w)
    w.change(zone, ("CREATE", alias("app." + apex, lb)))
    w.change(zone, ("DELETE", alias("APP." + apex.rstrip("."), lb, DNSName=lb["DNSName"].upper())))
    equal(stored(w, zone, "app." + apex), None)


@check("route53.alias.replaces-cname")
def replaces_cname(w):
    """aws.md 2 atomic: CNAME to alias in one batch."""
    zone, apex, lb = own(w)
    cname = {"Name": "app." + apex, "Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": "old.example.net"}]}
    w.change(zone, ("CREATE", cname))
    w.change(zone, ("DELETE", cname), ("CREATE", alias("app." + apex, lb)))
    true(stored(w, zone, "app." + apex), "the alias", w.record_names(zone))


@check("route53.alias.counts-one")
def counts_one(w):
    """aws.md 2 batch: an alias counts one, and 500 UPSERTs of aliases are allowed."""
    zone, apex, lb = own(w)
    w.change(zone, *[("UPSERT", alias(f"n{n}.{apex}", lb)) for n in range(500)])
    refused(
        BAD,
        w.dns.change_resource_record_sets,
        **batch(zone, *[("UPSERT", alias(f"n{n}.{apex}", lb)) for n in range(501)]),
    )
