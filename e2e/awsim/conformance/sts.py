"""STS: who am I."""

import re

from harness import check, equal, true


@check("sts.identity.account")
def account(w):
    """aws.md 4 credentials: the account is twelve digits."""
    got = w.sts.get_caller_identity()["Account"]
    true(re.fullmatch("[0-9]{12}", got), "twelve digits", got)


@check("sts.identity.arn")
def arn(w):
    """aws.md 4 credentials: the caller's ARN is of that account."""
    got = w.sts.get_caller_identity()
    true(
        re.match(f"arn:aws:(iam|sts)::{got['Account']}:", got["Arn"]), f"arn:aws:iam::{got['Account']}:...", got["Arn"]
    )
    true(got["UserId"], "a UserId", got)


@check("sts.identity.same-account-everywhere")
def same_account(w):
    """aws.md 4 least privilege: ARNs of resources carry the caller's account."""
    arn = w.tg_arn()
    equal(arn.split(":")[4], w.sts.get_caller_identity()["Account"])


@check("sts.web-identity")
def web_identity(w):
    """aws.md 4 credentials: WebIdentityToken gives temporary credentials (IRSA)."""
    account = w.sts.get_caller_identity()["Account"]
    got = w.sts.assume_role_with_web_identity(
        RoleArn=f"arn:aws:iam::{account}:role/operator",
        RoleSessionName="check",
        WebIdentityToken="header.payload.signature",
    )
    true(got["Credentials"]["SessionToken"], "a session token", got)
    true(
        got["AssumedRoleUser"]["Arn"].endswith(":assumed-role/operator/check"),
        "...:assumed-role/operator/check",
        got["AssumedRoleUser"]["Arn"],
    )
