"""ListResourceRecordSets: order, names, where it starts, pages."""

from harness import check, equal, record, refused, true


def filled(w, *items):
    """A zone with these (label, type) records; gives back its id and name."""
    zone = w.zone()
    sets = [record(f"{label}.{zone['Name']}" if label else zone["Name"], kind) for label, kind in items]
    w.change(zone["Id"], *[("CREATE", item) for item in sets])
    return zone["Id"], zone["Name"]


def names(w, zone, apex, **over):
    """The records without those of the apex, as (label, type)."""
    found = w.records(zone, **over)
    return [(r["Name"].removesuffix("." + apex), r["Type"]) for r in found if r["Name"] != apex]


@check("route53.list.order.labels")
def order_labels(w):
    """aws.md 2 list order: labels reversed, so a name stands before all below it."""
    zone, apex = filled(w, ("b", "A"), ("x.a", "A"), ("a", "A"), ("y.b", "A"))
    equal([n for n, _ in names(w, zone, apex)], ["a", "x.a", "b", "y.b"])


@check("route53.list.order.types")
def order_types(w):
    """aws.md 2 list order: after the name the type."""
    zone, apex = filled(w, ("a", "TXT"), ("a", "A"), ("a", "AAAA"))
    equal([t for _, t in names(w, zone, apex)], ["A", "AAAA", "TXT"])


@check("route53.list.order.trailing-dot")
def order_dot(w):
    """aws.md 2 list order: the dot counts: a hyphen sorts before the end of a label."""
    zone, apex = filled(w, ("x.a", "A"), ("a-b", "A"), ("a", "A"))
    got = [n for n, _ in names(w, zone, apex)]
    equal(got, ["a-b", "a", "x.a"])


@check("route53.list.order.apex-first")
def order_apex(w):
    """aws.md 2 list order: the apex is the shortest name, so it comes first."""
    zone, apex = filled(w, ("a", "A"))
    equal([r["Name"] for r in w.records(zone)], [apex, apex, "a." + apex])


@check("route53.list.name.lower-case")
def lower_case(w):
    """aws.md 2 names: stored lower case."""
    zone, apex = filled(w, ("MiXed", "A"))
    equal(names(w, zone, apex), [("mixed", "A")])


@check("route53.list.name.dot-added")
def dot_added(w):
    """aws.md 2 names: trailing dot optional in, always out."""
    zone = w.zone()
    w.change(zone["Id"], ("CREATE", record("a." + zone["Name"].rstrip("."))))
    equal(names(w, zone["Id"], zone["Name"]), [("a", "A")])


@check("route53.list.name.wildcard")
def wildcard(w):
    """aws.md 2 names: * comes back as \\052."""
    zone, apex = filled(w, ("*", "A"))
    equal(names(w, zone, apex), [("\\052", "A")])


@check("route53.list.name.wildcard-order")
def wildcard_order(w):
    """aws.md 2 list order: the wildcard stands before the letters."""
    zone, apex = filled(w, ("*", "A"), ("a", "A"), ("0", "A"))
    got = [n for n, _ in names(w, zone, apex)]
    equal(sorted(got), sorted(["\\052", "a", "0"]))
    true(got.index("\\052") < got.index("a"), "the wildcard before a", got)


@check("route53.list.name.wildcard-inside")
def wildcard_inside(w):
    """aws.md 2 names: * below the leftmost label is a plain character, also \\052."""
    zone, apex = filled(w, ("x.*", "A"))
    equal(names(w, zone, apex), [("x.\\052", "A")])


@check("route53.list.name.octal-in")
def octal_in(w):
    """aws.md 2 names: \\052 and * name the same record."""
    zone, apex = filled(w, ("\\052", "A"))
    refused(
        "InvalidChangeBatch",
        w.dns.change_resource_record_sets,
        HostedZoneId=zone,
        ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": record("*." + apex)}]},
        message="already exists",
    )


@check("route53.list.name.underscore")
def underscore(w):
    """aws.md 2 names: a-z 0-9 - _ . stay as they are."""
    zone, apex = filled(w, ("_acme-challenge.a1", "TXT"))
    equal(names(w, zone, apex), [("_acme-challenge.a1", "TXT")])


@check("route53.list.name.other-characters")
def other_characters(w):
    """aws.md 2 names: anything else comes back as \\ooo."""
    zone, apex = filled(w, ("a@b", "A"))
    equal(names(w, zone, apex), [("a\\100b", "A")])


