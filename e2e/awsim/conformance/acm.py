"""ACM: requests, validation through Route 53, lists, use, deletion, tags."""

from harness import SECOND, ZONE, cases, check, equal, one_of, refused, tags, true

INVALID = ("ValidationException", "InvalidParameterException", "InvalidDomainValidationOptionsException")
NOBODY = "/00000000-0000-0000-0000-00000000dead"


def domain(w):
    return f"{w.name('c')}.{ZONE}"


def unknown_arn(w):
    return w.wildcard().rsplit("/", 1)[0] + NOBODY


@check("acm.seed.issued")
def seed(w):
    """aws.md 3 names: a wildcard does not cover the apex, so the first one has both names."""
    got = w.certificate(w.wildcard())
    equal((sorted(got["SubjectAlternativeNames"]), got["Status"]), (["*.example.com", "example.com"], "ISSUED"))


# ------------------------------------------------------------------ request


@check("acm.request.arn")
def request_arn(w):
    """aws.md 3 use: the certificate is of the same region and account."""
    account = w.sts.get_caller_identity()["Account"]
    start = f"arn:aws:acm:eu-central-1:{account}:certificate/"
    got = w.pending()
    true(got.startswith(start), start + "ID", got)


@check("acm.request.pending")
def request_pending(w):
    """aws.md 3 time: PENDING_VALIDATION at first."""
    arn = w.pending()
    w.validations(arn)
    equal(w.certificate(arn)["Status"], "PENDING_VALIDATION")


@check("acm.request.names")
def request_names(w):
    """aws.md 3 names: the domain is among the alternative names."""
    one, two = domain(w), domain(w)
    arn = w.pending(one, SubjectAlternativeNames=[two])
    w.validations(arn)
    got = w.certificate(arn)
    equal((got["DomainName"], sorted(got["SubjectAlternativeNames"])), (one, sorted([one, two])))


@check("acm.request.key-default")
def key_default(w):
    """aws.md 3 use: RSA_2048 if nothing is said."""
    arn = w.pending()
    w.validations(arn)
    one_of(w.certificate(arn)["KeyAlgorithm"], ("RSA-2048", "RSA_2048"), "KeyAlgorithm")


@check("acm.request.key-ec")
def key_ec(w):
    """aws.md 3 use: EC_prime256v1 can be requested."""
    arn = w.pending(KeyAlgorithm="EC_prime256v1")
    w.validations(arn)
    equal(w.certificate(arn)["KeyAlgorithm"], "EC_prime256v1")


@check("acm.request.no-token-two-certificates")
def no_token(w):
    """aws.md 3 RequestCertificate: without a token each call makes a certificate."""
    name = domain(w)
    true(w.pending(name) != w.pending(name), "two ARNs", "one")


@check("acm.request.same-token")
def same_token(w):
    """aws.md 3 RequestCertificate: same token = same ARN."""
    name, token = domain(w), w.name("t").replace("-", "_")
    equal(w.pending(name, IdempotencyToken=token), w.pending(name, IdempotencyToken=token))


@check("acm.request.other-token")
def other_token(w):
    """aws.md 3 RequestCertificate: another token = another certificate."""
    name = domain(w)
    first = w.pending(name, IdempotencyToken=w.name("t").replace("-", "_"))
    second = w.pending(name, IdempotencyToken=w.name("t").replace("-", "_"))
    true(first != second, "two ARNs", "one")


@check("acm.request.token-after-an-hour")
def token_hour(w):
    """aws.md 3 RequestCertificate: the token holds for one hour."""
    name, token = domain(w), w.name("t").replace("-", "_")
    first = w.pending(name, IdempotencyToken=token)
    w.advance(3601 * SECOND)
    true(w.pending(name, IdempotencyToken=token) != first, "another ARN", "the same")


@cases("acm.request.token.refused", ("hyphen", "a-b"), ("33", "a" * 33), ("space", "a b"))
def bad_token(w, token):
    """aws.md 3 RequestCertificate: IdempotencyToken \\w{1,32}."""
    refused(
        INVALID, w.raw.acm.request_certificate, DomainName=domain(w), ValidationMethod="DNS", IdempotencyToken=token
    )


@check("acm.request.token-32")
def token_32(w):
    """aws.md 3 RequestCertificate: 32 word characters are allowed."""
    w.pending(IdempotencyToken=w.name("t").replace("-", "_").ljust(32, "x"))


@check("acm.request.10-names")
def names_10(w):
    """aws.md 3 names: 10 per certificate by default."""
    extra = [domain(w) for _ in range(9)]
    arn = w.pending(SubjectAlternativeNames=extra)
    w.validations(arn)
    equal(len(w.certificate(arn)["SubjectAlternativeNames"]), 10, "names")


