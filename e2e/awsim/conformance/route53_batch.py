"""ChangeResourceRecordSets: all or nothing, the messages, the limits."""

from harness import batch, cases, check, code_of, contains, equal, error_text, one_of, record, refused, true

BAD = ("InvalidChangeBatch", "InvalidInput")


def refuse(w, zone, *changes, codes=("InvalidChangeBatch",), message=None):
    return refused(codes, w.dns.change_resource_record_sets, **batch(zone, *changes), message=message, status=400)


def own(w):
    """A zone of its own: id, and a function that puts a label before its name."""
    zone = w.zone()
    return zone["Id"], lambda label: f"{label}.{zone['Name']}"


def listed(w, zone):
    return {(r["Name"], r["Type"]): r for r in w.records(zone) if r["Type"] not in ("NS", "SOA")}


# ------------------------------------------------------------------- basics


@check("route53.batch.create")
def create(w):
    """aws.md 2 batch: CREATE makes the record."""
    zone, at = own(w)
    w.change(zone, ("CREATE", record(at("a"))))
    equal(list(listed(w, zone)), [(at("a"), "A")])


@check("route53.batch.upsert-creates")
def upsert_creates(w):
    """aws.md 2 batch: UPSERT creates what is absent."""
    zone, at = own(w)
    w.change(zone, ("UPSERT", record(at("a"))))
    equal(list(listed(w, zone)), [(at("a"), "A")])


@check("route53.batch.upsert-replaces")
def upsert_replaces(w):
    """aws.md 2 batch: UPSERT replaces the whole set."""
    zone, at = own(w)
    w.change(zone, ("CREATE", record(at("a"), "A", "192.0.2.1", "192.0.2.2")))
    w.change(zone, ("UPSERT", record(at("a"), "A", "192.0.2.9", ttl=5)))
    equal(listed(w, zone)[(at("a"), "A")], record(at("a"), "A", "192.0.2.9", ttl=5))


@check("route53.batch.delete")
def delete(w):
    """aws.md 2 DELETE: with equal values the record goes."""
    zone, at = own(w)
    w.change(zone, ("CREATE", record(at("a"))))
    w.change(zone, ("DELETE", record(at("a"))))
    equal(listed(w, zone), {})


@check("route53.batch.delete-value-order")
def delete_value_order(w):
    """aws.md 2 DELETE: every value must be equal; their order does not matter."""
    zone, at = own(w)
    w.change(zone, ("CREATE", record(at("a"), "A", "192.0.2.1", "192.0.2.2")))
    w.change(zone, ("DELETE", record(at("a"), "A", "192.0.2.2", "192.0.2.1")))
    equal(listed(w, zone), {})


@check("route53.batch.unknown-zone")
def unknown_zone(w):
    """aws.md 2 zones: an unknown zone is NoSuchHostedZone (service model), HTTP 404."""
    refused(
        "NoSuchHostedZone",
        w.dns.change_resource_record_sets,
        **batch("Z0NOSUCHZONE0", ("CREATE", record("a.example.com"))),
        status=404,
    )


@check("route53.batch.empty")
def empty(w):
    """aws.md 2 batch: a batch has at least one change (service model)."""
    zone, _ = own(w)
    refused(BAD + ("MalformedInput",), w.raw.dns.change_resource_record_sets, **batch(zone))


# ----------------------------------------------------------------- messages


@check("route53.batch.message.exists")
def exists(w):
    """aws.md 2 InvalidChangeBatch texts: "but it already exists"."""
    zone, at = own(w)
    w.change(zone, ("CREATE", record(at("a"))))
    error = refuse(w, zone, ("CREATE", record(at("a"))), message="but it already exists")
    contains(error_text(error), f"Tried to create resource record set [name='{at('a').rstrip('.')}")
    contains(error_text(error), "type='A'")


@check("route53.batch.message.not-found")
def not_found(w):
    """aws.md 2 InvalidChangeBatch texts: "Tried to delete ... but it was not found"."""
    zone, at = own(w)
    error = refuse(w, zone, ("DELETE", record(at("a"))), message="but it was not found")
    contains(error_text(error), f"Tried to delete resource record set [name='{at('a').rstrip('.')}")


@cases(
    "route53.batch.message.values-differ",
    ("value", {"values": ("192.0.2.2",)}),
    ("ttl", {"ttl": 61}),
    ("one-value-more", {"values": ("192.0.2.1", "192.0.2.2")}),
)
def values_differ(w, over):
    """aws.md 2 DELETE: "but the values provided do not match the current values"."""
    zone, at = own(w)
    w.change(zone, ("CREATE", record(at("a"))))
    wrong = record(at("a"), "A", *over.get("values", ()), ttl=over.get("ttl", 60))
    refuse(w, zone, ("DELETE", wrong), message="but the values provided do not match the current values")
    equal(list(listed(w, zone)), [(at("a"), "A")])


