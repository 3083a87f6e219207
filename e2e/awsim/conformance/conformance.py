"""Conformance of awsim with aws.md, seen by an independent client (boto3).

    python conformance.py --endpoint http://127.0.0.1:4566
    python conformance.py --endpoint URL --dns 127.0.0.1:5353 --only 'elbv2.rule.*'
    python conformance.py --list

One line per check, then one line "N passed, N failed". The exit code is 0 when
all passed, 1 when one failed, 2 when nothing could be run.
"""

import argparse
import fnmatch
import importlib
import sys
import time

import harness
from botocore.exceptions import ClientError

MODULES = [
    "control",
    "sts",
    "elbv2_load_balancer",
    "elbv2_listener",
    "elbv2_certificate",
    "elbv2_rule",
    "elbv2_condition",
    "elbv2_action",
    "elbv2_priority",
    "elbv2_target_group",
    "elbv2_target",
    "elbv2_tags",
    "elbv2_quota",
    "route53_zone",
    "route53_list",
    "route53_batch",
    "route53_alias",
    "acm",
    "tagging",
]


def arguments():
    parser = argparse.ArgumentParser(description="Checks awsim against aws.md through boto3.")
    parser.add_argument("--endpoint", help="URL of the simulator, for all services")
    parser.add_argument(
        "--dns", metavar="HOST:PORT", help="DNS server of the simulator; without it the DNS checks are left out"
    )
    parser.add_argument("--only", metavar="PATTERN", help="names to run: a glob, or a part of the name")
    parser.add_argument("--list", action="store_true", help="print the names and sections, run nothing")
    return parser.parse_args()


def wanted(name, pattern):
    if pattern is None:
        return True
    return fnmatch.fnmatch(name, pattern) or pattern in name


def run_one(server, check):
    """None when the check passed, else what went wrong."""
    wrong = None
    try:
        with harness.world(server) as world:
            try:
                check.run(world)
            except harness.Failed as failed:
                wrong = str(failed)
            except ClientError as error:
                wrong = f"expected success, got {error}"
            except KeyError as error:
                wrong = f"expected a field {error} in the answer, got none"
            except Exception as error:  # a check must never stop the run
                wrong = f"expected no {type(error).__name__}, got {error}"
    except Exception as error:
        wrong = wrong or f"expected to begin and to clean up without {type(error).__name__}, got {error}"
    return None if wrong is None else " ".join(wrong.split())


def ready(server):
    try:
        server.control.ok("GET", "health")
    except Exception as error:
        print(f"{server.endpoint} is not an awsim that answers: {error}", file=sys.stderr)
        return False
    return True


def main():
    args = arguments()
    with_dns = args.dns is not None or args.list
    for module in MODULES + (["dns_answers"] if with_dns else []):
        importlib.import_module(module)
    chosen = [check for check in harness.CHECKS if wanted(check.name, args.only)]
    if args.list:
        for check in chosen:
            print(f"{check.name:60} {check.section}")
        print(f"{len(chosen)} checks")
        return 0
    if not args.endpoint:
        print("--endpoint URL is missing (or use --list)", file=sys.stderr)
        return 2
    if not chosen:
        print(f"no check is called like {args.only}", file=sys.stderr)
        return 2
    server = harness.Server(args.endpoint, args.dns)
    if not ready(server):
        return 2
    if not with_dns:
        print("note: without --dns the DNS checks are left out", flush=True)
    started = time.monotonic()
    failed = 0
    for check in chosen:
        wrong = run_one(server, check)
        if wrong is None:
            print(f"ok   {check.name}", flush=True)
        else:
            failed += 1
            print(f"FAIL {check.name}: {wrong}", flush=True)
    print(f"note: {time.monotonic() - started:.1f} s", flush=True)
    print(f"{len(chosen) - failed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
