"""Hosted zones: creation, listing by name, limits, tags, deletion."""

from harness import VPC, ZONE, cases, check, equal, one_of, record, refused, true


@check("route53.zone.example-exists")
def example(w):
    """aws.md 2 zones: ids come as /hostedzone/Z...; the default zone is there."""
    zone = w.example_zone()
    true(zone.startswith("/hostedzone/Z"), "/hostedzone/Z...", zone)


@check("route53.zone.create.shape")
def shape(w):
    """aws.md 2 names: trailing dot always out; ids come as /hostedzone/Z..."""
    name = w.zone_name()
    zone = w.zone(name)
    equal((zone["Name"], zone["Config"]["PrivateZone"]), (name + ".", False))
    true(zone["Id"].startswith("/hostedzone/Z"), "/hostedzone/Z...", zone["Id"])


@check("route53.zone.create.change")
def create_change(w):
    """aws.md 2 propagation: creating a zone is a change, PENDING at first."""
    answer = w.dns.create_hosted_zone(Name=w.zone_name(), CallerReference=w.name("ref"))
    w.undo(w.drop_zone, answer["HostedZone"]["Id"])
    equal(answer["ChangeInfo"]["Status"], "PENDING")


@check("route53.zone.create.location")
def location(w):
    """aws.md 2 zones: the answer has a Location header and the name servers (service model)."""
    answer = w.dns.create_hosted_zone(Name=w.zone_name(), CallerReference=w.name("ref"))
    w.undo(w.drop_zone, answer["HostedZone"]["Id"])
    true(answer["Location"].endswith(answer["HostedZone"]["Id"]), "the zone's address", answer["Location"])
    equal(len(answer["DelegationSet"]["NameServers"]), 4, "name servers")


@check("route53.zone.create.ns-and-soa")
def ns_soa(w):
    """aws.md 2 zones: a new public zone has NS and SOA at its apex (service model)."""
    name = w.zone_name()
    equal(w.record_names(w.zone(name)["Id"]), [(name + ".", "NS"), (name + ".", "SOA")])


@check("route53.zone.create.same-reference")
def same_reference(w):
    """aws.md 2 zones: the same CallerReference makes no second zone, HostedZoneAlreadyExists
    (service model)."""
    name, reference = w.zone_name(), w.name("ref")
    first = w.dns.create_hosted_zone(Name=name, CallerReference=reference)["HostedZone"]
    w.undo(w.drop_zone, first["Id"])
    refused("HostedZoneAlreadyExists", w.dns.create_hosted_zone, Name=name, CallerReference=reference)


@check("route53.zone.create.same-name-twice")
def same_name(w):
    """aws.md 2 zones: the same name may exist several times; key by zone id."""
    name = w.zone_name()
    true(w.zone(name)["Id"] != w.zone(name)["Id"], "two zone ids", "one")


@check("route53.zone.create.private")
def private(w):
    """aws.md 2 zones: the same name may exist public and private."""
    name = w.zone_name()
    w.zone(name)
    made = w.zone(
        name, VPC={"VPCRegion": "eu-central-1", "VPCId": VPC}, HostedZoneConfig={"PrivateZone": True, "Comment": ""}
    )
    equal(made["Config"]["PrivateZone"], True)


@check("route53.zone.get.id-with-and-without-prefix")
def id_forms(w):
    """aws.md 2 zones: both forms of the id name the zone."""
    zone = w.zone()
    for form in (zone["Id"], zone["Id"].rsplit("/", 1)[1]):
        equal(w.dns.get_hosted_zone(Id=form)["HostedZone"]["Name"], zone["Name"])


@check("route53.zone.get.count")
def count(w):
    """aws.md 5 records per zone: the zone shows how many records it has."""
    zone = w.zone()["Id"]
    w.change(zone, ("CREATE", record("a." + w.dns.get_hosted_zone(Id=zone)["HostedZone"]["Name"])))
    equal(w.dns.get_hosted_zone(Id=zone)["HostedZone"]["ResourceRecordSetCount"], 3)


