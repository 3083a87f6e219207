"""Target groups: names, health check settings, attributes, use, deletion."""

from harness import INVALID, REGION, VPC, cases, check, equal, fixed, forward, host, refused, tags, true, weighted

BASE = {"Protocol": "HTTP", "Port": 80, "VpcId": VPC, "TargetType": "ip"}


@cases(
    "elbv2.target-group.name",
    ("33-characters", "a" * 33),
    ("underscore", "under_score"),
    ("dot", "a.b"),
    ("empty", ""),
    ("leading-hyphen", "-group"),
    ("trailing-hyphen", "group-"),
)
def bad_name(w, name):
    """aws.md 1.2 names: 32 of A-Za-z0-9-, no hyphen at an end."""
    refused(INVALID, w.raw.elb.create_target_group, Name=name, **BASE, status=400)


@check("elbv2.target-group.name.32-characters")
def longest_name(w):
    """aws.md 1.2 names: 32 characters are allowed."""
    name = w.name("tg").ljust(32, "x")
    equal(w.tg(Name=name)["TargetGroupName"], name)


@check("elbv2.target-group.create.arn")
def arn(w):
    """aws.md 4 least privilege: targetgroup/NAME/ID."""
    name = w.name("tg")
    account = w.sts.get_caller_identity()["Account"]
    start = f"arn:aws:elasticloadbalancing:{REGION}:{account}:targetgroup/{name}/"
    got = w.tg_arn(Name=name)
    true(got.startswith(start), start + "ID", got)


@cases(
    "elbv2.target-group.default",
    ("interval", "HealthCheckIntervalSeconds", 30),
    ("healthy-threshold", "HealthyThresholdCount", 5),
    ("unhealthy-threshold", "UnhealthyThresholdCount", 2),
    ("path", "HealthCheckPath", "/"),
    ("port", "HealthCheckPort", "traffic-port"),
    ("protocol", "HealthCheckProtocol", "HTTP"),
    ("enabled", "HealthCheckEnabled", True),
    ("protocol-version", "ProtocolVersion", "HTTP1"),
    ("load-balancers", "LoadBalancerArns", []),
)
def default(w, field, value):
    """aws.md 1.2 target group: the defaults of the health check."""
    equal(w.tg()[field], value, field)


@check("elbv2.target-group.default.matcher")
def default_matcher(w):
    """aws.md 1.2 target group: 200 counts as healthy if nothing is said."""
    equal(w.tg()["Matcher"], {"HttpCode": "200"})


@cases(
    "elbv2.target-group.health-check.refused",
    ("interval-4", {"HealthCheckIntervalSeconds": 4}),
    ("interval-301", {"HealthCheckIntervalSeconds": 301}),
    ("timeout-1", {"HealthCheckTimeoutSeconds": 1}),
    ("timeout-121", {"HealthCheckTimeoutSeconds": 121, "HealthCheckIntervalSeconds": 300}),
    ("healthy-1", {"HealthyThresholdCount": 1}),
    ("healthy-11", {"HealthyThresholdCount": 11}),
    ("unhealthy-1", {"UnhealthyThresholdCount": 1}),
    ("unhealthy-11", {"UnhealthyThresholdCount": 11}),
    ("code-199", {"Matcher": {"HttpCode": "199"}}),
    ("code-500", {"Matcher": {"HttpCode": "500"}}),
    ("code-word", {"Matcher": {"HttpCode": "good"}}),
    ("off", {"HealthCheckEnabled": False}),
    ("protocol-tcp", {"HealthCheckProtocol": "TCP"}),
)
def health_refused(w, over):
    """aws.md 1.2 target group: interval 5-300, timeout 2-120, thresholds 2-10, codes
    200-499, never off for ip."""
    refused(INVALID, w.raw.elb.create_target_group, Name=w.name("tg"), **{**BASE, **over}, status=400)