@check("route53.batch.message.foreign-name")
def foreign(w):
    """aws.md 2 InvalidChangeBatch texts: "RRSet with DNS name x is not permitted in zone y"."""
    zone, _ = own(w)
    error = refuse(w, zone, ("CREATE", record("a.example.org")), message="is not permitted in zone")
    contains(error_text(error), "RRSet with DNS name a.example.org")


@check("route53.batch.message.suffix-is-no-zone")
def suffix(w):
    """aws.md 2 InvalidChangeBatch texts: a name that only ends in the same letters is foreign."""
    zone, at = own(w)
    name = "x" + at("").lstrip(".")
    refuse(w, zone, ("CREATE", record(name)), message="is not permitted in zone")


@check("route53.batch.message.one-per-fault")
def one_per_fault(w):
    """aws.md 2 InvalidChangeBatch texts: a list in messages, every fault of the batch."""
    zone, at = own(w)
    w.change(zone, ("CREATE", record(at("a"))))
    error = refuse(w, zone, ("CREATE", record(at("a"))), ("DELETE", record(at("b"))))
    contains(error_text(error), "already exists")
    contains(error_text(error), "not found")


# ------------------------------------------------------------------- atomic


@check("route53.batch.atomic.later-fault")
def atomic(w):
    """aws.md 2 atomic: a fault in the last change undoes the first."""
    zone, at = own(w)
    refuse(w, zone, ("CREATE", record(at("a"))), ("DELETE", record(at("b"))))
    equal(listed(w, zone), {})


@check("route53.batch.atomic.delete-kept")
def atomic_delete(w):
    """aws.md 2 atomic: a refused batch deletes nothing."""
    zone, at = own(w)
    w.change(zone, ("CREATE", record(at("a"))))
    refuse(w, zone, ("DELETE", record(at("a"))), ("DELETE", record(at("b"))))
    equal(list(listed(w, zone)), [(at("a"), "A")])


@check("route53.batch.atomic.upsert-kept")
def atomic_upsert(w):
    """aws.md 2 atomic: a refused batch leaves the old values."""
    zone, at = own(w)
    w.change(zone, ("CREATE", record(at("a"))))
    refuse(w, zone, ("UPSERT", record(at("a"), "A", "192.0.2.9")), ("DELETE", record(at("b"))))
    equal(listed(w, zone)[(at("a"), "A")], record(at("a")))


@check("route53.batch.delete-and-create")
def delete_create(w):
    """aws.md 2 atomic: DELETE + CREATE of the same name in one batch is allowed."""
    zone, at = own(w)
    w.change(zone, ("CREATE", record(at("a"), "CNAME")))
    w.change(zone, ("DELETE", record(at("a"), "CNAME")), ("CREATE", record(at("a"))))
    equal(list(listed(w, zone)), [(at("a"), "A")])


@check("route53.batch.same-set-deleted-twice")
def deleted_twice(w):
    """aws.md 2 atomic: the same set deleted twice = InvalidChangeBatch."""
    zone, at = own(w)
    w.change(zone, ("CREATE", record(at("a"))))
    refuse(w, zone, ("DELETE", record(at("a"))), ("DELETE", record(at("a"))))
    equal(list(listed(w, zone)), [(at("a"), "A")])


@check("route53.batch.same-set-created-twice")
def created_twice(w):
    """aws.md 2 atomic: the same set created twice in a batch = InvalidChangeBatch."""
    zone, at = own(w)
    refuse(w, zone, ("CREATE", record(at("a"))), ("CREATE", record(at("a"))))
    equal(listed(w, zone), {})


# --------------------------------------------------------------- validation


@check("route53.batch.cname.beside-another")
def cname_beside(w):
    """aws.md 2 atomic: a CNAME stands alone at its name."""
    zone, at = own(w)
    w.change(zone, ("CREATE", record(at("a"))))
    refuse(w, zone, ("CREATE", record(at("a"), "CNAME")))


@check("route53.batch.cname.another-beside")
def beside_cname(w):
    """aws.md 2 atomic: nothing else is put beside a CNAME."""
    zone, at = own(w)
    w.change(zone, ("CREATE", record(at("a"), "CNAME")))
    refuse(w, zone, ("CREATE", record(at("a"), "TXT")))


@check("route53.batch.cname.apex")
def cname_apex(w):
    """aws.md 2 alias to ALB: a CNAME is not allowed at the apex."""
    zone = w.zone()
    refuse(w, zone["Id"], ("CREATE", record(zone["Name"], "CNAME")))


