"""Load balancers: names, creation, state, attributes, deletion, paging."""

from harness import GROUP, INVALID, REGION, SECOND, SUBNETS, VPC, cases, check, equal, refused, tags, true


@cases(
    "elbv2.load-balancer.name",
    ("33-characters", "a" * 33),
    ("underscore", "under_score"),
    ("dot", "a.b"),
    ("space", "a b"),
    ("empty", ""),
    ("leading-hyphen", "-edge"),
    ("trailing-hyphen", "edge-"),
    ("internal-prefix", "internal-edge"),
)
def bad_name(w, name):
    """aws.md 1.2 names: 32 of A-Za-z0-9-, no hyphen at an end, not internal-."""
    refused(INVALID, w.raw.elb.create_load_balancer, Name=name, Subnets=SUBNETS, SecurityGroups=[GROUP], status=400)


@check("elbv2.load-balancer.name.32-characters")
def longest_name(w):
    """aws.md 1.2 names: 32 characters are allowed."""
    name = w.name("lb").ljust(32, "x")
    equal(w.lb(Name=name)["LoadBalancerName"], name)


@check("elbv2.load-balancer.create.shape")
def shape(w):
    """aws.md 1.2 load balancer: the created one comes back as it was asked for."""
    name = w.name("lb")
    lb = w.lb(Name=name, settle=False)
    equal(lb["LoadBalancerName"], name)
    equal(lb["Type"], "application")
    equal(lb["Scheme"], "internet-facing")
    equal(lb["IpAddressType"], "ipv4")
    equal(lb["VpcId"], VPC)
    equal(lb["SecurityGroups"], [GROUP])


@check("elbv2.load-balancer.create.arn")
def arn(w):
    """aws.md 4 least privilege: the ARN has the form loadbalancer/app/NAME/ID."""
    name = w.name("lb")
    lb = w.lb(Name=name)
    account = w.sts.get_caller_identity()["Account"]
    start = f"arn:aws:elasticloadbalancing:{REGION}:{account}:loadbalancer/app/{name}/"
    true(lb["LoadBalancerArn"].startswith(start), start + "ID", lb["LoadBalancerArn"])


@check("elbv2.load-balancer.create.zones")
def zones(w):
    """aws.md 1.2 load balancer: one zone per subnet, two zones."""
    lb = w.lb()
    got = sorted((z["ZoneName"], z["SubnetId"]) for z in lb["AvailabilityZones"])
    equal(got, [(REGION + "a", "subnet-0aaa"), (REGION + "b", "subnet-0bbb")])


@check("elbv2.load-balancer.create.subnet-mappings")
def mappings(w):
    """aws.md 1.2 load balancer: subnets can be given as mappings."""
    name = w.name("lb")
    made = w.elb.create_load_balancer(
        Name=name, SubnetMappings=[{"SubnetId": s} for s in SUBNETS], SecurityGroups=[GROUP]
    )["LoadBalancers"][0]
    w.undo(w.elb.delete_load_balancer, LoadBalancerArn=made["LoadBalancerArn"])
    equal(sorted(z["SubnetId"] for z in made["AvailabilityZones"]), sorted(SUBNETS))


@check("elbv2.load-balancer.create.internal")
def internal(w):
    """aws.md 5 fixed at creation: the scheme is chosen at creation."""
    equal(w.lb(Scheme="internal")["Scheme"], "internal")


@check("elbv2.load-balancer.create.canonical-zone")
def canonical_zone(w):
    """aws.md 2 alias to ALB: CanonicalHostedZoneId is the region's, eu-central-1 here."""
    equal(w.lb()["CanonicalHostedZoneId"], "Z215JYRZR1TBD5")


@check("elbv2.load-balancer.create.dns-name")
def dns_name(w):
    """aws.md 1.2 load balancer: the DNS name is there at once and stays for life."""
    lb = w.lb(settle=False)
    true(lb.get("DNSName"), "a DNSName", lb)
    w.settle()
    later = w.elb.describe_load_balancers(LoadBalancerArns=[lb["LoadBalancerArn"]])["LoadBalancers"][0]
    equal(later["DNSName"], lb["DNSName"])


@check("elbv2.load-balancer.state.provisioning-at-first")
def provisioning(w):
    """aws.md 1.2 load balancer: the state is provisioning, then active."""
    equal(w.lb(settle=False)["State"]["Code"], "provisioning")


@check("elbv2.load-balancer.state.active-later")
def active(w):
    """aws.md 1.2 load balancer: active within the waiter's 40 steps of 15 s."""
    arn = w.lb(settle=False)["LoadBalancerArn"]

    def state():
        found = w.elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]
        return found["State"]["Code"] == "active"

    w.wait("state active", state, step=15 * SECOND)