@check("acm.request.11-names")
def names_11(w):
    """aws.md 3 names: 10 per certificate by default, LimitExceededException."""
    refused(
        "LimitExceededException",
        w.acm.request_certificate,
        DomainName=domain(w),
        ValidationMethod="DNS",
        SubjectAlternativeNames=[domain(w) for _ in range(10)],
    )


@check("acm.request.domain-repeated-counts-once")
def repeated(w):
    """aws.md 3 names: the domain repeated among the alternative names is one name."""
    name = domain(w)
    arn = w.pending(name, SubjectAlternativeNames=[name] + [domain(w) for _ in range(9)])
    w.validations(arn)
    equal(len(w.certificate(arn)["SubjectAlternativeNames"]), 10, "names")


@check("acm.request.names-quota-raised")
def names_raised(w):
    """aws.md 3 names: the quota can be raised, up to 100."""
    w.quota("acm/names-per-certificate", 12)
    w.pending(SubjectAlternativeNames=[domain(w) for _ in range(11)])


@check("acm.request.certificates-quota")
def certificates_quota(w):
    """aws.md 3 quotas: certificates per account, LimitExceededException."""
    w.pending()
    everything = ["RSA_1024", "RSA_2048", "RSA_3072", "RSA_4096", "EC_prime256v1", "EC_secp384r1", "EC_secp521r1"]
    w.quota("acm/certificates", len(w.certificates(Includes={"keyTypes": everything})))
    refused("LimitExceededException", w.acm.request_certificate, DomainName=domain(w), ValidationMethod="DNS")


@cases(
    "acm.request.domain.refused",
    ("space", "a b.example.com"),
    ("star-inside", "a.*.example.com"),
    ("star-half", "a*.example.com"),
    ("no-dot", "localhost"),
    ("254", ".".join(["a" * 49] * 5) + ".test"),
    ("empty", ""),
)
def bad_domain(w, name):
    """aws.md 3 names: 253 characters, a wildcard is the whole leftmost label."""
    refused(INVALID, w.raw.acm.request_certificate, DomainName=name, ValidationMethod="DNS")


# --------------------------------------------------------------- validation


def records(w, arn):
    return {o["DomainName"]: o["ResourceRecord"] for o in w.validations(arn)}


@check("acm.validation.record-form")
def record_form(w):
    """aws.md 3 DNS validation: one CNAME, _hash.name. to _hash.x.acm-validations.aws."""
    name = domain(w)
    got = records(w, w.pending(name))[name]
    equal(got["Type"], "CNAME")
    true(got["Name"].startswith("_") and got["Name"].endswith(f".{name}."), f"_hash.{name}.", got["Name"])
    true(
        got["Value"].startswith("_") and got["Value"].endswith(".acm-validations.aws."),
        "_hash.x.acm-validations.aws.",
        got["Value"],
    )


@check("acm.validation.one-per-name")
def one_per_name(w):
    """aws.md 3 DNS validation: one CNAME per name."""
    one, two = domain(w), domain(w)
    got = records(w, w.pending(one, SubjectAlternativeNames=[two]))
    equal(sorted(got), sorted([one, two]))
    true(got[one]["Name"] != got[two]["Name"], "two records", got)


@check("acm.validation.wildcard-shares")
def wildcard_shares(w):
    """aws.md 3 DNS validation: apex and its wildcard share one record."""
    name = domain(w)
    got = records(w, w.pending(name, SubjectAlternativeNames=[f"*.{name}"]))
    equal(got[name], got[f"*.{name}"])


@check("acm.validation.record-stable")
def record_stable(w):
    """aws.md 3 DNS validation: the record is stable per account and domain."""
    name = domain(w)
    equal(records(w, w.pending(name)), records(w, w.pending(name)))


@check("acm.validation.issued")
def issued(w):
    """aws.md 3 DNS validation: with its record in the zone a certificate is ISSUED."""
    got = w.certificate(w.issued())
    equal((got["Status"], got["Type"]), ("ISSUED", "AMAZON_ISSUED"))
    true(got.get("IssuedAt"), "an IssuedAt", got)


@check("acm.validation.status-per-name")
def status_per_name(w):
    """aws.md 3 DNS validation: the names of an issued certificate are SUCCESS."""
    got = w.certificate(w.issued())["DomainValidationOptions"]
    equal([o["ValidationStatus"] for o in got], ["SUCCESS"])


