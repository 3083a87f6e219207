//! Requests: one annotation on a SharedLoadBalancer, and the wait for its answer in the status (rule 16).

use std::time::Duration;

use gatehouse_core::identity::claim_name;
use gatehouse_core::request::Request;
use gatehouse_crds::{HostClaim, RequestAnswer, RequestState, SharedLoadBalancer, keys};
use gatehouse_route::Host;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use tokio::time::Instant;

use super::{Failure, call, call_opt, connect, run};
use crate::args::{ApproveArgs, MoveArgs, ReleaseArgs, TransferArgs, WaitArgs};
use crate::print::{Out, Tone};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(400);

/// Runs `approve`.
pub fn approve(args: &ApproveArgs, out: &mut Out) -> u8 {
    let request = Request::Approve { digest: args.digest.clone() };
    go(&request, Place::Named(&args.load_balancer), &args.wait, out)
}

/// Runs `move`.
pub fn move_namespace(args: &MoveArgs, out: &mut Out) -> u8 {
    let request = Request::Move { namespace: args.namespace.clone(), shard: args.to };
    go(&request, args.load_balancer.as_deref().map_or(Place::Default, Place::Named), &args.wait, out)
}

/// Runs `release`.
pub fn release(args: &ReleaseArgs, out: &mut Out) -> u8 {
    let request = Request::Release { host: args.host.clone(), owner: args.owner.clone() };
    go(&request, args.load_balancer.as_deref().map_or(Place::OnlyOf(&args.host), Place::Named), &args.wait, out)
}

/// Runs `claims transfer`.
pub fn transfer(args: &TransferArgs, out: &mut Out) -> u8 {
    let request = Request::Transfer { host: args.host.clone(), to: args.to.clone() };
    go(&request, args.load_balancer.as_deref().map_or(Place::Of(&args.host), Place::Named), &args.wait, out)
}

