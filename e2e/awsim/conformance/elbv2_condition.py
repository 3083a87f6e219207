"""Conditions: values, limits, wildcards, regular expressions, the echo."""

from harness import (
    INVALID,
    cases,
    check,
    equal,
    fixed,
    header,
    header_regex,
    host,
    host_regex,
    method,
    path,
    path_regex,
    query,
    refused,
    source,
    true,
)

TOO_MANY = ("TooManyConditionValues", "ValidationError", "InvalidConfigurationRequest")


def create(w, *conditions):
    return w.rule(w.listener_arn(), conditions=list(conditions))["Conditions"]


def refuse(w, *conditions, codes=INVALID):
    listener = w.listener_arn()
    refused(
        codes,
        w.raw.elb.create_rule,
        ListenerArn=listener,
        Priority=1,
        Conditions=list(conditions),
        Actions=[fixed(200)],
        status=400,
    )
    equal(len(w.rules(listener)), 1, "rules after the refusal:")


HOSTS = [f"h{n}.example.com" for n in range(6)]


@cases(
    "elbv2.condition.values.allowed",
    ("5-hosts", host(*HOSTS[:5])),
    ("5-paths", path("/a", "/b", "/c", "/d", "/e")),
    ("3-hosts-2-paths", host(*HOSTS[:3]), path("/a", "/b")),
    ("5-methods", method("GET", "HEAD", "PUT", "POST", "DELETE")),
)
def values_allowed(w, *conditions):
    """aws.md 0.2: 5 condition values per rule, summed over all conditions."""
    got = create(w, *conditions)
    equal(sorted(c["Field"] for c in got), sorted(c["Field"] for c in conditions))


@cases(
    "elbv2.condition.values.refused",
    ("6-hosts", host(*HOSTS)),
    ("6-paths", path("/a", "/b", "/c", "/d", "/e", "/f")),
    ("4-hosts-2-paths", host(*HOSTS[:4]), path("/a", "/b")),
    ("3-hosts-2-paths-1-method", host(*HOSTS[:3]), path("/a", "/b"), method("GET")),
    ("5-hosts-1-source", host(*HOSTS[:5]), source("10.0.0.0/8")),
    ("5-hosts-1-header", host(*HOSTS[:5]), header("X-A", "1")),
    ("5-hosts-1-query", host(*HOSTS[:5]), query(("a", "1"))),
    ("6-regexes", host_regex(*["^a$"] * 6)),
)
def values_refused(w, *conditions):
    """aws.md 0.2: 5 condition values per rule, summed over all conditions."""
    refuse(w, *conditions, codes=TOO_MANY)


@check("elbv2.condition.values.refused.wildcards")
def wildcards(w):
    """aws.md 0.2: 5 or 6 wildcards per rule, never 7."""
    refuse(w, host("*.*.*.*.a.example.com"), path("/*/*/*"), codes=TOO_MANY + ("TooManyConditionWildcards",))


@cases(
    "elbv2.condition.one-per-rule",
    ("host-header", host("a.example.com"), host("b.example.com")),
    ("path-pattern", path("/a"), path("/b")),
    ("http-request-method", method("GET"), method("PUT")),
    ("source-ip", source("10.0.0.0/8"), source("192.168.0.0/16")),
)
def one_per_rule(w, *conditions):
    """aws.md 1.2 one per rule: at most one of each of these conditions."""
    refuse(w, *conditions)


@cases(
    "elbv2.condition.several-per-rule",
    ("http-header", header("X-A", "1"), header("X-B", "2")),
    ("query-string", query(("a", "1")), query(("b", "2"))),
)
def several_per_rule(w, *conditions):
    """aws.md 1.2 one per rule: several http-header and query-string."""
    equal(len(create(w, *conditions)), 2, "conditions")


@cases(
    "elbv2.condition.host.refused",
    ("no-dot", "localhost"),
    ("129-characters", ("a" * 60 + ".") * 2 + "abc.com"),
    ("digit-after-last-dot", "app.example.c0m"),
    ("hyphen-after-last-dot", "app.example.c-m"),
    ("slash", "app.example.com/x"),
    ("port", "app.example.com:80"),
    ("space", "app .example.com"),
    ("empty", ""),
)
def host_refused(w, value):
    """aws.md 1.2 host-header: up to 128, needs a ".", only letters after the last "."."""
    refuse(w, host(value))


@cases(
    "elbv2.condition.host.allowed",
    ("plain", "app.example.com"),
    ("star", "*.example.com"),
    ("star-inside", "a*b.example.com"),
    ("question-mark", "app?.example.com"),
    ("128-characters", ("a" * 60 + ".") * 2 + "abcdef"),
    ("hyphen", "my-app.example.com"),
)
def host_allowed(w, value):
    """aws.md 1.2 host-header: letters, digits, hyphen, dot, * and ?."""
    equal(create(w, host(value))[0]["HostHeaderConfig"]["Values"], [value])


@cases(
    "elbv2.condition.path.refused",
    ("129-characters", "/" + "a" * 128),
    ("space", "/a b"),
    ("hash", "/a#b"),
    ("percent", "/a%20b"),
    ("braces", "/{a}"),
    ("empty", ""),
)
def path_refused(w, value):
    """aws.md 1.2 path-pattern: up to 128 of a fixed set of characters."""
    refuse(w, path(value))


@cases(
    "elbv2.condition.path.allowed",
    ("128-characters", "/" + "a" * 127),
    ("all-characters", "/aZ0_-.$/~\"'@:+&"),
    ("star", "/foo/*"),
    ("question-mark", "/fo?"),
    ("upper-case", "/Foo"),
)
def path_allowed(w, value):
    """aws.md 1.2 path-pattern: the allowed characters; the case is kept."""
    equal(create(w, path(value))[0]["PathPatternConfig"]["Values"], [value])


