"""resourcegroupstaggingapi: GetResources with filters and pages."""

from harness import check, equal, refused, tags, true


def find(w, **over):
    """All ARNs; the index follows the resources with a delay, so time passes first."""
    w.settle()
    found, token = [], None
    while True:
        page = w.tagging.get_resources(**over, **({"PaginationToken": token} if token else {}))
        found += [m["ResourceARN"] for m in page["ResourceTagMappingList"]]
        token = page.get("PaginationToken")
        if not token:
            return found


def only(key, *values):
    return [{"Key": key, "Values": list(values)}] if values else [{"Key": key}]


@check("tagging.by-key")
def by_key(w):
    """aws.md 1.3 GetResources: instead of DescribeTags; by key."""
    key = w.name("key")
    mine = [w.tg_arn(Tags=tags(**{key: str(n)})) for n in range(2)]
    equal(sorted(find(w, TagFilters=only(key))), sorted(mine))


@check("tagging.by-value")
def by_value(w):
    """aws.md 1.3 GetResources: by key and value; other values stay out."""
    key = w.name("key")
    mine = w.tg_arn(Tags=tags(**{key: "a"}))
    w.tg_arn(Tags=tags(**{key: "b"}))
    equal(find(w, TagFilters=only(key, "a")), [mine])


@check("tagging.values-are-or")
def values_or(w):
    """aws.md 1.3 GetResources: several values of one key mean or (service model)."""
    key = w.name("key")
    mine = [w.tg_arn(Tags=tags(**{key: v})) for v in "abc"]
    equal(sorted(find(w, TagFilters=only(key, "a", "b"))), sorted(mine[:2]))


@check("tagging.filters-are-and")
def filters_and(w):
    """aws.md 1.3 GetResources: several keys mean and (service model)."""
    one, two = w.name("key"), w.name("key")
    both = w.tg_arn(Tags=tags(**{one: "1", two: "2"}))
    w.tg_arn(Tags=tags(**{one: "1"}))
    equal(find(w, TagFilters=only(one) + only(two)), [both])


@check("tagging.tags-in-answer")
def tags_in_answer(w):
    """aws.md 1.3 GetResources: the answer carries all tags of the resource."""
    key = w.name("key")
    w.tg_arn(Tags=tags(**{key: "1", "also": "2"}))
    w.settle()
    got = w.tagging.get_resources(TagFilters=only(key))["ResourceTagMappingList"][0]["Tags"]
    equal({t["Key"]: t["Value"] for t in got}, {key: "1", "also": "2"})


@check("tagging.by-type")
def by_type(w):
    """aws.md 1.3 GetResources: ResourceTypeFilters, service:type (service model)."""
    key = w.name("key")
    lb = w.lb(Tags=tags(**{key: "1"}))["LoadBalancerArn"]
    group = w.tg_arn(Tags=tags(**{key: "1"}))
    for kind, arn in (("loadbalancer", lb), ("targetgroup", group)):
        got = find(w, TagFilters=only(key), ResourceTypeFilters=[f"elasticloadbalancing:{kind}"])
        equal(got, [arn], kind)


@check("tagging.by-service")
def by_service(w):
    """aws.md 1.3 GetResources: a service alone means all its types (service model)."""
    key = w.name("key")
    lb = w.lb(Tags=tags(**{key: "1"}))["LoadBalancerArn"]
    group = w.tg_arn(Tags=tags(**{key: "1"}))
    w.pending(Tags=tags(**{key: "1"}))
    got = find(w, TagFilters=only(key), ResourceTypeFilters=["elasticloadbalancing"])
    equal(sorted(got), sorted([lb, group]))


@check("tagging.certificates")
def certificates(w):
    """aws.md 3 RequestCertificate: certificates are found by tag."""
    key = w.name("key")
    arn = w.pending(Tags=tags(**{key: "1"}))
    equal(find(w, TagFilters=only(key), ResourceTypeFilters=["acm:certificate"]), [arn])


@check("tagging.by-arn")
def by_arn(w):
    """aws.md 1.3 GetResources: ResourceARNList names the resources (service model)."""
    mine = [w.tg_arn(Tags=tags(a="1")) for _ in range(2)]
    equal(find(w, ResourceARNList=mine[:1]), mine[:1])


@check("tagging.arn-and-filter")
def arn_and_filter(w):
    """aws.md 1.3 GetResources: ResourceARNList and TagFilters exclude each other (service model)."""
    arn = w.tg_arn(Tags=tags(a="1"))
    refused("InvalidParameterException", w.tagging.get_resources, ResourceARNList=[arn], TagFilters=only("a"))


@check("tagging.paging")
def paging(w):
    """aws.md 1.3 GetResources: pages of ResourcesPerPage joined by PaginationToken."""
    key = w.name("key")
    mine = sorted(w.tg_arn(Tags=tags(**{key: "1"})) for _ in range(5))
    w.settle()
    first = w.tagging.get_resources(TagFilters=only(key), ResourcesPerPage=2)
    equal(len(first["ResourceTagMappingList"]), 2)
    true(first["PaginationToken"], "a PaginationToken", first["PaginationToken"])
    equal(sorted(find(w, TagFilters=only(key), ResourcesPerPage=2)), mine)


@check("tagging.last-page")
def last_page(w):
    """aws.md 1.3 GetResources: the last page has an empty token (service model)."""
    got = w.tagging.get_resources(TagFilters=only(w.name("key")))
    equal((got["ResourceTagMappingList"], got.get("PaginationToken", "")), ([], ""))


@check("tagging.page-size-101")
def page_size(w):
    """aws.md 1.3 GetResources: 1 to 100 resources per page (service model)."""
    refused("InvalidParameterException", w.raw.tagging.get_resources, ResourcesPerPage=101)


@check("tagging.deleted-is-gone")
def deleted(w):
    """aws.md 1.3 GetResources: eventually consistent: what is deleted goes in the end."""
    key = w.name("key")
    arn = w.tg_arn(Tags=tags(**{key: "1"}))
    w.elb.delete_target_group(TargetGroupArn=arn)
    equal(find(w, TagFilters=only(key)), [])


@check("tagging.changed-tag")
def changed(w):
    """aws.md 1.3 GetResources: a new value is found, the old one no longer."""
    key = w.name("key")
    arn = w.tg_arn(Tags=tags(**{key: "old"}))
    w.elb.add_tags(ResourceArns=[arn], Tags=tags(**{key: "new"}))
    equal(find(w, TagFilters=only(key, "new")), [arn])
    equal(find(w, TagFilters=only(key, "old")), [])