@cases(
    "elbv2.target-group.health-check.allowed",
    ("shortest", {"HealthCheckIntervalSeconds": 5, "HealthCheckTimeoutSeconds": 2}),
    ("longest", {"HealthCheckIntervalSeconds": 300, "HealthCheckTimeoutSeconds": 120}),
    ("thresholds-2", {"HealthyThresholdCount": 2, "UnhealthyThresholdCount": 2}),
    ("thresholds-10", {"HealthyThresholdCount": 10, "UnhealthyThresholdCount": 10}),
    ("codes", {"Matcher": {"HttpCode": "200-499"}}),
    ("path", {"HealthCheckPath": "/healthz"}),
)
def health_allowed(w, over):
    """aws.md 1.2 target group: interval 5-300, timeout 2-120, thresholds 2-10, codes 200-499."""
    got = w.tg(**over)
    equal({k: got[k] for k in over}, over)


@check("elbv2.target-group.create.port-0")
def port_zero(w):
    """aws.md 1.2 target group: ports are 1 to 65535 (service model)."""
    refused(INVALID, w.raw.elb.create_target_group, Name=w.name("tg"), **{**BASE, "Port": 0})


@check("elbv2.target-group.create.no-vpc")
def no_vpc(w):
    """aws.md 1.2 target group: ip groups belong to a VPC (service model)."""
    base = {k: v for k, v in BASE.items() if k != "VpcId"}
    refused(INVALID, w.elb.create_target_group, Name=w.name("tg"), **base)


@check("elbv2.target-group.create.unknown-vpc")
def unknown_vpc(w):
    """aws.md 1.2 target group: the VPC must exist."""
    refused(INVALID, w.elb.create_target_group, Name=w.name("tg"), **{**BASE, "VpcId": "vpc-0ffffffffffffffff"})


@check("elbv2.target-group.create.bad-type")
def bad_type(w):
    """aws.md 1.2 target group: only the documented target types."""
    refused(INVALID, w.elb.create_target_group, Name=w.name("tg"), **{**BASE, "TargetType": "pod"})


@check("elbv2.target-group.create.idempotent")
def idempotent(w):
    """aws.md 1.2 idempotency: the same settings return the existing group."""
    name = w.name("tg")
    equal(w.tg_arn(Name=name), w.tg_arn(Name=name))


@cases(
    "elbv2.target-group.create.duplicate-name",
    ("port", {"Port": 81}),
    ("protocol", {"Protocol": "HTTPS"}),
    ("health-check-path", {"HealthCheckPath": "/other"}),
)
def duplicate(w, over):
    """aws.md 1.2 idempotency: other settings give DuplicateTargetGroupName."""
    name = w.name("tg")
    w.tg(Name=name)
    refused("DuplicateTargetGroupName", w.elb.create_target_group, Name=name, **{**BASE, **over})


@check("elbv2.target-group.create.same-tags-needed-to-tell")
def read_tags_after_create(w):
    """aws.md 5 same-setting creation: the existing group still has its first owner's tags."""
    name = w.name("tg")
    group = w.tg_arn(Name=name, Tags=tags(cluster="one"))
    try:
        w.elb.create_target_group(Name=name, Tags=tags(cluster="two"), **BASE)
    except w.plain.elb.exceptions.DuplicateTargetGroupNameException:
        pass
    got = w.elb.describe_tags(ResourceArns=[group])["TagDescriptions"][0]["Tags"]
    equal(got, tags(cluster="one"))


@check("elbv2.target-group.describe.by-name")
def by_name(w):
    """aws.md 1.2 names: a name finds its group."""
    group = w.tg()
    got = w.elb.describe_target_groups(Names=[group["TargetGroupName"]])["TargetGroups"]
    equal([g["TargetGroupArn"] for g in got], [group["TargetGroupArn"]])


@check("elbv2.target-group.describe.unknown-name")
def unknown_name(w):
    """aws.md 1.2 names: an unknown one is TargetGroupNotFound (service model)."""
    refused("TargetGroupNotFound", w.elb.describe_target_groups, Names=[w.name("tg")])