@check("acm.validation.all-names-needed")
def all_names(w):
    """aws.md 3 DNS validation: with one of two records it stays PENDING_VALIDATION."""
    arn = w.pending(SubjectAlternativeNames=[domain(w)])
    item = w.validations(arn)[0]["ResourceRecord"]
    found = {"Name": item["Name"], "Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": item["Value"]}]}
    zone = w.example_zone()
    w.change(zone, ("CREATE", found))
    w.undo(w.change, zone, ("DELETE", found))
    w.advance(1800 * SECOND)
    equal(w.certificate(arn)["Status"], "PENDING_VALIDATION")


@check("acm.validation.wrong-value")
def wrong_value(w):
    """aws.md 3 DNS validation: a record with another value proves nothing."""
    arn = w.pending()
    item = w.validations(arn)[0]["ResourceRecord"]
    wrong = {
        "Name": item["Name"],
        "Type": "CNAME",
        "TTL": 60,
        "ResourceRecords": [{"Value": "_wrong.acm-validations.aws."}],
    }
    zone = w.example_zone()
    w.change(zone, ("CREATE", wrong))
    w.undo(w.change, zone, ("DELETE", wrong))
    w.advance(1800 * SECOND)
    equal(w.certificate(arn)["Status"], "PENDING_VALIDATION")


@check("acm.validation.second-certificate-at-once")
def second_at_once(w):
    """aws.md 3 DNS validation: the record is reused by later certificates."""
    name = domain(w)
    w.issued(name)
    second = w.pending(name)
    w.wait("status ISSUED", lambda: w.certificate(second)["Status"] == "ISSUED")


@check("acm.validation.timed-out")
def timed_out(w):
    """aws.md 3 time: PENDING_VALIDATION times out to VALIDATION_TIMED_OUT after 72 h."""
    arn = w.pending()
    w.validations(arn)
    w.advance(73 * 3600 * SECOND)
    equal(w.certificate(arn)["Status"], "VALIDATION_TIMED_OUT")


# --------------------------------------------------------------------- list


def arns(found):
    return [s["CertificateArn"] for s in found]


@check("acm.list.summary")
def summary(w):
    """aws.md 3 list: summaries carry names, InUse and Status."""
    one, two = domain(w), domain(w)
    arn = w.pending(one, SubjectAlternativeNames=[two])
    w.validations(arn)
    got = next(s for s in w.certificates() if s["CertificateArn"] == arn)
    equal((got["DomainName"], got["Status"], got["InUse"]), (one, "PENDING_VALIDATION", False))
    equal(sorted(got["SubjectAlternativeNameSummaries"]), sorted([one, two]))


@check("acm.list.default-hides-ec")
def hides_ec(w):
    """aws.md 3 list: the default filter hides everything but RSA_1024 and RSA_2048."""
    arn = w.pending(KeyAlgorithm="EC_prime256v1")
    w.validations(arn)
    true(arn not in arns(w.certificates()), "the EC certificate hidden", "it is listed")


@check("acm.list.key-types")
def key_types(w):
    """aws.md 3 list: with keyTypes it is shown."""
    arn = w.pending(KeyAlgorithm="EC_prime256v1")
    w.validations(arn)
    got = arns(w.certificates(Includes={"keyTypes": ["EC_prime256v1", "RSA_2048"]}))
    true(arn in got, f"{arn} listed", got)


@check("acm.list.key-types-only")
def key_types_only(w):
    """aws.md 3 list: keyTypes shows those types and no other."""
    arn = w.pending()
    w.validations(arn)
    got = arns(w.certificates(Includes={"keyTypes": ["EC_prime256v1"]}))
    true(arn not in got, "the RSA certificate hidden", "it is listed")


@check("acm.list.status-filter")
def status_filter(w):
    """aws.md 3 list: CertificateStatuses filters."""
    arn = w.pending()
    w.validations(arn)
    true(arn in arns(w.certificates(CertificateStatuses=["PENDING_VALIDATION"])), "listed as pending", "not")
    true(arn not in arns(w.certificates(CertificateStatuses=["ISSUED"])), "not listed as issued", "listed")


@check("acm.list.paging")
def paging(w):
    """aws.md 3 list: MaxItems and NextToken, none twice."""
    mine = {w.pending() for _ in range(3)}
    seen, token = [], None
    while True:
        page = w.acm.list_certificates(MaxItems=2, **({"NextToken": token} if token else {}))
        true(len(page["CertificateSummaryList"]) <= 2, "at most 2", len(page["CertificateSummaryList"]))
        seen += arns(page["CertificateSummaryList"])
        token = page.get("NextToken")
        if not token:
            break
    equal(len(seen), len(set(seen)), "distinct certificates")
    true(mine <= set(seen), f"{mine} in the pages", seen)