@cases(
    "elbv2.condition.regex.allowed",
    ("host", host_regex(r"^[^.]+\.example\.com(:[0-9]+)?$")),
    ("path", path_regex("^/v[0-9]+/.*$")),
    ("header", header_regex("X-A", "^a+$")),
)
def regex_allowed(w, condition):
    """aws.md 1.2 regex: RegexValues on host-header, path-pattern and http-header."""
    got = create(w, condition)[0]
    config = next(v for k, v in condition.items() if k.endswith("Config"))
    echoed = next(v for k, v in got.items() if k.endswith("Config"))
    equal(echoed["RegexValues"], config["RegexValues"])


@cases(
    "elbv2.condition.regex.refused",
    ("129-characters", host_regex("a" * 129)),
    ("look-ahead", host_regex("(?=a)b")),
    ("look-behind", host_regex("(?<=a)b")),
    ("back-reference", path_regex(r"(a)\1")),
    ("atomic-group", path_regex("(?>a)b")),
    ("possessive", path_regex("a++b")),
    ("recursion", path_regex("a(?R)?b")),
    ("unicode-class", host_regex(r"\p{L}+")),
    ("unbalanced", host_regex("(a")),
)
def regex_refused(w, condition):
    """aws.md 1.2 regex: 128 characters, no look-around, back-reference, atomic group,
    possessive, recursion, \\p{}."""
    refuse(w, condition)


@cases(
    "elbv2.condition.regex.exclusive",
    ("host", {"Field": "host-header", "HostHeaderConfig": {"Values": ["a.example.com"], "RegexValues": ["^b$"]}}),
    ("path", {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/a"], "RegexValues": ["^/b$"]}}),
)
def regex_exclusive(w, condition):
    """aws.md 5 RegexValues: exclusive with Values."""
    refuse(w, condition)


@cases("elbv2.condition.source.refused", ("no-cidr", "10.0.0.1"), ("nonsense", "ten/8"), ("mask-33", "10.0.0.0/33"))
def source_refused(w, value):
    """aws.md 1.2 one per rule: source-ip takes CIDR blocks (service model)."""
    refuse(w, source(value))


@check("elbv2.condition.method.lower-case")
def method_lower(w):
    """aws.md 1.2 one per rule: methods are A-Z, hyphen, underscore (service model)."""
    refuse(w, method("get"))


@check("elbv2.condition.header.host-refused")
def header_host(w):
    """aws.md 1.2 one per rule: http-header cannot test the host header (service model)."""
    refuse(w, header("Host", "a.example.com"))


@check("elbv2.condition.header.name-too-long")
def header_long(w):
    """aws.md 1.2 one per rule: a header name has 40 characters at most (service model)."""
    refuse(w, header("X" * 41, "1"))


@check("elbv2.condition.query.echo")
def query_echo(w):
    """aws.md 1.2 one per rule: a query-string pair comes back."""
    equal(create(w, query(("a", "1")))[0]["QueryStringConfig"]["Values"], [{"Key": "a", "Value": "1"}])


@check("elbv2.condition.unknown-field")
def unknown_field(w):
    """aws.md 1.2 one per rule: only the documented fields."""
    refuse(w, {"Field": "cookie", "Values": ["a"]})


@check("elbv2.condition.empty-values")
def empty_values(w):
    """aws.md 1.2 host-header: a condition needs a value."""
    refuse(w, {"Field": "host-header", "HostHeaderConfig": {"Values": []}})


@check("elbv2.condition.config-of-another-field")
def wrong_config(w):
    """aws.md 1.2 one per rule: the config must belong to the field (service model)."""
    refuse(w, {"Field": "path-pattern", "HostHeaderConfig": {"Values": ["a.example.com"]}})


@check("elbv2.condition.echo.host")
def echo_host(w):
    """aws.md 1.2 echo: Values and HostHeaderConfig.Values, both."""
    got = create(w, host("a.example.com"))[0]
    equal((got["Values"], got["HostHeaderConfig"]["Values"]), (["a.example.com"], ["a.example.com"]))


@check("elbv2.condition.echo.host-from-values")
def echo_host_old(w):
    """aws.md 1.2 echo: the old form Values shows HostHeaderConfig too."""
    got = create(w, {"Field": "host-header", "Values": ["a.example.com"]})[0]
    equal((got["Values"], got["HostHeaderConfig"]["Values"]), (["a.example.com"], ["a.example.com"]))


@check("elbv2.condition.echo.path")
def echo_path(w):
    """aws.md 1.2 echo: Values and PathPatternConfig.Values, both."""
    got = create(w, path("/a"))[0]
    equal((got["Values"], got["PathPatternConfig"]["Values"]), (["/a"], ["/a"]))


@check("elbv2.condition.echo.regex-has-no-values")
def echo_regex(w):
    """aws.md 5 RegexValues: a regex condition shows no Values."""
    got = create(w, host_regex("^a$"))[0]
    equal((got.get("Values") or [], got["HostHeaderConfig"].get("Values") or []), ([], []))


@check("elbv2.condition.limit-after-modify")
def limit_after_modify(w):
    """aws.md 0.2: 5 values hold for ModifyRule too; 5 are fine."""
    rule = w.rule_arn(w.listener_arn())
    got = w.elb.modify_rule(RuleArn=rule, Conditions=[host(*HOSTS[:5])])["Rules"][0]
    true(len(got["Conditions"][0]["HostHeaderConfig"]["Values"]) == 5, "5 values", got)