@check("elbv2.load-balancer.create.one-subnet")
def one_subnet(w):
    """aws.md 1.2 load balancer: two subnets in different zones at least."""
    refused(INVALID, w.elb.create_load_balancer, Name=w.name("lb"), Subnets=SUBNETS[:1], SecurityGroups=[GROUP])


@check("elbv2.load-balancer.create.same-subnet-twice")
def same_subnet(w):
    """aws.md 1.2 load balancer: the two subnets are in different zones."""
    refused(
        INVALID + ("InvalidSubnet",),
        w.elb.create_load_balancer,
        Name=w.name("lb"),
        Subnets=[SUBNETS[0], SUBNETS[0]],
        SecurityGroups=[GROUP],
    )


@check("elbv2.load-balancer.create.unknown-subnet")
def unknown_subnet(w):
    """aws.md 1.2 load balancer: an unknown subnet is SubnetNotFound (service model)."""
    refused(
        ("SubnetNotFound", "InvalidSubnet"),
        w.elb.create_load_balancer,
        Name=w.name("lb"),
        Subnets=[SUBNETS[0], "subnet-0fff"],
        SecurityGroups=[GROUP],
    )


@check("elbv2.load-balancer.create.unknown-security-group")
def unknown_group(w):
    """aws.md 1.2 load balancer: an unknown group is InvalidSecurityGroup (service model)."""
    refused(
        "InvalidSecurityGroup",
        w.elb.create_load_balancer,
        Name=w.name("lb"),
        Subnets=SUBNETS,
        SecurityGroups=["sg-0fff"],
    )


@check("elbv2.load-balancer.create.bad-scheme")
def bad_scheme(w):
    """aws.md 5 fixed at creation: internet-facing or internal, nothing else."""
    refused(
        INVALID + ("InvalidScheme",),
        w.elb.create_load_balancer,
        Name=w.name("lb"),
        Subnets=SUBNETS,
        SecurityGroups=[GROUP],
        Scheme="sideways",
    )


@check("elbv2.load-balancer.create.bad-address-type")
def bad_address_type(w):
    """aws.md 1.2 load balancer: ipv4, dualstack or dualstack-without-public-ipv4."""
    refused(
        INVALID,
        w.elb.create_load_balancer,
        Name=w.name("lb"),
        Subnets=SUBNETS,
        SecurityGroups=[GROUP],
        IpAddressType="ipv5",
    )


@check("elbv2.load-balancer.create.six-security-groups")
def six_groups(w):
    """aws.md 1.1 security groups per ALB: 5."""
    refused(
        INVALID + ("InvalidSecurityGroup",),
        w.elb.create_load_balancer,
        Name=w.name("lb"),
        Subnets=SUBNETS,
        SecurityGroups=[f"sg-0cc{n}" for n in range(6)],
    )


@check("elbv2.load-balancer.create.idempotent")
def idempotent(w):
    """aws.md 1.2 idempotency: the same settings return the existing load balancer."""
    name = w.name("lb")
    first = w.lb(Name=name)
    again = w.elb.create_load_balancer(Name=name, Subnets=SUBNETS, SecurityGroups=[GROUP])
    equal(again["LoadBalancers"][0]["LoadBalancerArn"], first["LoadBalancerArn"])


@check("elbv2.load-balancer.create.idempotent-subnet-order")
def idempotent_order(w):
    """aws.md 5 same-setting creation: the order of the subnets is no setting."""
    name = w.name("lb")
    first = w.lb(Name=name)
    again = w.elb.create_load_balancer(Name=name, Subnets=SUBNETS[::-1], SecurityGroups=[GROUP])
    equal(again["LoadBalancers"][0]["LoadBalancerArn"], first["LoadBalancerArn"])


@check("elbv2.load-balancer.create.idempotent-makes-no-second")
def idempotent_count(w):
    """aws.md 1.2 idempotency: after two equal calls there is one load balancer."""
    name = w.name("lb")
    w.lb(Name=name)
    w.elb.create_load_balancer(Name=name, Subnets=SUBNETS, SecurityGroups=[GROUP])
    equal(len(w.elb.describe_load_balancers(Names=[name])["LoadBalancers"]), 1)


@check("elbv2.load-balancer.create.duplicate-name")
def duplicate(w):
    """aws.md 1.2 idempotency: other settings give DuplicateLoadBalancerName."""
    name = w.name("lb")
    w.lb(Name=name)
    refused(
        "DuplicateLoadBalancerName",
        w.elb.create_load_balancer,
        Name=name,
        Subnets=SUBNETS,
        SecurityGroups=[GROUP],
        Scheme="internal",
    )


