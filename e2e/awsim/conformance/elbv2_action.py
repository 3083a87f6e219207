"""Actions of rules: forward, weighted forward, fixed response, redirect."""

from harness import INVALID, VPC, cases, check, equal, fixed, forward, host, redirect, refused, weighted

BAD = INVALID + ("InvalidLoadBalancerAction",)


def create(w, *actions):
    return w.rule(w.listener_arn(), actions=list(actions))["Actions"]


def refuse(w, *actions, codes=BAD):
    listener = w.listener_arn()
    refused(
        codes,
        w.raw.elb.create_rule,
        ListenerArn=listener,
        Priority=1,
        Conditions=[host("app.example.com")],
        Actions=list(actions),
        status=400,
    )


@cases(
    "elbv2.action.fixed.allowed",
    ("200", "200"),
    ("204", "204"),
    ("404", "404"),
    ("499", "499"),
    ("503", "503"),
    ("599", "599"),
)
def fixed_allowed(w, status):
    """aws.md 1.2 fixed-response: 2XX, 4XX, 5XX."""
    equal(create(w, fixed(status))[0]["FixedResponseConfig"]["StatusCode"], status)


@cases(
    "elbv2.action.fixed.refused",
    ("100", "100"),
    ("301", "301"),
    ("600", "600"),
    ("99", "99"),
    ("word", "ok"),
    ("empty", ""),
)
def fixed_refused(w, status):
    """aws.md 1.2 fixed-response: 2XX, 4XX, 5XX and nothing else."""
    refuse(w, fixed(status))


@check("elbv2.action.fixed.body-1024")
def body_most(w):
    """aws.md 1.2 fixed-response: a body up to 1,024 comes back whole."""
    body = "x" * 1024
    equal(create(w, fixed(200, body, "text/plain"))[0]["FixedResponseConfig"]["MessageBody"], body)


@check("elbv2.action.fixed.body-1025")
def body_too_long(w):
    """aws.md 1.2 fixed-response: a body up to 1,024, no more."""
    refuse(w, fixed(200, "x" * 1025, "text/plain"))


@check("elbv2.action.fixed.content-type")
def content_type(w):
    """aws.md 1.2 fixed-response: only the five content types (service model)."""
    refuse(w, fixed(200, "x", "image/png"))


@check("elbv2.action.fixed.no-config")
def fixed_bare(w):
    """aws.md 1.2 fixed-response: the config is needed."""
    refuse(w, {"Type": "fixed-response"})


@check("elbv2.action.unknown-type")
def unknown_type(w):
    """aws.md 1.2 fixed-response: only the documented action types."""
    refuse(w, {"Type": "teapot"})


@check("elbv2.action.two-endings")
def two_endings(w):
    """aws.md 1.2 fixed-response: one action ends the rule, not two."""
    refuse(w, {**fixed(200), "Order": 1}, {**fixed(404), "Order": 2}, codes=BAD + ("TooManyActions",))


@cases(
    "elbv2.action.redirect.allowed",
    ("to-https", {"Protocol": "HTTPS", "Port": "443"}),
    ("to-host", {"Host": "www.example.com"}),
    ("to-path", {"Path": "/new/#{path}"}),
    ("keep-protocol", {"Protocol": "#{protocol}", "Host": "www.#{host}"}),
    ("temporary", {"Host": "www.example.com", "StatusCode": "HTTP_302"}),
)
def redirect_allowed(w, config):
    """aws.md 1.2 listener: redirects come back as they were given."""
    got = create(w, redirect(**config))[0]["RedirectConfig"]
    equal({k: got.get(k) for k in config}, config)


@cases(
    "elbv2.action.redirect.refused",
    ("status", {"Host": "www.example.com", "StatusCode": "HTTP_307"}),
    ("protocol", {"Protocol": "FTP"}),
    ("port", {"Port": "70000"}),
    ("path-without-slash", {"Path": "new"}),
    ("loop", {"StatusCode": "HTTP_301"}),
)
def redirect_refused(w, config):
    """aws.md 1.2 listener: 301 or 302, a valid port, an absolute path, no loop (service model)."""
    refuse(w, redirect(**config))


@check("elbv2.action.redirect.https-to-http")
def downgrade(w):
    """aws.md 1.2 listener: HTTPS cannot be redirected to HTTP (service model)."""
    listener = w.https()["ListenerArn"]
    refused(
        BAD,
        w.elb.create_rule,
        ListenerArn=listener,
        Priority=1,
        Conditions=[host("app.example.com")],
        Actions=[redirect(Protocol="HTTP", Port="80", StatusCode="HTTP_301")],
    )


@check("elbv2.action.forward.echo")
def forward_echo(w):
    """aws.md 1.2 echo: a single forward shows TargetGroupArn and ForwardConfig, weight 1."""
    group = w.tg_arn()
    listener = w.listener_arn()
    got = w.rule(listener, actions=[forward(group)])["Actions"][0]
    equal(got["TargetGroupArn"], group)
    equal(got["ForwardConfig"]["TargetGroups"], [{"TargetGroupArn": group, "Weight": 1}])


