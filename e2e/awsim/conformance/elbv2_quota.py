"""Quotas: DescribeAccountLimits, and what happens when one is reached."""

from harness import GROUP, SUBNETS, VPC, cases, check, contains, equal, fixed, forward, host, refused, true

DEFAULTS = [
    ("application-load-balancers", 50),
    ("listeners-per-application-load-balancer", 50),
    ("rules-per-application-load-balancer", 100),
    ("condition-values-per-alb-rule", 5),
    ("certificates-per-application-load-balancer", 25),
    ("target-groups-per-application-load-balancer", 100),
    ("target-groups-per-action-on-application-load-balancer", 5),
    ("targets-per-application-load-balancer", 1000),
    ("targets-per-target-group", 1000),
    ("target-groups", 3000),
]


@cases("elbv2.quota.default", *[(name, name, value) for name, value in DEFAULTS])
def default(w, name, value):
    """aws.md 1.1 quotas: DescribeAccountLimits returns the account's real numbers."""
    equal(w.quota_value(name), value, name)


@check("elbv2.quota.limits-are-strings")
def strings(w):
    """aws.md 1.1 DescribeAccountLimits: Max is a string (service model)."""
    limits = w.elb.describe_account_limits()["Limits"]
    true(limits and all(isinstance(x["Max"], str) for x in limits), "strings", limits)


@check("elbv2.quota.limits-follow-change")
def follow(w):
    """aws.md 1.1 adjustable: a raised quota is shown at once."""
    w.quota("rules-per-application-load-balancer", 200)
    equal(w.quota_value("rules-per-application-load-balancer"), 200)


@check("elbv2.quota.limits-paging")
def limits_paging(w):
    """aws.md 1.1 PageSize: DescribeAccountLimits comes in pages too."""
    first = w.elb.describe_account_limits(PageSize=2)
    equal(len(first["Limits"]), 2)
    rest = w.elb.describe_account_limits(PageSize=400, Marker=first["NextMarker"])
    names = [x["Name"] for x in first["Limits"] + rest["Limits"]]
    equal(len(names), len(set(names)), "distinct limits")


@check("elbv2.quota.load-balancers")
def load_balancers(w):
    """aws.md 1.1 ALBs per region: TooManyLoadBalancers."""
    w.lb()
    pages = w.plain.elb.get_paginator("describe_load_balancers").paginate()
    now = sum(len(page["LoadBalancers"]) for page in pages)
    w.quota("application-load-balancers", now)
    refused(
        "TooManyLoadBalancers", w.elb.create_load_balancer, Name=w.name("lb"), Subnets=SUBNETS, SecurityGroups=[GROUP]
    )


@check("elbv2.quota.load-balancers.idempotent-at-the-limit")
def idempotent_at_limit(w):
    """aws.md 1.2 idempotency: an equal CreateLoadBalancer makes none, so no quota stops it."""
    name = w.name("lb")
    lb = w.lb(Name=name)
    pages = w.plain.elb.get_paginator("describe_load_balancers").paginate()
    w.quota("application-load-balancers", sum(len(page["LoadBalancers"]) for page in pages))
    again = w.elb.create_load_balancer(Name=name, Subnets=SUBNETS, SecurityGroups=[GROUP])
    equal(again["LoadBalancers"][0]["LoadBalancerArn"], lb["LoadBalancerArn"])


@check("elbv2.quota.listeners")
def listeners(w):
    """aws.md 1.1 listeners per ALB: TooManyListeners."""
    w.quota("listeners-per-application-load-balancer", 1)
    lb = w.lb()["LoadBalancerArn"]
    w.listener(lb)
    refused(
        "TooManyListeners",
        w.elb.create_listener,
        LoadBalancerArn=lb,
        Protocol="HTTP",
        Port=81,
        DefaultActions=[fixed(404)],
    )


def refuse_rule(w, listener, priority, codes, action=None, **named):
    return refused(
        codes,
        w.elb.create_rule,
        ListenerArn=listener,
        Priority=priority,
        Conditions=[host("app.example.com")],
        Actions=[action or fixed(200)],
        **named,
    )