/// Which SharedLoadBalancer carries the request.
enum Place<'a> {
    /// This one.
    Named(&'a str),
    /// One on which the host stands: any will do.
    Of(&'a Host),
    /// The one on which the host stands: with several it matters which.
    OnlyOf(&'a Host),
    /// The only one, or the default.
    Default,
}

fn go(request: &Request, place: Place<'_>, wait: &WaitArgs, out: &mut Out) -> u8 {
    run(out, 2, async |out| {
        let value = value(request)?;
        let client = connect(&wait.cluster).await?;
        let name = choose(&client, place).await?;
        let api: Api<SharedLoadBalancer> = Api::all(client);
        let key = format!("{}{}", keys::REQUEST_PREFIX, request.verb());
        if let Some(unfinished) = ask(&api, &name, &key, &value, request.verb()).await? {
            out.complain(&format!(
                "note: takes the place of {unfinished:?}, which goes on but is not answered any more"
            ));
        }
        if wait.no_wait {
            out.line(&format!("asked: {key} on {name}: {value}"));
            return Ok(0);
        }
        let ended = answer(&api, &name, &key, &value, request.verb(), wait, out).await?;
        Ok(tell(ended, &name, wait, out))
    })
}

/// The annotation's value. What is read back must be what was meant: a name with a space in it is another request.
fn value(request: &Request) -> Result<String, Failure> {
    // To the millisecond, so that a request can be made again.
    let now = jiff::Timestamp::now().as_millisecond();
    let at = jiff::Timestamp::from_millisecond(now).unwrap_or_default();
    let value = format!("{request} at={at}");
    match Request::parse(request.verb(), &value) {
        Ok(read) if read == *request => Ok(value),
        Ok(_) => Err(Failure::new(format!("{:?} cannot be asked for: names have no spaces", request.to_string()))),
        Err(fault) => Err(Failure::new(fault)),
    }
}

async fn choose(client: &Client, place: Place<'_>) -> Result<String, Failure> {
    let several = match &place {
        Place::Named(name) => return Ok((*name).to_owned()),
        Place::Of(host) | Place::OnlyOf(host) => {
            let claims: Api<HostClaim> = Api::all(client.clone());
            let claim = call_opt("read hostclaims", claims.get(&claim_name(host))).await?;
            let status = claim.and_then(|c| c.status).unwrap_or_default();
            status.placement.into_keys().collect()
        }
        Place::Default => Vec::new(),
    };
    match (&place, &several[..]) {
        (_, [only]) => return Ok(only.clone()),
        (Place::OnlyOf(host), [_, ..]) => {
            let names = several.join(", ");
            return Err(Failure::new(format!("{host} stands on {names}")).cure("name one with --load-balancer"));
        }
        (_, [first, ..]) => return Ok(first.clone()),
        (_, []) => {}
    }
    let all = list(client).await?;
    if let [only] = &all[..] {
        return Ok(only.name_any());
    }
    let default = all.iter().find(|lb| lb.spec.default).map(ResourceExt::name_any);
    default.ok_or_else(|| match &all[..] {
        [] => Failure::new("there is no SharedLoadBalancer in the cluster"),
        _ => Failure::new("none of the SharedLoadBalancers is the default")
            .cure(format!("name one with --load-balancer: {}", names(&all))),
    })
}

async fn list(client: &Client) -> Result<Vec<SharedLoadBalancer>, Failure> {
    let api: Api<SharedLoadBalancer> = Api::all(client.clone());
    Ok(call("list sharedloadbalancers", api.list(&ListParams::default())).await?.items)
}

fn names(all: &[SharedLoadBalancer]) -> String {
    all.iter().map(ResourceExt::name_any).collect::<Vec<_>>().join(", ")
}

/// Writes the request; gives the unfinished one whose place it takes.
async fn ask(
    api: &Api<SharedLoadBalancer>,
    name: &str,
    key: &str,
    value: &str,
    verb: &str,
) -> Result<Option<String>, Failure> {
    let Some(before) = call_opt("read sharedloadbalancers", api.get(name)).await? else {
        let all = list(&api.clone().into_client()).await?;
        let there = if all.is_empty() { "there is none".to_owned() } else { format!("there are: {}", names(&all)) };
        return Err(Failure::new(format!("no SharedLoadBalancer {name:?} in the cluster")).cure(there));
    };
    let patch = serde_json::json!({ "metadata": { "annotations": { key: value } } });
    let params = PatchParams { field_manager: Some("gatehouse-cli".to_owned()), ..PatchParams::default() };
    call(&format!("write {key} on {name}"), api.patch(name, &params, &Patch::Merge(patch))).await?;
    let old = before.annotations().get(key).cloned();
    let working = before.status.unwrap_or_default().requests.into_iter().find(|r| r.verb == verb);
    Ok(working.filter(|r| r.state == RequestState::Working && Some(&r.value) == old.as_ref()).map(|r| r.value))
}

/// How the wait ended.
enum Ended {
    /// Answered for good.
    Answered(RequestAnswer),
    /// Somebody else's request of the same verb stands there now.
    Replaced(String),
    /// Not in time; the last answer, if there was one.
    Late(Option<RequestAnswer>),
    /// Ctrl-C.
    Interrupted,
}

async fn answer(
    api: &Api<SharedLoadBalancer>,
    name: &str,
    key: &str,
    value: &str,
    verb: &str,
    wait: &WaitArgs,
    out: &Out,
) -> Result<Ended, Failure> {
    let end = Instant::now() + Duration::from_secs(u64::from(wait.timeout.get()));
    let mut last: Option<RequestAnswer> = None;
    loop {
        // The request stands; one answer that is lost is no reason to give up.
        let failed = match call("read sharedloadbalancers", api.get(name)).await {
            Ok(lb) => {
                let standing = lb.annotations().get(key).cloned().unwrap_or_default();
                if standing != value {
                    return Ok(Ended::Replaced(standing));
                }
                let answers = lb.status.unwrap_or_default().requests;
                let answer = answers.into_iter().find(|r| r.verb == verb && r.value == value);
                match answer {
                    Some(answer) if answer.state != RequestState::Working => return Ok(Ended::Answered(answer)),
                    Some(answer) if last.as_ref().is_none_or(|l| l.message != answer.message) => {
                        out.complain(&format!("working: {}", answer.message));
                        last = Some(answer);
                    }
                    _ => {}
                }
                None
            }
            Err(error) => Some(error),
        };
        if Instant::now() >= end {
            return match failed {
                Some(error) => Err(error),
                None => Ok(Ended::Late(last)),
            };
        }
        tokio::select! {
            () = tokio::time::sleep_until(end.min(Instant::now() + LOOK)) => {}
            _ = tokio::signal::ctrl_c() => return Ok(Ended::Interrupted),
        }
    }
}

fn tell(ended: Ended, name: &str, wait: &WaitArgs, out: &mut Out) -> u8 {
    let later = format!(
        "the request stands; its answer is to be read with: kubectl get sharedloadbalancer {name} -o jsonpath='{{.status.requests}}'"
    );
    match ended {
        Ended::Answered(answer) => {
            let (tone, word, code) = match answer.state {
                RequestState::Done => (Tone::Good, "done", 0),
                _ => (Tone::Bad, "refused", 1),
            };
            let message = if answer.message.is_empty() { "without a reason".to_owned() } else { answer.message };
            out.line(&format!("{}: {message}", out.paint(tone, word)));
            return code;
        }
        Ended::Replaced(standing) if standing.is_empty() => out.complain("somebody took the request back"),
        Ended::Replaced(standing) => {
            out.complain(&format!("another request took the place of this one: {standing}"));
        }
        Ended::Late(last) => {
            let seconds = wait.timeout.get();
            match last {
                Some(answer) => {
                    out.line(&format!("{}: {}", out.paint(Tone::Warn, "working"), answer.message));
                    out.complain(&format!("not finished within {seconds} s"));
                }
                None => out.complain(&format!(
                    "no answer within {seconds} s: is the operator running? kubectl get lease -A says who leads"
                )),
            }
            out.complain(&later);
        }
        Ended::Interrupted => out.complain(&later),
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_read_as_another_request_is_not_written() {
        let namespace = |text: &str| Request::Move { namespace: text.to_owned(), shard: 1 };
        assert!(value(&namespace("team-a")).unwrap().starts_with("namespace=team-a shard=1 at=20"));
        for bad in ["team a", "", "a shard=3"] {
            assert!(value(&namespace(bad)).is_err(), "{bad:?}");
        }
    }
}