@check("route53.batch.apex-soa-kept")
def soa_kept(w):
    """aws.md 2 zones: the zone's own SOA cannot be deleted."""
    zone = w.zone()["Id"]
    soa = next(r for r in w.records(zone) if r["Type"] == "SOA")
    refuse(w, zone, ("DELETE", soa))


@cases(
    "route53.batch.value.refused",
    ("a-nonsense", "A", "not-an-address"),
    ("a-with-ipv6", "A", "2001:db8::1"),
    ("aaaa-with-ipv4", "AAAA", "192.0.2.1"),
    ("txt-without-quotes", "TXT", "plain text"),
    ("txt-string-256", "TXT", '"' + "x" * 256 + '"'),
)
def bad_value(w, kind, value):
    """aws.md 2 batch: the values are checked against the type."""
    zone, at = own(w)
    refuse(w, zone, ("CREATE", record(at("a"), kind, value)), codes=BAD)


@check("route53.batch.value.txt-strings")
def txt_strings(w):
    """aws.md 2.1 TXT value: several quoted strings are one value."""
    zone, at = own(w)
    value = '"' + "x" * 255 + '" "' + "y" * 255 + '"'
    w.change(zone, ("CREATE", record(at("a"), "TXT", value)))
    equal(listed(w, zone)[(at("a"), "TXT")]["ResourceRecords"], [{"Value": value}])


@check("route53.batch.value.registry-text")
def registry_text(w):
    """aws.md 2.1 TXT value: the ownership text comes back as written."""
    zone, at = own(w)
    value = '"heritage=external-dns,external-dns/owner=me,external-dns/resource=ingress/ns/app"'
    w.change(zone, ("CREATE", record(at("a-app"), "TXT", value)))
    equal(listed(w, zone)[(at("a-app"), "TXT")]["ResourceRecords"], [{"Value": value}])


@check("route53.batch.duplicate-values")
def duplicate_values(w):
    """aws.md 2 batch: a set does not hold the same value twice."""
    zone, at = own(w)
    refuse(w, zone, ("CREATE", record(at("a"), "A", "192.0.2.1", "192.0.2.1")), codes=BAD)


@check("route53.batch.no-ttl")
def no_ttl(w):
    """aws.md 2 alias to ALB: only an alias has no TTL."""
    zone, at = own(w)
    bare = record(at("a"))
    del bare["TTL"]
    refuse(w, zone, ("CREATE", bare), codes=BAD + ("MalformedInput",))


@check("route53.batch.bad-action")
def bad_action(w):
    """aws.md 2 batch: CREATE, DELETE or UPSERT."""
    zone, at = own(w)
    refused(
        BAD + ("MalformedInput",), w.raw.dns.change_resource_record_sets, **batch(zone, ("REPLACE", record(at("a"))))
    )


@check("route53.batch.label-64")
def label_64(w):
    """aws.md 2 names: labels 63."""
    zone, at = own(w)
    refuse(w, zone, ("CREATE", record(at("a" * 64))), codes=BAD + ("InvalidDomainName",))


# ------------------------------------------------------------------- limits


def plenty(at, count, action):
    return [(action, record(at(f"n{n}"))) for n in range(count)]


@check("route53.batch.limit.1000-creates")
def creates_1000(w):
    """aws.md 2 batch: 1000 ResourceRecord elements are allowed."""
    zone, at = own(w)
    w.change(zone, *plenty(at, 1000, "CREATE"))
    got = w.dns.get_hosted_zone(Id=zone)["HostedZone"]["ResourceRecordSetCount"]
    equal(got, 1002)


@check("route53.batch.limit.1001-creates")
def creates_1001(w):
    """aws.md 2 batch: at most 1000 ResourceRecord elements."""
    zone, at = own(w)
    refuse(w, zone, *plenty(at, 1001, "CREATE"), codes=BAD)
    equal(listed(w, zone), {})


@check("route53.batch.limit.500-upserts")
def upserts_500(w):
    """aws.md 2 batch: UPSERT counts twice, so 500 UPSERTs are allowed."""
    zone, at = own(w)
    w.change(zone, *plenty(at, 500, "UPSERT"))
    equal(w.dns.get_hosted_zone(Id=zone)["HostedZone"]["ResourceRecordSetCount"], 502)


@check("route53.batch.limit.501-upserts")
def upserts_501(w):
    """aws.md 2 batch: UPSERT counts twice, so 501 UPSERTs are too many."""
    zone, at = own(w)
    refuse(w, zone, *plenty(at, 501, "UPSERT"), codes=BAD)