@check("route53.zone.get.unknown")
def unknown(w):
    """aws.md 2 zones: an unknown id is NoSuchHostedZone (service model), HTTP 404."""
    refused("NoSuchHostedZone", w.dns.get_hosted_zone, Id="Z0NOSUCHZONE0", status=404)


@check("route53.zone.limit")
def limit(w):
    """aws.md 5 records per zone: GetHostedZoneLimit MAX_RRSETS_BY_ZONE, 10,000; the count."""
    got = w.dns.get_hosted_zone_limit(HostedZoneId=w.zone()["Id"], Type="MAX_RRSETS_BY_ZONE")
    equal((got["Limit"], got["Count"]), ({"Type": "MAX_RRSETS_BY_ZONE", "Value": 10000}, 2))


@check("route53.zone.delete.empty")
def delete(w):
    """aws.md 2 zones: an empty zone can be deleted and is gone."""
    zone = w.dns.create_hosted_zone(Name=w.zone_name(), CallerReference=w.name("ref"))["HostedZone"]["Id"]
    w.settle()
    w.dns.delete_hosted_zone(Id=zone)
    refused("NoSuchHostedZone", w.dns.get_hosted_zone, Id=zone)


@check("route53.zone.delete.not-empty")
def delete_full(w):
    """aws.md 2 zones: a zone with records is HostedZoneNotEmpty (service model)."""
    zone = w.zone()
    w.change(zone["Id"], ("CREATE", record("a." + zone["Name"])))
    w.settle()
    refused("HostedZoneNotEmpty", w.dns.delete_hosted_zone, Id=zone["Id"])


@check("route53.zone.quota")
def zone_quota(w):
    """aws.md 2 quotas: 500 zones per account, TooManyHostedZones."""
    w.zone()
    pages = w.plain.dns.get_paginator("list_hosted_zones").paginate()
    w.quota("route53/hosted-zones", sum(len(page["HostedZones"]) for page in pages))
    refused("TooManyHostedZones", w.dns.create_hosted_zone, Name=w.zone_name(), CallerReference=w.name("ref"))


@check("route53.zone.list.paging")
def list_paging(w):
    """aws.md 2 list order: zones come in pages joined by Marker; MaxItems is a string."""
    mine = {w.zone()["Id"] for _ in range(3)}
    seen, marker = [], None
    while True:
        page = w.dns.list_hosted_zones(MaxItems="2", **({"Marker": marker} if marker else {}))
        equal(page["MaxItems"], "2")
        seen += [z["Id"] for z in page["HostedZones"]]
        if not page["IsTruncated"]:
            break
        marker = page["NextMarker"]
    equal(len(seen), len(set(seen)), "distinct zones")
    true(mine <= set(seen), f"{mine} in the pages", seen)


@check("route53.zone.by-name.starts-at")
def starts_at(w):
    """aws.md 2 zones: ListHostedZonesByName starts at the name, it does not filter."""
    base = w.zone_name()
    for label in ("a", "b", "c"):
        w.zone(f"{label}.{base}")
    got = [z["Name"] for z in w.dns.list_hosted_zones_by_name(DNSName=f"b.{base}")["HostedZones"]]
    equal(got[:2], [f"b.{base}.", f"c.{base}."])
    true(f"a.{base}." not in got, "no zone before the name", got)


@check("route53.zone.by-name.absent-name")
def absent_name(w):
    """aws.md 2 zones: a name without a zone starts at the next one."""
    base = w.zone_name()
    for label in ("a", "c"):
        w.zone(f"{label}.{base}")
    got = w.dns.list_hosted_zones_by_name(DNSName=f"b.{base}")["HostedZones"]
    equal([z["Name"] for z in got[:1]], [f"c.{base}."])


@check("route53.zone.by-name.reversed-labels")
def reversed_labels(w):
    """aws.md 2 list order: sorted with the labels reversed: a parent before its children."""
    base = w.zone_name()
    for name in (f"a.{base}", base):
        w.zone(name)
    got = [z["Name"] for z in w.dns.list_hosted_zones_by_name(DNSName=base)["HostedZones"]]
    equal(got[:2], [f"{base}.", f"a.{base}."])