@check("elbv2.action.forward.echo-stickiness-off")
def forward_sticky(w):
    """aws.md 1.2 echo: stickiness of a plain forward is off."""
    group = w.tg_arn()
    got = w.rule(w.listener_arn(), actions=[forward(group)])["Actions"][0]
    equal(got["ForwardConfig"]["TargetGroupStickinessConfig"]["Enabled"], False)


@check("elbv2.action.forward.one-in-config")
def forward_config(w):
    """aws.md 1.2 echo: a forward to one group in ForwardConfig shows TargetGroupArn too."""
    group = w.tg_arn()
    got = w.rule(w.listener_arn(), actions=[weighted((group, 1))])["Actions"][0]
    equal((got["TargetGroupArn"], got["ForwardConfig"]["TargetGroups"][0]["TargetGroupArn"]), (group, group))


@check("elbv2.action.forward.both-differ")
def forward_differ(w):
    """aws.md 1.2 echo: TargetGroupArn and ForwardConfig must name the same group (service model)."""
    one, two = w.tg_arn(), w.tg_arn()
    refuse(w, {**forward(one), **{"ForwardConfig": weighted((two, 1))["ForwardConfig"]}})


@check("elbv2.action.weighted.echo")
def weighted_echo(w):
    """aws.md 1.2 weighted: weights come back."""
    one, two = w.tg_arn(), w.tg_arn()
    got = w.rule(w.listener_arn(), actions=[weighted((one, 0), (two, 999))])["Actions"][0]
    equal({g["TargetGroupArn"]: g["Weight"] for g in got["ForwardConfig"]["TargetGroups"]}, {one: 0, two: 999})


@cases("elbv2.action.weighted.weight", ("1000", 1000), ("minus-1", -1))
def weight_refused(w, weight):
    """aws.md 1.2 weighted: weights 0-999."""
    one, two = w.tg_arn(), w.tg_arn()
    refuse(w, weighted((one, weight), (two, 1)))


@check("elbv2.action.weighted.five-groups")
def five_groups(w):
    """aws.md 1.1 target groups per forward action: 5."""
    groups = [w.tg_arn() for _ in range(5)]
    got = w.rule(w.listener_arn(), actions=[weighted(*[(g, 1) for g in groups])])["Actions"][0]
    equal(len(got["ForwardConfig"]["TargetGroups"]), 5)


@check("elbv2.action.weighted.six-groups")
def six_groups(w):
    """aws.md 1.1 target groups per forward action: 5, no more."""
    groups = [w.tg_arn() for _ in range(6)]
    refuse(w, weighted(*[(g, 1) for g in groups]), codes=BAD + ("TooManyTargetGroups",))


@cases("elbv2.action.weighted.stickiness.allowed", ("1", 1), ("604800", 604800))
def stickiness(w, seconds):
    """aws.md 1.2 weighted: group stickiness 1-604800 s."""
    one, two = w.tg_arn(), w.tg_arn()
    action = weighted((one, 1), (two, 1), sticky={"Enabled": True, "DurationSeconds": seconds})
    got = w.rule(w.listener_arn(), actions=[action])["Actions"][0]["ForwardConfig"]
    equal(got["TargetGroupStickinessConfig"], {"Enabled": True, "DurationSeconds": seconds})


@cases("elbv2.action.weighted.stickiness.refused", ("0", 0), ("604801", 604801))
def stickiness_refused(w, seconds):
    """aws.md 1.2 weighted: group stickiness 1-604800 s."""
    one, two = w.tg_arn(), w.tg_arn()
    refuse(w, weighted((one, 1), (two, 1), sticky={"Enabled": True, "DurationSeconds": seconds}))


@check("elbv2.action.forward.second-load-balancer")
def second_lb(w):
    """aws.md 1.1 load balancers per target group: 1, TargetGroupAssociationLimit."""
    group = w.used_group()
    refuse(w, forward(group), codes=("TargetGroupAssociationLimit",))


@check("elbv2.action.forward.same-load-balancer-twice")
def same_lb_twice(w):
    """aws.md 0.1: one target group may serve many rules of one load balancer."""
    group, listener = w.tg_arn(), w.listener_arn()
    for priority in (1, 2, 3):
        w.rule(listener, priority, actions=[forward(group)])
    got = w.elb.describe_target_groups(TargetGroupArns=[group])["TargetGroups"][0]
    equal(len(got["LoadBalancerArns"]), 1, "load balancers of the group:")


@check("elbv2.action.forward.tcp-group")
def tcp_group(w):
    """aws.md 5 fixed at creation: an ALB forwards to HTTP and HTTPS groups only."""
    group = w.tg_arn(Protocol="TCP", VpcId=VPC)
    refuse(w, forward(group), codes=BAD + ("IncompatibleProtocols", "UnsupportedProtocol"))