@check("elbv2.target-group.describe.by-load-balancer")
def by_lb(w):
    """aws.md 0.1: the groups of a load balancer are those its rules name."""
    lb = w.lb()["LoadBalancerArn"]
    one, two = w.tg_arn(), w.tg_arn()
    w.tg()
    listener = w.listener_arn(lb, DefaultActions=[forward(one)])
    w.rule(listener, actions=[forward(two)])
    got = w.elb.describe_target_groups(LoadBalancerArn=lb)["TargetGroups"]
    equal(sorted(g["TargetGroupArn"] for g in got), sorted([one, two]))


@check("elbv2.target-group.describe.load-balancer-shown")
def lb_shown(w):
    """aws.md 1.1 load balancers per target group: the one that uses it is shown."""
    lb = w.lb()["LoadBalancerArn"]
    group = w.tg_arn()
    w.listener(lb, DefaultActions=[forward(group)])
    got = w.elb.describe_target_groups(TargetGroupArns=[group])["TargetGroups"][0]
    equal(got["LoadBalancerArns"], [lb])


@check("elbv2.target-group.paging")
def paging(w):
    """aws.md 1.1 PageSize: groups come in pages joined by Marker, none twice."""
    mine = {w.tg_arn() for _ in range(3)}
    seen, marker = [], None
    while True:
        page = w.elb.describe_target_groups(PageSize=2, **({"Marker": marker} if marker else {}))
        true(len(page["TargetGroups"]) <= 2, "at most 2 per page", len(page["TargetGroups"]))
        seen += [g["TargetGroupArn"] for g in page["TargetGroups"]]
        marker = page.get("NextMarker")
        if not marker:
            break
    equal(len(seen), len(set(seen)), "distinct groups")
    true(mine <= set(seen), f"{mine} in the pages", seen)


@check("elbv2.target-group.modify.omitted-stay")
def modify(w):
    """aws.md 1.2 ModifyRule: omitted fields stay, for groups too."""
    group = w.tg_arn(HealthCheckPath="/a", HealthCheckIntervalSeconds=60)
    got = w.elb.modify_target_group(TargetGroupArn=group, HealthCheckPath="/b")["TargetGroups"][0]
    equal((got["HealthCheckPath"], got["HealthCheckIntervalSeconds"]), ("/b", 60))


@check("elbv2.target-group.modify.refused")
def modify_refused(w):
    """aws.md 1.2 target group: the ranges hold for ModifyTargetGroup too."""
    group = w.tg_arn()
    refused(INVALID, w.raw.elb.modify_target_group, TargetGroupArn=group, HealthCheckIntervalSeconds=301)


def attributes(w, group):
    got = w.elb.describe_target_group_attributes(TargetGroupArn=group)["Attributes"]
    return {a["Key"]: a["Value"] for a in got}


@cases(
    "elbv2.target-group.attribute.default",
    ("deregistration-delay", "deregistration_delay.timeout_seconds", "300"),
    ("slow-start", "slow_start.duration_seconds", "0"),
    ("algorithm", "load_balancing.algorithm.type", "round_robin"),
    ("stickiness", "stickiness.enabled", "false"),
)
def attribute_default(w, key, value):
    """aws.md 1.2 attributes: deregistration_delay 300, slow_start 0, round_robin."""
    equal(attributes(w, w.tg_arn()).get(key), value, key)


@cases(
    "elbv2.target-group.attribute.allowed",
    ("deregistration-delay-0", "deregistration_delay.timeout_seconds", "0"),
    ("deregistration-delay-3600", "deregistration_delay.timeout_seconds", "3600"),
    ("slow-start-30", "slow_start.duration_seconds", "30"),
    ("slow-start-900", "slow_start.duration_seconds", "900"),
    ("least-outstanding", "load_balancing.algorithm.type", "least_outstanding_requests"),
    ("weighted-random", "load_balancing.algorithm.type", "weighted_random"),
    ("cookie-604800", "stickiness.lb_cookie.duration_seconds", "604800"),
    ("dns-failover-off", "target_group_health.dns_failover.minimum_healthy_targets.count", "off"),
)
def attribute_allowed(w, key, value):
    """aws.md 1.2 attributes and 5 DNS failover: allowed values stay."""
    group = w.tg_arn()
    w.elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=[{"Key": key, "Value": value}])
    equal(attributes(w, group).get(key), value, key)