@cases("acm.list.max-items", ("0", 0), ("1001", 1001))
def max_items(w, count):
    """aws.md 3 list: MaxItems 1000 at most."""
    refused(INVALID + ("InvalidArgsException",), w.raw.acm.list_certificates, MaxItems=count)


# ------------------------------------------------------------ use, deletion


@check("acm.use.in-use-by")
def in_use_by(w):
    """aws.md 3 use: InUseBy names the load balancer."""
    lb, arn = w.lb()["LoadBalancerArn"], w.issued()
    w.https(lb, Certificates=[{"CertificateArn": arn}])
    equal(w.certificate(arn)["InUseBy"], [lb])


@check("acm.use.in-use-by-sni")
def in_use_by_sni(w):
    """aws.md 3 use: InUseBy counts the SNI list too; the summary says InUse."""
    lb, arn = w.lb()["LoadBalancerArn"], w.issued()
    listener = w.https(lb)["ListenerArn"]
    w.elb.add_listener_certificates(ListenerArn=listener, Certificates=[{"CertificateArn": arn}])
    w.settle()
    equal(w.certificate(arn)["InUseBy"], [lb])
    equal(next(s["InUse"] for s in w.certificates() if s["CertificateArn"] == arn), True)


@check("acm.use.delete-in-use")
def delete_in_use(w):
    """aws.md 3 use: delete needs InUseBy empty, ResourceInUseException."""
    arn = w.issued()
    w.https(Certificates=[{"CertificateArn": arn}])
    refused("ResourceInUseException", w.acm.delete_certificate, CertificateArn=arn)


@check("acm.use.delete-after-detaching")
def delete_detached(w):
    """aws.md 1.4 detach certificate then DeleteCertificate: passes within 30 s."""
    arn = w.issued()
    listener = w.https(Certificates=[{"CertificateArn": arn}])["ListenerArn"]
    w.elb.delete_listener(ListenerArn=listener)
    w.advance(30 * SECOND)
    w.acm.delete_certificate(CertificateArn=arn)


@check("acm.delete.gone")
def delete_gone(w):
    """aws.md 3 use: a deleted certificate is ResourceNotFoundException."""
    arn = w.pending()
    w.acm.delete_certificate(CertificateArn=arn)
    w.settle()
    refused("ResourceNotFoundException", w.acm.describe_certificate, CertificateArn=arn)


@cases(
    "acm.unknown",
    ("describe", "describe_certificate"),
    ("delete", "delete_certificate"),
    ("tags", "list_tags_for_certificate"),
)
def unknown(w, call):
    """aws.md 3 use: an unknown certificate is ResourceNotFoundException (service model)."""
    refused("ResourceNotFoundException", getattr(w.acm, call), CertificateArn=unknown_arn(w))


@check("acm.bad-arn")
def bad_arn(w):
    """aws.md 3 use: what is no ARN is InvalidArnException or ValidationException."""
    refused(INVALID + ("InvalidArnException",), w.raw.acm.describe_certificate, CertificateArn="arn:aws:nonsense:::x")


# --------------------------------------------------------------------- tags


def read(w, arn):
    return {t["Key"]: t.get("Value") for t in w.acm.list_tags_for_certificate(CertificateArn=arn)["Tags"]}


@check("acm.tags.at-request")
def tags_at_request(w):
    """aws.md 3 RequestCertificate: tags at the request, to look it up by tag."""
    equal(read(w, w.pending(Tags=tags(cluster="one"))), {"cluster": "one"})


@check("acm.tags.add-replace-remove")
def tags_change(w):
    """aws.md 4 AddTagsToCertificate: add, replace and remove."""
    arn = w.pending(Tags=tags(a="1", b="2"))
    w.acm.add_tags_to_certificate(CertificateArn=arn, Tags=tags(a="3", c="4"))
    w.acm.remove_tags_from_certificate(CertificateArn=arn, Tags=[{"Key": "b"}])
    equal(read(w, arn), {"a": "3", "c": "4"})


@check("acm.tags.51")
def tags_51(w):
    """aws.md 1.1 tags per resource: 50, TooManyTagsException."""
    arn = w.pending(Tags=tags(**{f"k{n}": "v" for n in range(50)}))
    refused("TooManyTagsException", w.acm.add_tags_to_certificate, CertificateArn=arn, Tags=tags(more="v"))


@check("acm.tags.aws-prefix")
def tags_aws(w):
    """aws.md 1.1 tags: no aws:."""
    arn = w.pending()
    refused(
        INVALID + ("InvalidTagException",),
        w.acm.add_tags_to_certificate,
        CertificateArn=arn,
        Tags=[{"Key": "aws:x", "Value": "v"}],
    )