@check("elbv2.load-balancer.create.name-free-after-delete")
def name_free(w):
    """aws.md 1.2 names: unique among what exists, free again after deletion."""
    name = w.name("lb")
    first = w.lb(Name=name)
    w.elb.delete_load_balancer(LoadBalancerArn=first["LoadBalancerArn"])
    w.settle()
    second = w.lb(Name=name, Scheme="internal")
    true(first["LoadBalancerArn"] != second["LoadBalancerArn"], "another ARN", second)


@check("elbv2.load-balancer.describe.by-name")
def by_name(w):
    """aws.md 1.2 names: a name finds its load balancer."""
    lb = w.lb()
    got = w.elb.describe_load_balancers(Names=[lb["LoadBalancerName"]])["LoadBalancers"]
    equal([x["LoadBalancerArn"] for x in got], [lb["LoadBalancerArn"]])


@check("elbv2.load-balancer.describe.unknown-name")
def unknown_name(w):
    """aws.md 1.2 names: an unknown name is LoadBalancerNotFound (service model)."""
    refused("LoadBalancerNotFound", w.elb.describe_load_balancers, Names=[w.name("lb")])


@check("elbv2.load-balancer.describe.unknown-arn")
def unknown_arn(w):
    """aws.md 1.2 delete: a deleted load balancer is LoadBalancerNotFound."""
    arn = w.lb()["LoadBalancerArn"]
    w.elb.delete_load_balancer(LoadBalancerArn=arn)
    w.settle()
    refused("LoadBalancerNotFound", w.elb.describe_load_balancers, LoadBalancerArns=[arn])


@check("elbv2.load-balancer.describe.all")
def describe_all(w):
    """aws.md 1.1 PageSize: without a filter every load balancer is listed."""
    mine = {w.lb()["LoadBalancerArn"] for _ in range(3)}
    pages = w.plain.elb.get_paginator("describe_load_balancers").paginate()
    listed = {x["LoadBalancerArn"] for page in pages for x in page["LoadBalancers"]}
    true(mine <= listed, f"{mine} among all", listed)


@check("elbv2.load-balancer.paging.marker")
def paging(w):
    """aws.md 1.1 PageSize: pages are joined by Marker and NextMarker, none twice."""
    mine = {w.lb()["LoadBalancerArn"] for _ in range(3)}
    first = w.elb.describe_load_balancers(PageSize=2)
    equal(len(first["LoadBalancers"]), 2)
    true(first.get("NextMarker"), "a NextMarker", first)
    seen = [x["LoadBalancerArn"] for x in first["LoadBalancers"]]
    marker = first["NextMarker"]
    while marker:
        page = w.elb.describe_load_balancers(PageSize=2, Marker=marker)
        seen += [x["LoadBalancerArn"] for x in page["LoadBalancers"]]
        marker = page.get("NextMarker")
    equal(len(seen), len(set(seen)), "distinct load balancers")
    true(mine <= set(seen), f"{mine} in the pages", seen)


@cases("elbv2.load-balancer.paging.page-size", ("0", 0), ("401", 401))
def page_size(w, size):
    """aws.md 1.1 PageSize of Describe*: 1 to 400."""
    refused("ValidationError", w.raw.elb.describe_load_balancers, PageSize=size, status=400)


@check("elbv2.load-balancer.paging.page-size.400")
def page_size_most(w):
    """aws.md 1.1 PageSize of Describe*: 400 is allowed."""
    w.elb.describe_load_balancers(PageSize=400)


@check("elbv2.load-balancer.paging.bad-marker")
def bad_marker(w):
    """aws.md 1.1 PageSize: a Marker nobody gave is a ValidationError."""
    refused("ValidationError", w.elb.describe_load_balancers, Marker="no-such-marker")


@check("elbv2.load-balancer.delete.gone")
def delete_gone(w):
    """aws.md 1.2 delete: a deleted load balancer is no longer found by name."""
    lb = w.lb()
    w.elb.delete_load_balancer(LoadBalancerArn=lb["LoadBalancerArn"])
    w.settle()
    refused("LoadBalancerNotFound", w.elb.describe_load_balancers, Names=[lb["LoadBalancerName"]])


@check("elbv2.load-balancer.delete.twice")
def delete_twice(w):
    """aws.md 1.2 delete: deleting what is absent succeeds."""
    arn = w.lb()["LoadBalancerArn"]
    w.elb.delete_load_balancer(LoadBalancerArn=arn)
    w.settle()
    w.elb.delete_load_balancer(LoadBalancerArn=arn)