@cases(
    "elbv2.target-group.attribute.refused",
    ("deregistration-delay-3601", "deregistration_delay.timeout_seconds", "3601"),
    ("slow-start-29", "slow_start.duration_seconds", "29"),
    ("slow-start-901", "slow_start.duration_seconds", "901"),
    ("algorithm", "load_balancing.algorithm.type", "coin_toss"),
    ("cookie-0", "stickiness.lb_cookie.duration_seconds", "0"),
    ("cookie-604801", "stickiness.lb_cookie.duration_seconds", "604801"),
    ("unknown-key", "no.such.attribute", "true"),
)
def attribute_refused(w, key, value):
    """aws.md 1.2 attributes: delay 0-3600, slow start 0 or 30-900, cookie 1-604800."""
    group = w.tg_arn()
    refused(
        INVALID, w.elb.modify_target_group_attributes, TargetGroupArn=group, Attributes=[{"Key": key, "Value": value}]
    )


@check("elbv2.target-group.delete.twice")
def delete_twice(w):
    """aws.md 1.2 delete: deleting a group that is gone succeeds or is TargetGroupNotFound."""
    group = w.tg_arn()
    w.elb.delete_target_group(TargetGroupArn=group)
    w.settle()
    try:
        w.elb.delete_target_group(TargetGroupArn=group)
    except w.plain.elb.exceptions.TargetGroupNotFoundException:
        pass
    refused("TargetGroupNotFound", w.elb.describe_target_groups, TargetGroupArns=[group])


@check("elbv2.target-group.delete.used-by-listener")
def used_by_listener(w):
    """aws.md 1.4 DeleteTargetGroup: a group in a default action is ResourceInUse."""
    group = w.used_group()
    refused("ResourceInUse", w.elb.delete_target_group, TargetGroupArn=group)


@check("elbv2.target-group.delete.used-by-rule")
def used_by_rule(w):
    """aws.md 1.4 DeleteTargetGroup: a group in a rule is ResourceInUse."""
    group = w.tg_arn()
    w.rule(w.listener_arn(), actions=[forward(group)])
    refused("ResourceInUse", w.elb.delete_target_group, TargetGroupArn=group)


@check("elbv2.target-group.delete.used-with-weight-0")
def used_weight_zero(w):
    """aws.md 1.2 weighted: weight 0 is still use, ResourceInUse."""
    group, other = w.tg_arn(), w.tg_arn()
    w.rule(w.listener_arn(), actions=[weighted((group, 0), (other, 1))])
    refused("ResourceInUse", w.elb.delete_target_group, TargetGroupArn=group)


@check("elbv2.target-group.delete.after-rule")
def after_rule(w):
    """aws.md 1.4 DeleteRule then DeleteTargetGroup: ResourceInUse passes within 20 s."""
    group = w.tg_arn()
    rule = w.rule_arn(w.listener_arn(), actions=[forward(group)])
    w.elb.delete_rule(RuleArn=rule)
    w.advance(20_000)
    w.elb.delete_target_group(TargetGroupArn=group)


@check("elbv2.target-group.delete.after-modify")
def after_modify(w):
    """aws.md 1.4 DeleteTargetGroup: a rule that was pointed elsewhere no longer holds it."""
    group = w.tg_arn()
    rule = w.rule_arn(w.listener_arn(), actions=[forward(group)])
    w.elb.modify_rule(RuleArn=rule, Actions=[fixed(503)])
    w.settle()
    w.elb.delete_target_group(TargetGroupArn=group)


@check("elbv2.target-group.move-between-load-balancers")
def move(w):
    """aws.md 1.1 load balancers per target group: free for another once the first let go."""
    group = w.tg_arn()
    rule = w.rule_arn(w.listener_arn(), actions=[forward(group)])
    w.elb.delete_rule(RuleArn=rule)
    w.settle()
    got = w.rule(w.listener_arn(), conditions=[host("b.example.com")], actions=[forward(group)])
    equal(got["Actions"][0]["TargetGroupArn"], group)