@check("elbv2.quota.rules")
def rules(w):
    """aws.md 1.1 rules per ALB: TooManyRules, with AWS's text."""
    w.quota("rules-per-application-load-balancer", 2)
    listener = w.listener_arn()
    w.rule(listener, 1)
    w.rule(listener, 2)
    refuse_rule(w, listener, 3, "TooManyRules", message="The maximum number of rules on load balancer")


@check("elbv2.quota.rules.over-all-listeners")
def rules_all_listeners(w):
    """aws.md 1.1 rules per ALB: counted over all listeners, default rules not."""
    w.quota("rules-per-application-load-balancer", 2)
    lb = w.lb()["LoadBalancerArn"]
    one, two = w.listener_arn(lb), w.listener_arn(lb, Port=81)
    w.rule(one, 1)
    w.rule(two, 1)
    refuse_rule(w, one, 2, "TooManyRules")


@check("elbv2.quota.rules.room-after-delete")
def rules_room(w):
    """aws.md 1.2 SetRulePriorities: on TooManyRules delete one, then create one."""
    w.quota("rules-per-application-load-balancer", 1)
    listener = w.listener_arn()
    rule = w.rule_arn(listener, 1)
    refuse_rule(w, listener, 2, "TooManyRules")
    w.elb.delete_rule(RuleArn=rule)
    w.settle()
    equal(w.rule(listener, 2)["Priority"], "2")


@check("elbv2.quota.target-groups-per-load-balancer")
def groups_per_lb(w):
    """aws.md 0.1 target groups per ALB: TooManyUniqueTargetGroupsPerLoadBalancer."""
    w.quota("target-groups-per-application-load-balancer", 2)
    listener = w.listener_arn()
    for priority in (1, 2):
        w.rule(listener, priority, actions=[forward(w.tg_arn())])
    error = refuse_rule(
        w,
        listener,
        3,
        "TooManyUniqueTargetGroupsPerLoadBalancer",
        forward(w.tg_arn()),
        message="maximum number of unique target groups",
    )
    contains(error.response["Error"]["Message"], "[2]", "message")


@check("elbv2.quota.target-groups-per-load-balancer.used-again")
def groups_used_again(w):
    """aws.md 0.1 target groups per ALB: a group used twice counts once."""
    w.quota("target-groups-per-application-load-balancer", 1)
    listener, group = w.listener_arn(), w.tg_arn()
    w.rule(listener, 1, actions=[forward(group)])
    equal(w.rule(listener, 2, actions=[forward(group)])["Priority"], "2")


@check("elbv2.quota.target-groups-per-region")
def groups_per_region(w):
    """aws.md 1.1 target groups per region: TooManyTargetGroups."""
    w.tg()
    pages = w.plain.elb.get_paginator("describe_target_groups").paginate()
    w.quota("target-groups", sum(len(page["TargetGroups"]) for page in pages))
    refused(
        "TooManyTargetGroups",
        w.elb.create_target_group,
        Name=w.name("tg"),
        Protocol="HTTP",
        Port=80,
        VpcId=VPC,
        TargetType="ip",
    )


def targets(start, count):
    return [{"Id": f"10.0.0.{n}", "Port": 80} for n in range(start, start + count)]


@check("elbv2.quota.targets-per-group")
def targets_per_group(w):
    """aws.md 1.1 targets per target group: TooManyTargets, none of the call is registered."""
    w.quota("targets-per-target-group", 3)
    group = w.tg_arn()
    w.elb.register_targets(TargetGroupArn=group, Targets=targets(10, 2))
    refused("TooManyTargets", w.elb.register_targets, TargetGroupArn=group, Targets=targets(20, 2))
    got = w.elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    equal(len(got), 2, "targets")


@check("elbv2.quota.targets-per-load-balancer")
def targets_per_lb(w):
    """aws.md 1.1 targets per ALB: a target counts once per group."""
    w.quota("targets-per-application-load-balancer", 3)
    listener, one, two = w.listener_arn(), w.tg_arn(), w.tg_arn()
    w.rule(listener, 1, actions=[forward(one)])
    w.rule(listener, 2, actions=[forward(two)])
    w.elb.register_targets(TargetGroupArn=one, Targets=targets(10, 2))
    refused(
        ("TooManyTargets", "TooManyRegistrationsForTargetId"),
        w.elb.register_targets,
        TargetGroupArn=two,
        Targets=targets(10, 2),
    )