@check("elbv2.load-balancer.delete.with-listeners")
def delete_with_listeners(w):
    """aws.md 1.2 delete: the listeners go with the load balancer."""
    lb = w.lb()["LoadBalancerArn"]
    listener = w.listener_arn(lb)
    w.elb.delete_load_balancer(LoadBalancerArn=lb)
    w.settle()
    refused("ListenerNotFound", w.elb.describe_listeners, ListenerArns=[listener])


@check("elbv2.load-balancer.delete.with-rules")
def delete_with_rules(w):
    """aws.md 1.2 delete: the rules go with the load balancer's listeners."""
    lb = w.lb()["LoadBalancerArn"]
    rule = w.rule_arn(w.listener_arn(lb))
    w.elb.delete_load_balancer(LoadBalancerArn=lb)
    w.settle()
    refused("RuleNotFound", w.elb.describe_rules, RuleArns=[rule])


def protect(w, arn, value):
    w.elb.modify_load_balancer_attributes(
        LoadBalancerArn=arn, Attributes=[{"Key": "deletion_protection.enabled", "Value": value}]
    )


@check("elbv2.load-balancer.delete.protected")
def delete_protected(w):
    """aws.md 1.2 delete: deletion protection gives OperationNotPermitted."""
    arn = w.lb()["LoadBalancerArn"]
    protect(w, arn, "true")
    w.undo(protect, w, arn, "false")
    refused("OperationNotPermitted", w.elb.delete_load_balancer, LoadBalancerArn=arn)


@check("elbv2.load-balancer.delete.protection-lifted")
def delete_unprotected(w):
    """aws.md 1.2 delete: with the protection off again the deletion works."""
    arn = w.lb()["LoadBalancerArn"]
    protect(w, arn, "true")
    protect(w, arn, "false")
    w.elb.delete_load_balancer(LoadBalancerArn=arn)
    w.settle()
    refused("LoadBalancerNotFound", w.elb.describe_load_balancers, LoadBalancerArns=[arn])


def attributes(w, arn):
    got = w.elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    return {a["Key"]: a["Value"] for a in got}


@cases(
    "elbv2.load-balancer.attribute.default",
    ("deletion-protection", "deletion_protection.enabled", "false"),
    ("idle-timeout", "idle_timeout.timeout_seconds", "60"),
    ("client-keep-alive", "client_keep_alive.seconds", "3600"),
    ("xff-mode", "routing.http.xff_header_processing.mode", "append"),
)
def attribute_default(w, key, value):
    """aws.md 5 idle timeout, keep-alive, X-Forwarded-For mode: the defaults."""
    equal(attributes(w, w.lb()["LoadBalancerArn"]).get(key), value, key)


@cases(
    "elbv2.load-balancer.attribute.change",
    ("idle-timeout", "idle_timeout.timeout_seconds", "4000"),
    ("client-keep-alive", "client_keep_alive.seconds", "60"),
    ("xff-mode", "routing.http.xff_header_processing.mode", "remove"),
)
def attribute_change(w, key, value):
    """aws.md 5 idle timeout, keep-alive, X-Forwarded-For mode: allowed values stay."""
    arn = w.lb()["LoadBalancerArn"]
    w.elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[{"Key": key, "Value": value}])
    equal(attributes(w, arn).get(key), value, key)


@cases(
    "elbv2.load-balancer.attribute.refused",
    ("idle-timeout-0", "idle_timeout.timeout_seconds", "0"),
    ("idle-timeout-4001", "idle_timeout.timeout_seconds", "4001"),
    ("client-keep-alive-59", "client_keep_alive.seconds", "59"),
    ("client-keep-alive-604801", "client_keep_alive.seconds", "604801"),
    ("xff-mode", "routing.http.xff_header_processing.mode", "forget"),
    ("unknown-key", "no.such.attribute", "true"),
)
def attribute_refused(w, key, value):
    """aws.md 5 idle timeout 1-4000, keep-alive 60-604800, X-Forwarded-For mode."""
    arn = w.lb()["LoadBalancerArn"]
    refused(
        INVALID, w.elb.modify_load_balancer_attributes, LoadBalancerArn=arn, Attributes=[{"Key": key, "Value": value}]
    )


@check("elbv2.load-balancer.set-security-groups.unknown")
def set_unknown_group(w):
    """aws.md 1.1 security groups: an unknown one is InvalidSecurityGroup."""
    arn = w.lb()["LoadBalancerArn"]
    refused("InvalidSecurityGroup", w.elb.set_security_groups, LoadBalancerArn=arn, SecurityGroups=["sg-0fff"])


@check("elbv2.load-balancer.create.tags")
def created_tags(w):
    """aws.md 5 same-setting creation: tags given at creation can be read back."""
    arn = w.lb(Tags=tags(cluster="one"))["LoadBalancerArn"]
    got = w.elb.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]
    equal(got["Tags"], tags(cluster="one"))
