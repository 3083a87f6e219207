"""Tags of load balancing resources: limits, reserved keys, replacement."""

from harness import INVALID, VPC, cases, check, equal, refused, tags, true

BAD = INVALID + ("TooManyTags",)


def read(w, arn):
    got = w.elb.describe_tags(ResourceArns=[arn])["TagDescriptions"]
    return {t["Key"]: t["Value"] for t in got[0]["Tags"]}


def many(count, start=0):
    return tags(**{f"k{n}": "v" for n in range(start, start + count)})


@cases("elbv2.tags.on", ("load-balancer", "lb"), ("target-group", "tg"), ("listener", "listener"), ("rule", "rule"))
def on(w, kind):
    """aws.md 4 AddTags: load balancers, groups, listeners and rules have tags."""
    if kind == "lb":
        arn = w.lb()["LoadBalancerArn"]
    elif kind == "tg":
        arn = w.tg_arn()
    elif kind == "listener":
        arn = w.listener_arn()
    else:
        arn = w.rule_arn(w.listener_arn())
    w.elb.add_tags(ResourceArns=[arn], Tags=tags(a="1"))
    equal(read(w, arn), {"a": "1"})


@check("elbv2.tags.replace-value")
def replace(w):
    """aws.md 4 AddTags: a key that is there gets the new value."""
    arn = w.tg_arn(Tags=tags(a="1", b="2"))
    w.elb.add_tags(ResourceArns=[arn], Tags=tags(a="3"))
    equal(read(w, arn), {"a": "3", "b": "2"})


@check("elbv2.tags.remove")
def remove(w):
    """aws.md 4 RemoveTags: the named keys go, the others stay."""
    arn = w.tg_arn(Tags=tags(a="1", b="2"))
    w.elb.remove_tags(ResourceArns=[arn], TagKeys=["a"])
    equal(read(w, arn), {"b": "2"})


@check("elbv2.tags.remove-absent")
def remove_absent(w):
    """aws.md 4 RemoveTags: removing a key that is not there succeeds."""
    arn = w.tg_arn(Tags=tags(a="1"))
    w.elb.remove_tags(ResourceArns=[arn], TagKeys=["nothing"])
    equal(read(w, arn), {"a": "1"})


@check("elbv2.tags.50")
def fifty(w):
    """aws.md 1.1 tags per resource: 50."""
    arn = w.tg_arn(Tags=many(50))
    equal(len(read(w, arn)), 50, "tags")


@check("elbv2.tags.51-at-creation")
def fifty_one_created(w):
    """aws.md 1.1 tags per resource: 50, TooManyTags; nothing is created."""
    name = w.name("tg")
    refused(
        "TooManyTags",
        w.elb.create_target_group,
        Name=name,
        Protocol="HTTP",
        Port=80,
        VpcId=VPC,
        TargetType="ip",
        Tags=many(51),
    )
    refused("TargetGroupNotFound", w.elb.describe_target_groups, Names=[name])


@check("elbv2.tags.51-added")
def fifty_one_added(w):
    """aws.md 1.1 tags per resource: 50 in sum, TooManyTags, none of the call is added."""
    arn = w.tg_arn(Tags=many(49))
    refused("TooManyTags", w.elb.add_tags, ResourceArns=[arn], Tags=many(2, 100))
    equal(len(read(w, arn)), 49, "tags")


@cases(
    "elbv2.tags.refused",
    ("key-129", "k" * 129, "v"),
    ("value-257", "k", "v" * 257),
    ("empty-key", "", "v"),
    ("aws-prefix", "aws:cluster", "v"),
)
def bad(w, key, value):
    """aws.md 1.1 tags: key 127/128, value 255/256 characters, no aws:."""
    arn = w.tg_arn()
    refused(BAD, w.raw.elb.add_tags, ResourceArns=[arn], Tags=[{"Key": key, "Value": value}], status=400)
    equal(read(w, arn), {})


@cases("elbv2.tags.allowed", ("key-127", "k" * 127, "v"), ("value-255", "k", "v" * 255), ("empty-value", "k", ""))
def good(w, key, value):
    """aws.md 1.1 tags: key 127/128, value 255/256 characters."""
    arn = w.tg_arn()
    w.elb.add_tags(ResourceArns=[arn], Tags=[{"Key": key, "Value": value}])
    equal(read(w, arn), {key: value})


@check("elbv2.tags.duplicate-keys")
def duplicate_keys(w):
    """aws.md 1.1 tags: a key twice in one call is DuplicateTagKeys (service model)."""
    arn = w.tg_arn()
    twice = [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]
    refused(("DuplicateTagKeys", "ValidationError"), w.elb.add_tags, ResourceArns=[arn], Tags=twice)


@check("elbv2.tags.describe-20")
def describe_20(w):
    """aws.md 1.1 ARNs per DescribeTags: 20."""
    arns = [w.tg_arn(Tags=tags(n=str(n))) for n in range(20)]
    got = w.elb.describe_tags(ResourceArns=arns)["TagDescriptions"]
    equal(sorted(d["ResourceArn"] for d in got), sorted(arns))


@check("elbv2.tags.describe-21")
def describe_21(w):
    """aws.md 1.1 ARNs per DescribeTags: 20, no more: ValidationError."""
    arns = [w.tg_arn() for _ in range(21)]
    refused("ValidationError", w.elb.describe_tags, ResourceArns=arns)


@check("elbv2.tags.describe-unknown")
def describe_unknown(w):
    """aws.md 1.2 delete: tags of a group that is gone are TargetGroupNotFound."""
    arn = w.tg_arn()
    w.elb.delete_target_group(TargetGroupArn=arn)
    w.settle()
    refused("TargetGroupNotFound", w.elb.describe_tags, ResourceArns=[arn])


@check("elbv2.tags.none")
def none(w):
    """aws.md 5 read the tags after every Create: an untagged resource answers an empty list."""
    arn = w.tg_arn()
    got = w.elb.describe_tags(ResourceArns=[arn])["TagDescriptions"]
    true(len(got) == 1 and got[0]["Tags"] == [], "one description without tags", got)