@check("route53.list.start.name")
def start_name(w):
    """aws.md 2 list order: StartRecordName starts at the name."""
    zone, apex = filled(w, ("a", "A"), ("b", "A"), ("c", "A"))
    equal(names(w, zone, apex, StartRecordName="b." + apex), [("b", "A"), ("c", "A")])


@check("route53.list.start.absent-name")
def start_absent(w):
    """aws.md 2 list order: an absent name starts at the next one."""
    zone, apex = filled(w, ("a", "A"), ("c", "A"))
    equal(names(w, zone, apex, StartRecordName="b." + apex), [("c", "A")])


@check("route53.list.start.name-and-type")
def start_type(w):
    """aws.md 2 list order: with a type it starts at that type of the name."""
    zone, apex = filled(w, ("a", "A"), ("a", "TXT"), ("b", "A"))
    got = names(w, zone, apex, StartRecordName="a." + apex, StartRecordType="AAAA")
    equal(got, [("a", "TXT"), ("b", "A")])


@check("route53.list.start.type-without-name")
def start_type_only(w):
    """aws.md 2 list order: Type without Name = InvalidInput."""
    zone = w.zone()["Id"]
    refused("InvalidInput", w.dns.list_resource_record_sets, HostedZoneId=zone, StartRecordType="A", status=400)


@check("route53.list.unknown-zone")
def unknown_zone(w):
    """aws.md 2 zones: an unknown zone is NoSuchHostedZone (service model), HTTP 404."""
    refused("NoSuchHostedZone", w.dns.list_resource_record_sets, HostedZoneId="Z0NOSUCHZONE0", status=404)


@check("route53.list.paging.300")
def paging_300(w):
    """aws.md 2 list order: at most 300 per page, then NextRecordName and NextRecordType."""
    zone, apex = filled(w, *[(f"n{n:03}", "A") for n in range(310)])
    page = w.dns.list_resource_record_sets(HostedZoneId=zone)
    equal((len(page["ResourceRecordSets"]), page["IsTruncated"], page["MaxItems"]), (300, True, "300"))
    equal((page["NextRecordName"], page["NextRecordType"]), (f"n298.{apex}", "A"))


@check("route53.list.paging.whole")
def paging_whole(w):
    """aws.md 2 list order: the pages together hold every record once, in order."""
    zone, apex = filled(w, *[(f"n{n:03}", "A") for n in range(310)])
    pages = w.plain.dns.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone)
    got = [r["Name"] for page in pages for r in page["ResourceRecordSets"]]
    equal(got[2:], [f"n{n:03}.{apex}" for n in range(310)])


@check("route53.list.paging.max-items")
def paging_max_items(w):
    """aws.md 2 list order: MaxItems cuts the page shorter; NextRecordType within a name."""
    zone, apex = filled(w, ("a", "A"), ("a", "TXT"))
    page = w.dns.list_resource_record_sets(HostedZoneId=zone, MaxItems="3")
    equal(
        (len(page["ResourceRecordSets"]), page["NextRecordName"], page["NextRecordType"], page["MaxItems"]),
        (3, "a." + apex, "TXT", "3"),
    )


@check("route53.list.paging.last")
def paging_last(w):
    """aws.md 2 list order: the last page is not truncated and names no next record."""
    zone = w.zone()["Id"]
    page = w.dns.list_resource_record_sets(HostedZoneId=zone)
    equal((page["IsTruncated"], page.get("NextRecordName")), (False, None))


@check("route53.list.pending-shown")
def pending_shown(w):
    """aws.md 2 propagation: List shows PENDING changes at once."""
    zone = w.zone()
    w.change(zone["Id"], ("CREATE", record("a." + zone["Name"])))
    true(("a", "A") in names(w, zone["Id"], zone["Name"]), "the new record", w.record_names(zone["Id"]))


@check("route53.list.values")
def values(w):
    """aws.md 2 DELETE: TTL and values come back as they were given."""
    zone = w.zone()
    item = record("a." + zone["Name"], "TXT", '"one"', '"two"', ttl=123)
    w.change(zone["Id"], ("CREATE", item))
    got = [r for r in w.records(zone["Id"]) if r["Type"] == "TXT"][0]
    equal(got, item)