def long_texts(at, characters, action):
    """TXT records of 200 characters of value each, quotes included."""
    text = '"' + "x" * 198 + '"'
    return [(action, record(at(f"n{n}"), "TXT", text)) for n in range(characters // 200)]


@check("route53.batch.limit.31600-characters")
def characters_32000(w):
    """aws.md 2 batch: below 32,000 characters of Value all is well."""
    zone, at = own(w)
    w.change(zone, *long_texts(at, 31_600, "CREATE"))


@check("route53.batch.limit.32800-characters")
def characters_more(w):
    """aws.md 2 batch: at most 32,000 characters of Value."""
    zone, at = own(w)
    refuse(w, zone, *long_texts(at, 32_800, "CREATE"), codes=BAD)


@check("route53.batch.limit.upsert-characters-twice")
def characters_upsert(w):
    """aws.md 2 batch: UPSERT counts the characters twice too."""
    zone, at = own(w)
    refuse(w, zone, *long_texts(at, 16_600, "UPSERT"), codes=BAD)


def addresses(count):
    return [f"10.{n // 250}.0.{n % 250 + 1}" for n in range(count)]


@check("route53.quota.400-values")
def values_400(w):
    """aws.md 2 quotas: 400 values per set."""
    zone, at = own(w)
    w.change(zone, ("CREATE", record(at("a"), "A", *addresses(400))))
    refuse(w, zone, ("CREATE", record(at("b"), "A", *addresses(401))), codes=BAD + ("LimitsExceeded",))


@check("route53.quota.records-per-zone")
def records_per_zone(w):
    """aws.md 2 quotas: records per zone, the whole batch is refused."""
    zone, at = own(w)
    w.quota("route53/MAX_RRSETS_BY_ZONE", 4)
    w.change(zone, *plenty(at, 2, "CREATE"))
    refuse(w, zone, ("CREATE", record(at("more"))), codes=BAD + ("LimitsExceeded",))
    equal(len(listed(w, zone)), 2, "records")


@check("route53.quota.limit-shown")
def limit_shown(w):
    """aws.md 5 records per zone: GetHostedZoneLimit shows a changed quota."""
    zone, _ = own(w)
    w.quota("route53/MAX_RRSETS_BY_ZONE", 7)
    got = w.dns.get_hosted_zone_limit(HostedZoneId=zone, Type="MAX_RRSETS_BY_ZONE")
    equal(got["Limit"]["Value"], 7)


# ---------------------------------------------------------------- in flight


@check("route53.batch.prior-request")
def prior_request(w):
    """aws.md 2 same zone in flight: a change on the heels of another passes, or is
    PriorRequestNotComplete with AWS's text (how long a zone is busy is the profile's)."""
    zone, at = own(w)
    w.settle()
    w.change(zone, ("CREATE", record(at("a"))))
    try:
        w.plain.dns.change_resource_record_sets(**batch(zone, ("CREATE", record(at("b")))))
    except w.plain.dns.exceptions.ClientError as error:
        equal(code_of(error), "PriorRequestNotComplete")
        equal(error.response["ResponseMetadata"]["HTTPStatusCode"], 400)
        contains(error_text(error), "still processing a prior request")
        equal(list(listed(w, zone)), [(at("a"), "A")])


@check("route53.batch.prior-request-passes")
def prior_request_passes(w):
    """aws.md 2 same zone in flight: a second later the zone takes the next change."""
    zone, at = own(w)
    w.settle()
    w.change(zone, ("CREATE", record(at("a"))))
    w.advance(1000)
    w.plain.dns.change_resource_record_sets(**batch(zone, ("CREATE", record(at("b")))))
    equal(sorted(listed(w, zone)), [(at("a"), "A"), (at("b"), "A")])


@check("route53.batch.owner-and-record-together")
def together(w):
    """aws.md 2.1 no marker: record and TXT in the same batch, both or none."""
    zone, at = own(w)
    w.change(zone, ("CREATE", record(at("a-app"), "TXT")))
    refuse(w, zone, ("CREATE", record(at("app"))), ("CREATE", record(at("a-app"), "TXT", '"other"')))
    equal(list(listed(w, zone)), [(at("a-app"), "TXT")])


@check("route53.batch.comment")
def comment(w):
    """aws.md 2 propagation: GetChange knows the change and when it was handed in."""
    zone, at = own(w)
    arguments = batch(zone, ("CREATE", record(at("a"))))
    arguments["ChangeBatch"]["Comment"] = "why"
    change = w.dns.change_resource_record_sets(**arguments)["ChangeInfo"]
    got = w.dns.get_change(Id=change["Id"])["ChangeInfo"]
    equal(got["SubmittedAt"], change["SubmittedAt"])
    one_of(got["Status"], ("PENDING", "INSYNC"), "status")
    true(got["Id"] == change["Id"], change["Id"], got["Id"])