@check("route53.zone.by-name.paging")
def by_name_paging(w):
    """aws.md 2 zones: NextDNSName and NextHostedZoneId lead on, also within one name."""
    base = w.zone_name()
    mine = [w.zone(base)["Id"] for _ in range(3)]
    seen, start = [], {"DNSName": base}
    for _ in range(3):
        page = w.dns.list_hosted_zones_by_name(MaxItems="1", **start)
        seen += [z["Id"] for z in page["HostedZones"]]
        if page["IsTruncated"]:
            start = {"DNSName": page["NextDNSName"], "HostedZoneId": page["NextHostedZoneId"]}
    equal(sorted(seen), sorted(mine))


@check("route53.zone.by-name.id-without-name")
def id_without_name(w):
    """aws.md 2 zones: HostedZoneId without DNSName is InvalidInput (service model)."""
    zone = w.zone()["Id"].rsplit("/", 1)[1]
    refused("InvalidInput", w.dns.list_hosted_zones_by_name, HostedZoneId=zone)


@cases(
    "route53.zone.name.refused",
    ("label-64", "a" * 64 + ".test"),
    ("empty-label", "a..test"),
    ("256-characters", ("a" * 49 + ".") * 5 + "test.test"),
)
def bad_name(w, name):
    """aws.md 2 names: labels 63, name 255."""
    refused(("InvalidDomainName", "InvalidInput"), w.dns.create_hosted_zone, Name=name, CallerReference=w.name("ref"))


@check("route53.zone.tags")
def zone_tags(w):
    """aws.md 4 tags: a zone can be tagged and untagged."""
    zone = w.zone()["Id"].rsplit("/", 1)[1]
    named = {"ResourceType": "hostedzone", "ResourceId": zone}
    w.dns.change_tags_for_resource(AddTags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}], **named)
    w.dns.change_tags_for_resource(RemoveTagKeys=["a"], **named)
    got = w.dns.list_tags_for_resource(**named)["ResourceTagSet"]
    equal((got["ResourceId"], got["Tags"]), (zone, [{"Key": "b", "Value": "2"}]))


@check("route53.change.pending")
def pending(w):
    """aws.md 2 propagation: the change is PENDING at first."""
    zone = w.zone()
    change = w.change(zone["Id"], ("CREATE", record("a." + zone["Name"])))
    equal(change["Status"], "PENDING")
    true(change["Id"].startswith("/change/"), "/change/...", change["Id"])


@check("route53.change.in-sync")
def in_sync(w):
    """aws.md 2 propagation: PENDING to INSYNC, generally within 60 seconds."""
    zone = w.zone()
    change = w.change(zone["Id"], ("CREATE", record("a." + zone["Name"])))
    w.advance(61_000)
    equal(w.dns.get_change(Id=change["Id"])["ChangeInfo"]["Status"], "INSYNC")


@check("route53.change.id-without-prefix")
def change_id(w):
    """aws.md 2 zones: ids are accepted in both forms, those of changes too."""
    zone = w.zone()
    change = w.change(zone["Id"], ("CREATE", record("a." + zone["Name"])))
    got = w.dns.get_change(Id=change["Id"].rsplit("/", 1)[1])["ChangeInfo"]
    equal(got["Id"], change["Id"])
    one_of(got["Status"], ("PENDING", "INSYNC"), "status")


@check("route53.change.unknown")
def change_unknown(w):
    """aws.md 2 propagation: an unknown change is NoSuchChange (service model), HTTP 404."""
    refused("NoSuchChange", w.dns.get_change, Id="C0NOSUCHCHANGE", status=404)


@check("route53.zone.example-is-public")
def example_public(w):
    """aws.md 2 zones: GetHostedZone tells public from private; example.com is public."""
    got = w.dns.get_hosted_zone(Id=w.example_zone())
    equal((got["HostedZone"]["Name"], got["HostedZone"]["Config"]["PrivateZone"]), (ZONE + ".", False))
